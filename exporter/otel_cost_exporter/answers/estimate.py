"""What calls cost, one by one and a run of them together: ``/v1/estimate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_cost_exporter.answers.rows import Rows
from otel_cost_exporter.file import statements

if TYPE_CHECKING:
    import duckdb

    from otel_cost_exporter.answers.question import Question


def estimate(cursor: duckdb.DuckDBPyConnection, asked: Question) -> dict[str, Any]:
    """The estimate of the calls that are asked for."""
    rows = Rows.of(cursor, asked)
    query = statements.query("estimate", where=rows.where)
    return statements.rows(cursor.execute(query, rows.parameters))[0]
