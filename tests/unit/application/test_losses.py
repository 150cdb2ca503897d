"""Calls that OTLP could not deliver are said to be lost and counted, and so are those that no other way took."""

from __future__ import annotations

import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as over_grpc
from opentelemetry.exporter.otlp.proto.http import trace_exporter as over_http
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult

from otel_cost import losses
from otel_cost.ledger_exporter import LedgerExporter
from otel_cost.safety import Row
from otel_cost_exporter.span_exporter import SpoolSpanExporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """How many calls the metric has counted."""
    reader = InMemoryMetricReader()
    monkeypatch.setattr("opentelemetry.metrics.get_meter", MeterProvider([reader]).get_meter)
    monkeypatch.setattr(losses, "_undelivered", Row(losses._logger))
    losses._counter.cache_clear()

    def count() -> int:
        data = reader.get_metrics_data()
        if data is None:
            return 0
        (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
        assert (metric.name, metric.unit) == ("otel_cost.calls.lost", "{call}")
        return sum(point.value for point in metric.data.data_points)  # type: ignore[union-attr, misc] # a sum

    yield count
    losses._counter.cache_clear()


@pytest.fixture
def closed() -> Iterator[str]:
    """Where nobody listens."""
    with socket.socket() as holding:
        holding.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holding.getsockname()[1]}"


def spans() -> list[ReadableSpan]:
    """Two calls and what is none."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    named = [("chat gpt-4o", {"otel_cost.cost.status": "known"})] * 2 + [("GET /", {})]
    made: list[Any] = [tracer.start_span(name, attributes=attributes) for name, attributes in named]
    for each in made:
        each.end()
    return made


def watched(module: Any) -> type[Any]:
    """The module's exporter as it is where otel-cost has started; the module stays as it is."""
    exporter = type("OTLPSpanExporter", (module.OTLPSpanExporter,), {})
    losses.watch(SimpleNamespace(OTLPSpanExporter=exporter))
    return exporter


@pytest.mark.parametrize("module", [over_grpc, over_http], ids=["grpc", "http"])
def test_calls_that_an_exporter_gives_up_are_said_and_counted(
    module: Any, closed: str, lost: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    exporter = watched(module)(endpoint=closed, timeout=0.2)
    with caplog.at_level(logging.DEBUG, "otel_cost"):
        assert [exporter.export(spans()) for _ in range(2)] == [SpanExportResult.FAILURE] * 2
    exporter.shutdown()
    assert lost() == 4
    said = [record for record in caplog.records if record.name.startswith("otel_cost")]
    assert [record.levelname for record in said] == ["WARNING", "DEBUG"]
    assert "The cost of calls is lost (2): " in said[0].getMessage()
    assert closed.removeprefix("http://") in said[0].getMessage()
    assert "--traces_exporter otel_cost" in said[0].getMessage()


class _Taking(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not to the tests' output."""


def test_what_is_delivered_is_not_lost_and_that_it_is_over_is_said(
    lost: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    exporter = watched(over_http)
    with HTTPServer(("127.0.0.1", 0), _Taking) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        there = exporter(endpoint=f"http://127.0.0.1:{server.server_port}/v1/traces", timeout=5)
        assert there.export(spans()) is SpanExportResult.SUCCESS
        assert (lost(), caplog.messages) == (0, [])
        losses._undelivered.goes_on("as if it had failed before")
        there.export(spans())
        server.shutdown()
    assert "takes calls again" in caplog.messages[-1]


def test_spans_that_are_no_calls_have_no_cost_to_lose(
    closed: str, lost: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    exporter = watched(over_http)(endpoint=closed, timeout=0.2)
    assert exporter.export(spans()[2:]) is SpanExportResult.FAILURE
    assert lost() == 0
    assert "lost" not in caplog.text


@pytest.mark.usefixtures("lost")
def test_an_endpoint_is_named_without_what_it_takes_to_get_in(closed: str, caplog: pytest.LogCaptureFixture) -> None:
    endpoint = f"{closed.replace('://', '://user:secret@')}/v1/traces?key=secret"
    watched(over_http)(endpoint=endpoint, timeout=0.2).export(spans())
    (said,) = [record.getMessage() for record in caplog.records if record.name == "otel_cost.losses"]
    assert f"lost (2): {closed.removeprefix('http://')}/v1/traces did not" in said
    assert "secret" not in said


def test_calls_that_the_spool_has_are_not_lost(
    closed: str, lost: Callable[[], int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp, otel_cost")
    exporter = watched(over_http)(endpoint=closed, timeout=0.2)
    assert exporter.export(spans()) is SpanExportResult.FAILURE
    assert lost() == 0
    assert "is lost" not in caplog.text


def test_calls_that_the_ledger_or_the_spool_does_not_take_are_counted_too(
    closed: str, lost: Callable[[], int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OTEL_COST_URL", closed)
    ledger = LedgerExporter()
    ledger.force_flush()  # one try
    ledger.export(spans()[:2])
    assert lost() == 2
    (tmp_path / "spool").write_text("no folder")
    SpoolSpanExporter(tmp_path / "spool").export(spans())
    assert lost() == 4
