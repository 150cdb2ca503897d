"""The kinds of OTLP requests that are taken, and what is different about each.

Nothing of metrics is of use here. They are taken all the same: an application has one endpoint for all that it sends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from otel_cost.semconv import CALLS_PATH
from otel_cost_exporter.decode.logs import walk_logs
from otel_cost_exporter.decode.parcel import Parcel
from otel_cost_exporter.decode.walk import walk
from otel_cost_exporter.receiver import otlp_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class Signal:
    """One kind of OTLP request.

    Attributes:
        service: the gRPC service that takes it.
        paths: the paths at which HTTP takes it.
        walk: from a request in protobuf to what of it is of use here.
        from_json: from a request in JSON to the same in protobuf.
        answer: the answer, by how many parts are rejected and why, or what else there is to say.
    """

    service: str
    paths: tuple[str, ...]
    walk: Callable[[bytes], Parcel]
    from_json: Callable[[bytes], bytes]
    answer: Callable[[int, str], Message]


def _answer_to_traces(rejected: int, message: str) -> ExportTraceServiceResponse:
    if not message:
        return ExportTraceServiceResponse()
    partial = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    return ExportTraceServiceResponse(partial_success=partial)


def _answer_to_logs(rejected: int, message: str) -> ExportLogsServiceResponse:
    if not message:
        return ExportLogsServiceResponse()
    partial = ExportLogsPartialSuccess(rejected_log_records=rejected, error_message=message)
    return ExportLogsServiceResponse(partial_success=partial)


TRACES: Final = Signal(
    "opentelemetry.proto.collector.trace.v1.TraceService",
    ("/v1/traces", CALLS_PATH),  # the second is one that no other OTLP receiver serves
    walk,
    otlp_json.traces,
    _answer_to_traces,
)
LOGS: Final = Signal(
    "opentelemetry.proto.collector.logs.v1.LogsService", ("/v1/logs",), walk_logs, otlp_json.logs, _answer_to_logs
)
METRICS: Final = Signal(
    "opentelemetry.proto.collector.metrics.v1.MetricsService",
    ("/v1/metrics",),
    lambda _: Parcel(),
    lambda body: body,
    lambda _, __: ExportMetricsServiceResponse(),
)
SIGNALS: Final = (TRACES, LOGS, METRICS)
