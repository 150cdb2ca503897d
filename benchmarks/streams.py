"""What otel-cost takes from streams: the bare openai SDK beside it, in one run, in turns.

    python benchmarks/streams.py [STREAMS TURNS]

The provider is a small server in a process of its own, behind a real socket. Three figures, each with and without:

- throughput: so many streams at once, as fast as they go; events a second, and processor time an event;
- the same without a socket, which takes its own time: streams in memory;
- a chunk's way: streams at the pace of a model, each event with the time at which the server sent it, until the
  application holds it; and the time from the call to its first chunk. The streams begin one after another within the
  time between two events: what begins at once waits in one line, and the wait is all that would be measured.

A turn without and one with are a pair, and a ratio is the median of the pairs': what else the machine does slows both.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
import openai
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from otel_cost import bootstrap

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

STREAMS, TURNS = 100, 8
EVENTS, PACED_EVENTS, PACE_SECONDS = 300, 60, 0.04  # a model that says 25 tokens a second
MESSAGES: Any = [{"role": "user", "content": "word " * 200}]
SIDES = ("bare", "otel-cost")


# --- the server ----------------------------------------------------------------------------------------------------
def event(number: int, sent: int) -> bytes:
    chunk = {
        "id": "chatcmpl-AbCdEf0123456789",
        "object": "chat.completion.chunk",
        "created": sent,
        "model": "gpt-4o-2024-08-06",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        "choices": [{"index": 0, "delta": {"content": f" word{number}"}, "logprobs": None, "finish_reason": None}],
        "usage": None,
        "obfuscation": "q7Zt",
    }
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def last(events: int) -> bytes:
    usage = {"prompt_tokens": 200, "completion_tokens": events, "total_tokens": 200 + events}
    chunk = {"id": "chatcmpl-AbCdEf0123456789", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    return b"data: " + json.dumps({**chunk, "choices": [], "usage": usage}).encode() + b"\n\ndata: [DONE]\n\n"


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
FAST = tuple(event(number, 1) for number in range(EVENTS))


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Streams, one behind the other on one connection; ``max_tokens`` says how long, ``user`` at which pace."""
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        asked = json.loads(await reader.readexactly(int(length.partition(b":")[2])))
        writer.write(HEAD)
        for number in range(asked["max_tokens"]):
            if asked["user"] == "fast":
                writer.write(chunked(FAST[number]))
                await writer.drain()
                await asyncio.sleep(0)
            else:
                writer.write(chunked(event(number, time.perf_counter_ns())))
                await asyncio.sleep(PACE_SECONDS)
        writer.write(chunked(last(asked["max_tokens"])) + b"0\r\n\r\n")


async def serve() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Memory(httpx2.AsyncBaseTransport):
    """The same streams without a socket."""

    async def handle_async_request(self, _: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Pieces())


class Pieces(httpx2.AsyncByteStream):
    """Read on where it was left, as a connection is: the SDK reads what follows ``[DONE]`` by a loop of its own."""

    def __init__(self) -> None:
        self._left = iter((*FAST, last(EVENTS)))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._left:
            await asyncio.sleep(0)
            yield piece


# --- the application -----------------------------------------------------------------------------------------------
@dataclass
class Measured:
    """What the turns of one side took."""

    rates: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    ways: list[float] = field(default_factory=list)


async def read(client: openai.AsyncOpenAI, events: int, pace: str, after: float, measured: Measured) -> None:
    await asyncio.sleep(after)
    started = time.perf_counter_ns()
    first = 0
    async for chunk in await client.chat.completions.create(
        model="gpt-4o",
        messages=MESSAGES,
        max_tokens=events,
        user=pace,
        stream=True,
        stream_options={"include_usage": True},
    ):
        if pace == "paced" and chunk.choices:
            here = time.perf_counter_ns()
            measured.ways.append((here - chunk.created) / 1e3)
            first = first or here
    if first:
        measured.first.append((first - started) / 1e6)


async def turn(client: openai.AsyncOpenAI, streams: int, events: int, pace: str, measured: Measured) -> None:
    gc.collect()
    apart = PACE_SECONDS / streams if pace == "paced" else 0.0
    started, used = time.perf_counter(), processor_time()
    await asyncio.gather(*(read(client, events, pace, number * apart, measured) for number in range(streams)))
    measured.rates.append(streams * events / (time.perf_counter() - started))
    measured.processor.append((processor_time() - used) / (streams * events) * 1e6)


def processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Nowhere(SpanExporter):
    """Exports nothing."""

    def export(self, _: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def switches() -> dict[str, Callable[[], None]]:
    """How to take the wraps off and put them on: one process measures both, so that its moods cancel out."""
    owners = [
        (httpx2.AsyncClient, "send"),
        (httpx2.AsyncClient, "_send_single_request"),
        (openai._base_client.AsyncAPIClient, "request"),
    ]
    bare = [(owner, name, owner.__dict__[name]) for owner, name in owners]
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere(), max_queue_size=100_000))
    trace.set_tracer_provider(provider)
    bootstrap.start()
    ours = [(owner, name, owner.__dict__[name]) for owner, name in owners]

    def switch(attributes: list[tuple[type, str, Any]]) -> Callable[[], None]:
        return lambda: [setattr(*attribute) for attribute in attributes] and None

    return dict(zip(SIDES, (switch(bare), switch(ours)), strict=True))


def client_of(base_url: str, transport: httpx2.AsyncBaseTransport) -> openai.AsyncOpenAI:
    http_client = httpx2.AsyncClient(transport=transport, timeout=None)
    return openai.AsyncOpenAI(api_key="x", base_url=base_url, http_client=http_client)


async def compare(base_url: str, streams: int, turns: int) -> None:
    put = switches()
    limits = httpx2.Limits(max_connections=10 * streams, max_keepalive_connections=10 * streams)
    socket, memory = (client_of(base_url, made) for made in (httpx2.AsyncHTTPTransport(limits=limits), Memory()))
    for name, at_once, events, pace, client in (
        ("as fast as they go", streams, EVENTS, "fast", socket),
        ("in memory", streams, EVENTS, "fast", memory),
        ("at a model's pace", max(1, streams // 10), PACED_EVENTS, "paced", socket),
    ):
        measured = {side: Measured() for side in SIDES}
        for side in SIDES:  # connections, caches
            put[side]()
            await turn(client, at_once, events, pace, Measured())
        for number in range(turns):
            for side in SIDES if number % 2 else reversed(SIDES):
                put[side]()
                await turn(client, at_once, events, pace, measured[side])
        show(f"{at_once} streams of {events} events, {name}", *measured.values())
    for client in (socket, memory):
        await client.close()


def show(name: str, bare: Measured, ours: Measured) -> None:
    print(name)
    used = [statistics.median(side.processor) for side in (bare, ours)]
    if bare.first:
        for what, label, unit in (("first", "time to first chunk", "ms"), ("ways", "a chunk's way", "us")):
            quantiles = [statistics.quantiles(getattr(side, what), n=100) for side in (bare, ours)]
            row = "   ".join(
                f"p{at} {q_bare:8.2f} {q_ours:8.2f} {unit} ({q_ours - q_bare:+.2f})"
                for at, q_bare, q_ours in ((at, quantiles[0][at - 1], quantiles[1][at - 1]) for at in (50, 99))
            )
            print(f"  {label:24} {row}")
    else:
        rates = [statistics.median(side.rates) for side in (bare, ours)]
        pairs = [with_ / without for without, with_ in zip(bare.rates, ours.rates, strict=True)]
        print(
            f"  {'throughput':24} bare {rates[0]:9.0f}/s  otel-cost {rates[1]:9.0f}/s  "
            f"ratio {statistics.median(pairs):.3f} (turns from {min(pairs):.3f} to {max(pairs):.3f})"
        )
    added = [with_ - without for without, with_ in zip(bare.processor, ours.processor, strict=True)]
    ratio = statistics.median(without / with_ for without, with_ in zip(bare.processor, ours.processor, strict=True))
    print(
        f"  {'processor time an event':24} bare {used[0]:6.1f} us  otel-cost {used[1]:6.1f} us  "
        f"added {statistics.median(added):+.1f} us  ratio {ratio:.3f}"
    )


def main() -> None:
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
        return
    streams, turns = (int(number) for number in sys.argv[1:] or (STREAMS, TURNS))
    server = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        base_url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
        os.environ["OTEL_COST_ENDPOINTS"] = f"{base_url}=openai"
        asyncio.run(compare(base_url, streams, turns))
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
