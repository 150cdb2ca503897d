"""The runs of a project through time: ``/v1/projects/{id}``."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from otel_cost import money
from otel_cost_exporter.answers.counting import counted, first, sums
from otel_cost_exporter.answers.paging import USUAL
from otel_cost_exporter.answers.runs import EXTENT, run_row
from otel_cost_exporter.errors import NotInBooksError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import duckdb

    from otel_cost_exporter.answers.question import Question

    Document = dict[str, Any]

_COMPARED: Final = 10
"""The last runs are compared with as many before them, at most so many."""


def project(cursor: duckdb.DuckDBPyConnection, asked: Question, id: str) -> Document:  # noqa: A002 - what it is
    """A project: its last runs, what they came to, and whether they get more or less expensive."""
    asked = replace(asked, filters={**asked.filters, "project": (id,)})
    whole = counted(cursor, asked)
    total = sums(cursor, whole, (), also={"rows": "sum(row_count)"})[0]
    if not total.pop("rows"):
        raise NotInBooksError(f"no call of project {id!r} is in the books")
    limit = asked.limit or USUAL
    what = counted(cursor, asked, ("run",), named=True)
    key = what.columns["run"]
    cumulative = f"sum(sum(cost)) OVER (ORDER BY min(first_ts), {key})"
    found = first(
        cursor,
        what.only(f"{key} IS NOT NULL"),
        "run",
        max(limit, 2 * _COMPARED),
        also=EXTENT,
        over={"cumulative_cost_usd": cumulative, "run_count": "count(*) OVER ()"},
        order="first_call DESC, by_0 DESC",
    )
    count = max((row.pop("run_count") for row in found), default=0)
    history = [run_row(row) for row in reversed(found)]
    _count_units(cursor, asked, history)
    return {
        "project": id,
        "total": total,
        "run_count": count,
        "runs": history[-limit:],
        "trend": _trend(history, asked.per),
        "complete_since": what.complete_since,
    }


def _count_units(cursor: duckdb.DuckDBPyConnection, asked: Question, history: Sequence[Document]) -> None:
    """How many units of work each run did, where a unit is named."""
    done: dict[str, int] = {}
    if asked.per is not None and history:
        since = min(row["first_call"] for row in history)
        what = counted(cursor, replace(asked, since=since), ("run", asked.per), by_rows=True)
        units = {"units": f"count(DISTINCT {what.columns[asked.per]})"}
        done = {row["run"]: row["units"] for row in sums(cursor, what, ("run",), also=units)}
    for row in history:
        row["units"] = done.get(row["run"], 0) if asked.per is not None else None


def _trend(history: Sequence[Document], per: str | None) -> Document:
    count = min(_COMPARED, len(history) // 2)
    recent, before = history[len(history) - count :], history[len(history) - 2 * count : len(history) - count]

    def change(units: Callable[[Document], int | Decimal]) -> Document:
        return _change(_typical(recent, units), _typical(before, units))

    return {
        "runs": count,
        "per_run": change(lambda _: 1),
        "per_call": change(lambda row: row["calls"]),
        "per_1000_output_tokens": change(lambda row: Decimal(row["output_tokens"]) / 1000),
        "per_unit": None if per is None else change(lambda row: row["units"]),
    }


def _typical(runs: Sequence[Document], units: Callable[[Document], int | Decimal]) -> Decimal | None:
    """The median of what a unit cost in `runs`, of those whose cost is known in full."""
    known = [
        row["cost_usd"] / units(row)
        for row in runs
        if row["cost_usd"] is not None and not row["unknown_calls"] and units(row)
    ]
    return money.usd(median(known)) if known else None


def _change(recent: Decimal | None, before: Decimal | None) -> Document:
    return {"recent_usd": recent, "before_usd": before, "change": change(recent, before)}


def change(recent: Decimal | None, before: Decimal | None) -> float | None:
    """How much more `recent` is than `before`, as a share of that; None where one of both is not known."""
    return None if recent is None or not before else round(float(recent / before) - 1, 4)
