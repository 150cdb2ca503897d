"""Sums of past days in order: which, in what order, and that they stay what they were."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from exporter_building import DAY, NOON, call, parcel

from otel_cost_exporter.keeping.check import check
from otel_cost_exporter.writing import order, rollups
from otel_cost_exporter.writing.ledger import Ledger
from otel_cost_exporter.writing.order import Order, put_in_order

TABLES = {"hours": "FROM rollup_hour", "days": "FROM rollup_day"}


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """Four past days of one call each, which makes three sums: of all calls, a project and a run."""
    with Ledger(tmp_path / "books.duckdb") as opened:
        monkeypatch.setattr(order, "_BLOCK", 7)
        for day in range(4):
            book(opened, day)
        yield opened


def book(ledger: Ledger, day: int, number: int = 1) -> None:
    span = call(10 * day + number, start=NOON + day * DAY, otel_cost__project="p", otel_cost__run=f"r{day}")
    ledger.add(parcel(span)).result(60)
    ledger.do(rollups.merge).result(60)


def ask(ledger: Ledger, query: str) -> list[tuple[Any, ...]]:
    return ledger.do(lambda cursor: cursor.execute(query).fetchall()).result(60)


def put(ledger: Ledger, what: str) -> bool:
    return ledger.do(lambda cursor: put_in_order(what, cursor)).result(60)


def stored(ledger: Ledger, what: str) -> list[tuple[str, int]]:
    """Dimension and day of each sum, as they stand in the file."""
    days = {
        "hours": "SELECT dimension, day(hour) FROM rollup_hour",
        "days": "SELECT dimension, day(day) FROM rollup_day",
    }
    return [(dimension, day - 2) for dimension, day in ask(ledger, f"{days[what]} ORDER BY rowid")]


@pytest.mark.parametrize("what", TABLES)
def test_in_a_block_of_days_the_sums_of_a_dimension_stand_together(ledger: Ledger, what: str) -> None:
    before = sorted(map(str, ask(ledger, TABLES[what])))
    assert put(ledger, what)
    assert stored(ledger, what) == [
        *[("", 2), ("project", 2), ("run", 2), ("", 3), ("project", 3), ("run", 3)],
        *[("", 0), ("", 1), ("project", 0), ("project", 1), ("run", 0), ("run", 1)],
    ]
    assert sorted(map(str, ask(ledger, TABLES[what]))) == before
    assert check(ledger.database).number == 0


@pytest.mark.parametrize("what", TABLES)
def test_a_block_that_has_room_for_a_further_day_waits_for_it(ledger: Ledger, what: str) -> None:
    assert put(ledger, what)
    assert not put(ledger, what)
    book(ledger, 4)
    assert put(ledger, what)
    assert ask(ledger, "FROM in_order") == [(what, date(2026, 3, 6))]


@pytest.mark.parametrize("what", TABLES)
def test_a_day_that_makes_a_block_alone_stays_where_it_is(
    ledger: Ledger, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, "_BLOCK", 3)
    before = stored(ledger, what)
    assert [put(ledger, what) for _ in range(4)] == [True, True, True, False]
    assert stored(ledger, what) == before


@pytest.mark.parametrize("what", TABLES)
def test_a_day_that_is_not_over_is_left_to_merges(ledger: Ledger, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "datetime", SimpleNamespace(now=lambda _: datetime(2026, 3, 4, 23, tzinfo=UTC)))
    assert not put(ledger, what)
    monkeypatch.setattr(order, "datetime", SimpleNamespace(now=lambda _: datetime(2026, 3, 5, 1, tzinfo=UTC)))
    assert put(ledger, what)


@pytest.mark.parametrize("what", TABLES)
def test_sums_that_come_late_are_right(ledger: Ledger, what: str) -> None:
    assert put(ledger, what)
    book(ledger, 0, number=2)
    assert ask(ledger, "SELECT sum(row_count) FROM daily WHERE dimension = ''") == [(5,)]
    assert check(ledger.database).number == 0
    assert not put(ledger, what)


def test_one_block_at_a_time_and_the_next_one_soon(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=5.0)
    monkeypatch.setattr(order, "time", SimpleNamespace(monotonic=lambda: clock.now))
    due = Order()

    def turn() -> list[str] | None:
        if not due.is_due():
            return None
        ledger.do(due.put).result(60)
        return [what for (what,) in ask(ledger, "SELECT what FROM in_order ORDER BY what")]

    assert turn() == ["hours"]
    assert turn() is None
    clock.now += 10
    assert turn() == ["days", "hours"]
    clock.now += 10
    assert turn() == ["days", "hours"]  # nothing to do
    clock.now += 10
    assert turn() is None
    clock.now += 3600
    assert turn() == ["days", "hours"]


def test_a_look_that_failed_is_not_repeated_with_each_commit(ledger: Ledger) -> None:
    due = Order()
    assert due.is_due()
    with pytest.raises(duckdb.Error):
        ledger.do(lambda cursor: cursor.execute("FROM none")).result(60)
    assert not due.is_due()


def test_the_writer_puts_sums_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "books.duckdb"
    with Ledger(path) as ledger:
        for day in range(4):
            book(ledger, day)
    monkeypatch.setattr(order, "_BLOCK", 7)
    monkeypatch.setattr(order, "_NEXT_SECONDS", 0.0)
    with Ledger(path) as ledger:
        while len(ask(ledger, "FROM in_order")) < 2:
            pass
        assert stored(ledger, "days")[-2:] == [("run", 0), ("run", 1)]
