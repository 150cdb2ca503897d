"""What was spent, by whatever is asked: ``/v1/summary``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from otel_cost_exporter.answers.adding import ADDENDS, added
from otel_cost_exporter.answers.counting import counted, first, sums
from otel_cost_exporter.answers.question import TIME_BUCKETS

if TYPE_CHECKING:
    import duckdb

    from otel_cost_exporter.answers.counting import Counted
    from otel_cost_exporter.answers.question import Question


def summary(cursor: duckdb.DuckDBPyConnection, asked: Question) -> dict[str, Any]:
    """The rows of `asked`, and the total of them all."""
    what = counted(cursor, asked)
    if asked.limit is None:
        found = sums(cursor, what, asked.by, also=ADDENDS)
        [total], rows, more = added(found, ()), found if asked.by else [], 0
        for row in rows:
            for name in ADDENDS:
                del row[name]
    else:
        [total] = sums(cursor, counted(cursor, replace(asked, by=())), ())
        rows = _rows(cursor, asked, what) if asked.by else []
        more = max((row.pop("groups") for row in rows), default=0) - len(rows)
    return {"rows": rows, "total": total, "more_rows": more, "complete_since": what.complete_since}


def _rows(cursor: duckdb.DuckDBPyConnection, asked: Question, what: Counted) -> list[dict[str, Any]]:
    groups = {"groups": "count(*) OVER ()"}
    if len(asked.by) == 1 and asked.by[0] not in TIME_BUCKETS:
        return first(cursor, what, asked.by[0], asked.limit or 0, over=groups)
    return sums(cursor, what, asked.by, also=groups, limit=f"LIMIT {asked.limit}")
