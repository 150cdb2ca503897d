"""A charge that a log event tells of -> the span that our own applications send for one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_cost import money, semconv
from otel_cost.pricing import price_units
from otel_cost_exporter.decode.call_row import LONGEST_NAME, RejectedError, exact_number

if TYPE_CHECKING:
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_KNOWN: Final = {semconv.COST_STATUS: "known", semconv.COST_SOURCE: "local"}
_TRACE_ID_BYTES: Final = 16
_LATEST_US: Final = 2**55
"""The year 3111: later than any time that is looked at."""


def charge_span(record: LogRecord, identity: bytes) -> Span:
    """The span of the charge that `record` tells of.

    Args:
        record: a log event ``otel_cost.charge``.
        identity: 16 bytes that no other charge has, and the same each time that it is sent: of its ``log.record.uid``,
            which tells charges apart that are alike in all else; see ``logs.py`` for those without.

    Raises:
        RejectedError: it cannot stand in the books.
    """
    start = record.time_unix_nano or record.observed_time_unix_nano
    attributes = {item.key: item.value for item in record.attributes if item.key.startswith(semconv.PREFIX)}
    name = attributes.get(semconv.CHARGE_NAME, AnyValue()).string_value
    if not 0 < len(name) <= LONGEST_NAME:
        raise RejectedError(f"a charge needs {semconv.CHARGE_NAME}, of up to {LONGEST_NAME} characters")
    units = _units(attributes.get(semconv.CHARGE_UNITS, AnyValue()))
    stated = {key: value for key, value in attributes.items() if key != semconv.CHARGE_UNITS}
    added = {semconv.GEN_AI_OPERATION_NAME: semconv.CHARGE, semconv.CHARGE_UNITS: f"{units:f}"}
    if semconv.COST_STATUS not in stated:
        added |= _KNOWN if semconv.COST_AMOUNT in stated else _priced(name, units, start)
    return Span(
        trace_id=record.trace_id if len(record.trace_id) == _TRACE_ID_BYTES else identity,
        span_id=identity[:8],
        parent_span_id=record.span_id,
        start_time_unix_nano=start,
        end_time_unix_nano=start,
        attributes=[
            *(KeyValue(key=key, value=value) for key, value in stated.items()),
            *(KeyValue(key=key, value=AnyValue(string_value=text)) for key, text in added.items()),
        ],
    )


def _units(value: AnyValue) -> Decimal:
    """How much was charged for: 1 where it is not said; a double as it is written."""
    kind = value.WhichOneof("value")
    if kind is None:
        return Decimal(1)
    return exact_number(str(getattr(value, kind)), semconv.CHARGE_UNITS)


def _priced(name: str, units: Decimal, start: int) -> dict[str, str]:
    """What so many units cost then, by the prices here."""
    cost = price_units(name, units, _EPOCH + timedelta(microseconds=min(start // 1000, _LATEST_US)))
    found: dict[str, str] = {semconv.COST_STATUS: cost.status}
    if cost.amount is not None:
        found |= {semconv.COST_AMOUNT: money.text(cost.amount), semconv.COST_SOURCE: "ledger"}
    if cost.price_version is not None:
        found[semconv.COST_PRICE_VERSION] = cost.price_version
    if cost.reason is not None:
        found[semconv.COST_REASON] = cost.reason
    return found
