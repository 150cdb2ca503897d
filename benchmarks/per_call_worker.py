"""One instrumentation and the bare openai SDK, call for call in turns; ``per_call.py`` starts it, once a peer.

    python benchmarks/per_call_worker.py PEER CALLS

The provider is a transport in memory, so that the SDK's own work is all there is to compare with. Spans go to a batch
processor whose exporter does nothing: what an application pays before its call returns, not what the network does.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

import openai
from openai.resources.chat.completions import Completions
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

try:
    import httpx2 as httpx  # what openai 3 sends by
except ImportError:
    import httpx  # type: ignore[no-redef] # openai 2

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

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
EVENTS = [PIECE] * 100 + [{**CHUNK, "choices": []}]
STREAM = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in EVENTS) + b"data: [DONE]\n\n"
MESSAGES: Any = [{"role": "user", "content": "word " * 800}]
BLOCK, WARM_UP = 50, 20  # calls of one side before the other's turn; Python's caches need the first ones after a change


class Nowhere(SpanExporter):
    """Exports nothing."""

    def export(self, _: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def answer(request: httpx.Request) -> httpx.Response:
    if json.loads(request.content).get("stream"):
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=STREAM)
    return httpx.Response(200, json=ANSWER)


# --- the peers -----------------------------------------------------------------------------------------------------
def otel_cost() -> None:
    from otel_cost import bootstrap

    bootstrap.start()


def bare_span() -> None:
    """No peer: what a span of OpenTelemetry with as many attributes costs by itself."""
    create, tracer = Completions.create, trace.get_tracer("bare")
    started = {f"gen_ai.request.{number}": "value" for number in range(6)}
    ended = {f"gen_ai.response.{number}": "value" for number in range(14)}

    def with_span(*args: Any, **kwargs: Any) -> Any:
        span = tracer.start_span("chat gpt-4o", None, trace.SpanKind.CLIENT, started)
        response = create(*args, **kwargs)
        span.set_attributes(ended)
        span.end()
        return response

    Completions.create = with_span  # type: ignore[method-assign] # as instrumentations do


def openlit() -> None:
    import openlit as peer

    with tempfile.NamedTemporaryFile("w", suffix=".json") as prices:  # else it waits for a download
        json.dump({"chat": {"gpt-4o": {"promptPrice": 0.0025, "completionPrice": 0.01}}}, prices)
        prices.flush()
        peer.init(disable_metrics=True, disable_events=True, pricing_json=prices.name)


def openllmetry() -> None:
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument()


def openinference() -> None:
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument()


PEERS: dict[str, Callable[[], None]] = {
    "otel-cost": otel_cost,
    "a bare span": bare_span,
    "openlit": openlit,
    "openllmetry": openllmetry,
    "openinference": openinference,
}
WRAPPED = (httpx.Client, openai._base_client.SyncAPIClient, openai.OpenAI, Completions)
"""Where peers put their wraps on a synchronous call."""


def switches(peer: Callable[[], None]) -> dict[str, Callable[[], None]]:
    """Put `peer` in place, and tell how to switch its wraps off and on: one process measures both, in one mood."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere(), max_queue_size=100_000))
    trace.set_tracer_provider(provider)
    before = [dict(owner.__dict__) for owner in WRAPPED]
    peer()
    changes = [
        (owner, name, old.get(name), value)
        for owner, old in zip(WRAPPED, before, strict=True)
        for name, value in dict(owner.__dict__).items()
        if old.get(name) is not value
    ]
    assert changes, "it wrapped nothing of what is measured"

    def switch(side: int) -> None:
        for owner, name, *values in changes:
            if values[side] is not None:
                setattr(owner, name, values[side])
            elif name in owner.__dict__:
                delattr(owner, name)

    return {"bare": lambda: switch(0), "with": lambda: switch(1)}


# --- what is measured ----------------------------------------------------------------------------------------------
def whole(client: openai.OpenAI) -> None:
    client.chat.completions.create(model="gpt-4o", max_tokens=300, messages=MESSAGES)


def streamed(client: openai.OpenAI) -> None:
    for _ in client.chat.completions.create(model="gpt-4o", max_tokens=300, messages=MESSAGES, stream=True):
        pass


def attributed() -> AbstractContextManager[object]:
    """A block that says who pays and holds two budgets."""
    import otel_cost as ours

    blocks = ExitStack()
    blocks.enter_context(ours.attribute(project="atlas", stage="draft"))
    blocks.enter_context(ours.budget("run", "r1", limit_usd=100_000))
    blocks.enter_context(ours.budget("session", "s1", limit_usd=100_000))
    return blocks


def turns(
    call: Callable[[openai.OpenAI], None],
    calls: int,
    sides: dict[str, Callable[[], None]],
    around: Callable[[], AbstractContextManager[object]],
) -> dict[str, list[list[float]]]:
    """For each side its turns: how long each call took by the clock, in ms, and last all of them in processor time."""
    found: dict[str, list[list[float]]] = {side: [] for side in sides}
    with openai.OpenAI(api_key="x", http_client=httpx.Client(transport=httpx.MockTransport(answer))) as client:
        for _ in range(max(1, calls // BLOCK)):
            for side, switch in sides.items():
                switch()
                with around() if side == "with" else nullcontext():
                    for _ in range(WARM_UP):
                        call(client)
                    found[side].append(block(call, client))
    return found


def block(call: Callable[[openai.OpenAI], None], client: openai.OpenAI) -> list[float]:
    taken = []
    began = time.thread_time_ns()
    for _ in range(BLOCK):
        start = time.perf_counter_ns()
        call(client)
        taken.append((time.perf_counter_ns() - start) / 1e6)
    return [*taken, (time.thread_time_ns() - began) / 1e6 / BLOCK]


def main() -> None:
    peer, calls = sys.argv[1], int(sys.argv[2])
    sides = switches(PEERS[peer])
    gc.freeze()
    found = {
        "one call": turns(whole, calls, sides, nullcontext),
        "one stream of 101 events": turns(streamed, calls // 4, sides, nullcontext),
    }
    if peer == "otel-cost":
        found["one call, attributed, 2 budgets"] = turns(whole, calls, sides, attributed)
        from otel_cost import safety

        assert not safety.failures(), "what failed was quicker than it may be"
    print(json.dumps(found))


if __name__ == "__main__":
    main()
