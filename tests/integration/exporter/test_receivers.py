"""OTLP in, from the real exporters over real sockets, and the answers that the specification asks for."""

from __future__ import annotations

import gzip
import threading
from typing import TYPE_CHECKING

import grpc
import pytest
import requests
from exporter_building import call, request, span
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_cost_exporter.errors import LedgerBusyError, LedgerDownError
from otel_cost_exporter.receiver import http as http_receiver
from otel_cost_exporter.receiver import intake as intake_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

    from otel_cost_exporter.service import Service

PROTOBUF = {"content-type": "application/x-protobuf"}


def ended_spans() -> tuple[ReadableSpan, ...]:
    """A call that cost 1000 * 2.50 and 200 * 10 USD a million, and its parent, which is no call."""
    held = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(held))
    stated = {
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 200,
        "otel_cost.cost.status": "known",
        "otel_cost.cost.amount": "0.0045",
    }
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("agent"), tracer.start_as_current_span("chat", attributes=stated):
        pass
    return held.get_finished_spans()


def by_grpc(service: Service) -> SpanExporter:
    return GrpcExporter(endpoint=f"http://{service.grpc}", insecure=True)


def by_grpc_gzip(service: Service) -> SpanExporter:
    return GrpcExporter(endpoint=f"http://{service.grpc}", insecure=True, compression=grpc.Compression.Gzip)


def by_http(service: Service) -> SpanExporter:
    return HttpExporter(endpoint=f"{service.url}/v1/traces")


def by_http_for_the_ledger_alone(service: Service) -> SpanExporter:
    return HttpExporter(endpoint=f"{service.url}/v1/calls")


def by_http_gzip(service: Service) -> SpanExporter:
    return HttpExporter(endpoint=f"{service.url}/v1/traces", compression=Compression.Gzip)


def calls(service: Service) -> int:
    found: int = service.reader.summary([])["total"]["calls"]
    return found


@pytest.mark.parametrize("make", [by_grpc, by_grpc_gzip, by_http, by_http_for_the_ledger_alone, by_http_gzip])
def test_what_an_exporter_was_told_is_taken_stands_in_the_books_once(
    service: Service, make: Callable[[Service], SpanExporter]
) -> None:
    exporter, spans = make(service), ended_spans()
    assert [exporter.export(spans) for _ in range(3)] == [SpanExportResult.SUCCESS] * 3
    exporter.shutdown()
    (row,) = service.reader.summary([("by", "service"), ("by", "model")])["rows"]
    assert (row["service"], row["model"], row["calls"], row["cost_usd"]) == ("shop", "gpt-4o", 1, "0.004500")


@pytest.fixture
def stub(service: Service) -> Iterator[TraceServiceStub]:
    with grpc.insecure_channel(str(service.grpc)) as channel:
        yield TraceServiceStub(channel)


def bytes_over_grpc(service: Service, body: bytes) -> grpc.StatusCode:
    with grpc.insecure_channel(str(service.grpc)) as channel:
        export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        with pytest.raises(grpc.RpcError) as caught:
            export(body, timeout=10)
    code: grpc.StatusCode = caught.value.code()  # type: ignore[attr-defined] # every RpcError of a call has it
    return code


def test_a_rejected_call_is_a_partial_success_over_both(service: Service, stub: TraceServiceStub) -> None:
    body = request(call(1), call(2, gen_ai__usage__input_tokens=-5), span(3))
    over_grpc = stub.Export(ExportTraceServiceRequest.FromString(body), timeout=10)
    answer = requests.post(f"{service.url}/v1/traces", body, headers=PROTOBUF, timeout=10)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-protobuf")
    for partial in (over_grpc.partial_success, ExportTraceServiceResponse.FromString(answer.content).partial_success):
        assert partial.rejected_spans == 1
        assert "gen_ai.usage.input_tokens is negative" in partial.error_message
    assert calls(service) == 1


def test_what_a_sender_will_not_read_is_logged_once_for_each_reason_and_counted(
    service: Service, stub: TraceServiceStub, caplog: pytest.LogCaptureFixture
) -> None:
    bad = [call(n, gen_ai__usage__input_tokens=10**13) for n in range(1, 8)]
    odd = [call(n, otel_cost__budget__run="much") for n in range(8, 10)]
    end = ". /healthz counts them. Said once"
    body = request(*bad, call(10, otel_cost__cost__currency="EUR"), *odd, call(11))
    stub.Export(ExportTraceServiceRequest.FromString(body), timeout=10)
    requests.post(f"{service.url}/v1/traces", body, headers=PROTOBUF, timeout=10).raise_for_status()
    limit = "otel_cost.budget.run='much' is passed over: the call has no otel_cost.run"
    assert [record.getMessage() for record in caplog.records] == [
        f"A call is not in the books: gen_ai.usage.input_tokens is negative or beyond 1000000000000{end}",
        f"A call is not in the books: otel_cost.cost.currency is not USD{end}",
        f"A limit counts for nothing: {limit}. Said once",
    ]
    health = requests.get(f"{service.url}/healthz", timeout=10).json()
    assert (health["rejected_calls"], health["calls"]) == (16, 3)


def test_reasons_without_end_do_not_flood_the_log(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    for n in range(1, 131):
        body = request(call(n, **{f"otel_cost__own_{n}": "x" * 600}))
        requests.post(f"{service.url}/v1/traces", body, headers=PROTOBUF, timeout=10).raise_for_status()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 101
    assert said[-1].startswith("No further reason is logged")
    assert requests.get(f"{service.url}/healthz", timeout=10).json()["rejected_calls"] == 130


def test_a_request_that_is_to_come_again_is_not_counted_yet(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    body = request(call(1), call(2, otel_cost__cost__currency="EUR"))
    with monkeypatch.context() as patch:
        patch.setattr(type(service.ledger), "add", raising(LedgerBusyError("busy")))
        assert bytes_over_grpc(service, body) is grpc.StatusCode.UNAVAILABLE
    requests.post(f"{service.url}/v1/traces", body, headers=PROTOBUF, timeout=10).raise_for_status()
    assert requests.get(f"{service.url}/healthz", timeout=10).json()["rejected_calls"] == 1


def test_all_taken_is_an_empty_answer(service: Service, stub: TraceServiceStub) -> None:
    for body in (request(call(1)), request(span(2)), b""):
        assert stub.Export(ExportTraceServiceRequest.FromString(body), timeout=10) == ExportTraceServiceResponse()
        assert requests.post(f"{service.url}/v1/traces", body, headers=PROTOBUF, timeout=10).content == b""


def test_grpc_tells_a_sender_whether_to_come_again(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bytes_over_grpc(service, b"garbage") is grpc.StatusCode.INVALID_ARGUMENT
    assert bytes_over_grpc(service, b"\x00" * (intake_module.LARGEST_REQUEST + 1)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    monkeypatch.setattr(type(service.ledger), "add", raising(LedgerBusyError("busy")))
    assert bytes_over_grpc(service, request(call(1))) is grpc.StatusCode.UNAVAILABLE
    monkeypatch.setattr(type(service.ledger), "add", raising(LedgerDownError("down")))
    assert bytes_over_grpc(service, request(call(1))) is grpc.StatusCode.UNAVAILABLE


def raising(error: Exception) -> Callable[..., Future[None]]:
    def add(*_: object) -> Future[None]:
        raise error

    return add


def test_a_sender_is_not_kept_waiting_for_ever(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    real = type(service.ledger)._transaction

    def hanging(ledger: object, batch: object) -> None:
        never.wait(10)
        real(ledger, batch)  # type: ignore[arg-type] # what the writer hands over

    monkeypatch.setattr(type(service.ledger), "_transaction", hanging)
    monkeypatch.setattr("otel_cost_exporter.receiver.grpc.LONGEST_WAIT", 0.05)
    monkeypatch.setattr(http_receiver, "LONGEST_WAIT", 0.05)
    assert bytes_over_grpc(service, request(call(1))) is grpc.StatusCode.UNAVAILABLE
    answer = requests.post(f"{service.url}/v1/traces", request(call(1)), headers=PROTOBUF, timeout=10)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    never.set()


@pytest.mark.parametrize(
    ("body", "headers", "status", "line"),
    [
        (b"garbage", PROTOBUF, 400, "not an OTLP ExportTraceServiceRequest"),
        (b"not gzip", PROTOBUF | {"content-encoding": "gzip"}, 400, "the body is no gzip"),
        (gzip.compress(b"x" * 100)[:-9], PROTOBUF | {"content-encoding": "gzip"}, 400, "ends before its end"),
        (b"", PROTOBUF | {"content-encoding": "br"}, 415, "content encoding 'br' is not taken here: send gzip or none"),
        (
            b"{}",
            {"content-type": "application/json"},
            415,
            "'application/json' is not taken here: send application/x-pro",
        ),
        (b"", {}, 415, "content type '' is not taken here"),
        (b"x" * 1001, PROTOBUF, 413, "more than 1000 bytes: send smaller batches"),
        (gzip.compress(b"x" * 10**6), PROTOBUF | {"content-encoding": "gzip"}, 413, "more than 1000 bytes"),
    ],
)
def test_http_says_what_is_wrong(
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    *,
    body: bytes,
    headers: dict[str, str],
    status: int,
    line: str,
) -> None:
    monkeypatch.setattr(http_receiver, "LARGEST_REQUEST", 1000)
    answer = requests.post(f"{service.url}/v1/traces", body, headers=headers, timeout=10)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/x-protobuf")
    assert line in Status.FromString(answer.content).message
    assert "retry-after" not in answer.headers
    assert calls(service) == 0


@pytest.mark.parametrize("error", [LedgerBusyError("busy"), LedgerDownError("down")])
def test_http_asks_to_come_again(service: Service, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(type(service.ledger), "add", raising(error))
    headers = {"content-type": "application/x-protobuf; charset=utf-8", "content-encoding": "identity"}
    answer = requests.post(f"{service.url}/v1/traces", request(call(1)), headers=headers, timeout=10)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert Status.FromString(answer.content).message == str(error)


def test_many_senders_at_once_over_both(service: Service) -> None:
    """Twenty threads send ten batches each, every call twice; the sum is 400 calls of 0.0045."""
    failed: list[object] = []

    def send(sender: int) -> None:
        with grpc.insecure_channel(str(service.grpc)) as channel, requests.Session() as session:
            stub = TraceServiceStub(channel)
            for batch in range(10):
                first = sender * 100 + batch * 2 + 1
                body = request(call(first), call(first + 1))
                try:
                    stub.Export(ExportTraceServiceRequest.FromString(body), timeout=30)
                    session.post(f"{service.url}/v1/traces", body, headers=PROTOBUF, timeout=30).raise_for_status()
                except (grpc.RpcError, requests.RequestException) as error:
                    failed.append(error)

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    total = service.reader.summary([])["total"]
    assert (total["calls"], total["cost_usd"]) == (400, "1.800000")
