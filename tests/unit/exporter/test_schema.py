"""The schema that one reads is the schema that runs, and only files that fit it are opened."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from exporter_building import DAY, NOON, call, naive, parcel

from otel_cost_exporter.answers.reader import Reader
from otel_cost_exporter.errors import LedgerFileError
from otel_cost_exporter.file import migrate, statements
from otel_cost_exporter.writing.ledger import Ledger

FOLDER = Path(statements.__file__).parents[1] / "sql" / "queries"
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
        assert migrate.version(ran) == migrate.NEWEST


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [number for number, _ in statements.migrations()] == list(range(1, migrate.NEWEST + 1))


def test_upgrading_twice_changes_nothing() -> None:
    with duckdb.connect() as connection:
        migrate.upgrade(connection, Path("books"))
        before = catalogue(connection), connection.execute("FROM schema_version").fetchall()
        migrate.upgrade(connection, Path("books"))
        assert (catalogue(connection), connection.execute("FROM schema_version").fetchall()) == before


WHOLE = [path for path in sorted(FOLDER.glob("*.sql")) if path.read_text(encoding="utf-8").rstrip().endswith(";")]
"""The queries that are no pieces of others."""


@pytest.mark.parametrize("query", WHOLE, ids=lambda path: path.stem)
def test_every_query_can_be_pasted_into_a_shell(query: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(statements.load("schema"))
        connection.execute("CREATE VIEW keys AS SELECT start_ts, trace_id, span_id, metered, 0 AS row FROM calls")
        connection.execute("CREATE VIEW came AS FROM calls; CREATE VIEW late AS FROM calls")
        text = query.read_text(encoding="utf-8")
        assert text.startswith("-- ")
        parameters = dict.fromkeys(re.findall(r"\$(\w+)", text))
        connection.execute(text, parameters).fetchall()


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


@pytest.mark.parametrize("open_file", [Ledger, Reader.open_file])
@pytest.mark.parametrize(
    "theirs",
    [
        "CREATE TABLE users (name VARCHAR)",
        "CREATE VIEW users AS SELECT 1 AS name",
        "CREATE SCHEMA other; CREATE TABLE other.users (name VARCHAR)",
        "CREATE TABLE users (name VARCHAR); CREATE TABLE schema_version (number INTEGER)",
        "CREATE TABLE users (name VARCHAR); CREATE TABLE schema_version AS SELECT 3 AS version",
        "CREATE TABLE calls (number INTEGER)",
    ],
)
def test_somebody_elses_file_is_refused_politely_and_left_as_it_is(tmp_path: Path, open_file: Any, theirs: str) -> None:
    path = tmp_path / "theirs.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute(theirs)
        before = catalogue(connection)
    with pytest.raises(LedgerFileError, match=r"theirs.duckdb is a DuckDB file, but no ledger"):
        open_file(path)
    with duckdb.connect(path) as connection:
        assert catalogue(connection) == before


def test_a_file_without_tables_becomes_a_ledger(tmp_path: Path) -> None:
    path = tmp_path / "books.duckdb"
    duckdb.connect(path).close()
    with pytest.raises(LedgerFileError, match="but no ledger"):
        Reader.open_file(path)
    with Ledger(path) as ledger:
        assert Reader(ledger.database).calls() == 0


def test_an_earlier_file_is_upgraded_by_the_writer_only(tmp_path: Path) -> None:
    path = tmp_path / "books.duckdb"
    make(path, 0)
    with pytest.raises(LedgerFileError, match="of an earlier version: otel-cost serve --ledger"):
        Reader.open_file(path)
    with Ledger(path) as ledger:
        assert Reader(ledger.database).calls() == 0
    reader = Reader.open_file(path)
    assert reader.calls() == 0
    reader.close()


EARLIER_CALLS = """
    INSERT INTO calls BY NAME
    SELECT
        TIMESTAMP '2026-03-01 23:30:00' + INTERVAL (number) MINUTE AS start_ts,
        start_ts + INTERVAL 1 SECOND AS end_ts,
        uuid() AS trace_id,
        number AS span_id,
        'openai' AS provider,
        'gpt-4o' AS request_model,
        1000 AS input_tokens,
        200 AS output_tokens,
        0.0045 AS cost,
        'known' AS cost_status,
        'ok' AS outcome,
        'run-' || number % 2 AS run,
        CASE WHEN number < 30 THEN MAP {'tenant': 'acme'} END AS extra
    FROM range(60) AS numbers(number);
    INSERT INTO calls BY NAME
    SELECT
        TIMESTAMP '2026-03-02 09:00:00' AS start_ts, uuid() AS trace_id, 60 AS span_id, 'unknown' AS cost_status,
        'error' AS outcome, ['429', 'ReadTimeout'] AS failures, 0.001 AS waste, 'estimated' AS waste_status,
        NULL::MAP(VARCHAR, VARCHAR) AS extra
"""


def test_the_calls_of_an_earlier_file_and_their_sums_stay(tmp_path: Path) -> None:
    path = tmp_path / "books.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute(statements.load("writes/schema_version"))
        for number, migration in statements.migrations()[:4]:
            connection.execute(migration)
            connection.execute(statements.load("writes/migrated"), {"version": number, "applied_at": "2026-03-02"})
        connection.execute(EARLIER_CALLS)
        before = connection.sql("SELECT * FROM calls ORDER BY start_ts").to_arrow_table()
    with Ledger(path) as ledger:
        total = Reader(ledger.database).ask("summary")["total"]
        ledger.add(parcel(call(1000, start=NOON + DAY))).result(10)
    # 60 calls of 0.0045, and one of which nobody knows what it cost.
    assert (total["calls"], total["cost_usd"], total["unknown_calls"]) == (61, "0.270000", 1)
    assert (total["waste_usd"], total["input_tokens"]) == ("0.001000", 60_000)
    with duckdb.connect(path, read_only=True) as connection:
        kept = connection.sql("SELECT * FROM calls WHERE span_id <> 1000 ORDER BY start_ts").to_arrow_table()
        assert kept.select(before.column_names).to_pylist() == before.to_pylist()
        hours = connection.execute(
            "SELECT hour, dimension, id, row_count, cost FROM rollup_hour WHERE hour < '2026-03-02 02:00' ORDER BY ALL"
        ).fetchall()
        days = connection.execute(
            "SELECT day, sum(row_count), sum(failures) FROM rollup_day WHERE dimension = '' AND day < '2026-03-03' "
            "GROUP BY day ORDER BY day"
        ).fetchall()
    first, second = naive("2026-03-01T23:00:00"), naive("2026-03-02T00:00:00")
    assert hours == [
        (first, "", "", 30, Decimal("0.135")),
        (first, "run", "run-0", 15, Decimal("0.0675")),
        (first, "run", "run-1", 15, Decimal("0.0675")),
        (first, "tenant", "acme", 30, Decimal("0.135")),
        (second, "", "", 30, Decimal("0.135")),
        (second, "run", "run-0", 15, Decimal("0.0675")),
        (second, "run", "run-1", 15, Decimal("0.0675")),
    ]
    assert days == [(first.date(), 30, 0), (second.date(), 31, 2)]


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "books.duckdb"
    good = statements.migrations()
    torn = (*good, (migrate.NEWEST + 1, "ALTER TABLE calls ADD COLUMN more BIGINT; SELECT no_such_column FROM calls;"))
    monkeypatch.setattr(statements, "migrations", lambda: torn)
    with pytest.raises(duckdb.BinderException, match="no_such_column"):
        Ledger(path)
    monkeypatch.undo()
    with Ledger(path) as ledger:
        assert "more" not in ledger.database.cursor().table("calls").columns


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
    (empty := tmp_path / "empty.duckdb").touch()
    for opened in (Ledger, Reader.open_file):
        with pytest.raises(LedgerFileError, match=f"{empty} cannot .*: it is an empty file. Delete it"):
            opened(empty)


def test_the_folder_of_a_new_ledger_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "books.duckdb"
    with Ledger(path) as ledger:
        ledger.add(parcel(call())).result(10)
    assert path.exists()
