"""A writer that outlives what happens to its file: a full disk, one that became read-only, a DuckDB that gave up."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from typing import TYPE_CHECKING, Final, TypeVar

import duckdb

from otel_cost_exporter.errors import LedgerDownError, LedgerError
from otel_cost_exporter.writing.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_cost_exporter.file.database import Database

_logger = logging.getLogger(__name__)

_PAUSE_SECONDS: Final = 1.0
_LEAST_FREE: Final = 16 * 2**20
"""Bytes on the disk with which writing begins again."""
_OF_THE_FILE: Final = (
    *(duckdb.OperationalError, duckdb.FatalException, duckdb.InternalError, duckdb.InterruptException),
    *(LedgerError, OSError),
)
"""What says that the file cannot be written, whatever is to be written: of a row, DuckDB raises other errors."""

T = TypeVar("T")


class SteadyWriter:
    """The `Writer` of `database`, and a new one when the file had to be opened again. For one thread.

    Attributes:
        failure: why the file cannot be written; None while it can be.
    """

    def __init__(self, database: Database) -> None:
        self.failure: str | None = None
        self._database: Final = database
        self._writer: Writer | None = Writer(database)
        self._tried = 0.0

    def run(self, work: Callable[[Writer], T]) -> T:
        """What `work` gives.

        Raises:
            LedgerDownError: the file cannot be written, or could not be a moment ago.
        """
        if self.failure is None and self._writer is not None:
            try:
                return work(self._writer)
            except _OF_THE_FILE as error:
                self._failed(error)
        raise LedgerDownError(f"{self._database.path} cannot be written: {self.failure}")

    def mend(self) -> None:
        """Where the file could not be written, see whether it can be again, now and then."""
        if self.failure is None or time.monotonic() < self._tried + _PAUSE_SECONDS:
            return
        self._tried = time.monotonic()
        try:
            self._check_room()
            self._mended().probe()
        except _OF_THE_FILE as error:
            self._failed(error)
        else:
            self.failure = None
            _logger.warning("%s can be written again", self._database.path)

    def watch(self) -> None:
        """See whether DuckDB has given up while somebody else worked on the file."""
        if self.failure is None and not self._database.is_sound():
            self.failure = "DuckDB has given up on it"

    def _check_room(self) -> None:
        """A disk that is full has often room for a little, so that it would be written and full again by turns."""
        if shutil.disk_usage(self._database.path.parent).free < _LEAST_FREE:
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: less than {_LEAST_FREE // 2**20} MiB are free")

    def _mended(self) -> Writer:
        if not self._database.is_sound():
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            self._database.reopen()
        if self._writer is None:
            self._writer = Writer(self._database)
        return self._writer

    def _failed(self, error: Exception) -> None:
        self._tried = time.monotonic()
        lines = str(error).splitlines()
        before, self.failure = self.failure, lines[0] if lines else type(error).__name__
        if before is None:  # said once, not every time until it is over
            _logger.error("%s cannot be written: %s", self._database.path, self.failure)
