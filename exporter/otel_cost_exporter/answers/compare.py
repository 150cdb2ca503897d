"""What calls would have cost with other models: ``/v1/compare``."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from otel_cost_exporter.answers import what_if
from otel_cost_exporter.answers.rows import Rows
from otel_cost_exporter.answers.what_if import Alike
from otel_cost_exporter.errors import NotInBooksError, QuestionError
from otel_cost_exporter.file import statements

if TYPE_CHECKING:
    import duckdb

    from otel_cost_exporter.answers.question import Question

    Document = dict[str, Any]


def compare(cursor: duckdb.DuckDBPyConnection, asked: Question) -> Document:
    """What the calls cost, and what they would have cost with each model that is named instead."""
    if not asked.instead:
        raise QuestionError("instead is missing: name another model, as in instead=gpt-4o-mini")
    rows = Rows.of(cursor, asked)
    query = statements.query("alike", where=rows.where)
    found = statements.rows(cursor.execute(query, rows.parameters))
    if not found:
        raise NotInBooksError("none of the calls that are asked for is in the books")
    calls = [row for row in found if not row["embeds"]]
    total = {name: sum(row[name] for row in calls) for name in ("calls", "estimated_calls", "unknown_calls")}
    return {
        **total,
        "cost_usd": _cost(calls, total),
        "left_out_calls": sum(row["calls"] for row in found if row["embeds"]),
        "answered_by": _answered_by(calls),
        "models": [what_if.with_model(map(Alike.of, calls), name) for name in asked.instead],
        "complete_since": rows.complete_since,
    }


def _cost(calls: list[Document], total: Document) -> Decimal | None:
    if total["calls"] and total["calls"] == total["unknown_calls"]:
        return None
    return sum((row["cost"] for row in calls if row["cost"] is not None), Decimal(0))


def _answered_by(calls: list[Document]) -> list[str]:
    """The models of `calls`, the one that cost most first."""
    costs: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in calls:
        if row["model"] is not None:
            costs[row["model"]] += row["cost"] or 0
    return sorted(costs, key=lambda model: (-costs[model], model))
