"""A copy of the books as they stand at one moment, made while they are written."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING

import duckdb

from otel_cost_exporter.errors import LedgerError
from otel_cost_exporter.file.database import make_private

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_cost_exporter.file.database import Database


def write(database: Database, path: Path) -> int:
    """Copy the books to `path`, which must not be there yet; how many bytes that is.

    Raises:
        LedgerError: it is there, or cannot be written.
    """
    return _put(path, lambda whole: _copy(database, whole))


def receive(answer: IO[bytes], path: Path) -> int:
    """Write the copy that a service sends to `path`, which must not be there yet; how many bytes that is.

    Raises:
        LedgerError: it is there, or cannot be written.
    """

    def save(whole: Path) -> None:
        with whole.open("wb") as file:
            shutil.copyfileobj(answer, file)

    return _put(path, save)


def _put(path: Path, make: Callable[[Path], None]) -> int:
    """Have a file made, which appears at `path` when it is whole and on the disk; how many bytes that is."""
    if path.exists():
        raise LedgerError(f"{path} is there already: a backup takes no file's place")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            whole = Path(folder) / path.name
            make(whole)
            make_private(whole)
            with whole.open("rb") as file:
                os.fsync(file.fileno())
            os.link(whole, path)  # unlike a rename, it does not replace what somebody has put there meanwhile
        return path.stat().st_size
    except (OSError, duckdb.Error) as error:
        raise LedgerError(f"{path} cannot be written: {_reason(error)}") from None


def _copy(database: Database, path: Path) -> None:
    name = f"backup_{uuid.uuid4().hex}"
    with closing(database.cursor()) as cursor:
        (books,) = cursor.execute("SELECT current_database()").fetchall()[0]
        file, books = _quoted(str(path), "'"), _quoted(books, '"')  # neither can be bound
        cursor.execute(f"ATTACH {file} AS {name} (READ_WRITE)")
        try:
            cursor.execute(f"COPY FROM DATABASE {books} TO {name}")
        finally:
            cursor.execute(f"DETACH {name}")


def _quoted(text: str, mark: str) -> str:
    return mark + text.replace(mark, mark * 2) + mark


def _reason(error: OSError | duckdb.Error) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error).splitlines()[0]
