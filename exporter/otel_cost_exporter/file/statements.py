"""The SQL, which lives in .sql files under ``sql/``."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

_SQL: Final = files("otel_cost_exporter") / "sql"
_PARAMETER: Final = re.compile(r"\$(\w+)")
_MIGRATION: Final = re.compile(r"(\d{4})_\w+\.sql\Z")


@cache
def load(name: str) -> str:
    """The text of ``sql/<name>.sql``."""
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """Number and text of every migration, in the order in which they run."""
    found = ((match, file) for file in (_SQL / "migrations").iterdir() if (match := _MIGRATION.match(file.name)))
    return tuple(sorted((int(match[1]), file.read_text(encoding="utf-8")) for match, file in found))


def insert(query: str, **pieces: str) -> str:
    """`query` with `pieces` at its markers.

    A marker is ``/* where */``, or, around what the query runs with by itself, ``/* order: */ ... /* :order */``.
    """
    for name, piece in pieces.items():
        marker = rf"/\* {name} \*/|/\* {name}: \*/.*?/\* :{name} \*/"
        query = piece.join(re.split(marker, query, flags=re.DOTALL))
    return query


def query(name: str, **pieces: str) -> str:
    """The text of ``sql/queries/<name>.sql`` with `pieces` at its markers."""
    return insert(load(f"queries/{name}"), **pieces)


def ask(cursor: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, Any]) -> duckdb.DuckDBPyConnection:
    """Run `query` with those of `parameters` that it names: DuckDB takes no others."""
    named = set(_PARAMETER.findall(query))
    return cursor.execute(query, {name: value for name, value in parameters.items() if name in named})


def rows(found: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """The rows that a statement found, by the names of its columns."""
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
