"""Budgets as people write them, and how one stands, as JSON has it."""

import json
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from otel_cost.budgets.config import BudgetConfig, BudgetError, BudgetStatus, PolicyConfig, budget_of, checked
from otel_cost.budgets.limit import Limit
from otel_cost.budgets.rule import PLAIN, Budget, Key, Policy
from otel_cost.budgets.tree import Standing
from otel_cost.budgets.window import Window


def test_what_is_not_said_is_as_always() -> None:
    assert budget_of("run", "r1", limit_usd="0.50") == Budget("run", "r1", Limit.of_usd("0.5"))
    assert budget_of("run", "r1", limit_tokens=20_000) == Budget("run", "r1", Limit.of_tokens(20_000))
    assert budget_of("run", "r1", limit_usd=1, limit_tokens=None, on_exceed=None).policy == PLAIN
    assert PolicyConfig().policy == PLAIN


def test_everything_can_be_said() -> None:
    found = budget_of(
        "project",
        "atlas",
        limit_usd=Decimal("12.345678901234"),
        window="month",
        timezone="Europe/Berlin",
        on_exceed="pause",
        at="stage",
        sizing="safety_factor",
        safety_factor=1.5,
        on_unknown="rate",
        unknown_rate_usd_per_million="15",
        warn_at=[0.8, "0.5", 0.8],
        pause_seconds=600,
    )
    policy = Policy(
        on_exceed="pause",
        at="stage",
        sizing="safety_factor",
        safety_factor=Decimal("1.5"),
        on_unknown="rate",
        unknown_rate=Decimal(15),
        warn_at=(Decimal("0.5"), Decimal("0.8")),
        pause_seconds=600.0,
    )
    limit = Limit(Decimal("12.345678901234"))
    assert found == Budget("project", "atlas", limit, Window.of("month", "Europe/Berlin"), policy)


def test_a_single_share_needs_no_list() -> None:
    assert budget_of("run", "r1", limit_usd=1, warn_at=0.9).policy.warn_at == (Decimal("0.9"),)


@pytest.mark.parametrize(
    ("given", "key", "says"),
    [
        ({}, None, "a budget needs limit_usd or limit_tokens, and not both"),
        ({"limit_usd": 1, "limit_tokens": 1}, None, "a budget needs limit_usd or limit_tokens, and not both"),
        ({"limit_usd": 0.05}, "limit_usd", "limit_usd: 0.05 is a float, which is not exact: write '0.05'"),
        ({"limit_usd": "-1"}, "limit_usd", "limit_usd: a budget of -1 USD: it must not be negative"),
        ({"limit_usd": "five"}, "limit_usd", "limit_usd: 'five' is not an amount of money: write it like 0.05"),
        ({"limit_usd": True}, "limit_usd", "limit_usd: True is not an amount of money: write it like '0.05'"),
        (
            {"limit_tokens": -1},
            "limit_tokens",
            "limit_tokens: a budget of -1 tokens: write a whole number, as in 20000",
        ),
        ({"limit_tokens": 1.5}, "limit_tokens", "limit_tokens: a budget of 1.5 tokens: write a whole number"),
        ({"limit_tokens": True}, "limit_tokens", "limit_tokens: a budget of True tokens: write a whole number"),
        ({"limit_usd": 1, "window": "year"}, "window", "window='year': write one of life, hour, day, week, month"),
        ({"limit_usd": 1, "timezone": "Mars"}, "timezone", "timezone: 'Mars' is no time zone that is known here"),
        ({"limit_usd": 1, "timezone": [1]}, "timezone", "timezone: [1] is no time zone: write one like"),
        ({"limit_usd": 1, "on_exceed": "stop"}, "on_exceed", "write one of raise, warn, pause, downgrade"),
        ({"limit_usd": 1, "at": "run"}, "at", "at='run': write one of call, stage"),
        ({"limit_usd": 1, "warn": 0.8}, "warn", "warn: no such key; there are on_exceed, at, sizing, "),
        ({"limit_usd": 1, "warn_at": 80}, "warn_at", "warn_at: 80 is no share of the limit: write a number above 0"),
        ({"limit_usd": 1, "warn_at": "80%"}, "warn_at", "warn_at: '80%' is not a number"),
        ({"limit_usd": 1, "warn_at": True}, "warn_at", "warn_at: True is not a number"),
        ({"limit_usd": 1, "match": ""}, "match", "match: '' matches no id: write one, or a pattern like team-*"),
        ({"limit_usd": 1, "safety_factor": 2}, "safety_factor", "says nothing without sizing='safety_factor'"),
        ({"limit_usd": 1, "sizing": "safety_factor", "safety_factor": 0.9}, "safety_factor", "0.9 is less than 1"),
        ({"limit_usd": 1, "pause_seconds": 9}, "pause_seconds", "says nothing without on_exceed='pause'"),
        ({"limit_usd": 1, "on_exceed": "pause", "pause_seconds": 0}, "pause_seconds", "0 is no time to wait"),
        ({"limit_usd": 1, "on_unknown": "rate"}, "on_unknown", "'rate' needs unknown_rate_usd_per_million"),
        (
            {"limit_usd": 1, "unknown_rate_usd_per_million": 3},
            "unknown_rate_usd_per_million",
            "says nothing without on_unknown='rate'",
        ),
    ],
)
def test_what_cannot_be_says_where_and_what_to_do(given: dict[str, Any], key: str | None, says: str) -> None:
    with pytest.raises(BudgetError) as error:
        budget_of("run", "r1", **given)
    ((found, text),) = error.value.problems
    assert found == key
    assert says in text
    assert str(error.value) == text


def test_every_problem_is_said_at_once() -> None:
    with pytest.raises(BudgetError, match=r"limit_usd: -1.*; on_exceed='x'|on_exceed='x'.*; limit_usd: "):
        budget_of("run", "r1", limit_usd="-1", on_exceed="x")


def test_a_dimension_and_an_id_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="'Run' is no dimension"):
        budget_of("Run", "r1", limit_usd=1)
    with pytest.raises(ValueError, match="dimension: 5 is no dimension: use lower-case letters"):
        budget_of(5, "r1", limit_usd=1)  # type: ignore[arg-type] # on purpose
    with pytest.raises(ValueError, match="the id of run is ''"):
        budget_of("run", "", limit_usd=1)
    with pytest.raises(BudgetError, match="dimension is missing"):
        checked(BudgetConfig, {"limit_usd": 1})


def test_what_comes_from_defaults_needs_no_company() -> None:
    merged = {"dimension": "run", "limit_usd": 1, "on_exceed": "raise", "pause_seconds": 9}
    assert checked(BudgetConfig, merged, own={"limit_usd", "on_exceed"}).policy.on_exceed == "raise"
    with pytest.raises(BudgetError):
        checked(BudgetConfig, merged, own={"limit_usd", "pause_seconds"})


def test_a_config_can_be_kept_and_comes_back_from_json() -> None:
    config = BudgetConfig(dimension="run", limit_usd=Decimal("0.50"), warn_at=(Decimal("0.5"),), on_exceed="warn")
    assert BudgetConfig.model_validate_json(config.model_dump_json()) == config
    with pytest.raises(ValidationError):
        config.on_exceed = "raise"  # type: ignore[misc] # on purpose
    with pytest.raises(ValidationError):
        BudgetConfig.model_validate_json('{"dimension": "run", "limit_usd": 0.5}')


def standing(limit: Limit, spent: str, held: str = "0", **more: Any) -> Standing:
    key = Key("run", "r1", limit.unit, more.pop("period", ""))
    values = {"under_way": 0, "calls": 3, "stopped": None, **more}
    return Standing(key, limit, Decimal(spent), Decimal(held), **values)


def test_amounts_are_exact_texts_in_json() -> None:
    period = "day 2026-11-23T00:00:00+00:00 UTC"
    found = BudgetStatus.of(standing(Limit.of_usd(8), "0.1000000000000", "0.02", period=period, under_way=1), PLAIN)
    assert json.loads(found.model_dump_json()) == {
        "dimension": "run",
        "id": "r1",
        "unit": "USD",
        "window": "day",
        "period": period,
        "limit": "8.000000",
        "spent": "0.100000",
        "held": "0.020000",
        "remaining": "7.880000",
        "state": "open",
        "calls": 3,
        "under_way": 1,
        "on_exceed": "raise",
        "reason": None,
    }
    assert BudgetStatus.model_validate_json(found.model_dump_json()) == found
    assert found.remaining == Decimal("7.88")
    assert BudgetStatus.of(standing(Limit.of_tokens(90), "100"), PLAIN).model_dump(mode="json")["spent"] == "100"


@pytest.mark.parametrize(
    ("spent", "more", "paused", "state", "remaining"),
    [
        ("0.4", {}, False, "open", "0.6"),
        ("0.5", {}, False, "warned", "0.5"),
        ("1", {}, False, "exhausted", "0"),
        ("1.5", {}, False, "exhausted", "0"),
        ("1", {}, True, "paused", "0"),
        ("0.9", {}, True, "paused", "0.1"),
        ("0.4", {"stopped": "enough"}, True, "stopped", "0.6"),
    ],
)
def test_the_state_of_a_budget(*, spent: str, more: dict[str, Any], paused: bool, state: str, remaining: str) -> None:
    found = BudgetStatus.of(standing(Limit.of_usd(1), spent, **more), Policy(warn_at=(Decimal("0.5"),)), paused=paused)
    assert (found.state, found.remaining) == (state, Decimal(remaining))
    assert found.reason == more.get("stopped")


def test_its_amounts_are_printed_as_people_write_them() -> None:
    found = BudgetStatus.of(standing(Limit.of_usd("0.5"), "0.010357500000"), PLAIN)
    assert (str(found.limit), str(found.spent), str(found.remaining)) == ("0.500000", "0.0103575", "0.4896425")
    assert str(BudgetStatus.of(standing(Limit.of_usd(0), "0E-12"), PLAIN).spent) == "0.000000"
    assert str(BudgetStatus.of(standing(Limit.of_tokens(90), "50"), PLAIN).remaining) == "40"


def test_a_limit_that_cannot_be_read_lets_nothing_through() -> None:
    found = BudgetStatus.of(standing(Limit(Decimal(0), flaw="it cannot be read"), "0"), PLAIN)
    assert (found.state, found.reason) == ("stopped", "it cannot be read")


def test_importing_otel_cost_imports_no_pydantic() -> None:
    program = "import sys, otel_cost; print('pydantic' in sys.modules, 'zoneinfo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "False"
