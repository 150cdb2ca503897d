"""Which accounts calls wait for somebody to raise."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from otel_cost import BudgetExceededError
from otel_cost.budgets import Budget, BudgetEvent, Claim, Limit, Policy, Spend, Verdict, check, subscribe
from otel_cost.budgets.chosen import MEMORY
from otel_cost.budgets.patience import ForAPerson, paused
from otel_cost.budgets.tree import Decision, Standing

BUDGET = Budget("run", "r1", Limit.of_usd("0.05"), policy=Policy(on_exceed="pause"))
STANDING = Standing(BUDGET.key(), BUDGET.limit, Decimal("0.05"), Decimal(0), 0, 3, None)
DECISION = Decision(Verdict.PAUSED, Claim(BUDGET, BUDGET.key(), Decimal("0.01")), STANDING)


def test_an_account_is_paused_while_a_call_waits_for_it() -> None:
    with ForAPerson("gpt-5", None) as person:
        assert paused() == frozenset()
        person.left(DECISION)
        person.left(DECISION)
        with ForAPerson("gpt-5", None) as other:
            other.left(DECISION)
        assert paused() == {BUDGET.key()}
    assert paused() == frozenset()


@pytest.fixture
def told() -> Iterator[list[BudgetEvent]]:
    MEMORY.clear()
    found: list[BudgetEvent] = []
    unsubscribe = subscribe(found.append)
    yield found
    unsubscribe()
    MEMORY.clear()


def test_under_a_safety_factor_it_is_the_factor_that_a_call_does_not_fit(told: list[BudgetEvent]) -> None:
    policy = Policy(on_exceed="pause", pause_seconds=0.001, sizing="safety_factor")
    budget = Budget("run", "r1", Limit.of_usd("0.05"), policy=policy)
    MEMORY.charge((Claim(budget, budget.key(), 0),), Spend(Decimal("0.04"), 0))
    with pytest.raises(BudgetExceededError) as refused:
        check((budget,), "gpt-4o")
    assert str(refused.value) == (
        "budget of run 'r1' (0.050000 USD) refused a call to 'gpt-4o': 0.040000 USD spent, and none leaves once 1.3 "
        "times that reach the limit (safety_factor)"
    )
    assert [event.kind for event in told] == ["paused", "stopped"]
    assert told[0].missing() == Decimal("0.002")  # 1.3 x 0.04 - 0.05
    assert "0.040000 USD of 0.050000 USD spent, 0.002000 USD missing. " in told[0].message
