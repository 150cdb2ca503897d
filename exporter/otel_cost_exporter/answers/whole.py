"""What one run or one scene cost, and its parts: ``/v1/runs/{id}`` and ``/v1/scenes/{id}``."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from otel_cost_exporter.answers.adding import ADDENDS, added
from otel_cost_exporter.answers.counting import counted, sections, sums
from otel_cost_exporter.answers.paging import USUAL
from otel_cost_exporter.answers.runs import EXTENT
from otel_cost_exporter.errors import NotInBooksError
from otel_cost_exporter.file import statements

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb

    from otel_cost_exporter.answers.question import Question

    Document = dict[str, Any]

_MOMENT: Final = timedelta(microseconds=1)
_RUN_SECTIONS: Final = {
    "stages": ("stage", "model"),
    "by_stage": ("stage",),
    "by_role": ("role",),
    "by_scene": ("scene",),
}
_SCENE_SECTIONS: Final = {
    "stages": ("stage", "model"),
    "by_stage": ("stage",),
    "by_role": ("role",),
    "by_run": ("run",),
}


def run(cursor: duckdb.DuckDBPyConnection, asked: Question, id: str) -> Document:  # noqa: A002 - what it is
    """A run, its parts, and its budget."""
    whole, _ = _whole(cursor, asked, "run", id, _RUN_SECTIONS, most={})
    return whole | _budget(cursor, id, whole["total"])


def scene(cursor: duckdb.DuckDBPyConnection, asked: Question, id: str) -> Document:  # noqa: A002 - what it is
    """A scene, over all its runs, and its parts; of the runs the dearest."""
    most = {"by_run": asked.limit or USUAL}
    whole, counts = _whole(cursor, asked, "scene", id, _SCENE_SECTIONS, most=most)
    return whole | {"run_count": counts["by_run"]}


def _whole(
    cursor: duckdb.DuckDBPyConnection,
    asked: Question,
    dimension: str,
    id: str,  # noqa: A002 - what it is
    parts: dict[str, tuple[str, ...]],
    *,
    most: dict[str, int],
) -> tuple[Document, dict[str, int]]:
    asked = replace(asked, filters={**asked.filters, dimension: (id,)})
    what = counted(cursor, asked, ("model",))
    by_model = sums(cursor, what, ("model",), also={**EXTENT, **ADDENDS})
    if not by_model:
        raise NotInBooksError(f"no call of {dimension} {id!r} is in the books")
    extent = {
        "first_call": min(row["first_call"] for row in by_model),
        "last_call": max(row["last_call"] for row in by_model),
        "projects": sorted({name for row in by_model for name in row["projects"] if name is not None}),
    }
    names = list(dict.fromkeys(name for keys in parts.values() for name in keys))
    by_rows = counted(cursor, _between(asked, extent["first_call"], extent["last_call"]), names, by_rows=True)
    found, counts = sections(cursor, by_rows, parts, most)
    return {
        dimension: id,
        **extent,
        "total": added(by_model, ())[0],
        **found,
        "by_model": added(by_model, ("model",)),
        "complete_since": by_rows.complete_since,
    }, counts


def _between(asked: Question, first: datetime, last: datetime) -> Question:
    """`asked` of the time in which there are calls alone."""
    until = last + _MOMENT
    return replace(
        asked,
        since=first if asked.since is None else max(asked.since, first),
        until=until if asked.until is None else min(asked.until, until),
    )


def _budget(cursor: duckdb.DuckDBPyConnection, id: str, total: Document) -> Document:  # noqa: A002 - what it is
    tokens = total["input_tokens"] + total["output_tokens"]
    asked = {"dimension": "run", "id": id, "cost": total["cost_usd"], "waste": total["waste_usd"], "tokens": tokens}
    return statements.rows(cursor.execute(statements.load("queries/remaining"), asked))[0]
