"""The runs that stand in the books: ``/v1/runs``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_cost_exporter.answers.counting import counted, first
from otel_cost_exporter.answers.paging import USUAL, Order, next_of, order_of, place_of

if TYPE_CHECKING:
    import duckdb

    from otel_cost_exporter.answers.question import Question

    Document = dict[str, Any]

EXTENT: Final = {"first_call": "min(first_ts)", "last_call": "max(last_ts)", "projects": "list(DISTINCT payer)"}
"""Beside the figures of a run."""
ORDERS: Final = {
    "newest": Order("first_call", ("by_0",), ("TIMESTAMP", "VARCHAR")),
    "oldest": Order("first_call", ("by_0",), ("TIMESTAMP", "VARCHAR"), ascending=True),
    "cost": Order("cost_usd", ("by_0",), ("DECIMAL(38, 12)", "VARCHAR")),
    "calls": Order("calls", ("by_0",), ("HUGEINT", "VARCHAR")),
}
_OF: Final = {"newest": "first_call", "oldest": "first_call", "cost": "cost_usd", "calls": "calls"}


def runs(cursor: duckdb.DuckDBPyConnection, asked: Question) -> Document:
    """A page of runs, the newest first unless another order is asked for."""
    sort, order = order_of(asked, ORDERS)
    place = place_of(asked, sort, order)
    limit = asked.limit or USUAL
    what = counted(cursor, asked, ("run",), named=True)
    what = what.only(f"{what.columns['run']} IS NOT NULL")
    if asked.search is not None:
        what = what.only(f"contains(lower({what.columns['run']}), lower($search))")
        what.parameters["search"] = asked.search
    found = first(
        cursor,
        what,
        "run",
        limit + 1,
        also=EXTENT,
        over={},
        order=order.sql,
        having="" if place is None else order.after(place, what.parameters),
    )
    page = [run_row(row) for row in found[:limit]]
    more = next_of(sort, (page[-1][_OF[sort]], page[-1]["run"])) if len(found) > limit else None
    return {"runs": page, "next": more, "complete_since": what.complete_since}


def run_row(row: Document) -> Document:
    """`row` with its projects in order."""
    return row | {"projects": sorted(name for name in row["projects"] if name is not None)}
