"""Which budgets hold in a context: those of its baggage, of code, of the process."""

import logging
from collections.abc import Iterator
from decimal import Decimal

import pytest
from opentelemetry import context, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from otel_cost import BudgetExceededError, attribute, attribution, budget
from otel_cost.budgets import Budget, Limit, Policy, budgets_in, check
from otel_cost.budgets import context as budgets_context
from otel_cost.budgets.chosen import MEMORY
from otel_cost.budgets.rule import PROCESS
from otel_cost.budgets.window import Window


@pytest.fixture(autouse=True)
def _no_process_members() -> Iterator[None]:
    attribution.process_members.cache_clear()
    MEMORY.clear()
    yield
    attribution.process_members.cache_clear()
    MEMORY.clear()


def holding() -> tuple[Budget, ...]:
    return budgets_in(attribution.members())


def test_a_block_bounds_what_happens_inside_it() -> None:
    with budget("run", "r1", limit_usd="0.50"):
        assert holding() == (Budget("run", "r1", Limit.of_usd("0.5")),)
    assert holding() == ()


def test_baggage_from_outside_is_enough() -> None:
    found = {
        "otel_cost.run": "r1",
        "otel_cost.budget.run": "0.05",
        "otel_cost.budget.stage": "9tok",
        "otel_cost.stage": "s",
    }
    assert budgets_in(found) == (
        Budget("run", "r1", Limit.of_usd("0.05")),
        Budget("stage", "s", Limit.of_tokens(9)),
    )


def test_nobody_steps_out_of_a_budget_by_renaming_or_widening() -> None:
    with budget("run", "r1", limit_usd="0.05"):
        with attribute(run="r2"):
            assert set(holding()) == {
                Budget("run", "r1", Limit.of_usd("0.05")),
                Budget("run", "r2", Limit.of_usd("0.05")),
            }
        with budget("run", "r1", limit_usd="8"):
            assert holding() == (Budget("run", "r1", Limit.of_usd("0.05")),)
        with budget("run", "r1", limit_usd="0.01"):
            assert holding() == (Budget("run", "r1", Limit.of_usd("0.01")),)


def test_the_processs_own_budget_holds_whatever_baggage_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAGGAGE", "otel_cost.run=own,otel_cost.budget.run=0.05")
    attribution.process_members.cache_clear()
    assert holding() == (Budget("run", "own", Limit.of_usd("0.05")),)
    with budget("run", "theirs", limit_usd="100"):
        assert set(holding()) == {
            Budget("run", "own", Limit.of_usd("0.05")),
            Budget("run", "theirs", Limit.of_usd(100)),
        }
    with budget("run", "own", limit_usd="100"):
        assert holding() == (Budget("run", "own", Limit.of_usd("0.05")),)


def test_a_budget_of_the_process_without_an_id_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAGGAGE", "otel_cost.budget.run=0.3")
    attribution.process_members.cache_clear()
    assert holding() == (Budget("run", PROCESS, Limit.of_usd("0.3")),)


def test_a_budget_without_an_id_is_the_traces() -> None:
    assert budgets_in({"otel_cost.budget.run": "1"})[0].id == "unnamed"
    span = NonRecordingSpan(SpanContext(0xABC, 1, is_remote=False, trace_flags=TraceFlags(1)))
    current = trace.set_span_in_context(span, context.Context())
    assert budgets_in({"otel_cost.budget.run": "1"}, current)[0].id == f"trace-{0xABC:032x}"


def test_a_budget_that_cannot_be_read_lets_nothing_through_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            found = budgets_in({"otel_cost.run": "r1", "otel_cost.budget.run": "five"})
            flaw = (
                "otel_cost.budget.run=five in baggage: 'five' is not an amount of money: write it like 0.05, or like "
                "20000tok for tokens. It lets nothing through"
            )
            assert found == (Budget("run", "r1", Limit(Decimal(0), flaw=flaw)),)
    (record,) = caplog.records
    assert record.getMessage() == flaw
    with pytest.raises(BudgetExceededError) as refused:
        check(found, "gpt-4o")
    assert str(refused.value) == f"budget of run 'r1' refused a call to 'gpt-4o': {flaw}"


@pytest.mark.parametrize(
    ("limit", "why"),
    [
        (
            "9" * 8000,
            f"'{'9' * 100}...' is not an amount of money: write it like 0.05, or like 20000tok for tokens",
        ),
        ("5/" + "x" * 8000, f"window='{'x' * 98}...': write one of life, hour, day, week, month"),
    ],
    ids=["amount", "window"],
)
def test_one_that_is_too_long_to_be_read_is_not_repeated_in_full(
    caplog: pytest.LogCaptureFixture, limit: str, why: str
) -> None:
    (found,) = budgets_in({"otel_cost.run": "r1", "otel_cost.budget.run": limit})
    flaw = f"otel_cost.budget.run={limit[:100]}... in baggage: {why}. It lets nothing through"
    assert found == Budget("run", "r1", Limit(Decimal(0), flaw=flaw))
    assert caplog.messages == [flaw]


@pytest.mark.parametrize(
    "key", ["otel_cost.budget", "otel_cost.budget.", "otel_cost.budget.Run", "otel_cost.budget.cost"]
)
def test_a_budget_that_names_no_dimension_lets_nothing_through(key: str) -> None:
    (found,) = budgets_in(attribution.members_of(f"{key}=0.01"))
    assert (found.dimension, found.id, found.limit.amount) == ("run", "unnamed", 0)
    assert (
        found.limit.flaw
        == f"{key}=0.01 in baggage: it names no dimension, as in otel_cost.budget.run. It lets nothing through"
    )


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({}, "needs limit_usd or limit_tokens"),
        ({"limit_usd": "1", "limit_tokens": 1}, "and not both"),
        ({"limit_usd": 0.05}, r"limit_usd: 0.05 is a float, which is not exact: write '0.05'"),
        ({"limit_usd": "-1"}, "must not be negative"),
        ({"limit_tokens": -1}, "write a whole number"),
    ],
)
def test_a_bad_budget_says_what_is_wrong(limits: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        budget("run", "r1", **limits)  # type: ignore[arg-type] # on purpose


def test_a_budget_of_nothing_lets_nothing_through() -> None:
    with budget("run", "r1", limit_usd=0), pytest.raises(BudgetExceededError):
        check(holding(), "gpt-4o")


def test_a_budget_that_nothing_enforces_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(budgets_context, "_enforced", False)
    budgets_context.say_that_nothing_enforces.cache_clear()
    for _ in range(2):
        budget("run", "r1", limit_usd=1)
    budgets_context.enforce()
    budgets_context.say_that_nothing_enforces.cache_clear()
    budget("run", "r1", limit_usd=1)
    (record,) = caplog.records
    assert "start the program with opentelemetry-instrument, or otel-cost run" in record.getMessage()


def test_windows_and_units_of_one_id_hold_beside_each_other() -> None:
    with (
        budget("project", "atlas", limit_usd=50),
        budget("project", "atlas", limit_usd=5, window="day", timezone="Europe/Berlin"),
        budget("project", "atlas", limit_tokens=900, window="day", timezone="Europe/Berlin"),
    ):
        day = Window.of("day", "Europe/Berlin")
        assert set(holding()) == {
            Budget("project", "atlas", Limit.of_usd(50)),
            Budget("project", "atlas", Limit.of_usd(5), day),
            Budget("project", "atlas", Limit.of_tokens(900), day),
        }


@pytest.mark.parametrize(
    ("text", "limit", "window"),
    [
        ("5/day", Limit.of_usd(5), Window.of("day")),
        ("900tok/month/Europe/Berlin", Limit.of_tokens(900), Window.of("month", "Europe/Berlin")),
        ("5/day/America/Argentina/Buenos_Aires", Limit.of_usd(5), Window.of("day", "America/Argentina/Buenos_Aires")),
        ("5/life", Limit.of_usd(5), Window.of("life")),
    ],
)
def test_baggage_names_windows_too(text: str, limit: Limit, window: Window) -> None:
    header = f"otel_cost.project=p,otel_cost.budget.project={text}"
    assert budgets_in(attribution.members_of(header)) == (Budget("project", "p", limit, window),)


@pytest.mark.parametrize("text", ["5/year", "5/", "5/day/Mars", "/day"])
def test_a_window_in_baggage_that_cannot_be_read_lets_nothing_through(text: str) -> None:
    (found,) = budgets_in({"otel_cost.project": "p", "otel_cost.budget.project": text})
    assert found.limit.amount == 0
    assert found.limit.flaw is not None
    assert "It lets nothing through" in found.limit.flaw


def test_what_code_says_holds_where_baggage_tightens_it() -> None:
    with budget("run", "r1", limit_usd=5, on_exceed="pause", warn_at=[0.5]):
        pausing = Policy(on_exceed="pause", warn_at=(Decimal("0.5"),))
        assert budgets_in({**attribution.members(), "otel_cost.budget.run": "2"}) == (
            Budget("run", "r1", Limit.of_usd(2), policy=pausing),
        )
        assert budgets_in({**attribution.members(), "otel_cost.budget.run": "8"}) == (
            Budget("run", "r1", Limit.of_usd(5), policy=pausing),
        )


def test_the_tightest_says_how_but_one_that_only_warns_gives_way() -> None:
    with budget("run", "r1", limit_usd=5), budget("run", "r1", limit_usd=3, on_exceed="pause"):
        assert holding() == (Budget("run", "r1", Limit.of_usd(3), policy=Policy(on_exceed="pause")),)
    with budget("run", "r1", limit_usd=5), budget("run", "r1", limit_usd=3, on_exceed="warn"):
        assert holding() == (Budget("run", "r1", Limit.of_usd(5)),)
    warning = Policy(on_exceed="warn")
    with budget("run", "r1", limit_usd=5, on_exceed="warn"), budget("run", "r1", limit_usd=8, on_exceed="warn"):
        assert holding() == (Budget("run", "r1", Limit.of_usd(5), policy=warning),)


def test_another_id_in_a_budget_of_code_is_treated_as_the_budget_is() -> None:
    pausing = Policy(on_exceed="pause", sizing="strict")
    with budget("run", "r1", limit_usd=5, on_exceed="pause", sizing="strict"), attribute(run="r2"):
        assert set(holding()) == {
            Budget("run", "r1", Limit.of_usd(5), policy=pausing),
            Budget("run", "r2", Limit.of_usd(5), policy=pausing),
        }


def test_a_limit_by_window_is_not_that_of_the_life_of_the_id() -> None:
    with budget("run", "r1", limit_usd=5, on_exceed="pause"):
        assert budgets_in({"otel_cost.run": "r1", "otel_cost.budget.run": "5/day"}) == (
            Budget("run", "r1", Limit.of_usd(5), Window.of("day")),
            Budget("run", "r1", Limit.of_usd(5), policy=Policy(on_exceed="pause")),
        )


def test_one_that_only_warns_does_not_travel_where_nobody_would_know() -> None:
    with budget("run", "r1", limit_usd=5, on_exceed="warn"):
        assert attribution.members() == {"otel_cost.run": "r1"}
        with attribute(run="r2"):
            assert holding() == (Budget("run", "r1", Limit.of_usd(5), policy=Policy(on_exceed="warn")),)


def test_blocks_baggage_and_process_compose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAGGAGE", "otel_cost.project=atlas,otel_cost.budget.project=9")
    attribution.process_members.cache_clear()

    @budget("stage", "draft", limit_tokens=700)
    def draft() -> tuple[Budget, ...]:
        return budgets_in({**attribution.members(), "otel_cost.session": "s", "otel_cost.budget.session": "2"})

    with budget("run", "r1", limit_usd=3):
        assert set(draft()) == {
            Budget("project", "atlas", Limit.of_usd(9)),
            Budget("session", "s", Limit.of_usd(2)),
            Budget("run", "r1", Limit.of_usd(3)),
            Budget("stage", "draft", Limit.of_tokens(700)),
        }


def test_the_answer_is_remembered() -> None:
    with budget("run", "r1", limit_usd=3), budget("stage", "s", limit_usd=1):
        assert holding() is holding()
