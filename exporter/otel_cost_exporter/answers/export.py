"""All calls that are asked for, as a stream: ``/v1/export``. However many they are, few are in memory at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from otel_cost_exporter.answers.calls import call
from otel_cost_exporter.answers.rows import Rows
from otel_cost_exporter.file import statements

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from otel_cost_exporter.answers.question import Question

TAKES: Final = frozenset({"since", "until", "tz", "view"})
_AT_ONCE: Final = 4096


def batches(cursor: duckdb.DuckDBPyConnection, asked: Question) -> pa.RecordBatchReader:
    """The calls in the order in which the books took them, as Arrow, whose times say that they are UTC."""
    query, parameters = _query(cursor, asked)
    found = cursor.sql(query, params=parameters).to_arrow_reader(_AT_ONCE)
    return _with_times(found, pa.timestamp("us", "UTC"))


def plain_rows(batches: pa.RecordBatchReader) -> Iterator[dict[str, Any]]:
    """The rows of `batches`, with times as the books have them, UTC without a zone: with one they take long to make."""
    for batch in _with_times(batches, pa.timestamp("us")):
        yield from batch.to_pylist()


def _with_times(batches: pa.RecordBatchReader, kind: pa.DataType) -> pa.RecordBatchReader:
    """`batches` with times of `kind`."""
    fields = (field.with_type(kind) if pa.types.is_timestamp(field.type) else field for field in batches.schema)
    return batches.cast(pa.schema(list(fields)))


def rows(cursor: duckdb.DuckDBPyConnection, asked: Question) -> Iterator[dict[str, Any]]:
    """The same as rows, not yet in words: each a `shapes.Call`, or of the view ``focus``."""
    found = cursor.execute(*_query(cursor, asked))
    names = [column[0] for column in found.description or ()]
    while some := found.fetchmany(_AT_ONCE):
        for row in some:
            named = dict(zip(names, row, strict=True))
            yield named if asked.view == "focus" else call(named)


def _query(cursor: duckdb.DuckDBPyConnection, asked: Question) -> tuple[str, dict[str, Any]]:
    which = Rows.of(cursor, asked)
    return statements.query("focus" if asked.view == "focus" else "export", where=which.where), which.parameters
