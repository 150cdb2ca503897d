"""What happened to budgets: ``/v1/budgets/events``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_cost.semconv import DIMENSIONS
from otel_cost_exporter.answers.paging import USUAL, Order, cut, order_of, place_of
from otel_cost_exporter.answers.rows import Bound
from otel_cost_exporter.answers.words import amount, plain
from otel_cost_exporter.file import statements

if TYPE_CHECKING:
    import duckdb

    from otel_cost_exporter.answers.question import Question

    Document = dict[str, Any]

_TOLD_WITH: Final = ("service", "environment", "model")
FILTERS: Final = (*DIMENSIONS, *_TOLD_WITH)
"""What events may be filtered by, beside the user's own dimensions: whose budget it is, and what is told with it."""
ORDERS: Final = {
    "newest": Order("event_ts", ("event_id",), ("TIMESTAMP", "UUID")),
    "oldest": Order("event_ts", ("event_id",), ("TIMESTAMP", "UUID"), ascending=True),
}
_AMOUNTS: Final = ("limit", "spent", "held", "call")


def events(cursor: duckdb.DuckDBPyConnection, asked: Question) -> Document:
    """A page of what happened to budgets, the newest first unless another order is asked for."""
    sort, order = order_of(asked, ORDERS)
    place = place_of(asked, sort, order)
    bound, limit = Bound(), asked.limit or USUAL
    query = statements.query(
        "budget_events",
        where=_where(asked, bound),
        after="" if place is None else order.after(place, bound.parameters),
        place=order.places,
        order=order.sql,
    )
    found = statements.rows(statements.ask(cursor, query, {**bound.parameters, "limit": limit + 1}))
    page, more = cut(found, limit, sort, order)
    return {"events": [_event(row) for row in page], "next": more}


def _where(asked: Question, bound: Bound) -> str:
    """The SQL of the conditions. A budget has one dimension: where several are named, it is of one of them."""
    times = {"event_ts >=": asked.since, "event_ts <": asked.until}
    conditions = [f"{column} {bound.one(moment)}" for column, moment in times.items() if moment is not None]
    owners = []
    for name, ids in asked.filters.items():
        if name in _TOLD_WITH:
            conditions.append(f"{name} IN ({bound.all(ids)})")
        else:
            owners.append(f"(dimension = {bound.one(name)} AND id IN ({bound.all(ids)}))")
    conditions += [f"({' OR '.join(owners)})"] if owners else []
    return "".join(f" AND {condition}" for condition in conditions)


def _event(row: Document) -> Document:
    """`row` with its amounts as texts in the unit of the budget."""
    row |= {name: amount(row[name], row["unit"]) for name in _AMOUNTS if row[name] is not None}
    row["share"] = plain(row["share"])
    return row
