"""The only writer of the ledger's DuckDB file.

Two threads work on what comes, as on a belt: one decodes whatever waits, all together, and one commits whatever is
decoded, in one transaction, so the commit grows with the load. The future of a parcel resolves when its transaction has
committed: acknowledged means that it is in the file.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from otel_cost_exporter.decode import decode
from otel_cost_exporter.errors import LedgerDownError
from otel_cost_exporter.file import migrate
from otel_cost_exporter.file.database import Database
from otel_cost_exporter.writing.apart import write_apart
from otel_cost_exporter.writing.faults import Faults
from otel_cost_exporter.writing.late import tell_late
from otel_cost_exporter.writing.line import Line
from otel_cost_exporter.writing.steady import SteadyWriter
from otel_cost_exporter.writing.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import duckdb
    import pyarrow as pa

    from otel_cost_exporter.decode import Decoded
    from otel_cost_exporter.decode.batch import Batch
    from otel_cost_exporter.decode.parcel import Parcel, Receipt

MOST_WAITING: Final = 8 * 1024 * 1024
"""Bytes of spans that may wait to be decoded."""
_MOST_AT_ONCE: Final = 7 * 1024 * 1024
"""Bytes of spans that are decoded together, and that may wait to be committed: some 10,000 spans. With fewer a span
takes more of the processor, a tenth with 5 MiB; with more a flood takes more memory."""
_MOST_COMMITTED: Final = 8 * 1024 * 1024
_IDLE_SECONDS: Final = 1.0
"""After so long without anything to commit, the writer tidies up."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Waiting:
    parcel: Parcel
    committed: Future[Receipt]


@dataclass(frozen=True, slots=True)
class _Group:
    """Parcels that were decoded together; None where that failed."""

    waiting: list[_Waiting]
    decoded: Decoded | None


@dataclass(frozen=True, slots=True)
class _Chore:
    """Work of another kind that is done between two commits."""

    work: Callable[[duckdb.DuckDBPyConnection], Any]
    done: Future[Any]


class Ledger:
    """The books, open for writing.

    Args:
        path: the DuckDB file; made where it is missing, brought to the newest schema where it is older.
        most_waiting: bytes of spans that may wait before `add` refuses more.

    Raises:
        LedgerFileError: the file cannot be opened; `LedgerLockedError` where another process has it.
    """

    def __init__(self, path: Path, *, most_waiting: int = MOST_WAITING) -> None:
        self.path: Final = path.absolute()
        self.database: Final = Database(self.path, read_only=False)
        try:
            with closing(self.database.cursor()) as cursor:
                migrate.upgrade(cursor, self.path)
            self._writer: Final = SteadyWriter(self.database)
        except BaseException:
            self.database.close()
            raise
        self._faults: Final = Faults()
        self._arrived: Final = Line[_Waiting](most_waiting)
        self._decoded: Final = Line[_Group | _Chore](_MOST_AT_ONCE)
        self._threads: Final = [
            threading.Thread(target=work, name=f"otel-cost-{name}", daemon=True)
            for name, work in (("decoder", self._decode), ("writer", self._write))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def failure(self) -> str | None:
        """Why the file cannot be written; None while it can be."""
        return self._writer.failure

    def add(self, parcel: Parcel, patience: float = 0.0) -> Future[Receipt]:
        """Queue `parcel`; the future resolves once it is committed, or fails with `LedgerDownError`.

        A call that stands in the books already is passed over, so whatever failed may be sent again.

        Args:
            parcel: what `decode.walk.walk` found in a request.
            patience: seconds to wait for room.

        Raises:
            LedgerBusyError: too much waits already.
            LedgerDownError: the file cannot be written now, or the ledger is closed.
        """
        if self.failure is not None:
            raise self._down()
        committed: Future[Receipt] = Future()
        committed.set_running_or_notify_cancel()  # whoever waits may go away; the parcel is written all the same
        self._arrived.put(_Waiting(parcel, committed), parcel.size, patience)
        return committed

    def do(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> Future[T]:
        """Have the writer do `work`, in a transaction of its own; the future resolves once that is committed.

        Raises:
            LedgerDownError: the ledger is closed.
        """
        done: Future[T] = Future()
        done.set_running_or_notify_cancel()
        self._decoded.put(_Chore(work, done), 0, None)
        return done

    def close(self) -> None:
        """Commit what waits, then close the file."""
        self._arrived.close()
        for thread in self._threads:
            thread.join()
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _decode(self) -> None:
        while waiting := self._arrived.take(_MOST_AT_ONCE):
            decoded = None
            try:
                decoded = decode([each.parcel for each in waiting])
            except Exception as error:  # noqa: BLE001 - whatever it is
                self._faults.tell("Spans cannot be decoded together: they are, one after the other", error)
            self._decoded.put(_Group(waiting, decoded), sum(each.parcel.size for each in waiting), None)
        self._decoded.close()

    def _write(self) -> None:
        while not self._decoded.ended:
            found = self._decoded.take(_MOST_COMMITTED, _IDLE_SECONDS)
            groups = [each for each in found if isinstance(each, _Group)]
            self._commit([group for group in groups if group.decoded])
            self._commit_apart([group for group in groups if not group.decoded])
            for each in found:
                if isinstance(each, _Chore):
                    _settle(each.done, partial(self._transaction, each.work))
            if not found:
                self._writer.watch()
            self._writer.mend()
            self._tend(idle=not found)
        self._tend(idle=True)

    def _tend(self, *, idle: bool) -> None:
        try:
            self._writer.run(partial(Writer.tend, idle=idle))
        except LedgerDownError:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is
            self._faults.tell("Sums are not merged, or put in order: they are right without it, and slower", error)

    def _commit(self, groups: list[_Group]) -> None:
        """Commit `groups` in one transaction, or, where something in them does not let that happen, one by one."""
        decoded = [group.decoded for group in groups if group.decoded]
        waiting = [each for group in groups for each in group.waiting]
        if not decoded:
            return
        try:
            late = self._writer.run(partial(Writer.write, batches=[each.batch for each in decoded]))
            receipts = [receipt for each in decoded for receipt in each.receipts]
            tell_late([each.parcel for each in waiting], receipts, late)
        except LedgerDownError as error:
            for each in waiting:
                each.committed.set_exception(error)
        except Exception as error:  # noqa: BLE001 - whatever it is
            self._faults.tell("Calls cannot be written together: they are, one request after the other", error)
            self._commit_apart(groups)
        else:
            for each, receipt in zip(waiting, receipts, strict=True):
                each.committed.set_result(receipt)

    def _commit_apart(self, groups: list[_Group]) -> None:
        for group in groups:
            for each in group.waiting:
                _settle(each.committed, partial(write_apart, each.parcel, self._write_alone, self._faults))

    def _write_alone(self, batch: Batch) -> pa.Table:
        return self._writer.run(partial(Writer.write, batches=[batch]))

    def _transaction(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        return self._writer.run(lambda writer: writer.transaction(work))

    def _down(self) -> LedgerDownError:
        return LedgerDownError(f"{self.path} cannot be written: {self.failure}")


def _settle(future: Future[T], work: Callable[[], T]) -> None:
    """Do `work` for `future`."""
    try:
        done = work()
    except Exception as error:  # noqa: BLE001 - whoever waits for it must hear of it, and the thread goes on
        future.set_exception(error)
    else:
        future.set_result(done)
