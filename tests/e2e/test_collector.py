"""A real Collector with the shipped configuration, between an application, the ledger and real tracing backends."""

from __future__ import annotations

import gzip
import json
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
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
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

    def serving(http: str = "127.0.0.1:0", **environ: str) -> tuple[Any, str]:
        command = ("serve", "--ledger", tmp_path / "ledger.duckdb", "--grpc", "127.0.0.1:0", "--http", http)
        program = start("otel-cost", *command, OTEL_COST_SPOOL=str(tmp_path / "spool"), **environ)
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
    metered = {semconv.SERVICE_NAME: service, semconv.VERSION: "1"}
    resource = Resource({**metered, "process.command_args": ["app", "--say", SECRET]})
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


def test_a_real_collector_takes_beside_somebody_s_own_what_the_readme_says(
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
    (said,) = re.findall(r"(?m)^\$ otelcol-contrib (.*)$", (config.parents[1] / "README.md").read_text())
    files = {"yours.yaml": own, "add-to-yours.yaml": config.with_name("add-to-yours.yaml")}
    both = [str(files.get(part, part)) for part in said.split()]
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
        self.logs: list[ExportLogsServiceRequest] = []
        super().__init__(("127.0.0.1", 0), SinkHandler)
        self.url = f"http://127.0.0.1:{self.server_port}"


class SinkHandler(BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/logs":
            self.server.logs.append(ExportLogsServiceRequest.FromString(body))
        else:
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
    assert {item.key for item in resource.resource.attributes} == {semconv.SERVICE_NAME, semconv.VERSION}
    [scope] = resource.scope_spans
    keys = [{item.key for item in span.attributes} for span in scope.spans]
    assert keys == [{*CALL, semconv.COST_STATUS, semconv.COST_AMOUNT}, {*CALL, semconv.COST_STATUS}]


FOREIGN: dict[str, dict[str, str | int]] = {
    "openinference.instrumentation.openai": {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o-2024-08-06",
        "llm.provider": "openai",
        "llm.token_count.prompt": 1000,
        "llm.token_count.completion": 200,
    },
    "ai": {
        "ai.operationId": "ai.generateText.doGenerate",
        "gen_ai.system": "openai.chat",
        "gen_ai.request.model": "gpt-4o",
        "ai.usage.inputTokens": 1000,
        "ai.usage.outputTokens": 200,
    },
    "ai with metadata": {
        "ai.operationId": "ai.generateText.doGenerate",
        "gen_ai.system": "anthropic.messages",
        "gen_ai.request.model": "claude-sonnet-4-5",
        "ai.usage.inputTokens": 100,
        "ai.usage.outputTokens": 20,
        "ai.response.providerMetadata.anthropic.cacheReadInputTokens": 2000,
        "ai.response.providerMetadata.anthropic.cacheCreationInputTokens": 0,
    },
    "opentelemetry.instrumentation.somewhere": {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 200,
    },
}
"""What is kept of what instrumentations write in a process that has no otel-cost, one call each."""
METADATA = {
    "ai.response.providerMetadata": json.dumps(
        {"anthropic": {"cacheReadInputTokens": 2000, "cacheCreationInputTokens": 0, "stopSequence": SECRET}}
    )
}


def foreign_calls() -> list[ReadableSpan]:
    """A call by each of `FOREIGN`, with content, in a trace of its own; and a span that is about something else."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({semconv.SERVICE_NAME: "node-shop"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    content = {"ai.prompt.messages": SECRET, "llm.input_messages.0.message.content": SECRET, "input.value": SECRET}
    for scope, kept in FOREIGN.items():
        unfolded = {key for key in kept if "Metadata" in key}
        stated = {key: value for key, value in kept.items() if key not in unfolded}
        also = METADATA if unfolded else {}
        provider.get_tracer(scope).start_span("call", attributes={**stated, **also, **content}).end()
    provider.get_tracer("http").start_span("GET /", attributes={"url.path": "/", "email.ai": SECRET}).end()
    return list(memory.get_finished_spans())


def test_calls_of_services_that_have_no_otel_cost_are_in_the_ledger_and_nothing_of_their_content(
    serve: Start, collect: Start
) -> None:
    _, api = serve()
    with Sink() as sink:
        threading.Thread(target=sink.serve_forever, daemon=True).start()
        collector = collect(
            api,
            f"exporters::otlp_http/sink::endpoint: {sink.url}",
            "service::pipelines::traces/otel_cost::exporters: [otlp_http/otel_cost, otlp_http/sink]",
        )
        send(collector, foreign_calls())
        total = soon(lambda: (figures := get(f"{api}/v1/summary?service=node-shop")["total"])["calls"] == 4 and figures)
        [request] = soon(lambda: sink.requests)
        collector.end()
        sink.shutdown()

    # 3 times 1000 at 2.50 and 200 at 10 USD a million; 100 at 3, 2000 from the cache at 0.30 and 20 at 15.
    assert Decimal(total["cost_usd"]) == Decimal("0.0135") + Decimal("0.0012")
    assert SECRET not in str(request)
    [resource] = request.resource_spans
    kept = {
        scope.scope.name: {item.key for span in scope.spans for item in span.attributes}
        for scope in resource.scope_spans
    }
    assert kept == {scope: set(stated) for scope, stated in FOREIGN.items()}


def test_events_of_budgets_reach_the_ledger_and_no_other_log_does(serve: Start, collect: Start) -> None:
    _, api = serve()
    with Sink() as sink:
        threading.Thread(target=sink.serve_forever, daemon=True).start()
        collector = collect(
            api,
            f"exporters::otlp_http/sink::endpoint: {sink.url}",
            "service::pipelines::logs/otel_cost::exporters: [otlp_http/otel_cost, otlp_http/sink]",
        )
        exporter = OTLPLogExporter(endpoint=f"http://{collector.says(LISTENING)}", insecure=True, timeout=60)
        provider = LoggerProvider(shutdown_on_exit=False)
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        logger = provider.get_logger("otel_cost")
        prefix = semconv.BUDGET_EVENT_PREFIX
        event = {f"{prefix}dimension": "run", f"{prefix}id": "r1", "log.record.uid": "01JD"}
        logger.emit(LogRecord(timestamp=time.time_ns(), body=SECRET, attributes={"said": SECRET}))
        logger.emit(
            LogRecord(
                timestamp=time.time_ns(),
                event_name="otel_cost.budget.warned",
                body=SECRET,
                attributes={**event, "said": SECRET},
            )
        )
        provider.shutdown()
        [body] = soon(lambda: sink.logs)
        collector.end()
        sink.shutdown()

    assert SECRET not in str(body)
    [record] = body.resource_logs[0].scope_logs[0].log_records
    assert (record.event_name, {item.key for item in record.attributes}) == ("otel_cost.budget.warned", set(event))


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_collector_sends_over_grpc_too_packed_and_with_its_token(
    serve: Start, collect: Start, compression: str
) -> None:
    service, api = serve(OTEL_COST_WRITE_TOKEN="for-the-collector", OTEL_COST_READ_TOKEN="for-us")
    collector = collect(
        api,
        "exporters::otlp_grpc/otel_cost: {tls: {insecure: true}, headers: {authorization: Bearer for-the-collector}}",
        f"exporters::otlp_grpc/otel_cost::endpoint: {service.says(r'OTLP/gRPC +(.+)')}",
        f"exporters::otlp_grpc/otel_cost::compression: {compression}",
        "service::pipelines::traces/otel_cost::exporters: [otlp_grpc/otel_cost]",
    )
    send(collector, calls("shop", *["0.0045"] * 50))
    may = {"Authorization": "Bearer for-us"}
    asked = lambda: httpx2.get(f"{api}/v1/summary", headers=may, timeout=60).raise_for_status().json()["total"]  # noqa: E731
    total = soon(lambda: (figures := asked())["calls"] == 50 and figures)
    assert Decimal(total["cost_usd"]) == Decimal("0.225")
    collector.end()


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


def test_nothing_is_lost_or_counted_twice_when_the_ledger_is_killed_again_and_again_under_load(
    serve: Start, collect: Start, tmp_path: Path, port: int
) -> None:
    service, api = serve(f"127.0.0.1:{port}")
    collector = collect(api, "exporters::otlp_http/otel_cost::retry_on_failure::max_interval: 1s")
    batches = [calls("shop", *["0.0045"] * 100) for _ in range(60)]
    sent: list[int] = []

    def keep_sending() -> None:
        for number, spans in enumerate(batches):
            send(collector, spans)
            sent.append(number)

    sender = threading.Thread(target=keep_sending)
    sender.start()
    for kill in range(1, 4):
        soon(lambda least=15 * kill, api=api: len(sent) > least and get(f"{api}/v1/summary")["total"]["calls"])
        service.end(signal.SIGKILL)
        service, api = serve(f"127.0.0.1:{port}")
    sender.join(180)
    assert len(sent) == 60

    total = soon(lambda: (figures := get(f"{api}/v1/summary")["total"])["calls"] >= 6000 and figures)
    assert (total["calls"], Decimal(total["cost_usd"])) == (6000, Decimal("27.0000"))  # 6000 times 0.0045
    collector.end()
    service.end()
    assert len(booked(tmp_path / "ledger.duckdb")) == 6000
