"""Calls one by one: ``/v1/calls``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_cost_exporter.answers.paging import USUAL, Order, cut, order_of, place_of
from otel_cost_exporter.answers.rows import Rows
from otel_cost_exporter.answers.words import plain
from otel_cost_exporter.file import statements

if TYPE_CHECKING:
    import duckdb

    from otel_cost_exporter.answers.question import Question

    Document = dict[str, Any]

_IDENTITY: Final = ("start_ts", "trace_id", "span_id")
_TYPES: Final = ("TIMESTAMP", "UUID", "UBIGINT")


def _by(column: str, kind: str) -> Order:
    return Order(column, _IDENTITY, (kind, *_TYPES))


ORDERS: Final = {
    "newest": Order("start_ts", _IDENTITY[1:], _TYPES),
    "oldest": Order("start_ts", _IDENTITY[1:], _TYPES, ascending=True),
    "cost": _by("cost", "DECIMAL(38, 12)"),
    "input_tokens": _by("input_tokens", "HUGEINT"),
    "output_tokens": _by("output_tokens", "HUGEINT"),
    "duration": _by("epoch_us(end_ts) - epoch_us(start_ts)", "HUGEINT"),
}


def calls(cursor: duckdb.DuckDBPyConnection, asked: Question) -> Document:
    """A page of calls, the newest first unless another order is asked for."""
    sort, order = order_of(asked, ORDERS)
    place = place_of(asked, sort, order)
    rows = Rows.of(cursor, asked)
    limit = asked.limit or USUAL
    query = statements.query(
        "calls_page",
        where=rows.where,
        after="" if place is None else order.after(place, rows.parameters),
        place=order.places,
        order=order.sql,
    )
    found = statements.rows(statements.ask(cursor, query, {**rows.parameters, "limit": limit + 1}))
    page, more = cut(found, limit, sort, order)
    return {"calls": [call(row) for row in page], "next": more, "complete_since": rows.complete_since}


def call(row: Document) -> Document:
    """`row` with amounts that are no money as plain texts."""
    row["audio_seconds"], row["units"] = plain(row["audio_seconds"]), plain(row["units"])
    for line in row["lines"] or ():
        line["quantity"] = plain(line["quantity"])
    row["extra"] = row["extra"] or {}
    return row
