"""Export requests for ``ingest.py``: made before the clock runs, and filled with new ids and times as they leave.

- ``priced``: every span is a call of an application under otel-cost, with its cost, 20 attributes.
- ``foreign``: every span is a call as the GenAI conventions have it, from a process without otel-cost, 20 attributes.
- ``mixed``: one span in 20 is a call under otel-cost, the others are of web servers, HTTP clients and databases.

A request is what one process sends: it has a run, which goes on through several of its requests, traces of several
spans, and spans that ended within the last second and began when calls of a model do: a median of 3 seconds before.
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_cost import Usage, price, semconv
from otel_cost.live_span import cost_attributes, usage_attributes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

    Value = str | int | float | list[str]
    Attributes = Mapping[str, Value]

PROCESSES = 32
"""How many applications send: each has its own bodies, and its own run."""
REQUESTS_OF_A_RUN = 4
TRACE_SPANS = 8
"""Spans of a trace that are exported together."""
MODELS = (
    ("openai", "gpt-4o", "gpt-4o-2024-08-06"),
    ("openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
    ("openai", "gpt-4.1", "gpt-4.1-2025-04-14"),
    ("anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929"),
    ("anthropic", "claude-haiku-4-5", "claude-haiku-4-5-20251001"),
)
OTHERS_PER_CALL = 19
RUN = "run-00-{:06d}"
HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


# --- spans ---------------------------------------------------------------------------------------------------------
def any_value(value: Value) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=each) for each in value]))
    return AnyValue(int_value=value) if isinstance(value, int) else AnyValue(double_value=value)


def key_values(attributes: Attributes) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def span(name: str, kind: int, attributes: Attributes) -> Span:
    """A span whose ids and times are random bytes, by which their places are found."""
    return Span(
        trace_id=os.urandom(16),
        span_id=os.urandom(8),
        parent_span_id=os.urandom(8),
        name=name,
        kind=kind,  # type: ignore[arg-type]
        start_time_unix_nano=int.from_bytes(os.urandom(8)),
        end_time_unix_nano=int.from_bytes(os.urandom(8)),
        attributes=key_values(attributes),
    )


def payers(drawn: random.Random, run: str) -> dict[str, str]:
    """The dimensions that otel-cost puts on every span of its process."""
    return {
        semconv.dimension_key("project"): f"project-{drawn.randrange(5)}",
        semconv.dimension_key("run"): run,
        semconv.dimension_key("stage"): drawn.choice(("outline", "draft", "review", "publish")),
        semconv.dimension_key("role"): drawn.choice(("writer", "critic", "planner")),
    }


def call(drawn: random.Random, traffic: str, run: str) -> tuple[Span, Decimal]:
    """A call to a model, and what it costs."""
    provider, asked, answered = drawn.choice(MODELS)
    tokens = drawn.randint(200, 20_000)
    usage = Usage(
        input_tokens=tokens,
        output_tokens=drawn.randint(20, 2_000),
        cache_read_tokens=drawn.randint(1, tokens),
    )
    cost = price(provider=provider, model=answered, usage=usage)
    assert cost.amount is not None
    assert cost.status == "known"
    attributes: dict[str, Value] = {
        semconv.GEN_AI_OPERATION_NAME: "chat",
        semconv.GEN_AI_PROVIDER_NAME: provider,
        semconv.GEN_AI_REQUEST_MODEL: asked,
        semconv.GEN_AI_RESPONSE_MODEL: answered,
        semconv.GEN_AI_RESPONSE_ID: "chatcmpl-" + os.urandom(12).hex(),
        **usage_attributes(usage),
    }
    if traffic == "foreign":
        attributes |= {
            semconv.GEN_AI_REQUEST_MAX_TOKENS: 4096,
            "gen_ai.request.temperature": 0.7,
            "gen_ai.request.top_p": 0.95,
            "gen_ai.request.seed": drawn.randrange(10**6),
            "gen_ai.request.choice.count": 1,
            "gen_ai.request.stop_sequences": ["END"],
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.conversation.id": f"conversation-{drawn.randrange(1000)}",
            "gen_ai.output.type": "text",
            semconv.SERVER_ADDRESS: f"api.{provider}.com",
            semconv.SERVER_PORT: 443,
            "thread.name": "worker-3",
        }
    else:
        stated = cost_attributes(cost)
        shown = [name for name in stated if name.startswith(semconv.PREFIX)] + [semconv.BACKENDS_COST[0]]
        attributes |= {name: stated[name] for name in shown}
        attributes |= {semconv.CALL_OUTCOME: "ok", semconv.CALL_ATTEMPTS: 1, **payers(drawn, run)}
    assert len(attributes) == 20, len(attributes)
    return span(f"chat {asked}", Span.SPAN_KIND_CLIENT, attributes), cost.amount


def other(drawn: random.Random, *, run: str | None) -> Span:
    """A span that is no call; in a process under otel-cost it says who pays, too."""
    number = drawn.randrange(10**6)
    which = drawn.randrange(4)
    common = {
        "thread.id": number % 64,
        "thread.name": "worker-3",
        "code.function.name": "handle",
        "code.line.number": 217,
    }
    if which == 0:
        host = "api.openai.com" if run else "payments.example.com"
        attributes: Attributes = {
            "http.request.method": "POST",
            "url.full": f"https://{host}/v1/chat/completions?n={number}",
            "server.address": host,
            "server.port": 443,
            "http.response.status_code": 200,
            "network.protocol.version": "2",
        }
        name, kind = "POST", Span.SPAN_KIND_CLIENT
    elif which == 1:
        attributes = {
            "http.request.method": "GET",
            "url.scheme": "https",
            "url.path": f"/documents/{number}",
            "http.route": "/documents/{id}",
            "http.response.status_code": 200,
            "client.address": "10.1.2.3",
            "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142",
        }
        name, kind = "GET /documents/{id}", Span.SPAN_KIND_SERVER
    elif which == 2:
        attributes = {
            "db.system.name": "postgresql",
            "db.namespace": "documents",
            "db.operation.name": "SELECT",
            "db.query.text": "SELECT id, title, body, author, updated_at FROM documents WHERE id = $1 AND tenant = $2",
            "server.address": "db.internal",
            "server.port": 5432,
        }
        name, kind = "SELECT documents", Span.SPAN_KIND_CLIENT
    else:
        attributes = {"cache.key": f"document:{number}", "cache.hit": 1, "cache.bytes": number}
        name, kind = "cache get", Span.SPAN_KIND_INTERNAL
    return span(name, kind, {**common, **attributes, **(payers(drawn, run) if run else {})})


# --- requests ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Template:
    """One process's request, and where in it stands what changes."""

    body: np.ndarray
    traces: np.ndarray
    """(spans, 16): the places of the trace ids; the others likewise."""
    ids: np.ndarray
    parents: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    response_ids: np.ndarray
    runs: np.ndarray
    """Of each mention of the run, the places of its number."""
    durations: np.ndarray
    """Nanoseconds that each span took, and how long before the request it ended."""
    ages: np.ndarray
    calls: int
    cost: Decimal


def request(
    drawn: random.Random, traffic: str, process: int, spans: int
) -> tuple[ExportTraceServiceRequest, list[Decimal]]:
    made, costs = ExportTraceServiceRequest(), []
    run = RUN.format(10**6 - 1).replace("run-00", f"run-{process:02d}")
    calls = spans if traffic != "mixed" else max(1, round(spans / (OTHERS_PER_CALL + 1)))
    ours = scope_of(
        made, "agent", process, metered=traffic != "foreign", scope="opentelemetry.instrumentation.genai.openai"
    )
    for _ in range(calls):
        of_call, cost = call(drawn, traffic, run)
        ours.spans.append(of_call)
        costs.append(cost)
    if spans > calls:  # half of them beside the calls, half from processes that know nothing of otel-cost
        half = (spans - calls) // 2
        beside = made.resource_spans[0].scope_spans.add()
        beside.scope.name = "opentelemetry.instrumentation.httpx"
        beside.spans.extend(other(drawn, run=run) for _ in range(half))
        elsewhere = scope_of(made, "gateway", process, metered=False, scope="io.opentelemetry.netty-4.1")
        elsewhere.spans.extend(other(drawn, run=None) for _ in range(spans - calls - half))
    return made, costs


def scope_of(made: ExportTraceServiceRequest, service: str, process: int, *, metered: bool, scope: str) -> ScopeSpans:
    resource: dict[str, Value] = {
        semconv.SERVICE_NAME: f"{service}-{process % 4}",
        semconv.DEPLOYMENT_ENVIRONMENT: "production",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": "1.45.2",
        "host.name": f"node-{process}",
        **({"otel_cost.version": "0.1.0"} if metered else {}),
    }
    of_resource = made.resource_spans.add()
    of_resource.resource.attributes.extend(key_values(resource))
    found = of_resource.scope_spans.add()
    found.scope.name, found.scope.version = scope, "1.3b0"
    return found


def places(body: bytes, marks: Iterable[bytes], length: int, skip: int = 0) -> np.ndarray:
    """Where in `body` each of `marks` stands, in that order: `length` indices each, `skip` bytes behind its start."""
    found, at = [], 0
    for mark in marks:
        at = body.index(mark, at) + skip
        found.append(np.arange(at, at + length))
    return np.array(found, dtype=np.int64).reshape(len(found), length)


def template(traffic: str, process: int, spans: int) -> Template:
    drawn = random.Random(f"{traffic} {process}")  # noqa: S311 - sizes, no secrets
    made, costs = request(drawn, traffic, process, spans)
    body = made.SerializeToString()
    listed = [each for resource in made.resource_spans for scope in resource.scope_spans for each in scope.spans]
    response_ids = [
        item.value.string_value.encode()
        for each in listed
        for item in each.attributes
        if item.key == semconv.GEN_AI_RESPONSE_ID
    ]
    run = f"run-{process:02d}-{10**6 - 1:06d}".encode()
    milliseconds = [min(60_000, max(50, int(drawn.lognormvariate(8.0, 1.0)))) for _ in listed]
    return Template(
        np.frombuffer(body, np.uint8),
        places(body, (each.trace_id for each in listed), 16),
        places(body, (each.span_id for each in listed), 8),
        places(body, (each.parent_span_id for each in listed), 8),
        places(body, (each.start_time_unix_nano.to_bytes(8, "little") for each in listed), 8),
        places(body, (each.end_time_unix_nano.to_bytes(8, "little") for each in listed), 8),
        places(body, response_ids, 24, skip=len("chatcmpl-")),
        places(body, [run] * body.count(run), 6, skip=len("run-00-")),
        np.array(milliseconds, dtype=np.int64) * 10**6,
        np.array(sorted((drawn.randrange(10**9) for _ in listed), reverse=True), dtype=np.int64),
        len(costs),
        sum(costs, Decimal(0)),
    )


class Requests:
    """As many requests as one asks for, no two the same."""

    def __init__(self, traffic: str, spans: int) -> None:
        self._templates = [template(traffic, process, spans) for process in range(PROCESSES)]
        self._random = np.random.default_rng()

    def calls(self, number: int) -> int:
        """How many spans of request `number` belong into the books."""
        return self._templates[number % PROCESSES].calls

    def cost(self, number: int) -> Decimal:
        """What they cost."""
        return self._templates[number % PROCESSES].cost

    def body(self, number: int) -> bytes:
        """Request `number`, with new ids, ending now."""
        of = self._templates[number % PROCESSES]
        spans = len(of.ids)
        traces = -(-spans // TRACE_SPANS)
        made = of.body.copy()
        ends = time.time_ns() - of.ages
        for where, values in ((of.ends, ends), (of.starts, ends - of.durations)):
            made[where] = values.astype("<u8").view(np.uint8).reshape(spans, 8)
        made[of.ids] = self._bytes(spans, 8)
        for where, width in ((of.traces, 16), (of.parents, 8)):
            made[where] = np.repeat(self._bytes(traces, width), TRACE_SPANS, axis=0)[:spans]
        made[of.response_ids] = HEX[self._bytes(*of.response_ids.shape) & 15]
        run = f"{number // PROCESSES // REQUESTS_OF_A_RUN:06d}".encode()
        made[of.runs] = np.frombuffer(run, np.uint8)
        return made.tobytes()

    def _bytes(self, rows: int, width: int) -> np.ndarray:
        return np.frombuffer(self._random.bytes(rows * width), np.uint8).reshape(rows, width)
