"""What is no call to a model counts against the same budgets, and has a span of its own."""

import logging
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from otel_cost import BudgetEvent, BudgetExceededError, attribute, budget, charge, subscribe
from otel_cost.pricing import sources

from .conftest import Spans
from .test_budget_guard import ask

pytestmark = pytest.mark.usefixtures("spans", "nothing_of_ours_fails")


@pytest.fixture
def _prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    path = tmp_path / "prices.toml"
    path.write_text("[[charge]]\nname = 'web_search'\nusd_per_unit = 0.01\n")
    monkeypatch.setenv("OTEL_COST_PRICES", str(path))
    sources.begin_anew()
    yield
    monkeypatch.undo()
    sources.begin_anew()


@pytest.mark.usefixtures("_prices")
def test_units_are_priced_by_the_users_file(spans: Spans) -> None:
    with attribute(project="p", stage="search"), budget("run", "r1", limit_usd="1") as guard:
        cost = charge("web_search", units=2)
    assert (cost.amount, cost.status) == (Decimal("0.02"), "known")
    assert guard.status().spent == Decimal("0.02")
    (span,) = spans.all
    assert span.name == "charge web_search"
    attributes: dict[str, Any] = dict(span.attributes or {})
    assert attributes.pop("otel_cost.cost.price_version").startswith("file:prices.toml@")
    assert {name: value for name, value in attributes.items() if isinstance(value, str)} == {
        "gen_ai.operation.name": "charge",
        "otel_cost.charge.name": "web_search",
        "otel_cost.charge.units": "2",
        "otel_cost.call.outcome": "ok",
        "otel_cost.cost.status": "known",
        "otel_cost.cost.source": "local",
        "otel_cost.cost.amount": "0.020000",
        "otel_cost.cost.currency": "USD",
        "gen_ai.usage.cost.currency": "USD",
        "gen_ai.usage.cost.source": "local",
        "otel_cost.project": "p",
        "otel_cost.stage": "search",
        "otel_cost.run": "r1",
        "otel_cost.budget.run": "1",
    }


@pytest.mark.usefixtures("provider")
def test_what_is_spent_is_never_refused_and_the_next_call_finds_less_left(spans: Spans) -> None:
    with budget("project", "p", limit_tokens=100_000) as tokens, budget("run", "r1", limit_usd="0.10") as guard:
        ask()
        charge("gpu", cost_usd="0.12")
        charge("gpu", units=0.5, cost_usd="0.06")
        with pytest.raises(BudgetExceededError):
            ask()
    assert (guard.status().spent, guard.status().calls) == (Decimal("0.1845"), 1)
    assert tokens.status().spent == 1200
    report = guard.report()
    assert (report.total.calls, report.total.cost_usd, report.total.known) == (1, Decimal("0.1845"), 3)
    assert [(part.name, part.cost_usd) for part in report.by_model] == [("gpt-4o", Decimal("0.0045"))]
    (gpu,) = report.charges
    assert (gpu.name, gpu.charges, gpu.units, gpu.cost_usd) == ("gpu", 2, Decimal("1.5"), Decimal("0.18"))
    assert '"units":"1.5","cost_usd":"0.180000"' in report.model_dump_json()
    assert len(spans.calls) == 4


def test_without_a_price_it_is_unknown_and_said_once(spans: Spans, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), budget("run", "r1", limit_usd="1") as guard:
        for _ in range(2):
            assert charge("gpu").amount is None
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("The cost of a charge is unknown, and counts against no budget in USD: no price for a unit")
    assert '[[charge]]\nname = "gpu"\n' in line
    assert guard.status().spent == 0
    assert guard.report().charges[0].unknown == 2
    assert [call["otel_cost.cost.status"] for call in spans.calls] == ["unknown", "unknown"]
    assert "otel_cost.cost.amount" not in spans.calls[0]


def test_a_charge_is_told_on_its_own_span(spans: Spans) -> None:
    heard: list[BudgetEvent] = []
    end = subscribe(heard.append)
    with budget("run", "r1", limit_usd="0.10", warn_at=[0.5]):
        charge("gpu", cost_usd="0.06")
    end()
    assert [(event.kind, event.call) for event in heard] == [("spent", Decimal("0.06")), ("warned", None)]
    assert [event.name for event in spans.all[0].events] == ["otel_cost.budget.warned"]


@pytest.mark.parametrize(
    ("name", "given", "problem"),
    [
        ("", {}, "the name of a charge is ''"),
        ("a\nb", {}, "the name of a charge is"),
        (3, {}, "the name of a charge is 3"),
        ("gpu", {"units": -1}, "units=-1: write a number from 0"),
        ("gpu", {"units": "many"}, "units='many': write a number from 0"),
        ("gpu", {"units": True}, "units=True: write a number from 0"),
        ("gpu", {"cost_usd": 0.12}, "cost_usd=0.12 is a float, which is not exact: write cost_usd='0.12'"),
        ("gpu", {"cost_usd": "-1"}, "cost_usd='-1': it must not be negative"),
        ("gpu", {"cost_usd": "dear"}, "'dear' is not an amount of money"),
    ],
)
def test_what_cannot_be_is_said(name: Any, given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match="^" + problem.replace("(", r"\(")):
        charge(name, **given)
