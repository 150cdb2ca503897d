"""The schema that one reads is the schema that runs, and only files that fit it are opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from exporter_building import call, request

from otel_cost_exporter import migrate, statements
from otel_cost_exporter.decode import decode
from otel_cost_exporter.errors import LedgerFileError
from otel_cost_exporter.ledger import Ledger
from otel_cost_exporter.reader import Reader

CATALOGUE = {
    "tables": "SELECT table_name, sql FROM duckdb_tables() ORDER BY ALL",
    "views": "SELECT view_name, sql FROM duckdb_views() WHERE NOT internal ORDER BY ALL",
    "columns": "SELECT table_name, column_name, data_type, is_nullable, column_default FROM duckdb_columns() "
    "WHERE NOT internal ORDER BY table_name, column_index",
    "constraints": "SELECT table_name, constraint_type, constraint_column_names FROM duckdb_constraints() ORDER BY ALL",
    "indexes": "SELECT table_name, index_name, sql FROM duckdb_indexes() ORDER BY ALL",
}


def catalogue(connection: duckdb.DuckDBPyConnection) -> dict[str, list[Any]]:
    """All that makes up a schema, as DuckDB sees it."""
    return {what: connection.execute(query).fetchall() for what, query in CATALOGUE.items()}


def test_the_schema_file_and_the_migrations_give_the_same() -> None:
    with duckdb.connect() as read, duckdb.connect() as ran:
        read.execute(statements.load("schema"))
        migrate.upgrade(ran, Path("books"))
        assert catalogue(read) == catalogue(ran)
        assert {name for name, *_ in catalogue(ran)["tables"]} == {
            "calls",
            "dimensions",
            "limits",
            "schema_version",
        }
        assert migrate.version(ran) == migrate.NEWEST


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [number for number, _ in statements.migrations()] == list(range(1, migrate.NEWEST + 1))


def test_upgrading_twice_changes_nothing() -> None:
    with duckdb.connect() as connection:
        migrate.upgrade(connection, Path("books"))
        before = catalogue(connection), connection.execute("FROM schema_version").fetchall()
        migrate.upgrade(connection, Path("books"))
        assert (catalogue(connection), connection.execute("FROM schema_version").fetchall()) == before


QUERIES = sorted((Path(statements.__file__).parent / "sql" / "queries").glob("*.sql"))


@pytest.mark.parametrize("query", QUERIES, ids=lambda path: path.stem)
def test_every_query_can_be_pasted_into_a_shell(query: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(statements.load("schema"))
        text = query.read_text(encoding="utf-8")
        assert text.startswith("-- ")
        assert text.rstrip().endswith(";")
        connection.execute(text).fetchall()


def make(path: Path, version: int) -> None:
    with duckdb.connect(path) as connection:
        connection.execute(statements.load("writes/schema_version"))
        connection.execute(statements.load("writes/migrated"), {"version": version, "applied_at": "2026-03-02"})


@pytest.mark.parametrize("open_file", [Ledger, Reader.open_file])
def test_a_newer_file_is_refused_politely_and_left_as_it_is(tmp_path: Path, open_file: Any) -> None:
    path = tmp_path / "books.duckdb"
    make(path, 99)
    with pytest.raises(
        LedgerFileError, match=r"newer otel-cost \(schema version 99, .* left as it is: upgrade otel-cost"
    ):
        open_file(path)
    with duckdb.connect(path) as connection:  # and it is not left open
        assert [name for name, *_ in catalogue(connection)["tables"]] == ["schema_version"]


def test_an_earlier_file_is_upgraded_by_the_writer_only(tmp_path: Path) -> None:
    path = tmp_path / "books.duckdb"
    make(path, 0)
    with pytest.raises(LedgerFileError, match="of an earlier version: otel-cost serve --ledger"):
        Reader.open_file(path)
    with Ledger(path) as ledger:
        assert Reader(ledger.connection).calls() == 0
    reader = Reader.open_file(path)
    assert reader.calls() == 0
    reader.close()


def test_the_calls_of_an_earlier_file_stay(tmp_path: Path) -> None:
    path = tmp_path / "books.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute(statements.load("writes/schema_version"))
        connection.execute(statements.migrations()[0][1])
        connection.execute(statements.load("writes/migrated"), {"version": 1, "applied_at": "2026-03-02"})
        connection.execute(
            "INSERT INTO calls (start_ts, trace_id, span_id, cost, cost_status, outcome) "
            "VALUES ('2026-03-01', uuid(), 1, 0.0045, 'known', 'ok')"
        )
    with Ledger(path) as ledger:
        total = Reader(ledger.connection).summary([])["total"]
    assert (total["calls"], total["cost_usd"], total["waste_usd"]) == (1, "0.004500", "0.000000")


def test_what_is_no_ledger_is_said(tmp_path: Path) -> None:
    other, text, folder = tmp_path / "other.duckdb", tmp_path / "notes.txt", tmp_path / "folder"
    duckdb.connect(other).close()
    text.write_text("buy milk\n" * 1000)
    folder.mkdir()
    with pytest.raises(LedgerFileError, match="is a DuckDB file, but no ledger"):
        Reader.open_file(other)
    for path in (text, folder):
        with pytest.raises(LedgerFileError, match=f"{path} cannot be opened as a ledger: "):
            Ledger(path)
    assert text.read_text() == "buy milk\n" * 1000


def test_the_folder_of_a_new_ledger_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "books.duckdb"
    with Ledger(path) as ledger:
        batch = decode(request(call())).batch
        assert batch is not None
        ledger.add(batch).result(10)
    assert path.exists()
