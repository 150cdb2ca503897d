"""A real Collector with the shipped configuration, between an application, the ledger and real tracing backends."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_cost import semconv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.trace import ReadableSpan

SECRET = "the merger is signed on Friday"
LISTENING = r'Starting GRPC server.*"endpoint": "(127\.0\.0\.1:\d+)"'


@dataclass(frozen=True)
class Program:
    process: subprocess.Popen[bytes]
    log: Path

    def says(self, pattern: str, seconds: float = 90) -> str:
        """What the first group of `pattern` matched in its output, as soon as it is there."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.log.read_text(errors="replace"))):
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{self.log.stem} did not say {pattern!r}:\n{self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)
        return found[1]

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(30)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Program]]:
    """Start a program that does not outlive this module's tests."""
    programs: list[Program] = []

    def starting(*command: str | Path, **environ: str) -> Program:
        log = tmp_path_factory.mktemp("log") / f"{Path(command[0]).name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(part) for part in command],
                env={**os.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        programs.append(Program(process, log))
        return programs[-1]

    yield starting
    for program in programs:
        program.end()


@pytest.fixture(scope="module")
def fetched(root: Path, need_program: Callable[..., Path]) -> Callable[..., Path]:
    """The program that a script of ours fetches or builds, once, into .cache; it needs `tool` for that."""

    def fetch(tool: str, script: str, *arguments: str) -> Path:
        made = subprocess.run([sys.executable, root / script, *arguments], capture_output=True, text=True, check=False)
        if made.returncode == 2:
            need_program(tool)
        assert made.returncode == 0, made.stderr
        return Path(made.stdout.strip())

    return fetch


@pytest.fixture(scope="module")
def otelcol(fetched: Callable[..., Path]) -> Path:
    return fetched("go", "collector-config/build.py")


@pytest.fixture(scope="module")
def config(root: Path) -> Path:
    return root / "collector-config" / "collector.yaml"


@pytest.fixture(scope="module")
def backends(
    start: Callable[..., Program], fetched: Callable[..., Path], root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Backends:
    """Phoenix and Jaeger, on free ports."""
    install = "tests/e2e/backends/install.py"
    phoenix = start(
        fetched("uv", install, "phoenix"),
        "serve",
        PHOENIX_HOST="127.0.0.1",
        PHOENIX_PORT="0",
        PHOENIX_GRPC_PORT="0",
        PHOENIX_WORKING_DIR=str(tmp_path_factory.mktemp("phoenix")),
        PHOENIX_TELEMETRY_ENABLED="false",
        PHOENIX_ALLOW_EXTERNAL_RESOURCES="false",
        PHOENIX_DISABLE_AGENT_ASSISTANT="true",
        PHOENIX_ENABLE_MCP_SERVER="false",
    )
    jaeger = start(fetched("go", install, "jaeger"), "--config", root / "tests/e2e/backends/jaeger.yaml")
    return Backends(
        phoenix=phoenix.says(r"Uvicorn running on (http://127\.0\.0\.1:\d+)"),
        jaeger="http://" + jaeger.says(r'Query server started.*"http_addr": "(127\.0\.0\.1:\d+)"'),
        jaeger_otlp="http://" + jaeger.says(r'otlpreceiver.*Starting HTTP server.*"endpoint": "(127\.0\.0\.1:\d+)"'),
    )


@dataclass(frozen=True)
class Backends:
    """Where the tracing backends answer, and the attributes of the spans that they hold."""

    phoenix: str
    jaeger: str
    jaeger_otlp: str

    def in_phoenix(self) -> dict[str, dict[str, Any]]:
        spans = get(f"{self.phoenix}/v1/projects/default/spans?limit=1000")["data"]
        return {span["context"]["span_id"]: span["attributes"] for span in spans}

    def in_jaeger(self, service: str) -> dict[str, dict[str, Any]]:
        traces = get(f"{self.jaeger}/api/traces?service={service}&limit=1000")["data"]
        spans = [span for trace in traces for span in trace["spans"]]
        return {span["spanID"]: {tag["key"]: tag["value"] for tag in span["tags"]} for span in spans}


def get(url: str) -> Any:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
        return json.load(answer)


def soon(what: Callable[[], Any], seconds: float = 30) -> Any:
    """What `what` returns once it is true."""
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)
    return value


@pytest.fixture
def collect(start: Callable[..., Program], otelcol: Path, config: Path, tmp_path: Path) -> Callable[..., Program]:
    """Start the Collector with the shipped configuration; its queue is this test's."""

    def collecting(ledger: str, *more: str, backend: str = "http://127.0.0.1:9") -> Program:
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
def serve(start: Callable[..., Program], bin_folder: Path, tmp_path: Path) -> Callable[..., tuple[Program, str]]:
    """Start the ledger service on this test's books: the program and the address of its API."""

    def serving(http: str = "127.0.0.1:0") -> tuple[Program, str]:
        command = ("serve", "--ledger", tmp_path / "ledger.duckdb", "--grpc", "127.0.0.1:0", "--http", http)
        program = start(bin_folder / "otel-cost", *command, OTEL_COST_SPOOL=str(tmp_path / "spool"))
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
    return (
        {semconv.COST_STATUS: "unknown"}
        if amount is None
        else {semconv.COST_STATUS: "known", semconv.COST_AMOUNT: amount}
    )


def send(collector: Program, spans: list[ReadableSpan]) -> None:
    exporter = OTLPSpanExporter(endpoint=f"http://{collector.says(LISTENING)}", insecure=True)
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    exporter.shutdown()


def test_a_real_collector_accepts_the_configuration(otelcol: Path, config: Path) -> None:
    assert subprocess.run([otelcol, "validate", f"--config={config}"], check=False).returncode == 0


def test_a_real_collector_accepts_what_is_added_to_somebody_s_own(
    start: Callable[..., Program], otelcol: Path, config: Path, tmp_path: Path
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
    backends: Backends, serve: Callable[..., Any], collect: Callable[..., Program], tmp_path: Path
) -> None:
    service, api = serve()
    collector = collect(api, *also_to_jaeger(backends), backend=backends.phoenix)
    # gpt-4o at 2.50 and 10 USD a million tokens: 1000 in and 200 out, 7 in and 3 out; then the smallest sum there is.
    spans = calls("shop", "0.0045", "0.0000475", "0.000000000001", None)
    send(collector, spans)

    total = soon(lambda: (figures := get(f"{api}/v1/summary")["total"])["calls"] == 4 and figures)
    assert Decimal(total["cost_usd"]) == Decimal("0.004547500001")
    assert total["unknown_calls"] == 1
    phoenix = soon(lambda: len(held := backends.in_phoenix()) == 5 and held)
    jaeger = soon(lambda: len(held := backends.in_jaeger("shop")) == 5 and held)

    service.end()
    costs = booked(tmp_path / "ledger.duckdb")
    amounts = {f"{span.context.span_id:016x}": (span.attributes or {}).get(semconv.COST_AMOUNT) for span in spans[:4]}
    assert costs == {span_id: amount and Decimal(str(amount)) for span_id, amount in amounts.items()}
    assert {span_id: phoenix[span_id].get(semconv.COST_AMOUNT) for span_id in costs} == amounts
    assert {span_id: jaeger[span_id].get(semconv.COST_AMOUNT) for span_id in costs} == amounts
    assert all(SECRET in str(attributes) for attributes in jaeger.values())  # the backend gets everything


def also_to_jaeger(backends: Backends) -> tuple[str, ...]:
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


def test_the_ledger_s_pipeline_carries_calls_and_nothing_of_their_content(collect: Callable[..., Program]) -> None:
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


def test_nothing_is_lost_when_the_ledger_and_the_collector_are_killed(
    serve: Callable[..., Any], collect: Callable[..., Program], tmp_path: Path
) -> None:
    service, api = serve()
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
