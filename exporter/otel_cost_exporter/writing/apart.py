"""Parcels of which something cannot be decoded or written, for a reason that nobody foresaw: the rest of them is."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from otel_cost_exporter.decode import decode
from otel_cost_exporter.decode.batch import CALLS, LIMITS, QUARANTINE, Batch
from otel_cost_exporter.decode.parcel import Receipt
from otel_cost_exporter.errors import LedgerDownError
from otel_cost_exporter.writing.late import tell_late

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_cost_exporter.decode.parcel import Parcel
    from otel_cost_exporter.writing.faults import Faults

REASON: Final = "it cannot be written: the ledger's log says why"


def write_apart(parcel: Parcel, write: Callable[[Batch], pa.Table], faults: Faults) -> Receipt:
    """Write `parcel` in ever smaller parts until the part that cannot be written is alone, and goes to the quarantine.

    Args:
        parcel: spans that could not be written, alone or with others.
        write: commits a batch, and gives the rows of the quarantine for calls that came too late.
        faults: is told of what cannot be written.

    Raises:
        LedgerDownError: the file cannot be written.
    """
    try:
        decoded = decode([parcel])
        too_late = write(decoded.batch)
    except LedgerDownError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not keep the other calls out of the books
        if len(parcel.spans) + len(parcel.events) > 1:
            return _join([write_apart(part, write, faults) for part in _halves(parcel)])
        faults.tell("A call is not in the books", error)
        rows, receipt = _refused(parcel), Receipt(Counter(), Counter())
        quarantine = pa.Table.from_pylist(rows, schema=QUARANTINE)
        write(Batch(CALLS.empty_table(), LIMITS.empty_table(), quarantine, frozenset()))
        for row in rows:
            receipt.reject(row["reason"], row["service"])
        return receipt
    tell_late([parcel], decoded.receipts, too_late)
    return decoded.receipts[0]


def _halves(parcel: Parcel) -> list[Parcel]:
    half = (len(parcel.spans) + len(parcel.events)) // 2
    spans, events = min(half, len(parcel.spans)), max(half - len(parcel.spans), 0)
    first = replace(parcel, spans=parcel.spans[:spans], sources=parcel.sources[:spans], events=parcel.events[:events])
    second = replace(parcel, spans=parcel.spans[spans:], sources=parcel.sources[spans:], events=parcel.events[events:])
    return [first, replace(second, refused=[])]


def _join(receipts: list[Receipt]) -> Receipt:
    joined = Receipt(Counter(), Counter())
    for receipt in receipts:
        joined.rejections.update(receipt.rejections)
        joined.warnings.update(receipt.warnings)
        for reason, services in receipt.services.items():
            joined.services.setdefault(reason, set()).update(services)
    return joined


def _refused(parcel: Parcel) -> list[Mapping[str, Any]]:
    services = [*(source.service for source in parcel.sources), *(event["service"] for event in parcel.events)]
    return [*parcel.refused, *({"service": service, "reason": REASON} for service in services)]
