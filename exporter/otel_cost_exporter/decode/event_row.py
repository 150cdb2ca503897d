"""A log event of a budget -> a row of the books."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from otel_cost import semconv
from otel_cost_exporter.decode.call_row import EARLIEST_NS, LONGEST_NAME, LONGEST_NUMBER, RejectedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

    from otel_cost_exporter.decode.parcel import Source

_AMOUNTS: Final = {"limit_amount": "limit", "spent": "spent", "held": "held", "share": "share", "call_amount": "call"}
_MOST: Final = 10**15
_TRILLIONTH: Final = Decimal("1e-12")
_UNITS: Final = frozenset({"USD", semconv.TOKENS})
LATEST_NS: Final = 2**63
_SPAN_ID_BYTES: Final = 8


def event_row(kind: str, record: LogRecord, source: Source, identity: bytes) -> dict[str, Any]:
    """The row of the event `kind` of a budget, in columns of `batch.EVENTS`.

    Raises:
        RejectedError: it cannot stand in the books.
    """
    time = record.time_unix_nano or record.observed_time_unix_nano
    if not EARLIEST_NS <= time < LATEST_NS:
        raise RejectedError("the time of an event of a budget cannot be")
    fields = {
        item.key.removeprefix(semconv.BUDGET_EVENT_PREFIX): item.value.string_value
        for item in record.attributes
        if item.key.startswith(semconv.BUDGET_EVENT_PREFIX)
    }
    if (
        fields.get("unit") not in _UNITS
        or not fields.get("id")
        or not semconv.is_dimension(fields.get("dimension", ""))
    ):
        raise RejectedError("an event of a budget does not say whose budget it is, and in which unit")
    texts = {name: fields.get(name) or None for name in ("dimension", "id", "unit", "period", "model")}
    for name, text in texts.items():
        if text is not None and len(text) > LONGEST_NAME:
            raise RejectedError(f"{semconv.BUDGET_EVENT_PREFIX}{name} is longer than {LONGEST_NAME} characters")
    span_id = record.span_id if len(record.span_id) == _SPAN_ID_BYTES else b""
    return {
        "event_ts": time // 1000,
        "event_id": identity.hex(),
        "kind": kind,
        **texts,
        **{column: _amount(fields, name) for column, name in _AMOUNTS.items()},
        "trace_id": record.trace_id[:16].hex() or None,
        "span_id": int.from_bytes(span_id, "big") or None,
        "service": source.service,
        "environment": source.environment,
    }


def _amount(fields: Mapping[str, str], name: str) -> Decimal | None:
    text = fields.get(name)
    if not text:
        return None
    try:
        amount = Decimal(text[:LONGEST_NUMBER])
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount < _MOST:
        raise RejectedError(f"{semconv.BUDGET_EVENT_PREFIX}{name} is no amount from 0 to below {_MOST}")
    return amount.quantize(_TRILLIONTH)
