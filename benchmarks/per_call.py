"""What otel-cost adds to one call on the caller's path: the bare openai SDK beside it, in one run, in turns.

    python benchmarks/per_call.py [CALLS]

The provider is a transport in memory, so that the SDK's own work is all there is to compare with. Spans go to a batch
processor whose exporter does nothing: what an application pays before its call returns, not what the network does.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import httpx2
import openai
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import otel_cost
from otel_cost import bootstrap

if TYPE_CHECKING:
    from collections.abc import Callable

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "word " * 200}}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200},
}
CHUNK = {**ANSWER, "object": "chat.completion.chunk"}
PIECE = {**CHUNK, "usage": None, "choices": [{"index": 0, "delta": {"content": "w"}}]}
BLOCK, WARM_UP = 50, 20  # calls of one side before the other's turn; Python's caches need the first ones after a change
EVENTS = [PIECE] * 100 + [{**CHUNK, "choices": []}]
STREAM = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in EVENTS) + b"data: [DONE]\n\n"
MESSAGES: Any = [{"role": "user", "content": "word " * 800}]


class Nowhere(SpanExporter):
    """Exports nothing."""

    def export(self, _: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def answer(request: httpx2.Request) -> httpx2.Response:
    if json.loads(request.content).get("stream"):
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=STREAM)
    return httpx2.Response(200, json=ANSWER)


def whole(client: openai.OpenAI) -> None:
    client.chat.completions.create(model="gpt-4o", max_tokens=300, messages=MESSAGES)


def streamed(client: openai.OpenAI) -> None:
    for _ in client.chat.completions.create(model="gpt-4o", max_tokens=300, messages=MESSAGES, stream=True):
        pass


def timed(call: Callable[[openai.OpenAI], None], client: openai.OpenAI) -> float:
    start = time.perf_counter_ns()
    call(client)
    return (time.perf_counter_ns() - start) / 1e6


def compare(name: str, call: Callable[[openai.OpenAI], None], calls: int, around: Any) -> None:
    """Time the call bare and metered in turns, and print both beside each other."""
    with openai.OpenAI(api_key="x", http_client=httpx2.Client(transport=httpx2.MockTransport(answer))) as client:
        times: dict[str, list[float]] = {"bare": [], "otel-cost": []}
        for _ in range(calls // BLOCK):
            for side, taken in times.items():
                SENDS[side]()
                with around() if side == "otel-cost" else nullcontext():
                    block = [timed(call, client) for _ in range(BLOCK + WARM_UP)]
                taken.extend(block[WARM_UP:])
    bare, ours = (statistics.quantiles(times[side], n=100) for side in times)
    print(
        f"{name:34} bare p50 {bare[49]:.3f} ms  with p50 {ours[49]:.3f} ms  added p50 {ours[49] - bare[49]:+.3f} ms "
        f"p99 {ours[98] - bare[98]:+.3f} ms  ratio {ours[49] / bare[49]:.2f}"
    )


def sides() -> dict[str, Callable[[], None]]:
    """How to switch the wraps off and on: the same process measures both, so that its moods cancel out."""
    owners = [(httpx2.Client, "send"), (openai._base_client.SyncAPIClient, "request")]
    bare = [(owner, name, owner.__dict__[name]) for owner, name in owners]
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere(), max_queue_size=100_000))
    trace.set_tracer_provider(provider)
    bootstrap.start()
    ours = [(owner, name, owner.__dict__[name]) for owner, name in owners]

    def switch(attributes: list[tuple[type, str, Any]]) -> Callable[[], None]:
        return lambda: [setattr(*attribute) for attribute in attributes] and None

    return {"bare": switch(bare), "otel-cost": switch(ours)}


SENDS = sides()


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    gc.freeze()
    compare("one call", whole, calls, nullcontext)
    compare("one call, attributed, 2 budgets", whole, calls, budgeted)
    compare("one stream of 101 events", streamed, calls // 2, nullcontext)


class budgeted:  # noqa: N801 - used like a function
    """A block that says who pays and holds two budgets."""

    def __enter__(self) -> None:
        self._blocks = [
            otel_cost.attribute(project="atlas", stage="draft"),
            otel_cost.budget("run", "r1", limit_usd=100_000),
            otel_cost.budget("session", "s1", limit_usd=100_000),
        ]
        for block in self._blocks:
            block.__enter__()

    def __exit__(self, *_: object) -> None:
        for block in reversed(self._blocks):
            block.__exit__()


if __name__ == "__main__":
    main()
