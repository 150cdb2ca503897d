"""Sums answer what rows answer, to the last digit: whatever is asked of whatever calls, merged or fresh.

The calls go through the ledger's own statements into its rows and its sums. The same question is then answered from
either, and the figures from rows are added up here once more, by the definitions of the reference and not by SQL.
"""

from __future__ import annotations

import uuid
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_cost_exporter.answers import counting
from otel_cost_exporter.answers.adding import ADDENDS, added
from otel_cost_exporter.answers.question import FIGURES, TIME_BUCKETS, Question
from otel_cost_exporter.decode.batch import CALLS
from otel_cost_exporter.file import migrate, statements
from otel_cost_exporter.file.database import Database
from otel_cost_exporter.writing import rollups

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST = datetime(2026, 3, 28, 22, 30)  # noqa: DTZ001 - the clocks of Berlin go forward that night
ZONES = [UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata"), ZoneInfo("America/New_York")]
ids = st.one_of(st.none(), st.sampled_from(["a", "b"]))
moments = st.integers(0, 60 * 60 * 52).map(lambda seconds: FIRST + timedelta(seconds=seconds))
tokens = st.one_of(st.none(), st.integers(0, 1000))


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    status = draw(st.sampled_from(["known", "estimated", "unknown"]))
    waste = draw(st.sampled_from([None, "estimated", "unknown"]))
    cost = Decimal(draw(st.integers(0, 10**9))).scaleb(-12)
    tenant = draw(ids)
    return {
        "start_ts": draw(moments),
        "provider": draw(ids),
        "request_model": draw(ids),
        "response_model": draw(ids),
        **{name: draw(tokens) for name in ("input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens")},
        "cost_status": status,
        "cost": None if status == "unknown" else cost,
        "outcome": draw(st.sampled_from(["ok", "error", "cut", "refused"])),
        "charge": draw(st.sampled_from([None, None, "gpu"])),
        "waste_status": waste,
        "waste": Decimal("0.000000000007") if waste == "estimated" else None,
        **{name: draw(ids) for name in ("project", "run", "stage")},
        "extra": [("tenant", tenant)] if tenant else [],
    }


@st.composite
def questions(draw: st.DrawFn) -> Question:
    named = draw(
        st.lists(
            st.sampled_from(["project", "run", "tenant", "model", "provider", "outcome", *TIME_BUCKETS]),
            max_size=3,
            unique=True,
        )
    )
    filters = draw(
        st.dictionaries(st.sampled_from(["project", "run", "model"]), st.sampled_from([("a",), ("a", "b")]), max_size=2)
    )
    since, until = sorted(draw(st.tuples(moments, moments)))
    whole = draw(st.booleans())
    hour = {"minute": 0, "second": 0}
    return Question(
        tuple(named),
        filters,
        draw(st.sampled_from([None, since.replace(**hour) if whole else since])),
        draw(st.sampled_from([None, until.replace(**hour) if whole else until])),
        draw(st.sampled_from(ZONES)),
    )


def put(cursor: Any, rows: list[dict[str, Any]], first: int) -> None:
    """Into the books, as a commit puts them."""
    usual = dict.fromkeys(CALLS.names) | {"metered": True}
    identified = [
        {**usual, **row, "trace_id": uuid.UUID(int=first + number).hex, "span_id": first + number}
        for number, row in enumerate(rows)
    ]
    cursor.register("fresh_rows", pa.Table.from_pylist(identified, schema=CALLS))
    cursor.execute("CREATE OR REPLACE TEMP TABLE fresh AS SELECT * FROM fresh_rows")
    cursor.begin()
    cursor.execute(statements.load("writes/calls"), {"received_ts": FIRST})
    cursor.execute(statements.load("writes/rollup"))
    cursor.commit()


def told(cursor: Any, asked: Question, *, by_rows: bool) -> list[dict[str, Any]]:
    what = counting.counted(cursor, asked, by_rows=by_rows)
    rows = counting.sums(cursor, what, asked.by)
    return sorted(rows, key=lambda row: [(row[name] is not None, str(row[name])) for name in asked.by])


def by_hand(rows: list[dict[str, Any]], asked: Question) -> dict[str, Any]:
    """The total, added up call by call."""
    kept = [
        row
        for row in rows
        if (asked.since is None or row["start_ts"] >= asked.since)
        and (asked.until is None or row["start_ts"] < asked.until)
        and all(value_of(row, name) in wanted for name, wanted in asked.filters.items())
    ]
    sent = [row for row in kept if row["outcome"] != "refused"]
    priced = [row["cost"] for row in kept if row["cost"] is not None]
    is_priced = any(row["cost"] is not None for row in sent)
    unknown = [row for row in kept if row["cost_status"] == "unknown"]
    add = lambda rows, name: sum(row.get(name) or 0 for row in rows)  # noqa: E731 - reads best inline below
    return {
        "calls": sum(row["charge"] is None for row in sent),
        "failed_calls": sum(row["outcome"] == "error" for row in kept),
        "cut_calls": sum(row["outcome"] == "cut" for row in kept),
        "refused_calls": len(kept) - len(sent),
        "input_tokens": add(kept, "input_tokens"),
        "output_tokens": add(kept, "output_tokens"),
        "cache_read_tokens": add(kept, "cache_read_tokens"),
        "cache_write_tokens": 0,
        "reasoning_tokens": add(kept, "reasoning_tokens"),
        "cost_usd": sum(priced, Decimal(0)) if is_priced else None if sent else Decimal(0),
        "estimated_cost_usd": sum((row["cost"] for row in kept if row["cost_status"] == "estimated"), Decimal(0)),
        "estimated_calls": sum(row["cost_status"] == "estimated" for row in sent),
        "unknown_calls": sum(row["cost_status"] == "unknown" for row in sent),
        "unknown_input_tokens": add(unknown, "input_tokens"),
        "unknown_output_tokens": add(unknown, "output_tokens"),
        "waste_usd": sum((row["waste"] or Decimal(0) for row in kept), Decimal(0)),
        "unknown_waste_calls": sum(row["waste_status"] == "unknown" for row in kept),
    }


def value_of(row: dict[str, Any], name: str) -> Any:
    return (row["response_model"] or row["request_model"]) if name == "model" else row[name]


@pytest.fixture(scope="module")
def cursor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    database = Database(tmp_path_factory.mktemp("books") / "books.duckdb", read_only=False)
    with closing(database.cursor()) as opened:
        migrate.upgrade(opened, database.path)
        yield opened
    database.close()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(calls(), max_size=12),
    st.lists(calls(), max_size=6),
    st.lists(questions(), min_size=2, max_size=4),
)
def test_sums_answer_what_rows_answer(
    cursor: Any, merged: list[dict[str, Any]], fresh: list[dict[str, Any]], asked: list[Question]
) -> None:
    for table in ("calls", "rollup_fresh", "rollup_hour", "rollup_day"):
        cursor.execute(f"DELETE FROM {table}")  # noqa: S608 - named here
    put(cursor, merged, 1)
    cursor.begin()
    rollups.merge(cursor)
    cursor.commit()
    put(cursor, fresh, 1000)
    for question in asked:
        assert told(cursor, question, by_rows=False) == told(cursor, question, by_rows=True), question
        [total] = told(cursor, replace(question, by=()), by_rows=False)
        by_hand_total = by_hand(merged + fresh, question)
        assert {name: total[name] for name in FIGURES} == by_hand_total, question
        rows = counting.sums(cursor, counting.counted(cursor, question), question.by, also=ADDENDS)
        assert added(rows, ()) == [by_hand_total], question
        own = [{name: value for name, value in row.items() if name not in ADDENDS} for row in rows]
        assert added(rows, question.by) == own, question  # in the same order, too
