"""What becomes of calls that are not sampled: their figures and nothing else go to the ledger, or it is said."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, Status, StatusCode

from otel_cost import books, ledger_exporter
from otel_cost.ledger_exporter import LedgerExporter
from otel_cost.sampling import keep_money

SECRET = "the merger is signed on Friday"
FIGURES = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 1000,
    "otel_cost.cost.status": "known",
    "otel_cost.cost.amount": "0.004500",
    "otel_cost.run": "nightly-7",
    "error.type": "429",
}
GOOD = (200, "application/x-protobuf")


class Ledger(HTTPServer):
    """Answers each request with the next of `answers`, and keeps what came."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        self.answers, self.requests = list(answers), list[ExportTraceServiceRequest]()
        super().__init__(("127.0.0.1", 0), Answering)


class Answering(BaseHTTPRequestHandler):
    server: Ledger

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        assert (self.path, self.headers["content-type"]) == ("/v1/calls", "application/x-protobuf")
        assert "baggage" not in self.headers
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        status, kind = self.server.answers.pop(0) if self.server.answers else GOOD
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not to the tests' output."""


@contextmanager
def serving(ledger: Ledger) -> Iterator[Ledger]:
    with ledger:
        thread = threading.Thread(target=ledger.serve_forever, args=(0.01,))
        thread.start()
        yield ledger
        ledger.shutdown()
        thread.join()


@pytest.fixture
def exporter_to(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], LedgerExporter]:
    monkeypatch.setattr(ledger_exporter, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(ledger_exporter, "_STEP_SECONDS", 0.001)

    def make(url: str) -> LedgerExporter:
        monkeypatch.setenv("OTEL_COST_URL", url)
        return LedgerExporter()

    return make


@pytest.fixture
def nothing_started(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(books, "_started", None)
    yield
    if books._started is not None:
        books._started.shutdown()


def url_of(ledger: Ledger) -> str:
    return f"http://127.0.0.1:{ledger.server_port}"


def a_call() -> ReadableSpan:
    """A call that was not sampled, with content on it."""
    resource = Resource({"service.name": "shop", "process.command_args": [SECRET]})
    provider = TracerProvider(ALWAYS_OFF, resource, shutdown_on_exit=False)
    keep_money(provider)
    tracer = provider.get_tracer("test")
    span: Any = tracer.start_span("chat gpt-4o", kind=SpanKind.CLIENT, attributes=FIGURES)
    span.set_attributes({"gen_ai.input.messages": SECRET, "llm.input_messages.0.message.content": SECRET})
    span.add_event("gen_ai.content.prompt", {"gen_ai.prompt": SECRET})
    span.set_status(Status(StatusCode.ERROR, SECRET))
    span.end()
    return span  # type: ignore[no-any-return] # the SDK's


@pytest.mark.usefixtures("nothing_started")
def test_figures_leave_and_no_content(monkeypatch: pytest.MonkeyPatch) -> None:
    call = a_call()
    with serving(Ledger()) as ledger:
        monkeypatch.setenv("OTEL_COST_URL", url_of(ledger))
        books.keep(call)
        books.flush()
        (request,) = ledger.requests
    assert SECRET not in str(request)
    (resource,) = request.resource_spans
    assert {item.key for item in resource.resource.attributes} == {"service.name"}
    ((span,),) = [scope.spans for scope in resource.scope_spans]
    assert {item.key for item in span.attributes} == set(FIGURES)
    assert int.from_bytes(span.trace_id, "big") == call.context.trace_id
    assert int.from_bytes(span.span_id, "big") == call.context.span_id
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (call.start_time, call.end_time)


@pytest.mark.usefixtures("nothing_started")
def test_where_spans_go_to_the_spool_these_do_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp,otel_cost")
    monkeypatch.setenv("OTEL_COST_SPOOL", str(tmp_path))
    books.keep(a_call())
    books.flush()
    (segment,) = tmp_path.glob("*.otlp")
    assert SECRET.encode() not in segment.read_bytes()


def test_without_such_a_call_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "_started", None)
    books.flush()
    assert books._started is None


@pytest.mark.usefixtures("nothing_started")
def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otel_cost")
    monkeypatch.setenv("OTEL_COST_SPOOL", str(tmp_path))
    with books._lock:  # as another thread might, just when the process forks
        books._forked()
        books.keep(a_call())
        books.keep(a_call())
    books.flush()
    assert len(list(tmp_path.glob("*.otlp"))) == 1


def test_a_ledger_that_is_busy_is_asked_again(exporter_to: Callable[[str], LedgerExporter]) -> None:
    with serving(Ledger((503, ""), (429, ""), GOOD)) as ledger:
        assert exporter_to(url_of(ledger)).export([a_call()]) is SpanExportResult.SUCCESS
    assert len(ledger.requests) == 3


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((404, "text/plain"), "the answer is 404 Not Found"),
        ((400, "application/x-protobuf"), "the answer is 400 Bad Request"),
        ((200, "text/html"), "what answers there is no ledger"),
    ],
)
def test_what_is_no_ledger_is_asked_once_and_said_once(
    answer: tuple[int, str],
    said: str,
    exporter_to: Callable[[str], LedgerExporter],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving(Ledger(answer, answer, GOOD)) as ledger, caplog.at_level(logging.DEBUG, "otel_cost"):
        exporter = exporter_to(url_of(ledger))
        results = [exporter.export([a_call()]) for _ in range(3)]
    assert results == [SpanExportResult.FAILURE, SpanExportResult.FAILURE, SpanExportResult.SUCCESS]
    assert [record.levelname for record in caplog.records] == ["WARNING", "DEBUG", "WARNING"]
    assert f"The cost of calls whose spans were not sampled is lost (1): no ledger took them at {url_of(ledger)}" in (
        caplog.records[0].getMessage()
    )
    assert said in caplog.text
    assert "takes calls again" in caplog.records[2].getMessage()


def test_a_ledger_that_is_away_has_some_time_and_once_it_is_given_up_none(
    exporter_to: Callable[[str], LedgerExporter], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as holding:  # a port where nobody listens
        holding.bind(("127.0.0.1", 0))
        exporter = exporter_to(f"http://127.0.0.1:{holding.getsockname()[1]}")
        tries: list[bytes] = []
        post = exporter._post

        def counted(body: bytes) -> tuple[str | None, bool]:
            tries.append(body)
            return post(body)

        now = 0.0

        def sleep(seconds: float) -> None:
            nonlocal now
            now += seconds

        monkeypatch.setattr(exporter, "_post", counted)
        monkeypatch.setattr(ledger_exporter, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
        monkeypatch.setattr(ledger_exporter, "_PATIENCE_SECONDS", 0.05)
        assert exporter.export([a_call()]) is SpanExportResult.FAILURE
        assert len(tries) == 6  # with pauses of 1, 2, 4, 8 and 16 ms between them
        tries.clear()
        assert exporter.export([a_call()]) is SpanExportResult.FAILURE
        assert len(tries) == 1
    assert "Connection refused" in caplog.text


def test_the_end_of_the_process_does_not_wait_for_a_ledger_that_is_away(
    exporter_to: Callable[[str], LedgerExporter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_exporter, "_FIRST_PAUSE_SECONDS", 20.0)
    with serving(Ledger((503, ""), (503, ""), (503, ""))) as ledger:
        exporter = exporter_to(url_of(ledger))
        sending = threading.Thread(target=exporter.export, args=([a_call()],))
        sending.start()
        exporter.shutdown()  # amid its pause, or before it
        sending.join(15)
        assert not sending.is_alive()


def test_an_answer_that_is_no_http_is_a_failure(exporter_to: Callable[[str], LedgerExporter]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(100_000)
                connection.sendall(b"SSH-2.0-x\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        exporter = exporter_to(f"http://127.0.0.1:{listening.getsockname()[1]}")
        exporter.force_flush()
        assert exporter.export([a_call()]) is SpanExportResult.FAILURE
        thread.join()
