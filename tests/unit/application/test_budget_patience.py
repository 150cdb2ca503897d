"""Which accounts calls wait for somebody to raise."""

from decimal import Decimal

from otel_cost.budgets import Budget, Claim, Limit, Policy, Verdict
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
