"""Calls that come when calls of their time are no longer kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.message import DecodeError

from otel_cost_exporter.decode.batch import QUARANTINE
from otel_cost_exporter.decode.lean import LeanSpan
from otel_cost_exporter.file import statements

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import duckdb

    from otel_cost_exporter.decode.parcel import Parcel, Receipt

_TOO_OLD: Final = "the call is older than calls are kept"


def kept(cursor: duckdb.DuckDBPyConnection) -> dict[str, datetime]:
    """From when ``calls`` and ``rollups`` are kept, where some were pruned."""
    return dict(cursor.execute(statements.load("queries/kept")).fetchall())


def in_time(calls: pa.Table, since: datetime | None) -> tuple[pa.Table, pa.Table]:
    """Those of `calls` that are from `since` on, and the rows of the quarantine for the others.

    The others may have been in the books before, and their sums still are, so they would count twice.
    """
    if since is None:
        return calls, QUARANTINE.empty_table()
    is_old = pc.less(calls["start_ts"], pa.scalar(since, calls.schema.field("start_ts").type))
    old = calls.filter(is_old)
    if not old.num_rows:
        return calls, QUARANTINE.empty_table()
    columns = {
        "start_ts": old["start_ts"],
        "trace_id": old["trace_id"],
        "span_id": pa.array([f"{span_id:016x}" for span_id in old["span_id"].to_pylist()]),
        "service": old["service"],
        "model": pc.coalesce(old["response_model"], old["request_model"]),
        "reason": pa.array([_TOO_OLD] * old.num_rows),
    }
    return calls.filter(pc.invert(is_old)), pa.table(columns, schema=QUARANTINE)


def tell_late(parcels: Sequence[Parcel], receipts: Sequence[Receipt], late: pa.Table) -> None:
    """Tell in `receipts`, one for each of `parcels`, of the calls that are in the quarantine's rows of `in_time`.

    OTLP has a sender told how many of its spans are rejected. It does not send them again for that.
    """
    if not late.num_rows:
        return
    ids = set(zip(late["trace_id"].to_pylist(), late["span_id"].to_pylist(), strict=True))
    for parcel, receipt in zip(parcels, receipts, strict=True):
        for message, source in zip(parcel.spans, parcel.sources, strict=True):
            if _ids(message) in ids:
                receipt.reject(_TOO_OLD, source.service)


def _ids(message: bytes) -> tuple[str, str] | None:
    try:
        span = LeanSpan.FromString(message)
    except DecodeError:  # which is in the quarantine for that
        return None
    return span.trace_id.hex(), span.span_id.hex()
