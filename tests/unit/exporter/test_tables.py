"""Tables for people: whatever the terminal's width, a row says whose it is."""

from __future__ import annotations

import io
import itertools
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from otel_cost_exporter.cli import tables

EVERYTHING = {
    "calls": 12_345,
    "input_tokens": 1_234_567,
    "output_tokens": 234_567,
    "failed_calls": 3,
    "cut_calls": 2,
    "refused_calls": 1,
    "unknown_calls": 4,
    "cost_usd": "12.345678",
    "estimated_calls": 0,
    "estimated_cost_usd": "0.000000",
    "unknown_input_tokens": 10,
    "unknown_output_tokens": 20,
    "waste_usd": "0.002100",
    "unknown_waste_calls": 1,
}
MODEL = "claude-haiku-4-5-20251001"


def row(**keys: str | None) -> dict[str, Any]:
    return EVERYTHING | keys


def shown(width: int, by: list[str], *rows: dict[str, Any]) -> tuple[list[str], tuple[str, ...]]:
    """The lines on a terminal of that width, and what is left out."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    left_out = tables.show(console, by, rows, EVERYTHING)
    tables.show_notes(console, EVERYTHING, left_out, {})
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue().splitlines(), left_out


def test_what_failed_attempts_may_have_cost_is_said_beside_the_table() -> None:
    lines, _ = shown(120, ["model"], row(model=MODEL))
    assert "Attempts that broke off may have cost about 0.002100 USD beside this." in lines
    assert "1 call had attempts that broke off; what they may have cost is unknown." in lines


def test_labels_stand_whole_and_figures_go() -> None:
    lines, left_out = shown(80, ["project", "model"], row(project="atlas", model=MODEL), row(project=None, model=MODEL))
    assert left_out == ("input", "output", "failed", "cut off")
    assert lines[:7] == [
        "",
        "project  model                       calls  refused  no price  cost in USD",
        "─" * 74,
        "atlas    claude-haiku-4-5-20251001  12,345        1         4    12.345678",
        "(none)   claude-haiku-4-5-20251001  12,345        1         4    12.345678",
        " " * 74,
        "total                               12,345        1         4    12.345678",
    ]
    note = "Left out for want of room: input, output, failed, cut off. A wider terminal or --json shows them."
    assert note in " ".join(line.strip() for line in lines)


def test_a_wide_terminal_shows_it_all() -> None:
    lines, left_out = shown(120, ["project", "model"], row(project="atlas", model=MODEL))
    assert left_out == ()
    assert " ".join(lines[1].split()) == "project model calls input output failed cut off refused no price cost in USD"
    assert not any("Left out" in line for line in lines)


def test_columns_go_by_their_importance_and_the_cost_never() -> None:
    kept = [shown(width, ["model"], row(model=MODEL))[1] for width in range(110, 20, -1)]
    steps = [left_out for left_out, _ in itertools.groupby(kept)]
    assert steps == [
        (),
        ("input", "output"),
        ("input", "output", "cut off"),
        ("input", "output", "failed", "cut off"),
        ("input", "output", "failed", "cut off", "refused"),
        ("input", "output", "failed", "cut off", "refused", "no price"),
        ("calls", "input", "output", "failed", "cut off", "refused", "no price"),
    ]


@pytest.mark.parametrize("width", [200, 80, 60, 40, 24, 10, 1])
@pytest.mark.parametrize("by", [["project"], ["project", "model"], ["project", "model", "run", "stage", "role", "day"]])
def test_no_label_ever_vanishes(width: int, by: list[str]) -> None:
    letters = dict(zip(by, "pmrsod", strict=False))
    lines, _ = shown(width, by, row(**{name: letter * 50 for name, letter in letters.items()}))
    table = "\n".join(line for line in lines if line[:4] != "Left")
    for letter in letters.values():
        assert letter * 8 in table
        assert sum(line.count(letter * 2) for line in lines) > 0
    assert "12.345678" in table
    needed = len(by) * 10 + len("cost in USD")
    assert max(map(len, table.splitlines()[:4])) <= max(width, needed)


def test_the_longest_label_shrinks_first_and_loses_nothing() -> None:
    lines, _ = shown(60, ["project", "run"], row(project="atlas", run="r" * 300))
    assert sum(line.count("r") for line in lines if "r" * 4 in line) == 300
    assert any(line.startswith("atlas    rrrr") for line in lines)
    assert max(map(len, lines)) <= 60


def test_letters_of_double_width_are_counted_as_such() -> None:
    lines, _ = shown(60, ["project"], row(project="\N{CJK UNIFIED IDEOGRAPH-6587}" * 60))
    assert max(map(cell_len, lines)) <= 60


def test_without_a_terminal_nothing_is_cut_or_wrapped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    console = tables.console()
    by = ["project", "model", "run"]
    assert tables.show(console, by, [row(project="p" * 500, model=MODEL, run="r" * 500)], EVERYTHING) == ()
    tables.show_title(console, "t " * 100)
    tables.show_notes(console, EVERYTHING, (), {})
    output = capsys.readouterr().out
    for whole in ("p" * 500, "r" * 500, MODEL, "t " * 99, "10 input and 20 output tokens have no price."):
        assert any(whole in line for line in output.splitlines())


def test_in_a_terminal_the_terminal_says_how_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout", type("Terminal", (io.StringIO,), {"isatty": lambda _: True})())
    assert tables.console().width == 40


CHOICES = [
    ["as it was: gpt-4o", "0.004500", ""],
    ["claude-opus-4-7", "0.013160 to 0.019145", "+192% to +325%"],
]


def chosen(width: int, rows: list[list[str]]) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    tables.show_choices(console, ("model", "cost in USD", "change"), rows)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_choices_lose_what_matters_least_where_there_is_no_room() -> None:
    for width in range(30, 200):
        lines = chosen(width, CHOICES)
        assert max(map(cell_len, lines)) <= width
        assert ("change" in lines[1]) == (width >= 55)
        assert any("0.013160 to 0.019145" in line for line in lines)
    assert "claude-opus-4-7" in "".join(line.split(" ")[0] for line in chosen(30, CHOICES))


def test_choices_have_no_column_that_says_nothing() -> None:
    assert "change" not in chosen(100, CHOICES[:1])[1]


def test_a_table_in_markdown_has_all_figures_and_shows_names_as_they_are() -> None:
    shown = tables.markdown(["project", "model"], [row(project=None, model="a_b|c")], EVERYTHING).splitlines()
    assert shown[0] == (
        "| project | model | calls | input | output | failed | cut off | refused | no price | cost in USD |"
    )
    assert shown[2].startswith(r"| (none) | a\_b\|c | 12,345 | 1,234,567 | 234,567 | 3 | 2 | 1 | 4 | 12.345678 |")
    assert shown[3].startswith("| total |  | 12,345 |")


def test_what_is_pruned_or_left_out_by_a_limit_is_said() -> None:
    said = list(tables.notes(EVERYTHING, {"more_rows": 3, "complete_since": "2026-01-01T00:00:00Z"}))
    assert said[:2] == [
        "3 more rows are left out by --limit; the total is of all.",
        "What was before 2026-01-01T00:00:00Z is no longer kept: the figures are of what came since.",
    ]
    of_a_run = next(tables.notes(EVERYTHING, {"stages": [], "complete_since": "2026-01-01T00:00:00Z"}))
    assert of_a_run == (
        "What was before 2026-01-01T00:00:00Z is no longer kept call by call: the total and the models are of all, the "
        "other tables of what came since."
    )
