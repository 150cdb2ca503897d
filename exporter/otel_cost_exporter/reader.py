"""The only reader of the books: every question is answered from ``sql/queries/``, as a document ready for JSON.

Money in a document is an exact decimal string, and None where it is unknown.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Self

from otel_cost import money
from otel_cost.semconv import DIMENSIONS
from otel_cost_exporter import database, migrate, question, statements
from otel_cost_exporter.question import FIGURES, GROUPINGS, TIME_BUCKETS, Question

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import duckdb

    Document = dict[str, Any]


class Reader:
    """Answers questions about the books. May be used by many threads at once.

    Args:
        connection: an open ledger; it is closed with the reader only where `open_file` made it.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection: Final = connection

    @classmethod
    def open_file(cls, path: Path) -> Self:
        """A reader of a ledger file that no other process has open.

        Raises:
            LedgerFileError: the file cannot be opened; `LedgerLockedError` where another process has it.
        """
        connection = database.connect(path, read_only=True)
        try:
            migrate.require(connection, path)
        except BaseException:
            connection.close()
            raise
        return cls(connection)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def calls(self) -> int:
        """How many calls stand in the books."""
        with self._cursor() as cursor:
            return int(_rows(cursor, "queries/calls")[0]["calls"])

    def dimensions(self) -> list[str]:
        """The dimensions that occur in the books: the shipped ones in their order, then the user's own by name."""
        with self._cursor() as cursor:
            found = [row["dimension"] for row in _rows(cursor, "queries/dimensions")]
        return [name for name in DIMENSIONS if name in found] + [name for name in found if name not in DIMENSIONS]

    def budgets(self) -> list[Document]:
        """Every budget that was seen and what is spent of it, the most used first."""
        with self._cursor() as cursor:
            return [_in_words(row) for row in _rows(cursor, "queries/budgets")]

    def summary(self, parameters: Iterable[tuple[str, str]]) -> Document:
        """What was spent: ``{"rows": [...], "total": {...}}``.

        Args:
            parameters: name and value of each parameter of the question; see `question.read`.

        Raises:
            QuestionError: a parameter is unknown or cannot be read.
        """
        asked = question.read(parameters, self.dimensions())
        with self._cursor() as cursor:
            cursor.begin()  # so that rows and total tell of the same moment
            total = _ask(cursor, Question((), asked.filters, asked.since, asked.until))[0]
            rows = _ask(cursor, asked) if asked.by else []
            cursor.rollback()
        return {"rows": rows, "total": total}

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for one question: a result that is not read to its end blocks only the cursor that it is on."""
        with closing(self._connection.cursor()) as cursor:
            yield cursor


def _ask(cursor: duckdb.DuckDBPyConnection, asked: Question) -> list[Document]:
    """Run ``summary.sql`` with what `asked` inserts at its markers."""
    parameters: dict[str, object] = {}
    keys = {f"by_{number}": name for number, name in enumerate(asked.by)}
    conditions: list[str] = []
    for name, operator in (("since", ">="), ("until", "<")):
        if (moment := getattr(asked, name)) is not None:
            conditions.append(f"AND start_ts {operator} ${name}")
            parameters[name] = moment
    for number, (name, wanted) in enumerate(asked.filters.items()):
        conditions.append(f"AND list_contains($wanted_{number}::VARCHAR[], {_column(name, parameters)})")
        parameters[f"wanted_{number}"] = list(wanted)
    query = _insert(
        by="".join(f"{_column(name, parameters)} AS {key}, " for key, name in keys.items()),
        where=" ".join(conditions),
        first="".join(f"{key}, " for key, name in keys.items() if name in TIME_BUCKETS),
        then="".join(f", {key}" for key in keys),
    )
    found = cursor.execute(query, parameters).fetchall()
    return [_in_words(dict(zip((*asked.by, *FIGURES), row, strict=True))) for row in found]


def _insert(**pieces: str) -> str:
    query = statements.load("queries/summary")
    for marker, piece in pieces.items():
        query = query.replace(f"/* {marker} */", piece)
    return query


def _column(name: str, parameters: dict[str, object]) -> str:
    """The SQL of what is grouped or filtered by: a column of the allow-list, else a dimension of the user's own.

    The name of such a dimension came from outside, so it goes into `parameters` and never into the SQL.
    """
    if name in GROUPINGS:
        return f'"{name}"'
    parameter = f"own_{len(parameters)}"
    parameters[parameter] = name
    return f"extra[${parameter}]"


def _rows(cursor: duckdb.DuckDBPyConnection, statement: str) -> list[Document]:
    found = cursor.execute(statements.load(statement))
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _in_words(row: Document) -> Document:
    """`row` ready for JSON."""
    return {name: _in_word(value) for name, value in row.items()}


def _in_word(value: object) -> object:
    """Money as an exact decimal string, a time as ISO 8601 in UTC, anything else as it is."""
    if isinstance(value, Decimal):
        return money.text(value)
    if isinstance(value, datetime):
        return f"{value.isoformat()}Z"
    return value.isoformat() if isinstance(value, date) else value
