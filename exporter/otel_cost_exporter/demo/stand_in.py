"""A stand-in LLM provider: it speaks the wire formats of OpenAI and Anthropic, calls no vendor and charges nothing.

For the demo and for tests. It listens on loopback only, so that the real SDKs can be tried without a key:

    OPENAI_BASE_URL=<url>/openai/v1      chat completions, responses, embeddings
    ANTHROPIC_BASE_URL=<url>/anthropic   messages

Every answer carries the header ``x-stand-in-provider: otel-cost`` and says in its text what it is. Figures are
deterministic: input tokens are a quarter of the prompt's characters, output tokens follow from a hash of the prompt, at
most what the request allows. A request steers its answer by a header that starts with ``x-stand-in`` or by
``[stand-in ...]`` in its prompt, both ``key=value`` with commas between:

    input=1000,output=200        fixed usage; also cache_read, cache_write (within the input), reasoning (within output)
    call=look_up+transfer        the tools to call, one an answer and without arguments, where the request offers them
    model=gpt-4o-2024-08-06      the model that says to have answered; without it the one that was asked for
    status=429                   an error answer; retry_after=0.5 sets that header, in seconds
    failures=2                   with status: only the first two attempts of an SDK's call fail
    delay=0.05                   seconds to wait before each event of a stream, or before a whole answer
    cut=3                        the connection is dropped after three events of a stream
    truncate=3                   the stream ends after three events as if that were its end
    gzip=1                       the answer is compressed

In a test: ``with stand_in.running() as provider: ...`` gives its `StandIn.url` and the `StandIn.requests` it saw. From
a shell: ``python -m otel_cost_exporter.demo.stand_in --port 0``; then ``GET /stand-in/requests`` shows what it saw.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import hashlib
import json
import re
import socket
import threading
import time
import uuid
import zlib
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse

from otel_cost_exporter.demo.wire import FORMATS, Answer, Tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from fastapi import Request

    from otel_cost_exporter.demo.wire import Event, Format, Json

HEADER: Final = "x-stand-in"
PROVIDER_HEADERS: Final = {"x-stand-in-provider": "otel-cost"}
_SENTENCE: Final = "This is the otel-cost stand-in provider: no LLM was called. "
_IN_PROMPT: Final = re.compile(r"\[stand-in ([^\]]*)\]")
_CALL_TYPES: Final = frozenset({"function", "function_call", "tool_use"})
_STARTUP_SECONDS: Final = 60


# --- what a request asks for ---------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Steering:
    """How a request wants to be answered; see the module's docstring. None and 0 leave it to the stand-in."""

    input: int | None = None
    output: int | None = None
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    call: str = ""
    model: str | None = None
    status: int = 0
    retry_after: float = 1
    failures: int = 1_000_000
    delay: float = 0
    cut: int | None = None
    truncate: int | None = None
    gzip: int = 0


_READ: Final[dict[str, Callable[[str], Any]]] = {"model": str, "call": str, "retry_after": float, "delay": float}


def steering_of(headers: Mapping[str, str], prompt: str) -> Steering:
    """What `headers` and then `prompt` steer.

    Raises:
        ValueError: a key that does not exist, or a value that is no number.
    """
    found = [value for name, value in headers.items() if name.startswith(HEADER)] + _IN_PROMPT.findall(prompt)
    chosen = {}
    for item in filter(None, (item.strip() for text in found for item in text.split(","))):
        key, _, value = item.partition("=")
        if key not in Steering.__dataclass_fields__:
            raise ValueError(f"the stand-in knows no {key!r}: use {', '.join(Steering.__dataclass_fields__)}")
        try:
            chosen[key] = _READ.get(key, int)(value)
        except ValueError:
            raise ValueError(f"the stand-in cannot read {item!r}: {key}=NUMBER") from None
    return Steering(**chosen)


def prompt_of(body: Json) -> str:
    """All text that a request sends to the model, one line for each piece."""
    return "\n".join(text for key in ("system", "instructions", "messages", "input") for text in _texts(body.get(key)))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        yield from _texts(value.get("content"))
        yield from _texts(value.get("text"))


def answer_to(body: Json, wire_format: Format, prompt: str, steering: Steering) -> Answer:
    """The answer to a request: the same one for the same prompt, its id apart."""
    natural = 20 + int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:2], "big") % 60
    allowed = next((body[name] for name in wire_format.limit if body.get(name)), natural + 1)
    output = min(natural, allowed) if steering.output is None else steering.output
    input_tokens = max(1, len(prompt) // 4) if steering.input is None else steering.input
    tokens = Tokens(input_tokens, output, steering.cache_read, steering.cache_write, steering.reasoning)
    text = (_SENTENCE * (1 + output // len(_SENTENCE.split()))).strip()
    return Answer(
        body,
        steering.model or body["model"],
        text,
        tokens,
        full=steering.output is not None or output < allowed,
        tool=_tool(body, steering.call.split("+")),
    )


def _tool(body: Json, wanted: list[str]) -> str | None:
    """The first of the `wanted` tools that `body` offers and that its conversation has not called yet."""
    offered = set(_tool_names(body.get("tools")))
    called = set(_calls(body.get("messages"))) | set(_calls(body.get("input")))
    return next((name for name in wanted if name in offered - called), None)


def _calls(conversation: Any) -> Iterator[str]:
    """The tools that the model has called in `conversation`: a message's calls, blocks of its content, or items."""
    for item in conversation if isinstance(conversation, list) else ():
        if isinstance(item, dict):
            blocks = [item, *(item.get("tool_calls") or ()), *(item["content"] if _has_blocks(item) else ())]
            yield from _tool_names(block for block in blocks if block.get("type") in _CALL_TYPES)


def _has_blocks(message: Json) -> bool:
    return isinstance(message.get("content"), list)


def _tool_names(tools: Any) -> Iterator[str]:
    for tool in tools or ():
        yield (tool.get("function") or tool).get("name", "")


# --- the server ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived. Header names are lower-case; `body` is the JSON, or the text where it is none."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class StandIn:
    """A running stand-in.

    Attributes:
        url: where it listens, such as ``http://127.0.0.1:40123``.
        requests: what it saw, oldest first; `clear` it between steps.
    """

    url: str
    requests: list[Seen] = field(default_factory=list)

    @property
    def openai_url(self) -> str:
        """The base URL for the openai SDK."""
        return f"{self.url}/openai/v1"

    @property
    def anthropic_url(self) -> str:
        """The base URL for the anthropic SDK."""
        return f"{self.url}/anthropic"

    @property
    def environ(self) -> dict[str, str]:
        """The environment in which the SDKs talk to it and otel-cost knows whose prices hold there."""
        return {
            "OPENAI_BASE_URL": self.openai_url,
            "OPENAI_API_KEY": "stand-in",
            "ANTHROPIC_BASE_URL": self.anthropic_url,
            "ANTHROPIC_API_KEY": "stand-in",
            "OTEL_COST_ENDPOINTS": f"{self.openai_url}=openai,{self.anthropic_url}=anthropic",
        }


def application(requests: list[Seen]) -> FastAPI:
    """The stand-in as an ASGI application that appends what it sees to `requests`."""
    app = FastAPI(title="otel-cost stand-in LLM provider", openapi_url=None)

    async def serve(request: Request) -> Response:
        raw = await request.body()
        body = _json(raw)
        requests.append(Seen(request.method, request.url.path, dict(request.headers), body))
        path = request.url.path
        wire_format = next(wire_format for known, wire_format in FORMATS.items() if known.endswith(path))
        return await _answer(wire_format, dict(request.headers), body)

    for path in FORMATS:
        for served in (path, path[path.index("/v1/") :]):
            app.add_route(served, serve, methods=["POST"])

    @app.get("/stand-in/requests")
    async def seen() -> dict[str, Any]:
        return {"count": len(requests), "requests": [asdict(request) for request in requests]}

    return app


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")


async def _answer(wire_format: Format, headers: dict[str, str], body: Any) -> Response:
    ids = {**PROVIDER_HEADERS, wire_format.request_id: f"req_{uuid.uuid4().hex}"}
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        return _error(wire_format, 400, "the body must be a JSON object with a model", ids)
    prompt = prompt_of(body)
    try:
        steering = steering_of(headers, prompt)
    except ValueError as error:
        return _error(wire_format, 400, str(error), ids)
    if steering.status and int(headers.get("x-stainless-retry-count", 0)) < steering.failures:
        retry = {**ids, "retry-after": f"{steering.retry_after:g}"}
        return _error(wire_format, steering.status, "the otel-cost stand-in was asked to fail", retry)
    answer = answer_to(body, wire_format, prompt, steering)
    if steering.gzip:
        ids["content-encoding"] = "gzip"
    if body.get("stream") and wire_format.events:
        chunks = map(_sse, wire_format.events(answer))
        return StreamingResponse(_send(chunks, steering), media_type="text/event-stream", headers=ids)
    await asyncio.sleep(steering.delay)
    whole = json.dumps(wire_format.whole(answer)).encode()
    return Response(gzip.compress(whole) if steering.gzip else whole, media_type="application/json", headers=ids)


def _error(wire_format: Format, status: int, message: str, headers: dict[str, str]) -> Response:
    content = json.dumps(wire_format.error(status, message))
    return Response(content, status, headers=headers, media_type="application/json")


def _sse(event: Event) -> bytes:
    name, data = event
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


async def _send(chunks: Iterator[bytes], steering: Steering) -> AsyncIterator[bytes]:
    compress = zlib.compressobj(wbits=31) if steering.gzip else None
    for number, chunk in enumerate(chunks):
        if number == steering.cut:
            raise ConnectionAbortedError("the stand-in was asked to drop the connection here")
        if number == steering.truncate:
            break
        await asyncio.sleep(steering.delay)
        yield compress.compress(chunk) + compress.flush(zlib.Z_SYNC_FLUSH) if compress else chunk
    if compress:
        yield compress.flush()


# --- running it ----------------------------------------------------------------------------------------------------
def _listen(port: int) -> tuple[socket.socket, str]:
    listener = socket.create_server(("127.0.0.1", port))
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


def _server(requests: list[Seen]) -> uvicorn.Server:
    # Critical only: a connection that is dropped on purpose is an exception to uvicorn.
    config = uvicorn.Config(
        application(requests), log_config=None, log_level="critical", lifespan="off", timeout_graceful_shutdown=1
    )
    return uvicorn.Server(config)


@contextmanager
def running(port: int = 0) -> Iterator[StandIn]:
    """The stand-in in a thread of this process, on a free loopback port unless `port` says which.

    Raises:
        OSError: the port is taken.
        RuntimeError: it did not start within a minute.
    """
    listener, url = _listen(port)
    stand_in = StandIn(url)
    server = _server(stand_in.requests)
    thread = threading.Thread(target=server.run, args=([listener],), name="otel-cost stand-in", daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + _STARTUP_SECONDS
        while not server.started:
            if time.monotonic() > deadline or not thread.is_alive():
                raise RuntimeError(f"the stand-in provider did not start on {url}")
            time.sleep(0.005)
        yield stand_in
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def main(arguments: list[str] | None = None) -> None:
    """Serve until the process is told to stop; the first line of output ends with the URL."""
    parser = argparse.ArgumentParser(description="A stand-in LLM provider on loopback. No vendor is called.")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    listener, url = _listen(parser.parse_args(arguments).port)
    print(f"Stand-in LLM provider (no vendor is called, nothing is charged): {url}", flush=True)  # noqa: T201 - its output
    _server([]).run([listener])


if __name__ == "__main__":
    main()
