"""What `otel-cost top` shows, on screens of every size."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from otel_cost_exporter.cli import screen

FIGURES = {"calls": 1234, "unknown_calls": 2, "cost_usd": "12.345678", "input_tokens": 1_234_567, "output_tokens": 4321}


def call(**more: Any) -> dict[str, Any]:
    usual = {
        "run": "nightly-7",
        "stage": "draft",
        "start": "2026-11-23T12:34:56Z",
        "request_model": "gpt-4o",
        "response_model": "gpt-4o-2024-08-06",
        "charge": None,
        "input_tokens": 1000,
        "output_tokens": 200,
        "outcome": "ok",
        "cost_usd": "0.004500",
    }
    return usual | more


def found(**more: Any) -> dict[str, Any]:
    budget = {"dimension": "run", "id": "nightly-7", "limit_usd": "0.50", "limit_tokens": None, "spent_usd": "0.25"}
    return {
        "at": "2026-11-23T12:35:00Z",
        "place": "service http://127.0.0.1:4318",
        "dashboard": {
            "by": "project",
            "total": FIGURES,
            "change": 0.25,
            "live": {"minutes": 5, "calls": 1, "unknown_calls": 0, "usd_per_hour": "1.500000"},
            "top": [{"project": name, **FIGURES} for name in ("atlas", None, "本" * 60, "x" * 200)],
        },
        "budgets": [
            budget | {"spent_tokens": 0},
            budget | {"limit_usd": None, "limit_tokens": 900, "spent_tokens": 1800},
            budget | {"limit_usd": "0", "spent_usd": "0.01"},
            budget | {"spent_usd": None},
            budget | {"limit_usd": None, "limit_tokens": None},
        ],
        "calls": [
            call(),
            call(run=None, stage=None, response_model=None, cost_usd=None, outcome="cut"),
            call(run="\x1b[31mred", request_model=None, response_model=None, charge="web_search", input_tokens=None),
            *[call()] * 60,
        ],
        **more,
    }


def lines(document: dict[str, Any], width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None, force_terminal=True)
    console.print(screen.of(document, width, height))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_eighty_columns_show_it_all() -> None:
    shown = lines(found(), 80, 40)
    assert shown[0].strip() == "otel-cost top  2026-11-23T12:35:00Z  service http://127.0.0.1:4318  Ctrl-C ends"
    assert [line.strip() for line in shown[1:4]] == [
        "now 1.500000 USD/h, 1 call in 5 minutes",
        "today 12.345678 USD, 1,234 calls (2 without a price), +25% against yesterday",
        "most by project atlas: 12.345678 USD",
    ]
    assert [line.split() for line in shown[5:8]] == [
        ["By", "project", "today"],
        ["project", "calls", "input", "output", "cost", "in", "USD"],
        ["atlas", "1,234", "1,234,567", "4,321", "12.345678"],
    ]
    assert shown[8].split()[0] == "(none)"
    budgets = shown.index(next(line for line in shown if line.startswith("Budgets")))
    assert [line.split() for line in shown[budgets + 2 : budgets + 6]] == [
        ["run", "nightly-7", "█" * 10, "50%", "0.25", "of", "0.50", "USD"],
        ["run", "nightly-7", "█" * 20, "200%", "1800", "of", "900", "tokens"],
        ["run", "nightly-7", "█" * 20, "100%", "0.01", "of", "0", "USD"],
        ["run", "nightly-7", "0%", "unknown", "of", "0.50", "USD"],
    ]
    calls = shown.index(next(line for line in shown if line.startswith("Last calls")))
    assert [line.split() for line in shown[calls + 2 : calls + 5]] == [
        ["nightly-7", "draft", "12:34:56", "gpt-4o-2024-08-06", "1,200", "ok", "0.004500"],
        ["(none)", "12:34:56", "gpt-4o", "1,200", "cut", "unknown"],
        ["\ufffd[31mred", "draft", "12:34:56", "web_search", "200", "ok", "0.004500"],
    ]
    assert len(shown) == 40


@pytest.mark.parametrize("width", [20, 40, 58, 80, 132, 300])
@pytest.mark.parametrize("height", [5, 10, 24, 50])
def test_whatever_its_size_nothing_is_wrapped_and_nothing_leaves_it(width: int, height: int) -> None:
    shown = lines(found(), width, height)
    assert len(shown) <= height
    if width >= 40:
        assert max(map(cell_len, shown)) <= width
    assert "now" in shown[1]


def test_what_fails_is_said_beside_what_was_seen_last() -> None:
    shown = lines(found(failure="no ledger service answers"), 80, 24)
    assert shown[4].strip() == "no ledger service answers"
    assert any(line.startswith("By project") for line in shown)


def test_books_without_a_call() -> None:
    nothing = {"calls": 0, "unknown_calls": 0, "cost_usd": "0.000000"}
    live = {"minutes": 5, "calls": 0, "unknown_calls": 0, "usd_per_hour": "0.000000"}
    empty = found(dashboard={"by": "run", "total": nothing, "change": None, "live": live, "top": []})
    empty |= {"budgets": [], "calls": []}
    assert [line.strip() for line in lines(empty, 80, 24)[1:]] == [
        "now 0.000000 USD/h, 0 calls in 5 minutes",
        "today 0.000000 USD, 0 calls",
    ]


def test_unknown_is_not_zero() -> None:
    unknown = {"calls": 2, "unknown_calls": 2, "cost_usd": None}
    live = {"minutes": 5, "calls": 2, "unknown_calls": 2, "usd_per_hour": None}
    document = found(
        dashboard={"by": "run", "total": unknown, "change": None, "live": live, "top": [{"run": "r1", **unknown}]}
    )
    assert list(screen.figures(document)) == [
        "now unknown USD/h, 2 calls in 5 minutes (2 without a price)",
        "today unknown USD, 2 calls (2 without a price)",
        "most by run r1: unknown",
    ]


def test_digits_of_a_column_stand_below_each_other() -> None:
    document = found(calls=[call(), call(run="n8", input_tokens=1, output_tokens=0)])
    shown = [line for line in lines(document, 80, 40) if "gpt-4o" in line]
    ends = {line.index(tokens) + len(tokens) for line, tokens in zip(shown, ("1,200 ", "1 "), strict=True)}
    assert len(ends) == 1, shown
