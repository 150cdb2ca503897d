"""Sums by hour and day: what a commit adds, what a merge makes of it, and that a check tells every wrong figure."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from exporter_building import DAY, HOUR, NOON, call, naive, parcel, refused, unknown

from otel_cost_exporter.file import statements
from otel_cost_exporter.keeping.check import check, repair
from otel_cost_exporter.writing import rollups
from otel_cost_exporter.writing.ledger import Ledger
from otel_cost_exporter.writing.rollups import Part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.trace.v1.trace_pb2 import Span


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "books.duckdb") as opened:
        yield opened


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """Books that each test leaves as they were."""
    with Ledger(tmp_path_factory.mktemp("merged") / "books.duckdb") as opened:
        book(opened, *spans())
        merge(opened)
        assert check(opened.database).number == 0
        yield opened


def book(ledger: Ledger, *spans: Span) -> None:
    ledger.add(parcel(*spans)).result(60)


def ask(ledger: Ledger, query: str) -> list[tuple[Any, ...]]:
    return ledger.do(lambda cursor: cursor.execute(query).fetchall()).result(60)


def merge(ledger: Ledger) -> int:
    return ledger.do(rollups.merge).result(60)


def test_a_call_adds_to_all_calls_and_to_each_dimension_that_it_names(ledger: Ledger) -> None:
    book(ledger, call(1, otel_cost__project="p", otel_cost__run="r", otel_cost__tenant="acme"), call(2))
    assert ask(ledger, "SELECT dimension, id, sum(row_count), sum(cost) FROM hourly GROUP BY ALL ORDER BY ALL") == [
        ("", "", 2, Decimal("0.009")),
        ("project", "p", 1, Decimal("0.0045")),
        ("run", "r", 1, Decimal("0.0045")),
        ("tenant", "acme", 1, Decimal("0.0045")),
    ]


def test_unknown_is_no_cost_and_not_zero(ledger: Ledger) -> None:
    book(ledger, unknown(1), call(2, otel_cost__cost__status="estimated"), refused(3))
    merge(ledger)
    query = "SELECT cost_status, outcome, row_count, cost, input_tokens FROM rollup_hour ORDER BY ALL"
    assert ask(ledger, query) == [
        ("estimated", "ok", 1, Decimal("0.0045"), 1000),
        ("known", "refused", 1, Decimal(0), 0),
        ("unknown", "ok", 1, None, 1000),
    ]


def test_a_merge_moves_what_is_fresh_into_its_hours_and_days(ledger: Ledger) -> None:
    book(ledger, call(1), call(2, start=NOON + HOUR))
    merge(ledger)
    book(ledger, call(3, start=NOON + HOUR), call(4, start=NOON + DAY), call(5, start=NOON - DAY))
    merge(ledger)
    hour = "SELECT hour, row_count, cost FROM rollup_hour ORDER BY hour"
    assert ask(ledger, hour) == [
        (naive("2026-03-01T12:00:00"), 1, Decimal("0.0045")),
        (naive("2026-03-02T12:00:00"), 1, Decimal("0.0045")),
        (naive("2026-03-02T13:00:00"), 2, Decimal("0.009")),
        (naive("2026-03-03T12:00:00"), 1, Decimal("0.0045")),
    ]
    assert ask(ledger, "SELECT day::VARCHAR, row_count, first_ts, last_ts FROM rollup_day ORDER BY day") == [
        ("2026-03-01", 1, naive("2026-03-01T12:00:00"), naive("2026-03-01T12:00:00")),
        ("2026-03-02", 3, naive("2026-03-02T12:00:00"), naive("2026-03-02T13:00:00")),
        ("2026-03-03", 1, naive("2026-03-03T12:00:00"), naive("2026-03-03T12:00:00")),
    ]
    assert ask(ledger, "SELECT count(*) FROM rollup_fresh") == [(0,)]


def test_a_merge_says_how_many_sums_it_wrote(ledger: Ledger) -> None:
    book(ledger, call(1), call(2, start=NOON + HOUR))
    assert merge(ledger) == 3  # two hours and a day
    assert merge(ledger) == 0


def test_merges_are_due_in_proportion_to_what_they_write(ledger: Ledger) -> None:
    def due(fresh: int, written: int) -> tuple[bool, bool]:
        found = ledger.do(rollups.Rollups).result(60)
        found.merged(written)
        found._fresh = fresh
        return found.are_due(idle=False), found.are_due(idle=True)

    assert due(fresh=0, written=0) == (False, False)
    assert due(fresh=1, written=16) == (False, True)
    assert due(fresh=1, written=17) == (False, False)
    assert due(fresh=50_000, written=50_000) == (True, True)
    assert due(fresh=50_000, written=50_001) == (False, True)


def test_an_idle_writer_merges_by_itself(ledger: Ledger) -> None:
    book(ledger, call(1))
    with closing(ledger.database.cursor()) as cursor:  # of our own: a writer that is asked something is not idle
        while cursor.execute("SELECT count(*) FROM rollup_fresh").fetchall() != [(0,)]:
            time.sleep(0.05)
    assert ask(ledger, "SELECT sum(row_count) FROM rollup_hour") == [(1,)]


def test_parts_hold_a_bounded_number_unless_one_alone_is_more() -> None:
    hour = timedelta(hours=1)
    start = naive("2026-03-02T00:00:00")
    counted = [(start + at * hour, number) for at, number in ((0, 3), (1, 4), (5, 4), (6, 20), (7, 1), (9, 9))]
    assert list(rollups.parts(counted, hour, 10)) == [
        Part(start, start + 2 * hour),
        Part(start + 5 * hour, start + 6 * hour),
        Part(start + 6 * hour, start + 7 * hour),
        Part(start + 7 * hour, start + 10 * hour),
    ]
    assert list(rollups.parts([], hour, 10)) == []


FIGURES = {
    "row_count": "row_count + 1",
    "cost": "cost + 0.000000000001",
    "input_tokens": "input_tokens - 1",
    "output_tokens": "output_tokens + 1",
    "cache_read_tokens": "cache_read_tokens + 1",
    "cache_write_tokens": "cache_write_tokens + 1",
    "reasoning_tokens": "reasoning_tokens + 1",
    "attempts": "attempts + 1",
    "failures": "failures + 1",
    "waste": "waste + 0.000000000001",
    "unknown_waste": "unknown_waste + 1",
    "first_ts": "first_ts + INTERVAL 1 MICROSECOND",
    "last_ts": "last_ts - INTERVAL 1 MICROSECOND",
}


def spans() -> list[Span]:
    return [
        call(1, otel_cost__run="r1"),
        unknown(2, otel_cost__run="r1"),
        call(3, start=NOON + HOUR, otel_cost__run="r2"),
        call(4, start=NOON + DAY),
    ]


@pytest.mark.parametrize("figure", FIGURES)
def test_a_check_tells_every_wrong_figure_and_a_repair_mends_it(merged: Ledger, figure: str) -> None:
    change = f"UPDATE rollup_hour SET {figure} = {FIGURES[figure]} WHERE id = 'r2'"  # noqa: S608 - of this file
    ask(merged, change)
    found = check(merged.database)
    told = {each.span: each for each in found.differences}
    hour = told["hour"]
    assert (hour.since, hour.dimension, hour.id, hour.model, hour.cost_status, hour.figure) == (
        (naive("2026-03-02T13:00:00"), "run", "r2", "gpt-4o", "known", figure)
    )
    assert hour.owed != hour.held
    if not figure.endswith("_ts"):  # the times of a day may lie without those of its hours
        day = told["day"]
        assert (day.since, day.figure, day.owed, day.held) == (naive("2026-03-02"), figure, hour.held, hour.owed)
    repair(merged, found)
    assert check(merged.database).number == 0


def test_a_sum_that_is_missing_and_one_of_no_calls_are_told(ledger: Ledger) -> None:
    book(ledger, *spans())
    merge(ledger)
    ask(ledger, "DELETE FROM rollup_hour WHERE id = 'r2'")
    ask(ledger, "INSERT INTO rollup_day SELECT * REPLACE ('nobody' AS id) FROM rollup_day WHERE id = 'r1' LIMIT 1")
    found = check(ledger.database)
    rows = {(each.span, each.id, each.owed, each.held) for each in found.differences if each.figure == "row_count"}
    assert rows == {("hour", "r2", "1", None), ("day", "r2", None, "1"), ("day", "nobody", None, "1")}
    repair(ledger, found)
    assert check(ledger.database).number == 0


def test_a_check_counts_all_differences_and_tells_the_first_hundred(ledger: Ledger) -> None:
    book(ledger, *(call(number, otel_cost__run=f"r{number}") for number in range(1, 131)))
    merge(ledger)
    ask(ledger, "UPDATE rollup_day SET cost = 0 WHERE dimension = 'run'")
    document = check(ledger.database).document
    assert (document["different_figures"], len(document["differences"])) == (130, 100)
    assert document["differences"][0] == {
        "span": "day",
        "since": "2026-03-02T00:00:00Z",
        "dimension": "run",
        "id": "r1",
        "model": "gpt-4o",
        "cost_status": "known",
        "figure": "cost",
        "owed": "0.004500000000",
        "held": "0.000000000000",
    }
    assert (document["calls"], document["since"]) == (130, None)


def test_a_sum_that_was_taken_back_is_gone(ledger: Ledger) -> None:
    """As where a call that was priced here gives way to the same one, told of by the application itself."""
    book(ledger, call(1, otel_cost__run="r1"), call(2, start=NOON + 1000))
    ask(
        ledger,
        "INSERT INTO rollup_fresh BY NAME SELECT * REPLACE (-row_count AS row_count, -cost AS cost, -input_tokens AS "
        "input_tokens, -output_tokens AS output_tokens, -attempts AS attempts) "
        "FROM (WITH gone AS (FROM calls WHERE run = 'r1') FROM sums_of('gone'))",
    )
    ask(ledger, "DELETE FROM calls WHERE run = 'r1'")
    assert check(ledger.database).number == 0
    merge(ledger)
    assert ask(ledger, "SELECT DISTINCT id, row_count FROM rollup_hour") == [("", 1)]
    assert check(ledger.database).number == 0


def test_sums_of_an_earlier_ledger_are_made_when_it_is_taken_over(tmp_path: Path) -> None:
    """A file of schema version 4, as the version before wrote it."""
    path = tmp_path / "books.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute(statements.load("writes/schema_version"))
        for number, migration in statements.migrations()[:4]:
            connection.execute(migration)
            connection.execute(statements.load("writes/migrated"), {"version": number, "applied_at": "2026-03-02"})
        connection.execute(
            "INSERT INTO calls (start_ts, trace_id, span_id, cost, cost_status, outcome, run, extra) "
            "SELECT TIMESTAMP '2026-03-01' + to_hours(i), uuid(), i, 0.1, 'known', 'ok', 'r' || i % 2, MAP {'t': 'x'} "
            "FROM range(30) range(i)"
        )
    with Ledger(path) as ledger:
        assert check(ledger.database).number == 0
        assert ask(
            ledger, "SELECT dimension, id, sum(row_count), sum(cost) FROM rollup_day GROUP BY ALL ORDER BY ALL"
        ) == [
            ("", "", 30, Decimal("3.0")),
            ("run", "r0", 15, Decimal("1.5")),
            ("run", "r1", 15, Decimal("1.5")),
            ("t", "x", 30, Decimal("3.0")),
        ]


def test_no_statement_counts_all_rows_in_a_window() -> None:
    """DuckDB 1.5 fails there now and then, and refuses all work on the file from then on (duckdb/duckdb#25713)."""
    folder = Path(statements.__file__).parents[1] / "sql"
    spoken = [line for path in folder.rglob("*.sql") for line in path.read_text().splitlines()]
    assert len(spoken) > 1000
    assert [line for line in spoken if "OVER ()" in line.partition("--")[0]] == []


def test_a_merge_of_many_sums_is_done_by_days_and_of_a_large_day_by_ids(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spans_of(number: int, *, day: int, runs: int) -> list[Span]:
        start = NOON + day * DAY
        return [call(number + run, start=start, otel_cost__run=f"r{run}") for run in range(runs)]

    done: list[int] = []
    merged = rollups._merge
    monkeypatch.setattr(rollups, "_merge", lambda cursor: done.append(merged(cursor)) or done[-1])
    monkeypatch.setattr(rollups, "_MERGED_AT_ONCE", 12)
    book(ledger, *spans_of(1, day=0, runs=2), *spans_of(11, day=1, runs=2), *spans_of(21, day=2, runs=40))
    # Two days of 3 sums together, and a day of 41 in four parts; each is written for its hour and for its day.
    assert merge(ledger) == sum(done) == 2 * (3 + 3 + 41)
    assert (len(done), done[0]) == (1 + 4, 2 * (3 + 3))
    assert ask(ledger, "SELECT count(*) FROM rollup_fresh") == [(0,)]
    book(ledger, *spans_of(101, day=2, runs=41))
    assert merge(ledger) == 84
    assert ask(ledger, "SELECT sum(row_count), count(*) FROM rollup_day WHERE dimension = 'run'") == [(85, 45)]
    assert check(ledger.database).number == 0
