"""What came and cannot stand in the books: ``/v1/quarantine``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_cost_exporter.answers.paging import USUAL, Order, cut, order_of, place_of
from otel_cost_exporter.answers.rows import Bound
from otel_cost_exporter.file import statements

if TYPE_CHECKING:
    import duckdb

    from otel_cost_exporter.answers.question import Question

_ORDER: Final = ("last_received", ("reason", "coalesce(service, '')"), ("TIMESTAMP", "VARCHAR", "VARCHAR"))
_ORDERS: Final = {"newest": Order(*_ORDER), "oldest": Order(*_ORDER, ascending=True)}


def quarantine(cursor: duckdb.DuckDBPyConnection, asked: Question) -> dict[str, Any]:
    """A page of what came and cannot stand in the books, by the reason and the service; what came last comes first."""
    sort, order = order_of(asked, _ORDERS)
    place = place_of(asked, sort, order)
    bound, limit = Bound(), asked.limit or USUAL
    times = {"received_ts >=": asked.since, "received_ts <": asked.until}
    query = statements.query(
        "quarantine",
        where="".join(f" AND {column} {bound.one(moment)}" for column, moment in times.items() if moment is not None),
        after="" if place is None else order.after(place, bound.parameters),
        place=order.places,
        order=order.sql,
    )
    found = statements.rows(statements.ask(cursor, query, {**bound.parameters, "limit": limit + 1}))
    page, more = cut(found, limit, sort, order)
    return {"quarantine": page, "next": more}
