"""A real ledger service on a real DuckDB file, with a handful of calls whose cost was worked out by hand."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
import streamlit as st
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_cost import semconv
from otel_cost_dashboard.client import Ledger
from otel_cost_exporter.access.address import Address
from otel_cost_exporter.service import Options, Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from opentelemetry.util.types import AttributeValue

FREE = Address("127.0.0.1", 0)


def call(model: str, inputs: int, outputs: int, cost: str | None, **more: AttributeValue) -> dict[str, AttributeValue]:
    """The attributes of one call: what the wire contract says of it."""
    attributes: dict[str, AttributeValue] = {
        semconv.GEN_AI_OPERATION_NAME: "chat",
        semconv.GEN_AI_PROVIDER_NAME: "openai",
        semconv.GEN_AI_REQUEST_MODEL: model,
        semconv.GEN_AI_USAGE_INPUT_TOKENS: inputs,
        semconv.GEN_AI_USAGE_OUTPUT_TOKENS: outputs,
        semconv.COST_STATUS: "known" if cost else "unknown",
        semconv.CALL_OUTCOME: "ok",
    }
    if cost:
        attributes |= {semconv.COST_AMOUNT: cost, semconv.COST_CURRENCY: "USD"}
    names = {"status": semconv.COST_STATUS, "outcome": semconv.CALL_OUTCOME}
    for name, value in more.items():
        is_budget = name.startswith("budget_")
        key = semconv.budget_key(name.removeprefix("budget_")) if is_budget else semconv.dimension_key(name)
        attributes[names.get(name, key)] = value
    return attributes


CALLS = (
    # gpt-4o, 2.50 and 10.00 USD per million tokens: 1,000 in = 0.0025, 200 out = 0.0020
    call("gpt-4o", 1000, 200, "0.0045", project="atlas", run="r1", stage="plan", role="writer", team="red"),
    # claude-sonnet-4-5, 3.00 and 15.00: 2,000 in = 0.0060, 300 out = 0.0045
    call("claude-sonnet-4-5", 2000, 300, "0.0105", project="atlas", run="r1", stage="draft", budget_run="0.02"),
    # gpt-4o-mini, 0.15 and 0.60: 10,000 in = 0.0015, 1,000 out = 0.0006
    call("gpt-4o-mini", 10000, 1000, "0.0021", project="borealis", run="r2", status="estimated", outcome="cut"),
    call("our-own-7b", 500, 50, None, project="borealis", run="r2", budget_run="11000tok"),
    # 0.0150 of 0.02 are spent, and the call would have cost more than what is left.
    call("gpt-4o", 0, 0, "0.000000", project="atlas", run="r1", outcome="refused", budget_run="0.02"),
)


def send(url: str, calls: tuple[dict[str, AttributeValue], ...], start: datetime | None = None) -> None:
    """Send `calls` to the ledger service at `url`, as the SDK does; they begin at `start`, an hour ago by default."""
    provider = TracerProvider(resource=Resource({semconv.SERVICE_NAME: "agent"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/v1/traces")))
    tracer = provider.get_tracer("test")
    began = int((start or datetime.now(UTC) - timedelta(hours=1)).timestamp() * 1e9)
    for attributes in calls:
        span = tracer.start_span("chat", attributes=attributes, start_time=began)
        span.end(began + 1_000_000_000)
    provider.shutdown()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A ledger service with `CALLS` in its books. Not to be written to."""
    ledger = tmp_path_factory.mktemp("ledger") / "ledger.duckdb"
    with Service(Options(ledger=ledger, grpc=FREE, http=FREE)) as running:
        send(running.url, CALLS)
        yield running


@pytest.fixture
def empty_service(tmp_path: Path) -> Iterator[Service]:
    """A ledger service with nothing in its books yet."""
    with Service(Options(ledger=tmp_path / "ledger.duckdb", grpc=FREE, http=FREE)) as running:
        yield running


@pytest.fixture
def send_calls() -> Callable[..., None]:
    """Send calls to a ledger service."""
    return send


@pytest.fixture
def make_call() -> Callable[..., dict[str, AttributeValue]]:
    """Make the attributes of a call."""
    return call


@pytest.fixture
def connect() -> Iterator[Callable[[str], Ledger]]:
    """Make clients; they are closed after the test."""
    with ExitStack() as stack:

        def connected(url: str) -> Ledger:
            client = Ledger(url)
            stack.callback(client.close)
            return client

        yield connected


@pytest.fixture
def ledger(service: Service, connect: Callable[[str], Ledger]) -> Ledger:
    """The client of `service`."""
    return connect(service.url)


@pytest.fixture
def answering() -> Callable[..., object]:
    """A server that is not the ledger's, or not in order: it answers everything with one status and body."""

    @contextmanager
    def server(status: int, body: bytes, **by_path: tuple[int, bytes]) -> Iterator[str]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.partition("?")[0].rpartition("/")[2]
                own_status, own_body = by_path.get(name, (status, body))
                self.send_response(own_status)
                self.send_header("Content-Length", str(len(own_body)))
                self.end_headers()
                self.wfile.write(own_body)

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
            thread = threading.Thread(target=running.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield f"http://127.0.0.1:{running.server_port}"
            finally:
                running.shutdown()
                thread.join()

    return server


@pytest.fixture
def nobody() -> Iterator[str]:
    """A URL where nothing listens, and nothing can as long as the test runs."""
    with socket.socket() as holding:
        holding.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holding.getsockname()[1]}"


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Connections that a page kept are dropped after the test."""
    yield
    st.cache_resource.clear()
