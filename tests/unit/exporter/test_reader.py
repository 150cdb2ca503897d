"""Answers against figures worked out by hand: published price times tokens.

gpt-4o costs 2.50 USD for a million input tokens and 10 for output, so 1000 and 200 tokens are 0.0025 + 0.002 = 0.0045.
claude-sonnet-4-5 costs 3 and 15, so 2000 and 100 tokens are 0.006 + 0.0015 = 0.0075.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from exporter_building import DAY, HOUR, NOON, call, refused, request, unknown

from otel_cost_exporter.answers.question import FIGURES
from otel_cost_exporter.answers.reader import Reader
from otel_cost_exporter.decode.walk import walk
from otel_cost_exporter.errors import QuestionError
from otel_cost_exporter.keeping.retention import Retention, prune
from otel_cost_exporter.writing.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

Ask = "Callable[..., dict[str, Any]]"

MONEY = ("cost_usd", "estimated_cost_usd", "waste_usd")
NOTHING: dict[str, Any] = dict.fromkeys(FIGURES, 0) | dict.fromkeys(MONEY, "0.000000")


def claude(number: int, **plain: Any) -> Span:
    stated = {
        "gen_ai__provider__name": "anthropic",
        "gen_ai__request__model": "claude-sonnet-4-5",
        "gen_ai__usage__input_tokens": 2000,
        "gen_ai__usage__output_tokens": 100,
        "otel_cost__cost__amount": "0.0075",
    }
    return call(number, **(stated | plain))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "books.duckdb") as opened:
        yield opened


@pytest.fixture
def fill(ledger: Ledger) -> Callable[..., Reader]:
    def put(*spans: Span, **resource: str) -> Reader:
        ledger.add(walk(request(*spans, **resource))).result(10)
        return Reader(ledger.database)

    return put


def test_empty_books_have_cost_nothing(ledger: Ledger) -> None:
    reader = Reader(ledger.database)
    assert reader.ask("summary") == {"rows": [], "total": NOTHING, "more_rows": 0, "complete_since": None}
    assert reader.ask("summary", [("by", "model"), ("run", "r1")])["total"] == NOTHING
    assert (reader.calls(), reader.budgets(), reader.ask("dimensions")["dimensions"]) == (0, [], [])


def test_figures_by_hand(fill: Callable[..., Reader]) -> None:
    reader = fill(
        call(1, gen_ai__usage__cache_read__input_tokens=400, gen_ai__usage__reasoning__output_tokens=50),
        call(2, otel_cost__cost__status="estimated", otel_cost__call__outcome="cut"),
        unknown(3),
        unknown(4, gen_ai__usage__input_tokens=..., gen_ai__usage__output_tokens=..., otel_cost__call__outcome="error"),
        refused(5),
        claude(6, gen_ai__usage__cache_write__input_tokens=30),
    )
    answer = reader.ask("summary", [("by", "provider")])
    assert answer["rows"] == [
        {
            "provider": "openai",
            "calls": 4,
            "failed_calls": 1,
            "cut_calls": 1,
            "refused_calls": 1,
            "input_tokens": 3000,
            "output_tokens": 600,
            "cache_read_tokens": 400,
            "cache_write_tokens": 0,
            "reasoning_tokens": 50,
            "cost_usd": "0.009000",
            "estimated_cost_usd": "0.004500",
            "estimated_calls": 1,
            "unknown_calls": 2,
            "unknown_input_tokens": 1000,
            "unknown_output_tokens": 200,
            "waste_usd": "0.000000",
            "unknown_waste_calls": 0,
        },
        {
            "provider": "anthropic",
            **NOTHING,
            "calls": 1,
            "input_tokens": 2000,
            "output_tokens": 100,
            "cache_write_tokens": 30,
            "cost_usd": "0.007500",
        },
    ]
    assert list(answer["rows"][0]) == ["provider", *FIGURES]
    assert answer["total"] == {
        "calls": 5,
        "failed_calls": 1,
        "cut_calls": 1,
        "refused_calls": 1,
        "input_tokens": 5000,
        "output_tokens": 700,
        "cache_read_tokens": 400,
        "cache_write_tokens": 30,
        "reasoning_tokens": 50,
        "cost_usd": "0.016500",
        "estimated_cost_usd": "0.004500",
        "estimated_calls": 1,
        "unknown_calls": 2,
        "unknown_input_tokens": 1000,
        "unknown_output_tokens": 200,
        "waste_usd": "0.000000",
        "unknown_waste_calls": 0,
    }


def test_what_failed_attempts_may_have_cost_is_a_figure_of_its_own(fill: Callable[..., Reader]) -> None:
    timeout = {"otel_cost__call__failures": ["ReadTimeout"]}
    estimated = {**timeout, "otel_cost__waste__status": "estimated"}
    reader = fill(
        call(1, **estimated, otel_cost__waste__amount="0.0021"),
        unknown(2, **estimated, otel_cost__waste__amount="0.000000000001"),
        call(3, **timeout, otel_cost__waste__status="unknown"),
        call(4, otel_cost__call__failures=["429 rate_limit_exceeded", "503"]),
    )
    total = reader.ask("summary")["total"]
    assert (total["waste_usd"], total["unknown_waste_calls"], total["cost_usd"]) == ("0.002100000001", 1, "0.013500")


def test_charges_are_in_the_cost_and_are_no_calls(fill: Callable[..., Reader]) -> None:
    def charge(number: int, name: str, cost: str) -> Any:
        stated = {"otel_cost__charge__name": name, "otel_cost__charge__units": "2", "otel_cost__cost__amount": cost}
        return call(
            number,
            **stated,
            gen_ai__operation__name="charge",
            gen_ai__usage__input_tokens=...,
            gen_ai__usage__output_tokens=...,
        )

    reader = fill(call(1), charge(2, "web_search", "0.02"), charge(3, "gpu", "0.12"))
    total = reader.ask("summary")["total"]
    assert (total["calls"], total["input_tokens"], total["cost_usd"]) == (1, 1000, "0.144500")
    rows = reader.ask("summary", [("by", "operation")])["rows"]
    by = {row["operation"]: (row["calls"], row["cost_usd"]) for row in rows}
    assert by == {"chat": (1, "0.004500"), "charge": (0, "0.140000")}
    by = {row["charge"]: row["cost_usd"] for row in reader.ask("summary", [("by", "charge")])["rows"]}
    assert by == {None: "0.004500", "web_search": "0.020000", "gpu": "0.120000"}
    assert reader.ask("estimate")["calls"] == 1


def test_unknown_is_not_zero(fill: Callable[..., Reader]) -> None:
    reader = fill(unknown(1, otel_cost__run="r1"), refused(2, otel_cost__run="r1"), refused(3, otel_cost__run="r2"))
    costs = {row["run"]: row["cost_usd"] for row in reader.ask("summary", [("by", "run")])["rows"]}
    assert costs == {"r1": None, "r2": "0.000000"}


def test_money_is_exact_to_the_twelfth_decimal(fill: Callable[..., Reader]) -> None:
    reader = fill(
        *(call(n, otel_cost__cost__amount="0.000000000001") for n in range(1, 8)),
        *(call(n, otel_cost__cost__amount="999999.999999999999") for n in range(8, 11)),
    )
    # 7 * 0.000000000001 + 3 * 999999.999999999999
    assert reader.ask("summary")["total"]["cost_usd"] == "3000000.000000000004"


def test_many_tokens_do_not_overflow(fill: Callable[..., Reader]) -> None:
    reader = fill(*(call(n, gen_ai__usage__input_tokens=10**12 - 1) for n in range(1, 13)))
    assert reader.ask("summary")["total"]["input_tokens"] == 12 * (10**12 - 1)


def test_rows_come_dearest_first_unknown_last_and_ties_in_order(fill: Callable[..., Reader]) -> None:
    reader = fill(
        call(1, otel_cost__stage="b"),
        call(2, otel_cost__stage="a"),
        call(3, otel_cost__cost__amount="2"),
        unknown(4, otel_cost__stage="c"),
        call(5, otel_cost__stage="d", otel_cost__cost__amount="10"),
    )
    assert [row["stage"] for row in reader.ask("summary", [("by", "stage")])["rows"]] == ["d", None, "a", "b", "c"]


def test_the_model_is_the_one_that_answered_else_the_one_asked(fill: Callable[..., Reader]) -> None:
    reader = fill(call(1, gen_ai__response__model="gpt-4o-2024-08-06"), call(2), call(3, gen_ai__request__model=...))
    rows = reader.ask("summary", [("by", "model")])["rows"]
    assert {row["model"] for row in rows} == {"gpt-4o-2024-08-06", "gpt-4o", None}
    assert reader.ask("summary", [("model", "gpt-4o")])["total"]["calls"] == 1


def test_time_buckets_are_utc_and_ascend(fill: Callable[..., Reader]) -> None:
    reader = fill(
        call(1, start=NOON + DAY, otel_cost__cost__amount="9"),
        call(2, start=NOON + HOUR - 1),
        call(3, start=NOON),
        claude(4, start=NOON + HOUR),
    )
    by_hour = reader.ask("summary", [("by", "hour")])["rows"]
    assert [(row["hour"], row["calls"]) for row in by_hour] == [
        ("2026-03-02T12:00:00Z", 2),
        ("2026-03-02T13:00:00Z", 1),
        ("2026-03-03T12:00:00Z", 1),
    ]
    by_day = reader.ask("summary", [("by", "model"), ("by", "day")])["rows"]
    assert [(row["day"], row["model"], row["cost_usd"]) for row in by_day] == [
        ("2026-03-02", "gpt-4o", "0.009000"),
        ("2026-03-02", "claude-sonnet-4-5", "0.007500"),
        ("2026-03-03", "gpt-4o", "9.000000"),
    ]


def test_weeks_begin_on_monday_and_months_on_the_first(fill: Callable[..., Reader]) -> None:
    reader = fill(*(call(n, start=NOON + days * DAY) for n, days in enumerate((-2, -1, 0, 6, 7, 29, 30), 1)))
    by_week = reader.ask("summary", [("by", "week")])["rows"]
    assert [(row["week"], row["calls"]) for row in by_week] == [
        ("2026-02-23", 2),
        ("2026-03-02", 2),
        ("2026-03-09", 1),
        ("2026-03-30", 2),
    ]
    by_month = reader.ask("summary", [("by", "month")])["rows"]
    assert [(row["month"], row["calls"]) for row in by_month] == [
        ("2026-02-01", 1),
        ("2026-03-01", 5),
        ("2026-04-01", 1),
    ]


def test_since_counts_from_that_instant_and_until_stops_before_it(fill: Callable[..., Reader]) -> None:
    reader = fill(call(1, start=NOON - 1000), call(2, start=NOON), call(3, start=NOON + HOUR))
    asked = [("since", "2026-03-02T12:00:00Z"), ("until", "2026-03-02T13:00:00Z")]
    assert reader.ask("summary", asked)["total"]["calls"] == 1
    assert reader.ask("summary", asked[:1])["total"]["calls"] == 2
    assert reader.ask("summary", asked[1:])["total"]["calls"] == 2


def test_filters_hold_together_and_each_may_name_many(fill: Callable[..., Reader]) -> None:
    fill(call(1, otel_cost__project="a", otel_cost__tenant="x"), call(2, otel_cost__project="b"), service__name="shop")
    reader = fill(call(3, otel_cost__project="c", otel_cost__tenant="x"), deployment__environment__name="prod")
    count = lambda *asked: reader.ask("summary", asked)["total"]["calls"]  # noqa: E731 - reads best inline below
    assert count(("project", "a"), ("project", "b")) == 2
    assert count(("project", "a"), ("project", "c"), ("tenant", "x"), ("service", "shop")) == 1
    assert count(("environment", "prod"), ("outcome", "ok"), ("operation", "chat"), ("provider", "openai")) == 1
    assert count(("project", "a' OR true --")) == 0


@pytest.mark.parametrize("name", ["attempts", "count", "select", "outcome_x"])
def test_a_dimension_of_the_users_own_groups_and_filters_whatever_its_name(
    fill: Callable[..., Reader], name: str
) -> None:
    reader = fill(call(1, **{f"otel_cost__{name}": "x"}), call(2, **{f"otel_cost__{name}": "y"}), call(3))
    answer = reader.ask("summary", [("by", name), ("by", "model"), (name, "x")])
    assert [(row[name], row["model"], row["cost_usd"]) for row in answer["rows"]] == [("x", "gpt-4o", "0.004500")]


def test_a_dimension_that_is_not_in_the_books_is_refused(fill: Callable[..., Reader]) -> None:
    reader = fill(call(1))
    with pytest.raises(QuestionError, match="by='tenant' is unknown"):
        reader.ask("summary", [("by", "tenant")])


def test_dimensions_come_shipped_first_then_the_users_by_name(fill: Callable[..., Reader]) -> None:
    fill(call(1, otel_cost__tenant="x", otel_cost__run="r"))
    reader = fill(call(2, otel_cost__area="y", otel_cost__project="p"))
    assert reader.ask("dimensions")["dimensions"] == ["project", "run", "area", "tenant"]


def test_the_most_used_budgets_and_those_of_ids(fill: Callable[..., Reader]) -> None:
    limits = {"r1": "0.45", "r2": "0.009", "r3": "0.045"}
    spans = [call(n, otel_cost__run=run, otel_cost__budget__run=limits[run]) for n, run in enumerate(limits, 1)]
    reader = fill(*spans)
    everything = reader.budgets()
    assert [row["id"] for row in everything] == ["r2", "r3", "r1"]
    assert reader.budgets(2) == everything[:2]
    assert reader.most_used_budgets(2) == (everything[:2], 3)
    assert reader.budgets_of([("run", "r1"), ("run", "r2"), ("stage", "r3")]) == [everything[0], everything[2]]
    assert reader.budgets_of([]) == []


def test_what_a_budget_has_spent_is_what_budgets_count_and_a_charge_is_no_call(
    ledger: Ledger, fill: Callable[..., Reader]
) -> None:
    now = datetime.now(UTC)
    old, budgeted = int((now - timedelta(days=20)).timestamp()) * 10**9, {"otel_cost__run": "r1"}
    charged = {"gen_ai__operation__name": "charge", "otel_cost__charge__name": "gpu", "otel_cost__cost__amount": "0.12"}
    broke_off = {"otel_cost__waste__status": "estimated", "otel_cost__waste__amount": "0.0021"}
    reader = fill(
        call(1, start=old, otel_cost__budget__run="1", **budgeted, **broke_off),
        call(2, start=old, **budgeted, **charged),
    )

    def spent() -> tuple[Any, ...]:
        (listed,) = reader.budgets()
        found = reader.spent("run", "r1", None, None)
        assert (Decimal(listed["spent_usd"]), listed["calls"]) == (found["spent_usd"], found["calls"])
        return found["spent_usd"], found["calls"]

    assert spent() == (Decimal("0.1266"), 1)  # 0.0045, what its first attempt may have cost, and the charge
    prune(ledger, Retention(calls=timedelta(days=10), rollups=timedelta(days=15)))
    assert spent() == (Decimal("0.1266"), 1)


def test_budgets_over_all_time_the_most_used_first(fill: Callable[..., Reader]) -> None:
    reader = fill(
        call(1, start=NOON - 30 * DAY, otel_cost__run="r1"),
        call(2, otel_cost__run="r1", otel_cost__budget__run="0.02"),
        unknown(3, otel_cost__run="r1", otel_cost__budget__run="0.02"),
        refused(4, start=NOON + HOUR, otel_cost__run="r1", otel_cost__budget__run="0.02"),
        claude(5, otel_cost__tenant="acme", otel_cost__budget__tenant="3000tok"),
        call(6, otel_cost__tenant="acme"),
        refused(7, otel_cost__run="r0", otel_cost__budget__run="0"),
        call(8, otel_cost__stage="draft"),
    )
    assert reader.budgets() == [
        {
            "dimension": "run",
            "id": "r0",
            "limit_usd": "0.000000",
            "limit_tokens": None,
            "spent_usd": "0.000000",
            "spent_tokens": 0,
            "calls": 0,
            "unknown_calls": 0,
            "refused_calls": 1,
            "last_seen": "2026-03-02T12:00:00Z",
        },
        {  # 2000 + 100 and 1000 + 200 tokens of 3000
            "dimension": "tenant",
            "id": "acme",
            "limit_usd": None,
            "limit_tokens": 3000,
            "spent_usd": "0.012000",
            "spent_tokens": 3300,
            "calls": 2,
            "unknown_calls": 0,
            "refused_calls": 0,
            "last_seen": "2026-03-02T12:00:00Z",
        },
        {  # 0.009 of 0.02
            "dimension": "run",
            "id": "r1",
            "limit_usd": "0.020000",
            "limit_tokens": None,
            "spent_usd": "0.009000",
            "spent_tokens": 3600,
            "calls": 3,
            "unknown_calls": 1,
            "refused_calls": 1,
            "last_seen": "2026-03-02T13:00:00Z",
        },
    ]


def test_a_file_that_no_service_has_is_read_and_not_changed(ledger: Ledger, fill: Callable[..., Reader]) -> None:
    fill(call(1))
    ledger.close()
    before = ledger.path.read_bytes()
    reader = Reader.open_file(ledger.path)
    assert reader.ask("summary")["total"]["cost_usd"] == "0.004500"
    reader.close()
    assert ledger.path.read_bytes() == before
