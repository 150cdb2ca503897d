"""OTLP in, from the real exporters over real sockets, and the answers that the specification asks for."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import sys
import threading
import time
import zlib
from concurrent.futures import Future
from typing import TYPE_CHECKING

import grpc
import pytest
import requests
from exporter_building import call, request, span
from google.protobuf.json_format import MessageToDict, MessageToJson
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_cost_exporter.access.address import Address
from otel_cost_exporter.access.tokens import OPEN
from otel_cost_exporter.errors import LedgerBusyError, LedgerDownError
from otel_cost_exporter.receiver import encodings
from otel_cost_exporter.receiver.grpc import GrpcReceiver

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

    from otel_cost_exporter.decode.parcel import Parcel, Receipt
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
    found: int = service.reader.ask("summary")["total"]["calls"]
    return found


@pytest.mark.parametrize("make", [by_grpc, by_grpc_gzip, by_http, by_http_for_the_ledger_alone, by_http_gzip])
def test_what_an_exporter_was_told_is_taken_stands_in_the_books_once(
    service: Service, make: Callable[[Service], SpanExporter]
) -> None:
    exporter, spans = make(service), ended_spans()
    assert [exporter.export(spans) for _ in range(3)] == [SpanExportResult.SUCCESS] * 3
    exporter.shutdown()
    (row,) = service.reader.ask("summary", [("by", "service"), ("by", "model")])["rows"]
    assert (row["service"], row["model"], row["calls"], row["cost_usd"]) == ("shop", "gpt-4o", 1, "0.004500")


@pytest.fixture
def stub(service: Service) -> Iterator[TraceServiceStub]:
    with grpc.insecure_channel(str(service.grpc)) as channel:
        yield TraceServiceStub(channel)


def failure_over_grpc(service: Service, body: bytes) -> grpc.Call:
    with grpc.insecure_channel(str(service.grpc)) as channel:
        export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        with pytest.raises(grpc.RpcError) as caught:
            export(body, timeout=10)
    return caught.value


def bytes_over_grpc(service: Service, body: bytes) -> grpc.StatusCode:
    code: grpc.StatusCode = failure_over_grpc(service, body).code()
    return code


def test_metrics_are_taken_and_nothing_of_them_is_kept(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """An application has one endpoint for all that it sends, and no use for an error with each of its metrics."""
    point = NumberDataPoint(as_int=1, time_unix_nano=1)
    metric = Metric(name="gen_ai.client.token.usage", sum=Sum(data_points=[point]))
    scope = ScopeMetrics(metrics=[metric])
    body = ExportMetricsServiceRequest(resource_metrics=[ResourceMetrics(scope_metrics=[scope])])
    with grpc.insecure_channel(str(service.grpc)) as channel:
        assert MetricsServiceStub(channel).Export(body, timeout=10) == ExportMetricsServiceResponse()
    for data, kind in ((body.SerializeToString(), "application/x-protobuf"), (MessageToJson(body), "application/json")):
        answer = requests.post(f"{service.url}/v1/metrics", data, headers={"content-type": kind}, timeout=10)
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
        assert answer.content in {b"", b"{}"}
    assert (calls(service), service.intake.rejected, caplog.records) == (0, 0, [])


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
    end = ". otel-cost ledger quarantine lists them. Said once"
    body = request(*bad, call(10, otel_cost__cost__currency="EUR"), *odd, call(11))
    stub.Export(ExportTraceServiceRequest.FromString(body), timeout=10)
    requests.post(f"{service.url}/v1/traces", body, headers=PROTOBUF, timeout=10).raise_for_status()
    limit = "otel_cost.budget.run is passed over: the call has no otel_cost.run"
    assert [record.getMessage() for record in caplog.records] == [
        f"A call is not in the books: gen_ai.usage.input_tokens is negative or beyond 999999999999{end}",
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
    assert bytes_over_grpc(service, b"\x00" * (encodings.LARGEST_REQUEST + 1)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    monkeypatch.setattr(type(service.ledger), "add", raising(LedgerBusyError("busy")))
    assert bytes_over_grpc(service, request(call(1))) is grpc.StatusCode.UNAVAILABLE
    monkeypatch.setattr(type(service.ledger), "add", raising(LedgerDownError("down")))
    assert bytes_over_grpc(service, request(call(1))) is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("error", "seconds"),
    [(LedgerBusyError("busy"), 1), (LedgerDownError("down"), 5), (ZeroDivisionError("what a prompt said"), 5)],
)
def test_over_both_a_sender_hears_when_to_come_again_whatever_went_wrong(
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    seconds: int,
) -> None:
    monkeypatch.setattr(type(service.ledger), "add", raising(error))
    refused = failure_over_grpc(service, request(call(1)))
    assert refused.code() is grpc.StatusCode.UNAVAILABLE
    over_http = requests.post(f"{service.url}/v1/traces", request(call(1)), headers=PROTOBUF, timeout=10)
    assert (over_http.status_code, over_http.headers["retry-after"]) == (503, str(seconds))
    details = dict(refused.trailing_metadata())["grpc-status-details-bin"]
    for status in (Status.FromString(details), Status.FromString(over_http.content)):
        (packed,) = status.details
        assert packed.Unpack(retry := RetryInfo())
        assert (status.code, retry.retry_delay.seconds) == (14, seconds)
    assert "prompt" not in over_http.text + str(refused.details()) + caplog.text
    assert ("ZeroDivisionError" in caplog.text) == isinstance(error, ZeroDivisionError)


def test_what_cannot_be_read_is_refused_for_good_with_its_reason(service: Service) -> None:
    refused = failure_over_grpc(service, b"garbage")
    over_http = requests.post(f"{service.url}/v1/traces", b"garbage", headers=PROTOBUF, timeout=10)
    assert (refused.code(), over_http.status_code) == (grpc.StatusCode.INVALID_ARGUMENT, 400)
    details = dict(refused.trailing_metadata())["grpc-status-details-bin"]
    for status in (Status.FromString(details), Status.FromString(over_http.content)):
        (packed,) = status.details
        assert packed.Unpack(bad := BadRequest())
        assert bad.field_violations[0].description == status.message
        assert status.message.startswith("not an OTLP ExportTraceServiceRequest in protobuf")


def raising(error: Exception) -> Callable[..., Future[None]]:
    def add(*_: object) -> Future[None]:
        raise error

    return add


def test_a_sender_is_not_kept_waiting_for_ever(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(service.ledger), "add", lambda *_: Future())  # never committed
    monkeypatch.setattr("otel_cost_exporter.receiver.grpc.LONGEST_WAIT", 0.05)
    monkeypatch.setattr("otel_cost_exporter.receiver.http.LONGEST_WAIT", 0.05)
    assert bytes_over_grpc(service, request(call(1))) is grpc.StatusCode.UNAVAILABLE
    answer = requests.post(f"{service.url}/v1/traces", request(call(1)), headers=PROTOBUF, timeout=10)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_who_brings_more_than_there_is_room_for_waits_and_is_asked_to_come_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All room is taken by a sender that hangs. The next ones are not read; once it is gone, they are."""
    monkeypatch.setattr("otel_cost_exporter.receiver.grpc.PATIENCE", 0.05)
    monkeypatch.setattr("otel_cost_exporter.receiver.http.PATIENCE", 0.05)
    room = service.intake.room
    with room.ask(room.size):
        assert bytes_over_grpc(service, request(call(1))) is grpc.StatusCode.UNAVAILABLE
        refused = requests.post(f"{service.url}/v1/traces", request(call(1)), headers=PROTOBUF, timeout=10)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert requests.get(f"{service.url}/healthz", timeout=10).json()["status"] == "ok"
    requests.post(f"{service.url}/v1/traces", request(call(1)), headers=PROTOBUF, timeout=10).raise_for_status()
    assert (room.taken, calls(service)) == (0, 1)


@pytest.mark.parametrize("over_grpc", [True, False])
def test_of_a_request_only_its_calls_take_room_while_they_wait(
    service: Service, monkeypatch: pytest.MonkeyPatch, *, over_grpc: bool
) -> None:
    """What is no call, most of most traffic, is let go of before the ledger has room for what is."""
    room, taken = service.intake.room, list[tuple[int, int]]()
    add = service.ledger.add

    def added(parcel: Parcel, patience: float) -> Future[Receipt]:
        taken.append((room.taken, parcel.size))
        return add(parcel, patience)

    monkeypatch.setattr(service.ledger, "add", added)
    body = request(call(1)) + request(
        call(2, otel_cost__cost__status=..., some__text="x" * 10_000), otel_cost__version="1"
    )
    if over_grpc:
        with grpc.insecure_channel(str(service.grpc)) as channel:
            channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")(body, timeout=10)
    else:
        requests.post(f"{service.url}/v1/traces", body, headers=PROTOBUF, timeout=10).raise_for_status()
    ((held, size),) = taken
    assert held == size < 1000


def test_a_sender_that_goes_away_leaves_its_place(service: Service) -> None:
    with socket.create_connection((service.http.host, service.http.port)) as connection:
        head = ("POST /v1/traces HTTP/1.1", "Host: h", "Content-Type: application/x-protobuf", "Content-Length: 1000")
        connection.sendall("\r\n".join((*head, "", "x")).encode())
        until(lambda: service.intake.room.taken == 1000)
    until(lambda: service.intake.room.taken == 0)


def test_a_request_that_does_not_come_whole_over_http_loses_its_place(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_cost_exporter.receiver.http.LONGEST_READ", 0.05)
    with socket.create_connection((service.http.host, service.http.port)) as connection:
        head = ("POST /v1/traces HTTP/1.1", "Host: h", "Content-Type: application/x-protobuf", "Content-Length: 1000")
        connection.sendall("\r\n".join((*head, "", "x")).encode())
        answer = connection.recv(10_000)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in answer
        until(lambda: service.intake.room.taken == 0)


def test_a_request_that_does_not_come_over_grpc_loses_its_place(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cancelled, which may be sent again by the OTLP specification."""
    monkeypatch.setattr("otel_cost_exporter.receiver.grpc.LONGEST_READ", 0.05)
    receiver = GrpcReceiver(service.intake, Address("127.0.0.1", 0), OPEN, None)
    receiver.start()
    came = threading.Event()

    def nothing() -> Iterator[bytes]:
        came.wait(60)
        yield b""

    with grpc.insecure_channel(str(receiver.address)) as channel:
        sent = channel.stream_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export").future(nothing())
        assert sent.code() is grpc.StatusCode.CANCELLED
        until(lambda: service.intake.room.taken == 0)
        came.set()
    receiver.stop(1)


def until(true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if true():
            return
        time.sleep(0.01)
    pytest.fail("it did not become true")


@pytest.mark.parametrize(
    ("body", "headers", "status", "line"),
    [
        (b"garbage", PROTOBUF, 400, "not an OTLP ExportTraceServiceRequest"),
        (b"not gzip", PROTOBUF | {"content-encoding": "gzip"}, 400, "the body is no gzip"),
        (gzip.compress(b"x" * 100, mtime=0)[:-9], PROTOBUF | {"content-encoding": "gzip"}, 400, "ends before its end"),
        (
            b"",
            PROTOBUF | {"content-encoding": "br"},
            415,
            "content encoding 'br' is not taken here: send gzip, deflate",
        ),
        (
            b"",
            {"content-type": "text/plain"},
            415,
            "content type 'text/plain' is not taken here: send application/x-pro",
        ),
        (b"", {}, 415, "content type '' is not taken here"),
        (b"x" * 1001, PROTOBUF, 413, "more than 1000 bytes: send smaller batches"),
        (gzip.compress(b"x" * 10**6, mtime=0), PROTOBUF | {"content-encoding": "gzip"}, 413, "more than 1000 bytes"),
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
    monkeypatch.setattr(encodings, "LARGEST_REQUEST", 1000)
    answer = requests.post(f"{service.url}/v1/traces", body, headers=headers, timeout=10)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/x-protobuf")
    assert line in Status.FromString(answer.content).message
    assert "retry-after" not in answer.headers
    assert calls(service) == 0


JSON = {"content-type": "application/json; charset=utf-8"}


def in_json(body: bytes) -> str:
    """The request in `body` as OTLP/JSON: ids are hexadecimal, which the JSON of protobuf knows nothing of."""
    document = MessageToDict(ExportTraceServiceRequest.FromString(body))
    for resource in document.get("resourceSpans", ()):
        for each in (found for scope in resource["scopeSpans"] for found in scope["spans"]):
            for key in ("traceId", "spanId"):
                each[key] = base64.b64decode(each[key]).hex()
    return json.dumps(document)


def test_json_is_taken_and_answered_in_json(service: Service) -> None:
    body = in_json(request(call(1), call(2, gen_ai__usage__input_tokens=-5), service__name="shop"))
    answer = requests.post(f"{service.url}/v1/traces", body, headers=JSON, timeout=10)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"
    assert requests.post(f"{service.url}/v1/traces", request(call(1)), headers=PROTOBUF, timeout=10).content == b""
    (row,) = service.reader.ask("summary", [("by", "service")])["rows"]
    assert (row["service"], row["calls"], row["cost_usd"]) == ("shop", 1, "0.004500")
    assert requests.post(f"{service.url}/v1/traces", "{}", headers=JSON, timeout=10).json() == {}
    refused = requests.post(f"{service.url}/v1/traces", "[]", headers=JSON, timeout=10)
    assert (refused.status_code, refused.headers["content-type"]) == (400, "application/json")
    assert refused.json()["message"].startswith("not an OTLP ExportTraceServiceRequest in JSON")


PACKED = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstd.compress}


@pytest.mark.parametrize("encoding", PACKED)
def test_what_is_packed_is_unpacked_over_http(service: Service, encoding: str) -> None:
    headers = PROTOBUF | {"content-encoding": encoding}
    body = PACKED[encoding](request(call(1)))
    requests.post(f"{service.url}/v1/traces", body, headers=headers, timeout=10).raise_for_status()
    assert calls(service) == 1


@pytest.mark.parametrize("packing", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_what_is_packed_is_unpacked_over_grpc(service: Service, packing: grpc.Compression) -> None:
    with grpc.insecure_channel(str(service.grpc)) as channel:
        export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        assert export(request(*(call(n) for n in range(1, 51))), compression=packing, timeout=10) == b""
    assert calls(service) == 50


def test_a_few_bytes_that_unpack_to_very_many_are_refused(service: Service) -> None:
    bomb = b"".join(gzip.compress(bytes(2**24)) for _ in range(20))
    assert bytes_over_grpc(service, bomb) is grpc.StatusCode.RESOURCE_EXHAUSTED


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
    total = service.reader.ask("summary")["total"]
    assert (total["calls"], total["cost_usd"]) == (400, "1.800000")
