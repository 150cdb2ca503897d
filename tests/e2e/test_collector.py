"""A real Collector with the shipped configuration, between an application, the ledger and real tracing backends."""

from __future__ import annotations

import gzip
import re
import signal
import subprocess
import sys
import threading
import time
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import httpx2
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_cost import semconv
from otel_cost_exporter.demo import stand_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import ReadableSpan

    Start = Callable[..., Any]

pytestmark = pytest.mark.timeout(3600)  # the first run builds what it needs
SECRET = "the merger is signed on Friday"
LISTENING = r'Starting GRPC server.*"endpoint": "(127\.0\.0\.1:\d+)"'


@pytest.fixture(scope="module")
def otelcol(fetched: Start) -> Path:
    return fetched("go", "collector-config/build.py")


@pytest.fixture(scope="module")
def config(root: Path) -> Path:
    return root / "collector-config" / "collector.yaml"


def get(url: str) -> Any:
    return httpx2.get(url, timeout=60).raise_for_status().json()


def soon(what: Callable[[], Any], seconds: float = 180) -> Any:
    """What `what` returns once it is true."""
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)
    return value


@pytest.fixture
def collect(start: Start, otelcol: Path, config: Path, tmp_path: Path) -> Start:
    """Start the Collector with the shipped configuration; its queue is this test's."""

    def collecting(ledger: str, *more: str, backend: str = "http://127.0.0.1:9") -> Any:
        return start(
            otelcol,
            f"--config={config}",
            *(f"--config=yaml:{line}" for line in more),
            OTELCOL_GRPC="127.0.0.1:0",
            OTELCOL_HTTP="127.0.0.1:0",
            OTELCOL_HEALTH="127.0.0.1:0",
            OTELCOL_METRICS="0",
            OTELCOL_QUEUE=str(tmp_path / "queue"),
            OTELCOL_LEDGER=ledger,
            OTELCOL_BACKEND=backend,
        )

    return collecting


@pytest.fixture
def serve(start: Start, tmp_path: Path) -> Start:
    """Start the ledger service on this test's books: the program and the address of its API."""

    def serving(http: str = "127.0.0.1:0") -> tuple[Any, str]:
        command = ("serve", "--ledger", tmp_path / "ledger.duckdb", "--grpc", "127.0.0.1:0", "--http", http)
        program = start("otel-cost", *command, OTEL_COST_SPOOL=str(tmp_path / "spool"))
        return program, program.says(r"(http://127\.0\.0\.1:\d+)")

    return serving


def booked(ledger: Path) -> dict[str, Decimal | None]:
    """The cost of each span in the books of a service that has ended."""
    with duckdb.connect(str(ledger), read_only=True) as books:
        rows = books.execute("SELECT span_id, cost FROM calls").fetchall()
    return {f"{span_id:016x}": cost for span_id, cost in rows}


def calls(service: str, *amounts: str | None) -> list[ReadableSpan]:
    """An agent's span, and below it a call for each amount (None: no price is known), all of them with content."""
    memory = InMemorySpanExporter()
    resource = Resource({semconv.SERVICE_NAME: service, "process.command_args": ["app", "--say", SECRET]})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("test")
    content = {
        "gen_ai.input.messages": SECRET,
        "gen_ai.prompt.0.content": SECRET,
        "llm.input_messages.0.message.content": SECRET,
        "input.value": SECRET,
    }
    with tracer.start_as_current_span("invoke_agent", attributes={"gen_ai.usage.input_tokens": 4000, **content}):
        for amount in amounts:
            with tracer.start_as_current_span("chat gpt-4o", attributes={**CALL, **priced(amount), **content}) as span:
                span.add_event("gen_ai.content.prompt", {"gen_ai.prompt": SECRET})
    return list(memory.get_finished_spans())


CALL: dict[str, str | int] = {
    semconv.GEN_AI_OPERATION_NAME: "chat",
    semconv.GEN_AI_PROVIDER_NAME: "openai",
    semconv.GEN_AI_REQUEST_MODEL: "gpt-4o",
    semconv.GEN_AI_RESPONSE_MODEL: "gpt-4o-2024-08-06",
    semconv.GEN_AI_RESPONSE_ID: "chatcmpl-1",
    semconv.GEN_AI_USAGE_INPUT_TOKENS: 1000,
    semconv.GEN_AI_USAGE_OUTPUT_TOKENS: 200,
    semconv.GEN_AI_USAGE_CACHE_READ_TOKENS: 0,
    semconv.GEN_AI_USAGE_CACHE_WRITE_TOKENS: 0,
    semconv.GEN_AI_USAGE_REASONING_TOKENS: 0,
    semconv.ERROR_TYPE: "timeout",
    semconv.COST_CURRENCY: "USD",
    semconv.COST_SOURCE: "local",
    semconv.COST_PRICE_VERSION: "genai-prices 0.2.3",
    semconv.COST_REASON: "because",
    semconv.CALL_OUTCOME: "ok",
    semconv.CALL_ATTEMPTS: 1,
    semconv.dimension_key("run"): "r1",
    semconv.dimension_key("customer"): "acme",
    semconv.budget_key("run"): "0.05",
}


def priced(amount: str | None) -> dict[str, str]:
    if amount is None:
        return {semconv.COST_STATUS: "unknown"}
    return {semconv.COST_STATUS: "known", semconv.COST_AMOUNT: amount}


def send(collector: Any, spans: list[ReadableSpan]) -> None:
    exporter = OTLPSpanExporter(endpoint=f"http://{collector.says(LISTENING)}", insecure=True, timeout=60)
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    exporter.shutdown()


def test_a_real_collector_accepts_the_configuration(otelcol: Path, config: Path) -> None:
    assert subprocess.run([otelcol, "validate", f"--config={config}"], check=False).returncode == 0


def test_a_real_collector_accepts_what_is_added_to_somebody_s_own(
    start: Start, otelcol: Path, config: Path, tmp_path: Path
) -> None:
    (own := tmp_path / "own.yaml").write_text(
        "receivers: {otlp: {protocols: {grpc: {endpoint: 127.0.0.1:0}}}}\n"
        "extensions: {health_check: {endpoint: 127.0.0.1:0}}\n"
        "exporters: {debug: {}}\n"
        "service:\n"
        "  extensions: [health_check]\n"
        "  telemetry: {metrics: {level: none}}\n"
        "  pipelines: {traces: {receivers: [otlp], exporters: [debug]}}\n"
    )
    gate = "--feature-gates=confmap.enableMergeAppendOption"
    both = (f"--config={own}", f"--config={config.with_name('add-to-yours.yaml')}", gate)
    assert subprocess.run([otelcol, "validate", *both], check=False).returncode == 0

    collector = start(otelcol, *both, OTELCOL_QUEUE=str(tmp_path / "queue"))
    collector.says(r"(Everything is ready)")
    said = collector.log.read_text()
    assert said.count("Extension started.") == 2  # theirs is still there
    collector.end()


def test_the_same_exact_cost_is_in_the_ledger_and_in_the_tracing_backends(
    backends: Any, serve: Start, collect: Start, tmp_path: Path
) -> None:
    service, api = serve()
    collector = collect(api, *also_to_jaeger(backends), backend=backends.phoenix)
    # gpt-4o at 2.50 and 10 USD a million tokens: 1000 in and 200 out, 7 in and 3 out; then the smallest sum there is.
    spans = calls("shop", "0.0045", "0.0000475", "0.000000000001", None)
    send(collector, spans)

    total = soon(lambda: (figures := get(f"{api}/v1/summary")["total"])["calls"] == 4 and figures)
    assert Decimal(total["cost_usd"]) == Decimal("0.004547500001")
    assert total["unknown_calls"] == 1
    sent = {f"{span.context.span_id:016x}" for span in spans}
    phoenix = soon(lambda: (held := backends.in_phoenix()).keys() >= sent and held)
    jaeger = soon(lambda: (held := backends.in_jaeger("shop")).keys() >= sent and held)

    service.end()
    costs = booked(tmp_path / "ledger.duckdb")
    amounts = {f"{span.context.span_id:016x}": (span.attributes or {}).get(semconv.COST_AMOUNT) for span in spans[:4]}
    assert costs == {span_id: amount and Decimal(str(amount)) for span_id, amount in amounts.items()}
    assert {span_id: phoenix[span_id].get(semconv.COST_AMOUNT) for span_id in costs} == amounts
    assert {span_id: jaeger[span_id].get(semconv.COST_AMOUNT) for span_id in costs} == amounts
    assert all(SECRET in str(attributes) for attributes in jaeger.values())  # the backend gets everything


def test_the_sample_agent_unchanged_through_the_collector(
    start: Start,
    backends: Any,
    serve: Start,
    collect: Start,
    tmp_path: Path,
) -> None:
    service, api = serve()
    collector = collect(api, *also_to_jaeger(backends), backend=backends.phoenix)
    with stand_in.running() as provider:
        agent = start(
            "opentelemetry-instrument",
            sys.executable,
            Path(__file__).parents[2] / "examples" / "agent.py",
            **provider.environ,
            OTEL_SERVICE_NAME="agent",
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{collector.says(LISTENING)}",
            OTEL_METRICS_EXPORTER="none",
            OTEL_LOGS_EXPORTER="none",
        )
        assert agent.process.wait(300) == 0, agent.log.read_text()
        sent = len(provider.requests)

    total = soon(lambda: (figures := get(f"{api}/v1/summary")["total"])["calls"] == sent and figures)
    assert (sent, total["refused_calls"], total["unknown_calls"]) == (12, 1, 0)
    calls_in_jaeger = soon(lambda: len(held := having_cost(backends.in_jaeger("agent"))) == sent + 1 and held)
    phoenix = soon(lambda: (held := having_cost(backends.in_phoenix())).keys() >= calls_in_jaeger.keys() and held)
    assert backends.in_jaeger("agent", **{semconv.CALL_OUTCOME: "refused"}).keys() <= calls_in_jaeger.keys()

    service.end()
    costs = booked(tmp_path / "ledger.duckdb")
    assert {span_id: Decimal(tags[semconv.COST_AMOUNT]) for span_id, tags in calls_in_jaeger.items()} == costs
    assert {span_id: Decimal(phoenix[span_id][semconv.COST_AMOUNT]) for span_id in costs} == costs
    assert Decimal(total["cost_usd"]) == sum(cost for cost in costs.values() if cost)


def having_cost(spans: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {span_id: attributes for span_id, attributes in spans.items() if semconv.COST_STATUS in attributes}


def also_to_jaeger(backends: Any) -> tuple[str, ...]:
    """What adds a second tracing backend to the shipped configuration."""
    return (
        f"exporters::otlp_http/jaeger::endpoint: {backends.jaeger_otlp}",
        "service::pipelines::traces/jaeger: {receivers: [otlp], exporters: [otlp_http/jaeger]}",
    )


class Sink(ThreadingHTTPServer):
    """Stands where the ledger would, and keeps what the Collector sends there."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        super().__init__(("127.0.0.1", 0), SinkHandler)
        self.url = f"http://127.0.0.1:{self.server_port}"


class SinkHandler(BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_the_ledger_s_pipeline_carries_calls_and_nothing_of_their_content(collect: Start) -> None:
    with Sink() as sink:
        threading.Thread(target=sink.serve_forever, daemon=True).start()
        collector = collect(sink.url)
        send(collector, calls("shop", "0.0045", None))
        [request] = soon(lambda: sink.requests)
        collector.end()
        sink.shutdown()

    assert SECRET not in str(request)
    [resource] = request.resource_spans
    assert {item.key for item in resource.resource.attributes} == {semconv.SERVICE_NAME}
    [scope] = resource.scope_spans
    keys = [{item.key for item in span.attributes} for span in scope.spans]
    assert keys == [{*CALL, semconv.COST_STATUS, semconv.COST_AMOUNT}, {*CALL, semconv.COST_STATUS}]


def test_what_is_sampled_away_behind_the_branch_is_in_the_ledger_and_calls_that_are_not_sampled_are_not_taken(
    serve: Start, collect: Start
) -> None:
    _, api = serve()
    with Sink() as backend:
        threading.Thread(target=backend.serve_forever, daemon=True).start()
        collector = collect(
            api,
            f'processors::filter/sampled::trace_conditions: [\'span.attributes["{semconv.COST_AMOUNT}"] == "0.0045"\']',
            "service::pipelines::traces/backend: "
            "{receivers: [otlp], processors: [memory_limiter, filter/sampled], exporters: [otlp_http/backend]}",
            backend=backend.url,
        )
        send(collector, calls("shop", "0.0045", "0.0000475"))
        total = soon(lambda: (figures := get(f"{api}/v1/summary")["total"])["calls"] == 2 and figures)
        [request] = soon(lambda: backend.requests)
        otlp_http = collector.says(r'Starting HTTP server.*"endpoint": "(127\.0\.0\.1:\d+)"')
        refused = httpx2.post(f"http://{otlp_http}{semconv.CALLS_PATH}", content=request.SerializeToString())
        collector.end()
        backend.shutdown()

    assert Decimal(total["cost_usd"]) == Decimal("0.0045475")
    amounts = re.findall(rf'key: "{semconv.COST_AMOUNT}"\s+value {{\s+string_value: "(.*)"', str(request))
    assert amounts == ["0.0000475"]
    assert refused.status_code == 404


def test_nothing_is_lost_when_the_ledger_and_the_collector_are_killed(
    serve: Start, collect: Start, tmp_path: Path, port: int
) -> None:
    service, api = serve(f"127.0.0.1:{port}")
    collector = collect(api)
    send(collector, calls("shop", "0.0045"))
    soon(lambda: get(f"{api}/v1/summary")["total"]["calls"] == 1)

    service.end(signal.SIGKILL)
    for _ in range(3):
        send(collector, calls("shop", "0.0045", "0.0000475"))
    collector.end(signal.SIGKILL)
    collector = collect(api)
    send(collector, calls("shop", "0.0045"))

    service, api = serve(api.removeprefix("http://"))
    total = soon(lambda: (figures := get(f"{api}/v1/summary")["total"])["calls"] == 8 and figures)
    assert Decimal(total["cost_usd"]) == Decimal("0.0226425")  # 5 times 0.0045 and 3 times 0.0000475
    collector.end()
    service.end()
    assert len(booked(tmp_path / "ledger.duckdb")) == 8
