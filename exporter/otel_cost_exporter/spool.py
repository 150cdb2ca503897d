"""Draining the spool: segments that applications left go into the books, then away.

A segment is deleted only after its calls have committed, and a call counts once however often it comes, so a drain that
was killed is simply done again. What is no whole segment is set aside, with the reason in a file beside it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_cost_exporter import segments
from otel_cost_exporter.decode import decode
from otel_cost_exporter.errors import LedgerBusyError, LedgerDownError, MalformedError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from otel_cost_exporter.decode import Decoded
    from otel_cost_exporter.ledger import Ledger

_logger = logging.getLogger(__name__)

ASIDE: Final = "set-aside"
"""The subfolder of the spool for what cannot go into the books."""
_AT_ONCE: Final = 64  # segments that commit together: what a drain takes of memory
_PAUSE_SECONDS: Final = 0.05  # until a busy ledger is asked again
_UNFINISHED_SECONDS: Final = 3600.0  # a segment that is unfinished for so long was left by a process that died


@dataclass(frozen=True, slots=True)
class _Taken:
    """A segment whose calls are on their way into the books."""

    path: Path
    decoded: Decoded
    committed: Future[None] | None


def waiting(folder: Path) -> bool:
    """Whether anything waits in the spool `folder`."""
    return bool(_files(folder))


def drain(folder: Path, ledger: Ledger) -> int:
    """Take every segment that is in the spool `folder` now into `ledger`, oldest first; how many there were.

    Raises:
        LedgerDownError: the books cannot be written; what is not written stays in the spool.
        OSError: the spool cannot be read or changed.
    """
    paths = _files(folder)
    drained = 0
    for start in range(0, len(paths), _AT_ONCE):
        taken = [found for path in paths[start : start + _AT_ONCE] if (found := _take(path, ledger)) is not None]
        for one in taken:
            _finish(one)
        drained += len(taken)
    return drained


def _files(folder: Path) -> list[Path]:
    """The files of the spool in order, but for those that are still being written."""
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return []
    youngest = time.time() - _UNFINISHED_SECONDS
    return sorted(
        Path(entry.path)
        for entry in entries
        if entry.is_file(follow_symlinks=False)
        and (not entry.name.startswith(".") or (entry.name.endswith(segments.TEMPORARY) and _age(entry) < youngest))
    )


def _age(entry: os.DirEntry[str]) -> float:
    """When the file was last written; now, where it has just got its final name."""
    try:
        return entry.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def _take(path: Path, ledger: Ledger) -> _Taken | None:
    """Queue the calls of the segment at `path`; None where it is no segment, or another drain has it."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    reason = segments.check(path.name, content)
    if reason is None:
        try:
            decoded = decode(content)
        except MalformedError as error:
            reason = str(error)
        else:
            return _Taken(path, decoded, _queue(decoded, ledger))
    _set_aside(path, reason)
    return None


def _queue(decoded: Decoded, ledger: Ledger) -> Future[None] | None:
    while decoded.batch is not None:
        try:
            return ledger.add(decoded.batch)
        except LedgerBusyError:  # senders over the network come first; the spool can wait
            time.sleep(_PAUSE_SECONDS)
    return None


def _finish(taken: _Taken) -> None:
    if taken.committed is not None:
        taken.committed.result()
    if taken.decoded.rejected:
        _set_aside(taken.path, f"{taken.decoded.rejected} of its calls are not in the books. {taken.decoded.message}")
    else:
        taken.path.unlink(missing_ok=True)


def _set_aside(path: Path, reason: str) -> None:
    """Move the file to the subfolder, where nothing drains it, and leave the reason beside it."""
    aside = path.parent / ASIDE
    aside.mkdir(exist_ok=True)
    (aside / f"{path.name}.reason.txt").write_text(f"{reason}\n", encoding="utf-8")
    try:
        path.rename(aside / path.name)
    except FileNotFoundError:
        return
    _logger.warning("Spool file %s is set aside in %s: %s", path.name, aside, reason)


class Drainer:
    """Drains the spool `folder` into `ledger` in a thread: at once, and then every `seconds`."""

    def __init__(self, folder: Path, ledger: Ledger, seconds: float = 1.0) -> None:
        self._folder: Final = folder
        self._ledger: Final = ledger
        self._seconds: Final = seconds
        self._stop: Final = threading.Event()
        self._failure: str | None = None
        self._thread: Final = threading.Thread(target=self._run, name="otel-cost-spool", daemon=True)

    def start(self) -> None:
        """Begin to drain."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the drain that is under way, and stop."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._drain()
            if self._stop.wait(self._seconds):
                return

    def _drain(self) -> None:
        try:
            drain(self._folder, self._ledger)
        except (LedgerDownError, OSError) as error:
            if str(error) != self._failure:  # said once, not every second
                _logger.warning("Spool %s is not drained for now: %s", self._folder, error)
            self._failure = str(error)
        else:
            self._failure = None
