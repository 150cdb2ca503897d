"""Bringing a ledger file to the schema that this version knows."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import duckdb

from otel_cost_exporter.errors import LedgerFileError
from otel_cost_exporter.file import statements

if TYPE_CHECKING:
    from pathlib import Path

_logger = logging.getLogger(__name__)

NEWEST: Final = statements.migrations()[-1][0]
"""The schema version that this version of otel-cost reads and writes."""

_VERSIONS: Final = "schema_version"


def upgrade(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Run every migration that has not run on the file at `path`, each in a transaction of its own.

    Raises:
        LedgerFileError: a newer version of otel-cost wrote the file, or it is somebody else's.
    """
    _refuse_foreign(connection, path)
    connection.execute(statements.load("writes/schema_version"))
    found = version(connection) or 0
    _refuse_newer(found, path)
    for number, migration in statements.migrations():
        if number > found:
            connection.begin()
            connection.execute(migration)
            now = datetime.now(UTC).replace(tzinfo=None)
            connection.execute(statements.load("writes/migrated"), {"version": number, "applied_at": now})
            connection.commit()
            _logger.info("%s is now at schema version %d", path, number)


def require(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Check that the file at `path`, open for reading only, has the schema that this version reads.

    Raises:
        LedgerFileError: it has not.
    """
    _refuse_foreign(connection, path)
    found = version(connection)
    if found is None:
        raise _no_ledger(path)
    _refuse_newer(found, path)
    if found < NEWEST:
        raise LedgerFileError(f"{path} is of an earlier version: otel-cost serve --ledger {path} upgrades it")


def version(connection: duckdb.DuckDBPyConnection) -> int | None:
    """The schema version of the file, None where it is no ledger."""
    try:
        row = connection.execute(statements.load("queries/version")).fetchone()
    except duckdb.CatalogException:
        return None
    return row[0] if row else None


def _refuse_foreign(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Refuse a file in which somebody else keeps something."""
    names = {name for (name,) in connection.execute(statements.load("queries/tables")).fetchall()}
    is_new = names <= {_VERSIONS}  # which is alone where the first migration was killed
    if not is_new and not names >= {_VERSIONS, "calls"}:
        raise _no_ledger(path)


def _no_ledger(path: Path) -> LedgerFileError:
    return LedgerFileError(f"{path} is a DuckDB file, but no ledger. It is left as it is: name another file")


def _refuse_newer(found: int, path: Path) -> None:
    if found > NEWEST:
        raise LedgerFileError(
            f"{path} was written by a newer otel-cost (schema version {found}, this one knows {NEWEST}). "
            f"It is left as it is: upgrade otel-cost to open it"
        )
