"""What the books are made of: ``/v1/dimensions`` and ``/v1/schemas``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_cost.budgets import schemas as published
from otel_cost.semconv import DIMENSIONS
from otel_cost_exporter.answers import shapes
from otel_cost_exporter.file import statements

if TYPE_CHECKING:
    import duckdb

    from otel_cost_exporter.answers.question import Question

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def dimensions(cursor: duckdb.DuckDBPyConnection, _: Question) -> dict[str, Any]:
    """The dimensions that occur in the books: the shipped ones in their order, then the user's own by name."""
    found = [row["dimension"] for row in statements.rows(cursor.execute(statements.load("queries/dimensions")))]
    shipped = [name for name in DIMENSIONS if name in found]
    return {"dimensions": shipped + [name for name in found if name not in DIMENSIONS]}


def schemas(_: duckdb.DuckDBPyConnection, __: Question) -> dict[str, Any]:
    """JSON Schemas of the public shapes: what people write, and what otel-cost answers and sends."""
    return {"schemas": dict(sorted({**published.schemas(), **answers()}.items()))}


def answers() -> dict[str, dict[str, Any]]:
    """The JSON Schema of each answer that is a public shape, by its name."""
    written = {shape.__name__: shape.model_json_schema(mode="serialization") for shape in shapes.ANSWERS}
    return {name: {"$schema": _DIALECT, **schema} for name, schema in written.items()}
