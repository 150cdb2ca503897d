"""Draining the spool: segments that applications left go into the books, then away.

A segment is deleted only after its calls have committed, and a call counts once however often it comes, so a drain that
was killed is simply done again. What has the name of a segment and is no whole one is set aside, with the reason in a
file beside it. What has any other name is not ours: the folder may be one that holds a person's own files.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_cost import settings
from otel_cost_exporter import segments
from otel_cost_exporter.decode.logs import walk_logs
from otel_cost_exporter.decode.walk import walk
from otel_cost_exporter.errors import LedgerBusyError, LedgerDownError, MalformedError, SpoolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from otel_cost_exporter.decode.parcel import Parcel, Receipt
    from otel_cost_exporter.writing.ledger import Ledger

_logger = logging.getLogger(__name__)

ASIDE: Final = "set-aside"
"""The subfolder of the spool for what cannot go into the books."""
_AT_ONCE: Final = 64  # segments that commit together: what a drain takes of memory
_PAUSE_SECONDS: Final = 1.0  # how long a busy ledger is waited for at once
_UNFINISHED_SECONDS: Final = 3600.0  # a segment that is unfinished for so long was left by a process that died
_NAMES_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Contents:
    """What a spool folder holds.

    Attributes:
        folder: where all this is.
        segments: the files that a drain takes, in order; but for those that are still being written.
        foreign: the names of what is no segment and stays untouched, but for hidden files.
    """

    folder: Path
    segments: tuple[Path, ...]
    foreign: tuple[str, ...]

    @property
    def remarks(self) -> tuple[str, ...]:
        """A line for the user about what is left alone, where there is any."""
        more = len(self.foreign) - _NAMES_SHOWN
        shown = (name if name.isprintable() else repr(name) for name in self.foreign[:_NAMES_SHOWN])
        names = ", ".join(shown) + (f" and {more} more" if more > 0 else "")
        return (f"Spool {self.folder} holds what is no segment, and it is left alone: {names}",) if names else ()


@dataclass(frozen=True, slots=True)
class Drained:
    """What became of a drain.

    Attributes:
        segments: how many it took into the books.
        left: a line for each file that it could not read, move or delete, and that it leaves for the next drain.
    """

    segments: int
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Taken:
    """A segment whose calls are on their way into the books."""

    path: Path
    committed: Future[Receipt]


def prepare(folder: Path) -> None:
    """Make the spool `folder` where it is missing, and see that segments can be taken out of it.

    Raises:
        SpoolError: they cannot.
    """
    with _errors_of(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise _unusable(folder, "it cannot be read and written")


def look(folder: Path) -> Contents | None:
    """What the spool `folder` holds now; None where nobody has made it yet.

    Raises:
        SpoolError: it cannot be read.
    """
    found: list[Path] = []
    foreign: list[str] = []
    with _errors_of(folder):
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if _is_segment(entry):
                        found.append(Path(entry.path))
                    elif not entry.name.startswith(".") and entry.name != ASIDE:
                        foreign.append(entry.name)
        except FileNotFoundError:
            return None
    return Contents(folder, tuple(sorted(found)), tuple(sorted(foreign)))


def waiting(folder: Path) -> int:
    """How many segments wait in the spool `folder`.

    Raises:
        SpoolError: it cannot be read.
    """
    contents = look(folder)
    return 0 if contents is None else len(contents.segments)


def set_aside(folder: Path) -> int:
    """How many segments of the spool `folder` are set aside.

    Raises:
        SpoolError: it cannot be read.
    """
    aside = folder / ASIDE
    with _errors_of(aside):
        names = [path.name for path in aside.iterdir()] if aside.exists() else []
    return sum(segments.is_name(name) or segments.is_unfinished_name(name) for name in names)


def drain(folder: Path, ledger: Ledger) -> Drained:
    """Take every segment that is in the spool `folder` now into `ledger`, oldest first.

    Raises:
        LedgerDownError: the books cannot be written; what is not written stays in the spool.
        SpoolError: the spool cannot be read.
    """
    contents = look(folder)
    return Drained(0) if contents is None else _drain(contents, ledger)


def _drain(contents: Contents, ledger: Ledger) -> Drained:
    drained, left = 0, list[str]()
    for start in range(0, len(contents.segments), _AT_ONCE):
        taken: list[_Taken] = []
        for path in contents.segments[start : start + _AT_ONCE]:
            with _left_on_error(path, left):
                taken += _take(path, ledger)
        for one in taken:
            with _left_on_error(one.path, left):
                _finish(one)
        drained += len(taken)
    return Drained(drained, tuple(left))


@contextmanager
def _left_on_error(path: Path, left: list[str]) -> Iterator[None]:
    """A file that cannot be read, moved or deleted, or be written, is noted in `left` and keeps no other waiting."""
    try:
        yield
    except LedgerDownError:  # which none can be written to
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is
        reason = error.strerror or error if isinstance(error, OSError) else type(error).__name__
        left.append(f"Spool file {path} is not drained for now: {reason}")


@contextmanager
def _errors_of(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        is_file = isinstance(error, FileExistsError) or (isinstance(error, NotADirectoryError) and folder.is_file())
        raise _unusable(folder, "it is no folder" if is_file else error.strerror or str(error)) from None


def _unusable(folder: Path, reason: str) -> SpoolError:
    return SpoolError(f"spool {folder} cannot be used: {reason}. Choose another with --spool or {settings.SPOOL.name}")


def _is_segment(entry: os.DirEntry[str]) -> bool:
    """Whether a drain takes it: a whole segment, or one that whoever wrote it will not finish."""
    if not entry.is_file(follow_symlinks=False):
        return False
    if segments.is_unfinished_name(entry.name):
        return _written(entry) < time.time() - _UNFINISHED_SECONDS
    return segments.is_name(entry.name)


def _written(entry: os.DirEntry[str]) -> float:
    """When the file was last written; now, where nobody can tell: it may just have got its final name."""
    try:
        return entry.stat().st_mtime
    except OSError:
        return time.time()


def _take(path: Path, ledger: Ledger) -> Iterator[_Taken]:
    """Queue the calls of the segment at `path`, where it is a whole one and no other drain has it."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    reason = segments.check(path.name, content)
    if reason is None:
        try:
            parcel = walk_logs(content) if segments.holds_logs(path.name) else walk(content)
        except MalformedError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it would be the same the next time
            reason = f"it cannot be read: {type(error).__name__}"
        else:
            yield _Taken(path, _queue(parcel, ledger))
            return
    _set_aside(path, reason)


def _queue(parcel: Parcel, ledger: Ledger) -> Future[Receipt]:
    while True:
        try:
            return ledger.add(parcel, _PAUSE_SECONDS)
        except LedgerBusyError:  # senders over the network come first; the spool can wait
            continue


def _finish(taken: _Taken) -> None:
    rejections = taken.committed.result().rejections
    if rejections:  # nobody else has these calls
        reasons = "; ".join(rejections)
        _set_aside(taken.path, f"{rejections.total()} of its calls are not in the books: {reasons}")
    else:
        taken.path.unlink(missing_ok=True)


def _set_aside(path: Path, reason: str) -> None:
    """Move the file to the subfolder, where nothing drains it, and leave the reason beside it."""
    aside = path.parent / ASIDE
    aside.mkdir(mode=0o700, exist_ok=True)
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
        self._foreign_said = False
        self._troubles: tuple[str, ...] = ()
        self._thread: Final = threading.Thread(target=self._run, name="otel-cost-spool", daemon=True)

    def start(self) -> None:
        """Begin to drain."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the drain that is under way, and stop."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def drain(self) -> None:
        """Drain once, and log what is in the way; each trouble once until it is over, not every second."""
        try:
            contents = look(self._folder)
            if contents is not None and not self._foreign_said:
                self._say(contents.remarks)
                self._foreign_said = bool(contents.remarks)
            troubles = () if contents is None else _drain(contents, self._ledger).left
        except (LedgerDownError, SpoolError) as error:
            troubles = (f"Spool {self._folder} is not drained for now: {error}",)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next drain may do better
            troubles = (f"Spool {self._folder} is not drained for now: {type(error).__name__}",)
        self._say(line for line in troubles if line not in self._troubles)
        self._troubles = troubles

    def _run(self) -> None:
        while True:
            self.drain()
            if self._stop.wait(self._seconds):
                return

    def _say(self, lines: Iterable[str]) -> None:
        for line in lines:
            _logger.warning("%s", line)
