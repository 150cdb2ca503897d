"""The only writer of the ledger's DuckDB file.

Calls are queued, and a writer thread commits everything that waits in one transaction: the commit grows with the load.
The future of a batch resolves when its transaction has committed, so acknowledged means that it is in the file.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from otel_cost_exporter import database, migrate, statements
from otel_cost_exporter.batch import join
from otel_cost_exporter.errors import LedgerBusyError, LedgerDownError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_cost_exporter.batch import Batch

_logger = logging.getLogger(__name__)

MOST_WAITING: Final = 200_000
"""Rows that may wait to be committed: what a flood may take of memory, some 200 MB."""
_MOST_AT_ONCE: Final = 50_000
_DAY_US: Final = 86_400_000_000


@dataclass(frozen=True, slots=True)
class _Waiting:
    batch: Batch
    committed: Future[None]


class Ledger:
    """The books, open for writing.

    Args:
        path: the DuckDB file; made where it is missing, brought to the newest schema where it is older.
        most_waiting: rows that may wait to be committed before `add` refuses more.

    Raises:
        LedgerFileError: the file cannot be opened; `LedgerLockedError` where another process has it.
    """

    def __init__(self, path: Path, *, most_waiting: int = MOST_WAITING) -> None:
        self.path: Final = path.absolute()
        self.failure: str | None = None
        """Why the last commit failed; None while the books can be written."""
        self._most_waiting: Final = most_waiting
        self.connection: Final = database.connect(self.path, read_only=False)
        try:
            migrate.upgrade(self.connection, self.path)
        except BaseException:
            self.connection.close()
            raise
        self._cursor: Final = self.connection.cursor()
        self._dimensions: set[str] = {name for (name,) in self._run("queries/dimensions").fetchall()}
        self._queue: list[_Waiting] = []
        self._rows_waiting = 0
        self._closing = False
        self._changed: Final = threading.Condition()
        self._writer: Final = threading.Thread(target=self._write, name="otel-cost-ledger", daemon=True)
        self._writer.start()

    def add(self, batch: Batch) -> Future[None]:
        """Queue `batch`; the future resolves once it is committed, or fails with `LedgerDownError`.

        A call that stands in the books already is passed over, so whatever failed may be sent again.

        Raises:
            LedgerBusyError: too much waits already.
            LedgerDownError: the ledger is closed.
        """
        rows = batch.calls.num_rows
        with self._changed:
            if self._closing:
                raise LedgerDownError("the ledger is closing")
            if self._queue and self._rows_waiting + rows > self._most_waiting:
                raise LedgerBusyError(f"{self._rows_waiting} calls wait to be written: send these again in a moment")
            committed: Future[None] = Future()
            committed.set_running_or_notify_cancel()  # whoever waits may go away; the batch is written all the same
            self._queue.append(_Waiting(batch, committed))
            self._rows_waiting += rows
            self._changed.notify_all()
        return committed

    def close(self) -> None:
        """Commit what waits, then close the file."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._writer.join()
        self._cursor.close()
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self) -> None:
        while group := self._next_group():
            self._commit(group)
            with self._changed:
                self._rows_waiting -= sum(waiting.batch.calls.num_rows for waiting in group)

    def _next_group(self) -> list[_Waiting]:
        """What is committed next, at least one batch; nothing once the ledger closes and all is written."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            rows = count = 0
            while count < len(self._queue) and (not count or rows < _MOST_AT_ONCE):
                rows += self._queue[count].batch.calls.num_rows
                count += 1
            group, self._queue = self._queue[:count], self._queue[count:]
        return group

    def _commit(self, group: list[_Waiting]) -> None:
        """Commit `group` in one transaction, or, where that fails, each batch alone: one must not spoil the others."""
        try:
            self._transaction(join([waiting.batch for waiting in group]))
        except Exception as error:  # noqa: BLE001 - whatever fails, its senders must hear of it and the writer goes on
            if len(group) > 1:
                for waiting in group:
                    self._commit([waiting])
                return
            self._failed(error)
            group[0].committed.set_exception(LedgerDownError(f"{self.path} cannot be written: {self.failure}"))
            return
        self.failure = None
        for waiting in group:
            waiting.committed.set_result(None)

    def _failed(self, error: Exception) -> None:
        lines = str(error).splitlines()
        before, self.failure = self.failure, lines[0] if lines else type(error).__name__
        if before is None:  # said once, not for every batch that comes until it is over
            _logger.error("%s cannot be written: %s", self.path, self.failure)

    def _transaction(self, batch: Batch) -> None:
        new_dimensions = batch.dimensions - self._dimensions
        self._cursor.begin()
        try:
            for day in _by_day(batch.calls):
                self._insert("writes/calls", day)
            if batch.limits.num_rows:
                self._insert("writes/limits", batch.limits)
            if new_dimensions:
                self._run("writes/dimensions", names=sorted(new_dimensions))
            self._cursor.commit()
        except BaseException:
            self._roll_back()
            raise
        self._dimensions |= new_dimensions

    def _roll_back(self) -> None:
        try:
            self._cursor.rollback()
        except duckdb.Error as error:  # a failed commit has ended its transaction by itself
            _logger.debug("nothing to roll back: %s", error)

    def _insert(self, statement: str, rows: pa.Table) -> None:
        self._cursor.register("batch", rows)  # replaces the one of the statement before
        self._run(statement)

    def _run(self, statement: str, **parameters: object) -> duckdb.DuckDBPyConnection:
        return self._cursor.execute(statements.load(statement), parameters)


def _by_day(calls: pa.Table) -> Iterator[pa.Table]:
    """`calls` split by the day of their start, oldest first.

    The key is led by the time: a statement whose rows are all of one day touches a small part of its index, while one
    straggler among today's rows makes a statement read all that lies between.
    """
    days = pc.divide(calls["start_ts"].cast(pa.int64()), _DAY_US)
    found = sorted(pc.unique(days).to_pylist())
    if len(found) == 1:
        yield calls
    else:
        for day in found:
            yield calls.filter(pc.equal(days, day))
