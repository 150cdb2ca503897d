"""Spool segments: files that hold calls until a ledger drains them.

A segment is one OTLP ``ExportTraceServiceRequest``, or ``ExportLogsServiceRequest``, nothing else. Its name starts with
the time of writing, so that names sort in order, is unique across processes and machines, and has the checksum of its
content, so that a torn one is known: ``<nanoseconds>-<process>-<random>.<crc32>.otlp``, or ``....logs.otlp``.

Applications write segments, so this module needs nothing but the standard library.
"""

from __future__ import annotations

import os
import re
import secrets
import time
import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_NAME: Final = re.compile(r"[0-9]{20}-[0-9]{1,10}-[0-9a-f]{16}\.([0-9a-f]{8})\.(?:logs\.)?otlp")
_TRACES: Final = ".otlp"
_LOGS: Final = ".logs.otlp"
_UNFINISHED_NAME: Final = re.compile(rf"\.{_NAME.pattern}\.tmp")


def write(folder: Path, content: bytes, *, logs: bool = False) -> Path:
    """Leave `content` in `folder` as a segment that survives a crash of the machine; its path.

    Args:
        folder: the spool; made where it is missing, for this user alone.
        content: the request.
        logs: whether it is a request of logs, not of traces.

    Raises:
        OSError: the folder cannot be made or written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    unique = f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(8)}"
    name = f"{unique}.{zlib.crc32(content):08x}{_LOGS if logs else _TRACES}"
    unfinished, path = folder / f".{name}.tmp", folder / name
    try:
        with unfinished.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync_folder(folder)
    return path


def is_name(name: str) -> bool:
    """Whether a file is called as `write` calls a segment. Nobody may touch a file of another name: it is not ours."""
    return _NAME.fullmatch(name) is not None


def holds_logs(name: str) -> bool:
    """Whether the segment with this name is a request of logs."""
    return name.endswith(_LOGS)


def is_unfinished_name(name: str) -> bool:
    """Whether a file is called as `write` calls a segment that it has not finished."""
    return _UNFINISHED_NAME.fullmatch(name) is not None


def check(name: str, content: bytes) -> str | None:
    """Why a file with the name of a segment, finished or not, is no whole one; None where it is."""
    found = _NAME.fullmatch(name)
    if found is None:
        return "whoever wrote it did not finish it"
    if zlib.crc32(content) != int(found[1], 16):
        return f"its content is not what was written: the checksum in its name is {found[1]}"
    return None


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a crash of the machine."""
    if not hasattr(os, "O_DIRECTORY"):  # on Windows folders cannot be opened, and need not be
        return
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
