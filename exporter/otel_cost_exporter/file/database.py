"""The ledger's DuckDB file, open."""

from __future__ import annotations

import re
import threading
import time
import weakref
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final

import duckdb

from otel_cost_exporter.errors import LedgerDownError, LedgerFileError, LedgerLockedError

if TYPE_CHECKING:
    from pathlib import Path

_CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    # What is committed stays in memory until it is moved from the log to the file. For calls the writer sees to that,
    # after a commit; this is for what is written otherwise, and holds up the commit that reaches it.
    "checkpoint_threshold": "192MB",
    # The rest of the process needs twice as much. What does not fit goes to a file for a while.
    "memory_limit": "160MB",
    # The ledger needs no extension, and must never reach for the network to get one.
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    # What a statement names is in the file or registered, and never a variable of ours that happens to be called so.
    "python_enable_replacements": "false",
}
_PATIENCE_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.01


class Database:
    """A DuckDB file that stays open, also over an error after which DuckDB refuses all further work.

    May be used by many threads at once. Whoever works on it asks for a cursor each time, and closes it soon.

    Args:
        path: the file; for writing it is made, with its folder, where it is missing.

    Raises:
        LedgerLockedError: another process has it open.
        LedgerFileError: it cannot be opened for another reason.
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path: Final = path
        self._read_only: Final = read_only
        self._connection: duckdb.DuckDBPyConnection | None = _connect(path, read_only=read_only)
        self._is_down = False
        self._cursors: Final[weakref.WeakSet[duckdb.DuckDBPyConnection]] = weakref.WeakSet()
        self._lock: Final = threading.Lock()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of one's own: a result that is not read to its end blocks only the connection that it is on.

        Raises:
            LedgerDownError: the file cannot be opened again for now.
        """
        with self._lock:
            if self._connection is None or self._is_down:
                raise LedgerDownError(f"{self.path} cannot be opened again for now")
            found = self._connection.cursor()
            self._cursors.add(found)
        return found

    def is_sound(self) -> bool:
        """Whether DuckDB still works on the file: after some errors it refuses everything until it is opened again."""
        try:
            with closing(self.cursor()) as cursor:
                cursor.execute("SELECT 1")
        except (duckdb.Error, LedgerDownError):
            return False
        return True

    def reopen(self) -> None:
        """Close the file, which breaks off all work on it, and open it again.

        Raises:
            LedgerFileError: it cannot be opened for now; there are no cursors until this succeeds.
        """
        with self._lock:
            self._is_down = True
            self._await_cursors()
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._connection = _connect(self.path, read_only=self._read_only)
            self._is_down = False

    def close(self) -> None:
        """Close the file and all cursors."""
        with self._lock:
            for cursor in list(self._cursors):
                cursor.close()
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _await_cursors(self) -> None:
        """Break off what is under way, and wait until it has ended: until then DuckDB keeps the file open as it was."""
        give_up = time.monotonic() + _PATIENCE_SECONDS
        while any(map(_interrupt, list(self._cursors))):
            if time.monotonic() > give_up:
                raise LedgerFileError(f"{self.path} cannot be opened again: questions to it are still being answered")
            time.sleep(_PAUSE_SECONDS)


def make_private(path: Path) -> None:
    """Let only its user read the file at `path`, where its file system knows of users: it says who spent what."""
    with suppress(OSError):
        path.chmod(0o600)


def _interrupt(cursor: duckdb.DuckDBPyConnection) -> bool:
    """Break off what `cursor` is at; whether it is still open."""
    try:
        cursor.interrupt()
    except duckdb.ConnectionException:
        return False
    return True


def _connect(path: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    try:
        str(path).encode()  # DuckDB takes no other name, and fails on one with an error of C++
        if not read_only:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_new = not path.exists()
        connection = duckdb.connect(path, read_only=read_only, config=_CONFIG)
    except (duckdb.Error, OSError, UnicodeEncodeError) as error:
        reason = str(error).splitlines()[0]
        if "Could not set lock" in reason or "Conflicting lock" in reason:
            holder = re.search(r"PID \d+", reason)
            raise LedgerLockedError(
                f"{path} is open in another process: {holder[0] if holder else reason}. Stop it, or ask it, "
                "if it is otel-cost serve"
            ) from None
        if path.is_file() and not path.stat().st_size:
            reason = "it is an empty file. Delete it, and otel-cost serve makes a ledger there"
        raise LedgerFileError(f"{path} cannot be opened as a ledger: {reason}") from None
    if is_new:
        make_private(path)
    return connection
