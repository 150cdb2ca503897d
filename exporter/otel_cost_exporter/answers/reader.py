"""The only reader of the books: every question is answered from ``sql/queries/``, as a document ready for JSON.

Money in a document is an exact decimal string, and None where it is unknown.
"""

from __future__ import annotations

import logging
from contextlib import closing, contextmanager
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final, Self

import duckdb
import pyarrow as pa

from otel_cost import money
from otel_cost_exporter.answers import books, export, question, routes
from otel_cost_exporter.answers.counting import counted, spent
from otel_cost_exporter.answers.question import Question
from otel_cost_exporter.answers.words import in_words
from otel_cost_exporter.errors import LedgerDownError
from otel_cost_exporter.file import migrate, statements
from otel_cost_exporter.file.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    Document = dict[str, Any]

_logger = logging.getLogger(__name__)


class Reader:
    """Answers questions about the books. May be used by many threads at once.

    Args:
        database: an open ledger; it is closed with the reader only where `open_file` made it.
    """

    def __init__(self, database: Database) -> None:
        self._database: Final = database

    @classmethod
    def open_file(cls, path: Path) -> Self:
        """A reader of a ledger file that no other process has open.

        Raises:
            LedgerFileError: the file cannot be opened; `LedgerLockedError` where another process has it.
        """
        database = Database(path, read_only=True)
        try:
            with closing(database.cursor()) as cursor:
                migrate.require(cursor, path)
        except BaseException:
            database.close()
            raise
        return cls(database)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def ask(self, path: str, parameters: Iterable[tuple[str, str]] = ()) -> Document:
        """The answer to the question at `path`; see `books.Books`."""
        asked, answer = self.answer(path, parameters)
        return {name: in_words(value, asked.tz) for name, value in answer.items()}

    def answer(self, path: str, parameters: Iterable[tuple[str, str]] = ()) -> tuple[Question, Document]:
        """The question at `path`, and its answer, not yet in words: money is `Decimal`, times are UTC without a zone.

        Raises:
            QuestionError: a parameter is unknown or cannot be read; `NotInBooksError` where there is nothing.
            LedgerDownError: the file cannot be read now.
        """
        route, ids = routes.find(path)
        with self.reading() as cursor:
            own = books.dimensions(cursor, Question())["dimensions"] if route.filters else ()
            asked = question.read(parameters, own, route.takes, filters=route.filters)
            return asked, route.answer(cursor, asked, *ids)

    @contextmanager
    def export(self, parameters: Iterable[tuple[str, str]] = ()) -> Iterator[pa.RecordBatchReader]:
        """All calls that are asked for, as Arrow; see `books.Books`."""
        # Whoever stops early leaves a result open, and with it DuckDB ends no transaction.
        with self._exporting(parameters) as (cursor, asked), export.batches(cursor, asked) as batches:
            yield pa.RecordBatchReader.from_batches(batches.schema, self._read(batches))

    def _read(self, batches: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        """`batches` one by one. What goes wrong in DuckDB meanwhile is an error of the operating system to Arrow."""
        try:
            yield from batches
        except OSError as error:
            raise self._down(error) from error

    def export_rows(self, parameters: Iterable[tuple[str, str]]) -> Iterator[Document]:
        """The same row by row, each a `shapes.Call`, or of the view ``focus``."""
        with self._exporting(parameters) as (cursor, asked):
            for row in export.rows(cursor, asked):
                yield {name: in_words(value, asked.tz) for name, value in row.items()}

    @contextmanager
    def _exporting(self, parameters: Iterable[tuple[str, str]]) -> Iterator[tuple[duckdb.DuckDBPyConnection, Question]]:
        with self.reading() as cursor:
            own = books.dimensions(cursor, Question())["dimensions"]
            yield cursor, question.read(parameters, own, export.TAKES)

    def calls(self) -> int:
        """How many calls stand in the books."""
        with self.reading() as cursor:
            return int(statements.rows(cursor.execute(statements.load("queries/calls")))[0]["calls"])

    def budgets(self, limit: int | None = None) -> list[Document]:
        """Every budget that was seen and what is spent of it, the most used first; up to `limit` of them."""
        return self._budgets({}) if limit is None else self.most_used_budgets(limit)[0]

    def budgets_of(self, ids: Iterable[tuple[str, str]]) -> list[Document]:
        """Those of `ids`, each with its dimension."""
        if not (pairs := list(ids)):
            return []
        where = "AND (dimension, id) IN (SELECT unnest($dimensions), unnest($ids))"
        return self._budgets({"dimensions": [name for name, _ in pairs], "ids": [id_ for _, id_ in pairs]}, where=where)

    def most_used_budgets(self, limit: int) -> tuple[list[Document], int]:
        """The first `limit` of `budgets`, and how many there are."""
        rows = self._budgets({"limit": limit}, also=", count(*) OVER () AS budgets", limit="LIMIT $limit")
        return rows, max((row.pop("budgets") for row in rows), default=0)

    def _budgets(self, parameters: Document, **pieces: str) -> list[Document]:
        with self.reading() as cursor:
            found = cursor.execute(statements.query("budgets", **pieces), parameters)
            return [in_words(row) for row in statements.rows(found)]

    @money.exactly
    def spent(self, dimension: str, id: str, since: datetime | None, before: datetime | None) -> Document:  # noqa: A002 - what it is
        """``spent_usd``, ``spent_tokens`` and number of the ``calls`` of `id` that started between two times.

        Without `since` that is all there ever was, also of the time whose sums have been pruned.
        """
        since, before = (moment and moment.astimezone(UTC).replace(tzinfo=None) for moment in (since, before))
        asked = Question((), {dimension: (id,)}, since, before)
        with self.reading() as cursor:
            found = spent(cursor, counted(cursor, asked))
            if since is not None:
                return found
            query = statements.load("queries/spent_before")
            before_that = statements.rows(cursor.execute(query, {"dimension": dimension, "id": id}))[0]
            return {name: found[name] + before_that[name] for name in found}

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for one question, in a transaction: all that is read tells of the same moment.

        Raises:
            LedgerDownError: the file cannot be read now; nothing else comes of a failure of DuckDB within.
        """
        try:
            with closing(self._database.cursor()) as cursor:
                cursor.begin()
                yield cursor
                cursor.rollback()
        except duckdb.Error as error:
            raise self._down(error) from error

    def _down(self, error: Exception) -> LedgerDownError:
        reason = str(error).partition("\n")[0]
        _logger.warning("A question to %s has no answer: %s", self._database.path, reason)
        return LedgerDownError(f"{self._database.path} cannot be read now: {reason}")
