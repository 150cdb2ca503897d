"""Spans read one by one: those that are not as most senders write them, and those that come alone."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from google.protobuf.message import DecodeError

from otel_cost import semconv
from otel_cost_exporter.decode import careful
from otel_cost_exporter.decode.batch import CALLS, LIMITS, QUARANTINE
from otel_cost_exporter.decode.call_row import EARLIEST_NS, RejectedError
from otel_cost_exporter.decode.lean import LeanSpan
from otel_cost_exporter.decode.parcel import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_cost_exporter.decode.parcel import Source

_MODELS: Final = (semconv.GEN_AI_RESPONSE_MODEL, semconv.GEN_AI_REQUEST_MODEL)
_LONGEST_SHOWN: Final = 100
_EMPTY: Final = {schema: schema.empty_table() for schema in (CALLS, LIMITS, QUARANTINE)}


class Alone:
    """What spans that are read one by one bring.

    Args:
        parcels: how many parcels the spans are from.
        latest_ns: Unix time in nanoseconds after which no call can have started.
    """

    def __init__(self, parcels: int, latest_ns: int) -> None:
        self.receipts: Final = [Receipt(Counter(), Counter()) for _ in range(parcels)]
        self._latest_ns: Final = latest_ns
        self._calls: Final[list[dict[str, Any]]] = []
        self._limits: Final[list[dict[str, Any]]] = []
        self._quarantine: Final[list[Mapping[str, Any]]] = []

    def add(self, message: bytes, source: Source, parcel: int) -> None:
        """Read the span in `message`, which came with the parcel of the number `parcel`."""
        receipt = self.receipts[parcel]
        span = LeanSpan()
        try:
            span.ParseFromString(message)
            row = careful.row(span, source, self._latest_ns)
        except DecodeError:
            self._reject(LeanSpan(), source, "a span cannot be parsed", receipt)
            return
        except RejectedError as reason:
            self._reject(span, source, str(reason), receipt)
            return
        if row is None:
            return
        self._calls.append(row)
        for limit in careful.limits(span, row):
            if isinstance(limit, str):
                receipt.warnings[limit] += 1
            else:
                self._limits.append(limit)

    def refuse(self, rows: Sequence[Mapping[str, Any]], receipt: Receipt) -> None:
        """Have `rows` in the quarantine, which came with the parcel of `receipt`."""
        for row in rows:
            receipt.reject(row["reason"], row["service"])
        self._quarantine.extend(rows)

    def calls(self) -> pa.Table:
        """The rows of the calls."""
        return _table(self._calls, CALLS)

    def limits(self) -> pa.Table:
        """The limits that they carried."""
        return _table(self._limits, LIMITS)

    def quarantine(self) -> pa.Table:
        """The calls that cannot stand in the books."""
        return _table(self._quarantine, QUARANTINE)

    def _reject(self, span: Any, source: Source, reason: str, receipt: Receipt) -> None:
        start = span.start_time_unix_nano
        attributes = {item.key: item.value.string_value for item in span.attributes if item.key in _MODELS}
        model = next((attributes[key] for key in _MODELS if attributes.get(key)), None)
        row = {
            "start_ts": start // 1000 if EARLIEST_NS <= start <= self._latest_ns else None,
            "trace_id": span.trace_id[:16].hex() or None,
            "span_id": span.span_id[:8].hex() or None,
            "service": source.service,
            "model": model and model[:_LONGEST_SHOWN],
            "reason": reason,
        }
        self.refuse([row], receipt)


def _table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema) if rows else _EMPTY[schema]
