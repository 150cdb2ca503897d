"""The user's file of budgets: what it says, what is wrong with it, and when it changes."""

import logging
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from otel_cost import BudgetExceededError, attribute, attribution, bootstrap
from otel_cost.budgets import Budget, Limit, Policy, budget, budgets_in, check, file
from otel_cost.budgets.file import NONE, BudgetFileError, read
from otel_cost.budgets.window import Window

GOOD = """
# What teams may spend.
[defaults]
on_exceed = "pause"
pause_seconds = 600
warn_at = [0.5, 0.8]

[[budget]]
dimension = "project"
match = "team-*"
limit_usd = 100.10
window = "month"
timezone = "Europe/Berlin"

[[budget]]
dimension = "run"
limit_tokens = 20_000
on_exceed = "raise"
warn_at = []
"""
DEFAULTS = Policy(on_exceed="pause", pause_seconds=600.0, warn_at=(Decimal("0.5"), Decimal("0.8")))


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the clock that says when it is time to look again."""

    def is_at(seconds: float) -> None:
        monkeypatch.setattr(file, "time", SimpleNamespace(monotonic=lambda: 1000 + seconds))

    is_at(0)
    return is_at


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where `OTEL_COST_BUDGETS` has the file, which is not there yet."""
    path = tmp_path / "budgets.toml"
    monkeypatch.setenv("OTEL_COST_BUDGETS", str(path))
    file._file.cache_clear()
    return path


def written(path: Path, text: str) -> None:
    """Write it, so that its time is another than before, however coarse the clock of the file system is."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text)
    os.utime(path, ns=(before + 10**9, before + 10**9))


def test_what_it_says_holds_for_every_id_that_matches() -> None:
    rules = read(GOOD, "b.toml")
    assert rules.defaults == DEFAULTS
    assert list(rules.of("project", "team-a")) == [
        Budget("project", "team-a", Limit.of_usd("100.10"), Window.of("month", "Europe/Berlin"), DEFAULTS)
    ]
    assert list(rules.of("project", "other")) == []
    assert list(rules.of("run", "r1")) == [
        Budget("run", "r1", Limit.of_tokens(20_000), policy=Policy(pause_seconds=600))
    ]


def test_patterns_are_those_of_a_shell_in_exact_case() -> None:
    rules = read('[[budget]]\ndimension = "run"\nmatch = "n?ght-[0-9]*"\nlimit_usd = 1\n', "b.toml")
    matched = [name for name in ("night-7", "night-x", "Night-7", "night-7-b") if list(rules.of("run", name))]
    assert matched == ["night-7", "night-7-b"]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("[[budget]\n", ["b.toml:1: Expected"]),
        ("\n[[budget]]\ndimension = \n", ["b.toml:3: Invalid value"]),
        ('[[budget]]\ndimension = "run', ["b.toml:1: Unterminated string"]),
        ("[[budget]]\nlimit_usd = 1\n", ["b.toml:1: dimension is missing"]),
        (
            """[[budget]]
dimension = "run"

[[budget]]
dimension = "run"
limit_usd = 1
warn = 1
[[budget]]
dimension = "run"
limit_usd = "x"
""",
            [
                "b.toml:1: a budget needs limit_usd or limit_tokens, and not both",
                "b.toml:7: warn: no such key; there are on_exceed",
                "b.toml:10: limit_usd: 'x' is not an amount of money",
            ],
        ),
        ('[[budget]]\ndimension = "run"\nlimit_usd = inf\n', ["b.toml:3: limit_usd: Decimal('Infinity') is not"]),
        ('[defaults]\non_exceed = "stop"\n', ["b.toml:2: on_exceed='stop': write one of raise, warn, pause"]),
        ("[defaults]\n\nlimit_usd = 1\n", ["b.toml:3: limit_usd: no such key"]),
        ("defaults = 1\n", ["b.toml:1: write [[budget]] above the keys of each budget"]),
        ('[budget]\ndimension = "run"\n', ["b.toml:1: budget: write [[budget]] above the keys of each budget"]),
        ("budget = [1]\n", ["b.toml:1: write [[budget]] above the keys of each budget"]),
        ('[[budgets]]\ndimension = "run"\n', ["b.toml:1: budgets: write [[budget]] above the keys of each budget"]),
        ('dimension = "run"\n', ["b.toml:1: dimension: write [[budget]] above the keys of each budget"]),
        (
            '[[budget]]\ndimension = "run"\nlimit_usd = 1\npause_seconds = 5\n',
            ["b.toml:4: pause_seconds says nothing without on_exceed='pause'"],
        ),
    ],
)
def test_every_problem_is_said_with_its_line(text: str, problems: list[str]) -> None:
    with pytest.raises(BudgetFileError) as error:
        read(text, "b.toml")
    assert len(error.value.problems) == len(problems), error.value.problems
    for found, expected in zip(error.value.problems, problems, strict=True):
        assert found.startswith(expected)


def test_without_the_setting_there_are_none() -> None:
    assert file.rules() is NONE
    assert not NONE.are_some


def test_calls_are_held_against_it(place: Path) -> None:
    place.write_text('[[budget]]\ndimension = "project"\nmatch = "team-*"\nlimit_usd = 0\n')
    with attribute(project="other"):
        assert budgets_in(attribution.members()) == ()
    with attribute(project="team-a"):
        found = budgets_in(attribution.members())
        assert found == (Budget("project", "team-a", Limit.of_usd(0)),)
        with pytest.raises(BudgetExceededError, match="budget of project 'team-a'"):
            check(found, "gpt-4o")


def test_it_is_read_again_when_it_has_changed(
    place: Path, now: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    written(place, '[[budget]]\ndimension = "run"\nlimit_usd = 1\n')
    first = file.rules()
    written(place, '[[budget]]\ndimension = "run"\nlimit_usd = 2\n')
    now(file.LOOK_EVERY - 0.1)
    assert file.rules() is first
    now(file.LOOK_EVERY)
    (found,) = file.rules().of("run", "r1")
    assert found.limit == Limit.of_usd(2)
    second = file.rules()
    now(2 * file.LOOK_EVERY)
    assert file.rules() is second
    with attribute(run="r1"):
        assert budgets_in(attribution.members()) == (Budget("run", "r1", Limit.of_usd(2)),)
        written(place, '[[budget]]\ndimension = "run"\nlimit_usd = 3\n')
        now(3 * file.LOOK_EVERY)
        assert budgets_in(attribution.members()) == (Budget("run", "r1", Limit.of_usd(3)),)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ('[[budget]]\ndimension = "run"\nlimit_usd = -1\n', "budgets.toml:3: limit_usd: a budget of -1 USD"),
        ("", "budgets.toml says nothing"),
        (None, "budgets.toml cannot be read: "),
        ("\udcff", "budgets.toml cannot be read: "),
    ],
)
def test_what_is_bad_leaves_the_last_good_ones_and_is_said_once(
    bad: str | None, says: str, place: Path, now: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    written(place, GOOD)
    good = file.rules()
    if bad is None:
        place.unlink()
    else:
        place.write_bytes(bad.encode("utf-8", "surrogateescape"))
    for look in (1, 2):
        now(look * file.LOOK_EVERY)
        assert file.rules() is good
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert says in lines[0]
    assert lines[0].startswith("OTEL_COST_BUDGETS: ")
    assert lines[1] == "OTEL_COST_BUDGETS: the budgets that were good last hold"
    place.write_text(GOOD.replace("20_000", "30_000"))
    now(3 * file.LOOK_EVERY)
    (found,) = file.rules().of("run", "r1")
    assert found.limit == Limit.of_tokens(30_000)


def test_an_empty_one_is_fine_where_nothing_was_before(place: Path, now: Callable[[float], None]) -> None:
    written(place, "# nothing yet\n")
    assert not file.rules().are_some
    written(place, "# still nothing\n")
    now(file.LOOK_EVERY)
    assert not file.rules().are_some
    assert file.rules().flaw is None


@pytest.mark.parametrize("text", [None, '[[budget]]\ndimension = "run"\n'])
def test_one_that_was_never_good_lets_nothing_through(
    text: str | None, place: Path, now: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    if text is not None:
        place.write_text(text)
    with caplog.at_level(logging.WARNING):
        bootstrap.enforce()
    assert "OTEL_COST_BUDGETS: no call is let through until it can be read" in caplog.text
    found = budgets_in({})
    ((dimension, flaw),) = [(one.dimension, one.limit.flaw) for one in found]
    assert dimension == "run"
    assert flaw is not None
    assert flaw.startswith(f"OTEL_COST_BUDGETS: {place}")
    assert flaw.endswith(". It lets nothing through")
    with pytest.raises(BudgetExceededError, match="budget of run 'r1' refused a call to 'gpt-4o': OTEL_COST_BUDGETS: "):
        check(budgets_in({"otel_cost.run": "r1"}), "gpt-4o")
    written(place, GOOD)
    now(file.LOOK_EVERY)
    assert file.rules().flaw is None
    assert budgets_in({}) == ()


def test_a_path_that_cannot_be_lets_nothing_through(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_COST_BUDGETS", "~nobody-of-that-name/budgets.toml")
    file._file.cache_clear()
    assert file.rules().flaw is not None
    assert not place.exists()


def test_the_tightest_of_all_that_match_holds_by_unit_and_window(place: Path) -> None:
    place.write_text(
        "\n".join(
            f'[[budget]]\ndimension = "run"\n{line}'
            for line in (
                "limit_usd = 5",
                'limit_usd = 3\nmatch = "r*"',
                "limit_tokens = 9",
                'limit_usd = 1\nwindow = "day"',
                'limit_usd = 2\nmatch = "x*"',
            )
        )
    )
    with attribute(run="r1"):
        assert budgets_in(attribution.members()) == (
            Budget("run", "r1", Limit.of_usd(3)),
            Budget("run", "r1", Limit.of_tokens(9)),
            Budget("run", "r1", Limit.of_usd(1), Window.of("day")),
        )


def test_baggage_has_the_policy_of_the_rule_for_its_id_or_of_the_defaults(place: Path) -> None:
    place.write_text(
        """
        [defaults]
        on_exceed = "warn"
        [[budget]]
        dimension = "run"
        match = "r*"
        limit_usd = 5
        on_exceed = "raise"
        """
    )
    asks = {"otel_cost.budget.run": "2", "otel_cost.budget.stage": "7tok", "otel_cost.stage": "draft"}
    assert budgets_in({**asks, "otel_cost.run": "r1"}) == (
        Budget("run", "r1", Limit.of_usd(2)),
        Budget("stage", "draft", Limit.of_tokens(7), policy=Policy(on_exceed="warn")),
    )
    assert budgets_in({"otel_cost.run": "r1", "otel_cost.budget.run": "50"}) == (Budget("run", "r1", Limit.of_usd(5)),)
    assert budgets_in({"otel_cost.budget.run": "2"}) == (
        Budget("run", "unnamed", Limit.of_usd(2), policy=Policy(on_exceed="warn")),
    )


def test_what_the_process_is_for_and_what_code_says_is_held_against_it_whatever_baggage_says(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write_text('[[budget]]\ndimension = "run"\nlimit_usd = 5\n')
    monkeypatch.setenv("BAGGAGE", "otel_cost.run=own")
    attribution.process_members.cache_clear()
    with budget("run", "code", limit_usd=9), attribute(run="inner"):
        found = budgets_in({"otel_cost.run": "theirs"})
    monkeypatch.delenv("BAGGAGE")
    attribution.process_members.cache_clear()
    assert {(one.id, one.limit) for one in found} == {
        ("theirs", Limit.of_usd(5)),
        ("own", Limit.of_usd(5)),
        ("code", Limit.of_usd(5)),
    }
