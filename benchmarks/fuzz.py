"""Recorded exchanges, cut and spoilt at each of many positions, through real HTTP clients with otel-cost in place.

    python benchmarks/fuzz.py EXCHANGES.jsonl.gz [POSITIONS]

Each line of the file is one exchange: ``request`` with method, url and body (JSON), ``response`` with status, headers,
body and its ``encoding`` (``utf8`` or ``base64``). The server is a transport in memory that hands its bytes out in
pieces. At each position a response is cut in two, ends too early, breaks off with an error, is closed by the
application, and has one byte changed; it comes plain and in each content encoding; to httpx and httpx2, sync and async,
read as it comes and whole.

Held: the application gets what it gets without otel-cost, piece by piece, or the same error; nothing of ours fails, not
even where that is suppressed; as many calls end as do where the response is left whole, each once; a cut response that
is whole says the same as an uncut one.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import gzip
import json
import logging
import os
import random
import sys
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import brotli
import httpx
import httpx2
from backports import zstd
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from otel_cost import bootstrap, safety
from otel_cost.instrumentation import open_calls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from opentelemetry.sdk.trace import ReadableSpan

POSITIONS = 40
ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "br": lambda plain: brotli.compress(plain, quality=1),
    "zstd": zstd.compress,
    "deflate": zlib.compress,
    "gzip, br": lambda plain: brotli.compress(gzip.compress(plain), quality=1),
}
WRAPPED = ("send", "_send_single_request")
CLIENTS = ("httpx2", "httpx", "httpx2 async", "httpx async")
SAYS_NOTHING_OF_THE_ANSWER = ("otel_cost.call.", "error.type")


@dataclass(frozen=True)
class Exchange:
    """What one client asks and the server answers.

    Attributes:
        pieces: the response's body, as it comes off the wire.
        breaks: whether the connection breaks behind them.
        close_after: after how many pieces the application has had enough; -1 for never.
        whole: whether the application has the client read the whole body first.
    """

    method: str
    url: str
    content: bytes
    status: int
    headers: dict[str, str]
    pieces: tuple[bytes, ...]
    breaks: bool = False
    close_after: int = -1
    whole: bool = False


@dataclass
class Ended(SpanProcessor):
    """The calls that have ended."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    waited: int = 0

    def on_end(self, span: ReadableSpan) -> None:
        attributes = dict(span.attributes or {})
        if "otel_cost.cost.status" in attributes:
            self.calls.append(attributes)

    def take(self) -> list[dict[str, Any]]:
        open_calls.end_abandoned()
        here = len(self.calls)
        open_calls.end_all()  # what is said to be under way yet, and would be asked for again
        self.waited += len(self.calls) - here
        found, self.calls = self.calls, []
        return found


class Warned(logging.Handler):
    """What was logged as a warning, such as a span that is ended twice."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("opentelemetry"):
            self.lines[record.getMessage()] += 1


class Server:
    """Answers with the exchange in hand."""

    exchange: Exchange

    def __init__(self, module: Any) -> None:
        server = self

        class Body(module.SyncByteStream, module.AsyncByteStream):  # type: ignore[misc] # of either client
            def __iter__(self) -> Iterator[bytes]:
                yield from server.exchange.pieces
                if server.exchange.breaks:
                    raise module.ReadError("the connection broke")

            async def __aiter__(self) -> AsyncIterator[bytes]:
                for piece in self:
                    yield piece

        def answer(_: Any) -> Any:
            return module.Response(server.exchange.status, headers=server.exchange.headers, stream=Body())

        self.transport = module.MockTransport(answer)


Got = tuple[list[bytes], str]
"""The pieces that the application got, and the error."""


class Clients:
    """One set of clients, bare or with otel-cost in place."""

    def __init__(self, replaced: dict[type, dict[str, Any]]) -> None:
        self._loop = asyncio.Runner()
        self._servers = {module.__name__: Server(module) for module in (httpx, httpx2)}
        self._clients: dict[str, Any] = {}
        for module in (httpx, httpx2):
            transport = self._servers[module.__name__].transport
            for name, kind in ((module.__name__, module.Client), (f"{module.__name__} async", module.AsyncClient)):
                made = type("Client", (kind,), replaced[kind])
                self._clients[name] = made(transport=transport)

    def get(self, name: str, exchange: Exchange) -> Got:
        """What the application gets of `exchange` by the client of this name."""
        self._servers[name.partition(" ")[0]].exchange = exchange
        pieces: list[bytes] = []
        try:
            if name.endswith("async"):
                self._loop.run(self._get_async(self._clients[name], exchange, pieces))
            else:
                self._get(self._clients[name], exchange, pieces)
        except Exception as error:  # noqa: BLE001 - what is raised is held against what is raised without us
            return pieces, f"{type(error).__name__}: {error}"
        return pieces, ""

    def _get(self, client: Any, exchange: Exchange, pieces: list[bytes]) -> None:
        if exchange.whole:
            pieces.append(client.request(exchange.method, exchange.url, content=exchange.content).content)
            return
        with client.stream(exchange.method, exchange.url, content=exchange.content) as response:
            for piece in response.iter_raw():
                pieces.append(piece)
                if len(pieces) == exchange.close_after:
                    return

    async def _get_async(self, client: Any, exchange: Exchange, pieces: list[bytes]) -> None:
        if exchange.whole:
            pieces.append((await client.request(exchange.method, exchange.url, content=exchange.content)).content)
            return
        async with client.stream(exchange.method, exchange.url, content=exchange.content) as response:
            async for piece in response.aiter_raw():
                pieces.append(piece)
                if len(pieces) == exchange.close_after:
                    return


def recorded(row: dict[str, Any]) -> Exchange:
    request, response = row["request"], row["response"]
    asked = request["body"]
    content = b"" if asked is None else asked.encode() if isinstance(asked, str) else json.dumps(asked).encode()
    body = response["body"]
    raw = base64.b64decode(body) if response["encoding"] == "base64" else body.encode()
    headers = {name.lower(): value for name, value in response["headers"].items()}
    for framing in ("content-length", "transfer-encoding", "content-encoding"):
        headers.pop(framing, None)
    return Exchange(request["method"], request["url"], content, response["status"], headers, (raw,))


def spoilt(exchange: Exchange, positions: int, chance: random.Random) -> Iterator[tuple[str, Exchange]]:
    """The exchange, cut and spoilt in each way at each position."""
    (plain,) = exchange.pieces
    for at in sorted({round(step * len(plain) / positions) for step in range(positions + 1)}):
        for encoding in ("", chance.choice(list(ENCODINGS)[1:])):
            body = ENCODINGS[encoding](plain)
            edge = round(at * len(body) / max(1, len(plain)))
            first, second = body[:edge], body[edge:]
            changed = bytes([chance.randrange(256)]) + second[1:] if second else b""
            headers = {**exchange.headers, "content-encoding": encoding} if encoding else exchange.headers
            cut = replace(exchange, headers=headers, pieces=(first, second))
            several = tuple(body[start : start + 7] for start in range(0, len(body), 7)) if len(body) < 3000 else ()
            yield "cut", cut
            yield "cut", replace(cut, pieces=several or cut.pieces, whole=True)
            yield "changed", replace(cut, pieces=(first, changed), whole=chance.random() < 0.3)
            yield "ended early", replace(cut, pieces=(first,))
            yield "broken off", replace(cut, pieces=(first,), breaks=True)
            yield "closed", replace(cut, close_after=chance.choice((1, 2)))


def said(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the answers of calls said."""
    return [
        {key: value for key, value in call.items() if not key.startswith(SAYS_NOTHING_OF_THE_ANSWER)} for call in calls
    ]


def put_in_place() -> tuple[Clients, Clients, Ended]:
    """The bare clients, those with otel-cost in place, and what ends."""
    kinds = (httpx.Client, httpx.AsyncClient, httpx2.Client, httpx2.AsyncClient)
    bare = Clients({kind: {name: kind.__dict__[name] for name in WRAPPED} for kind in kinds})
    os.environ["OTEL_COST_INCLUDE_USAGE"] = "off"  # with it a stream is meant to reach the application without a chunk
    ended, provider = Ended(), TracerProvider()
    provider.add_span_processor(ended)
    trace.set_tracer_provider(provider)
    bootstrap.start()
    return bare, Clients({kind: {} for kind in kinds}), ended


def main() -> int:
    with gzip.open(sys.argv[1], "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    positions = int(sys.argv[2]) if len(sys.argv) > 2 else POSITIONS
    warned = Warned()
    logging.getLogger().addHandler(warned)
    bare, ours, ended = put_in_place()
    chance, started = random.Random(3), time.monotonic()  # noqa: S311 - no secret
    tried: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for row in rows:
        exchange = recorded(row)
        uncut = {}
        for whole in (False, True):
            ours.get("httpx2", replace(exchange, whole=whole))
            uncut[whole] = ended.take()
        for number, (how, variant) in enumerate(spoilt(exchange, positions, chance)):
            client = CLIENTS[number % len(CLIENTS)]
            failed = sum(safety.failures().values())
            got, expected = ours.get(client, variant), bare.get(client, variant)
            calls = ended.take()
            tried[how] += 1
            ends_of_ours = {
                "errors that are ours": got[1] != expected[1],
                "byte differences": got[0] != expected[0],
                "failures suppressed": sum(safety.failures().values()) != failed,
                "calls that ended not once": len(calls) != len(uncut[False]),
                "figures that a cut changed": how == "cut" and not got[1] and said(calls) != said(uncut[variant.whole]),
            }
            for what, is_so in ends_of_ours.items():
                wrong[what] += is_so
                if is_so:
                    examples.setdefault(what, f"{row['id']} {row['provider']} {how} {client}: {got[1]} | {expected[1]}")
    gc.collect()
    count = sum(tried.values())
    print(f"{len(rows)} exchanges, {count} variants in {time.monotonic() - started:.0f} s: {dict(tried)}")
    for what in sorted(wrong):
        print(f"{what:28} {wrong[what]:6}  {examples.get(what, '')}")
    print(f"{'calls that waited for more':28} {ended.waited:6}  ended with the process")
    print(f"{'warnings of OpenTelemetry':28} {sum(warned.lines.values()):6}  {dict(warned.lines) or ''}")
    print(f"{'suppressed, by place':28} {safety.failures() or ''}")
    return 1 if sum(wrong.values()) or warned.lines else 0


if __name__ == "__main__":
    sys.exit(main())
