"""Opening the ledger's DuckDB file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import duckdb

from otel_cost_exporter.errors import LedgerFileError, LedgerLockedError

if TYPE_CHECKING:
    from pathlib import Path

_CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    # A larger one makes the slowest commits faster.
    "checkpoint_threshold": "256MB",
    # The ledger needs no extension, and must never reach for the network to get one.
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


def connect(path: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """Open the DuckDB file at `path`; for writing it is made, with its folder, where it is missing.

    Raises:
        LedgerLockedError: another process has it open.
        LedgerFileError: it cannot be opened for another reason.
    """
    try:
        str(path).encode()  # DuckDB takes no other name, and fails on one with an error of C++
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
        return duckdb.connect(path, read_only=read_only, config=_CONFIG)
    except (duckdb.Error, OSError, UnicodeEncodeError) as error:
        reason = str(error).splitlines()[0]
        if "Could not set lock" in reason or "Conflicting lock" in reason:
            holder = re.search(r"PID \d+", reason)
            raise LedgerLockedError(
                f"{path} is open in another process: {holder[0] if holder else reason}. Stop it, or ask it, "
                "if it is otel-cost serve"
            ) from None
        raise LedgerFileError(f"{path} cannot be opened as a ledger: {reason}") from None
