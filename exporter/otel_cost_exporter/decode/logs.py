"""An OTLP log export request -> what of it concerns money: events of budgets, and charges from any language.

A log event is of use here by its name: ``otel_cost.budget.<kind>``, as applications tell what happens to budgets, or
``otel_cost.charge``. A charge is handed on as the span that our own applications send for one, so it is read, counted
once and refused in the same way. All other logs are stepped over, and no text of any is kept.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from otel_cost import semconv
from otel_cost_exporter.decode.call_row import EARLIEST_NS, RejectedError
from otel_cost_exporter.decode.charge_span import charge_span
from otel_cost_exporter.decode.event_row import LATEST_NS, event_row
from otel_cost_exporter.decode.parcel import Parcel
from otel_cost_exporter.decode.source import source_of
from otel_cost_exporter.decode.wire import fields
from otel_cost_exporter.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

    from otel_cost_exporter.decode.parcel import Source

_MARK: Final = semconv.PREFIX.encode()
_EARLIER_NAME: Final = "event.name"
"""The attribute that named an event before a field of its own did."""
_NAMES: Final = frozenset({semconv.CHARGE_EVENT, *(semconv.BUDGET_PREFIX + kind for kind in semconv.BUDGET_EVENTS)})
_OVERHEAD: Final = 1000
"""Bytes that an event takes in memory."""


def walk_logs(body: bytes) -> Parcel:
    """What of the OTLP ``ExportLogsServiceRequest`` in `body` is of use here.

    Raises:
        MalformedError: `body` is no such message.
    """
    spans: list[bytes] = []
    sources: list[Source] = []
    events: list[Mapping[str, Any]] = []
    refused: list[Mapping[str, Any]] = []
    told: Counter[bytes] = Counter()
    for name, record, source in _events(body):
        digest = _digest(record, source)
        told[digest] += 1  # nobody sends one record twice in a request: the same again is another event
        identity = hashlib.blake2b(digest, salt=told[digest].to_bytes(16, "big"), digest_size=16).digest()
        try:
            if name == semconv.CHARGE_EVENT:
                spans.append(charge_span(record, identity).SerializeToString())
                sources.append(source)
            else:
                events.append(event_row(name.removeprefix(semconv.BUDGET_PREFIX), record, source, identity))
        except RejectedError as reason:
            refused.append(_quarantined(record, source, str(reason)))
    size = sum(map(len, spans)) + (len(spans) + len(events) + len(refused)) * _OVERHEAD
    return Parcel(spans, sources, events, refused, size)


def _events(body: bytes) -> Iterator[tuple[str, LogRecord, Source]]:
    """The log events of use here, each with its name and who has told of it."""
    if _MARK not in body:  # most logs: stepped over, and no more looked at than that they are logs
        for _ in fields(body, 0, len(body)):
            pass
        return
    try:
        request = ExportLogsServiceRequest.FromString(body)
    except DecodeError as error:
        raise MalformedError(f"not an OTLP ExportLogsServiceRequest in protobuf: {error}") from None
    for resource_logs in request.resource_logs:
        resource = resource_logs.resource.SerializeToString()
        for scope_logs in resource_logs.scope_logs:
            scope = scope_logs.scope.SerializeToString()
            for record in scope_logs.log_records:
                name = _name(record)
                if name in _NAMES:
                    yield name, record, source_of(resource, scope)


def _name(record: LogRecord) -> str:
    earlier = (item.value.string_value for item in record.attributes if item.key == _EARLIER_NAME)
    return record.event_name or next(earlier, "")


def _quarantined(record: LogRecord, source: Source, reason: str) -> dict[str, Any]:
    time = record.time_unix_nano or record.observed_time_unix_nano
    return {
        "start_ts": time // 1000 if EARLIEST_NS <= time < LATEST_NS else None,
        "trace_id": record.trace_id[:16].hex() or None,
        "span_id": record.span_id[:8].hex() or None,
        "service": source.service,
        "reason": reason,
    }


def _digest(record: LogRecord, source: Source) -> bytes:
    """The same for a record that is sent again, whichever way it takes then."""
    digest = hashlib.blake2b()
    attributes = sorted(item.SerializeToString(deterministic=True) for item in record.attributes)
    time = record.time_unix_nano or record.observed_time_unix_nano
    texts = (str(time), record.event_name, source.service or "", source.instance, source.scope)
    for part in (record.trace_id, record.span_id, *(text.encode() for text in texts), *attributes):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()
