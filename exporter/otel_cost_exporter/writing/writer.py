"""One transaction of the books: what was decoded goes in, each call once."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

import duckdb
import pyarrow as pa

from otel_cost_exporter.decode.batch import EVENTS
from otel_cost_exporter.file import statements
from otel_cost_exporter.writing import late, rollups
from otel_cost_exporter.writing.dedupe import Dedupe
from otel_cost_exporter.writing.order import Order

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_cost_exporter.decode.batch import Batch
    from otel_cost_exporter.file.database import Database

_logger = logging.getLogger(__name__)

_ENOUGH_IN_LOG: Final = 98_304
"""Calls that are moved from the log to the file together. DuckDB stores up to 122,880 of them as a group; where four
groups fit into three it writes them all anew, at a later checkpoint, which took as long as to write them at first."""

T = TypeVar("T")


class Writer:
    """Writes to `database`, in one thread."""

    def __init__(self, database: Database) -> None:
        self._cursor: Final = database.cursor()
        self._dedupe: Final = Dedupe(self._cursor)
        self._rollups: Final = rollups.Rollups(self._cursor)
        self._order: Final = Order()
        self._in_log = 0
        self._kept_since = self._read_kept_since()
        self._dimensions: set[str] = {name for (name,) in self._run("queries/dimensions").fetchall()}

    def write(self, batches: list[Batch]) -> pa.Table:
        """Commit all of it in one transaction, or raise and leave the books as they are.

        Returns:
            Those rows of the quarantine that are of calls older than calls are kept.
        """
        new_dimensions = set[str]().union(*(batch.dimensions for batch in batches)) - self._dimensions
        received = {"received_ts": datetime.now(UTC).replace(tzinfo=None)}
        self._cursor.begin()
        try:
            calls, too_old = late.in_time(pa.concat_tables(batch.calls for batch in batches), self._kept_since)
            fresh = self._dedupe.fresh(calls)
            self._insert("writes/replaced", "gone", fresh.replaced)
            if fresh.calls.num_rows:
                self._insert("writes/calls", "fresh", fresh.calls, **received)
                self._rollups.append()
            self._insert("writes/limits", "batch", pa.concat_tables(batch.limits for batch in batches))
            quarantine = pa.concat_tables([too_old, *(batch.quarantine for batch in batches)])
            self._insert("writes/quarantine", "batch", quarantine, **received)
            events = pa.Table.from_pylist([event for batch in batches for event in batch.events], schema=EVENTS)
            self._insert("writes/budget_events", "batch", events, **received)
            if new_dimensions:
                self._run("writes/dimensions", names=sorted(new_dimensions))
            self._cursor.commit()
        except BaseException:
            self._roll_back()
            raise
        self._dedupe.committed(fresh)
        self._in_log += fresh.calls.num_rows
        self._dimensions |= new_dimensions
        return too_old

    def probe(self) -> None:
        """See whether the file can be written: raise what is wrong with it."""
        self.transaction(lambda cursor: cursor.execute(statements.load("writes/probe")))

    def close(self) -> None:
        """Let go of the file."""
        self._cursor.close()

    def tend(self, *, idle: bool) -> None:
        """Merge fresh sums, put past ones in order, and move calls from the log to the file, where that is due."""
        if self._rollups.are_due(idle=idle):
            self._rollups.merged(self.transaction(rollups.merge))
        if self._order.is_due():
            self.transaction(self._order.put)
        if self._in_log >= _ENOUGH_IN_LOG:
            self._move()

    def transaction(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """What `work` gives, done in a transaction of its own."""
        self._cursor.begin()
        try:
            done = work(self._cursor)
            self._cursor.commit()
        except BaseException:
            self._roll_back()
            raise
        self._kept_since = self._read_kept_since()
        return done

    def _move(self) -> None:
        with suppress(duckdb.TransactionException):  # somebody else writes just now: after the next commit, then
            self._run("writes/moved")
            self._in_log = 0

    def _read_kept_since(self) -> datetime | None:
        return late.kept(self._cursor).get("calls")

    def _roll_back(self) -> None:
        try:
            self._cursor.rollback()
        except duckdb.Error as error:  # a failed commit has ended its transaction by itself
            _logger.debug("nothing to roll back: %s", error)

    def _insert(self, statement: str, name: str, rows: pa.Table | None, **parameters: object) -> None:
        if rows is not None and rows.num_rows:
            self._cursor.register(name, rows)  # replaces the one of the statement before
            self._run(statement, **parameters)

    def _run(self, statement: str, **parameters: object) -> duckdb.DuckDBPyConnection:
        return self._cursor.execute(statements.load(statement), parameters)
