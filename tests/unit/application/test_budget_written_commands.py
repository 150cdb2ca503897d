"""The commands about budgets that people write: `otel-cost budget check` and `sign`."""

import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from otel_cost import attribution
from otel_cost.budgets import Budget, Limit, budgets_in
from otel_cost.budgets.window import Window
from otel_cost.budgets.written_commands import check, sign

KEY = "one-key-of-32-characters-or-more!"


def test_a_good_file_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "budgets.toml"
    path.write_text(
        """
[[budget]]
dimension = "project"
match = "team-*"
limit_usd = 100.10
window = "month"
timezone = "Europe/Berlin"
on_exceed = "pause"
at = "stage"
sizing = "strict"
warn_at = [0.5, 0.8]

[[budget]]
dimension = "run"
limit_tokens = 20_000

[[profile]]
models = ["gpt-4o-mini", "gpt-4o"]
"""
    )
    done = CliRunner().invoke(check, [str(path)])
    assert done.output.splitlines() == [
        "project team-*: 100.1 USD a month (Europe/Berlin), pause, at the next stage, strict, warns at 0.5, 0.8",
        "run *: 20000 tokens",
        f"{path}: 2 budgets, 1 profile, no problem",
    ]
    monkeypatch.setenv("OTEL_COST_BUDGETS", str(path))
    assert CliRunner().invoke(check, []).output == done.output


def test_every_problem_of_a_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "budgets.toml"
    path.write_text('[[budget]]\ndimension = "run"\nlimit_usd = -1\nwindow = "year"\n')
    done = CliRunner().invoke(check, [str(path)])
    assert done.exit_code == 1
    assert f"{path}:3: limit_usd: a budget of -1 USD: it must not be negative" in done.output
    assert f"{path}:4: window='year': write one of life, hour, day, week, month" in done.output
    missing = CliRunner().invoke(check, [str(tmp_path / "other.toml")])
    assert missing.exit_code == 1
    assert "other.toml cannot be read" in missing.output


def test_no_file_is_named() -> None:
    done = CliRunner().invoke(check, [])
    assert done.exit_code == 2
    assert "name a file, or set OTEL_COST_BUDGETS" in done.output


def test_a_budget_is_signed_as_baggage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_COST_BUDGET_KEY", KEY)
    done = CliRunner().invoke(sign, ["project", "team a", "--limit", "5.00/day", "--for", "7d"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("otel_cost.project=team%20a,otel_cost.budget.project=5/day@")
    assert budgets_in(attribution.members_of(done.output.strip())) == (
        Budget("project", "team a", Limit.of_usd(5), Window.of("day")),
    )
    in_a_week = time.time() + 8 * 86_400
    with pytest.MonkeyPatch.context() as later:
        later.setattr("time.time", lambda: in_a_week)
        assert budgets_in(attribution.members_of(done.output.strip()))[0].limit.flaw is not None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "r1"], "Missing option '--limit'"),
        (["run", "r1", "--limit", "five"], "'five' is not an amount of money: write it like 0.05"),
        (["run", "r1", "--limit", "5/year"], "window='year': write one of life, hour"),
        (["Run", "r1", "--limit", "5"], "'Run' is no dimension"),
        (["run", "", "--limit", "5"], "the id of run is ''"),
        (["run", "a;b", "--limit", "5"], "baggage carries no id with ; or with space around it"),
        (["run", "r1", "--limit", "5", "--for", "soon"], "--for soon: write a number of s, m, h or d, as in 1h"),
    ],
)
def test_what_cannot_be_signed(arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_COST_BUDGET_KEY", KEY)
    done = CliRunner().invoke(sign, arguments)
    assert done.exit_code == 2
    assert says in done.output


def test_nothing_is_signed_without_a_key() -> None:
    done = CliRunner().invoke(sign, ["run", "r1", "--limit", "5"])
    assert done.exit_code == 2
    assert "OTEL_COST_BUDGET_KEY is not set" in done.output
