"""What was spent, by whatever is asked: ``/v1/summary``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from otel_cost_exporter.answers.adding import ADDENDS, added
from otel_cost_exporter.answers.counting import counted, first, sums
from otel_cost_exporter.answers.question import TIME_BUCKETS
from otel_cost_exporter.errors import QuestionError

if TYPE_CHECKING:
    import duckdb

    from otel_cost_exporter.answers.counting import Counted
    from otel_cost_exporter.answers.question import Question

_MOST_ROWS: Final = 50_000
"""Rows of an answer without a limit. As JSON it takes some 3 kB of memory for each."""
_GROUPS: Final = {"groups": "count(*) OVER ()"}


def summary(cursor: duckdb.DuckDBPyConnection, asked: Question) -> dict[str, Any]:
    """The rows of `asked`, and the total of them all."""
    what = counted(cursor, asked)
    if asked.limit is None:
        all_or_one = f" QUALIFY count(*) OVER () <= {_MOST_ROWS} OR row_number() OVER () = 1" if asked.by else ""
        found = sums(cursor, what, asked.by, also={**ADDENDS, **_GROUPS}, having=all_or_one)
        if (count := max((row.pop("groups") for row in found), default=0)) > _MOST_ROWS:
            raise _too_many(asked, count)
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
    if len(asked.by) == 1 and asked.by[0] not in TIME_BUCKETS:
        return first(cursor, what, asked.by[0], asked.limit or 0, over=_GROUPS)
    return sums(cursor, what, asked.by, also=_GROUPS, limit=f"LIMIT {asked.limit}")


def _too_many(asked: Question, rows: int) -> QuestionError:
    return QuestionError(
        f"by {' and '.join(asked.by)} there are {rows:,} rows, and at most {_MOST_ROWS:,} are answered at once: give "
        "limit, which leaves out the others, filter, shorten the time, or export the calls"
    )
