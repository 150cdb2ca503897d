"""What the demo tells a person."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from otel_cost_exporter.demo.tell import Teller

FIGURES: dict[str, Any] = {
    "calls": 1,
    "input_tokens": 1234,
    "output_tokens": 5,
    "cost_usd": "0.0045",
    "refused_calls": 0,
}
ROW: dict[str, Any] = {
    "project": "novel",
    "run": "night-7",
    "stage": "write",
    "role": None,
    "model": "claude-opus-5-5",
    **FIGURES,
}
BUDGET: dict[str, Any] = {
    "dimension": "run",
    "id": "night-7",
    "limit_usd": "0.0047",
    "limit_tokens": None,
    "spent_usd": "0.003712",
    "spent_tokens": 250,
    "refused_calls": 1,
}


def told(*, terminal: bool = False, width: int = 100) -> tuple[Teller, io.StringIO]:
    out = io.StringIO()
    return Teller(Console(file=out, force_terminal=terminal, width=width)), out


def spent(row: dict[str, Any], *budgets: dict[str, Any]) -> str:
    teller, out = told()
    teller.spent({"rows": [row], "total": {**FIGURES, "calls": 7}}, {"budgets": list(budgets)})
    return out.getvalue()


def test_the_table_has_a_row_for_each_spender_and_a_total() -> None:
    lines = [line.split() for line in spent(ROW).splitlines()]
    assert ["novel", "/", "night-7", "write", "/", "-", "claude-opus-5-5", "1", "1,234", "5", "0.0045"] in lines
    assert ["Total", "7", "1,234", "5", "0.0045"] in lines


def test_in_a_terminal_of_80_columns_names_of_models_stand_whole_and_tokens_give_way() -> None:
    teller, out = told(terminal=True, width=80)
    teller.spent({"rows": [{**ROW, "model": "text-embedding-3-small"}], "total": FIGURES}, {"budgets": []})
    row = next(line for line in out.getvalue().splitlines() if "text-embedding" in line)
    assert row.split()[-3:] == ["text-embedding-3-small", "1", "0.0045"]
    assert "1,234" not in out.getvalue()


def test_unknown_cost_is_not_zero_and_refused_calls_are_shown() -> None:
    text = spent({**ROW, "cost_usd": None, "refused_calls": 2})
    assert ["unknown", "2"] in [line.split()[-2:] for line in text.splitlines()]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "Budget of run night-7: 0.003712 of 0.0047 USD spent, 1 call was refused."),
        ({"refused_calls": 2}, "Budget of run night-7: 0.003712 of 0.0047 USD spent, 2 calls were refused."),
        (
            {"limit_usd": None, "limit_tokens": 20000, "refused_calls": 0},
            "Budget of run night-7: 250 of 20,000 tokens spent, no call was refused.",
        ),
    ],
)
def test_each_budget_has_a_line(changes: dict[str, Any], line: str) -> None:
    assert line in spent(ROW, {**BUDGET, **changes}).splitlines()


def test_steps_are_plain_lines_without_a_terminal() -> None:
    teller, out = told()
    with teller.step("Starting"):
        teller.say("[bold] stays as it is")
    assert out.getvalue() == "Starting\n[bold] stays as it is\n"


def test_steps_turn_and_then_stand_on_a_terminal() -> None:
    teller, out = told(terminal=True)
    with teller.step("Starting"):
        teller.say("working")
    assert "✓ Starting" in out.getvalue()
    assert "\x1b[" in out.getvalue()


def test_figures_stay_whole_on_a_narrow_terminal() -> None:
    out = io.StringIO()
    figures = {**FIGURES, "cost_usd": "12345.00000142"}
    teller = Teller(Console(file=out, force_terminal=True, no_color=True, width=80))
    teller.spent({"rows": [{**ROW, **figures}], "total": figures}, {"budgets": []})
    assert out.getvalue().count("12345.00000142") == 2
