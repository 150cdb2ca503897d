"""Whatever the order of reserving, settling and failing: no budget is passed, and none holds what nobody has."""

from decimal import Decimal

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from otel_cost import BudgetExceededError
from otel_cost.budgets import Ask, Budget, Hold, Limit, MemoryStore, Spend

amounts = st.integers(min_value=0, max_value=40).map(lambda cents: Decimal(cents) / 100)
BUDGETS = (
    Budget("project", "atlas", Limit.of_usd("2.50")),
    Budget("run", "r1", Limit.of_usd("1.00")),
    Budget("run", "r2", Limit.of_usd("0.70")),
    Budget("run", "r2", Limit.of_tokens(30)),
)


class Tree(RuleBasedStateMachine):
    holds = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.held: list[Hold] = []
        self.spent: dict[tuple[str, str], Decimal] = {}

    @rule(target=holds, chosen=st.sets(st.sampled_from(BUDGETS), min_size=1), usd=amounts, tokens=st.integers(0, 20))
    def reserve(self, chosen: set[Budget], usd: Decimal, tokens: int) -> Hold | None:
        try:
            hold = self.store.reserve(tuple(sorted(chosen, key=BUDGETS.index)), Ask(usd, tokens, "m"))
        except BudgetExceededError:
            return None
        self.held.append(hold)
        return hold

    @rule(hold=consumes(holds), share=st.integers(min_value=0, max_value=100))
    def settle(self, hold: Hold | None, share: int) -> None:
        """The call ends and has spent at most what was held for it; nothing, where it failed."""
        if hold is None:
            return
        assert hold.ask.usd is not None
        spend = hold.ask.usd * share / 100
        self.store.settle(hold, Spend(spend, hold.ask.tokens * share // 100))
        self.held.remove(hold)
        for key in {(budget.dimension, budget.id) for budget in hold.budgets}:
            self.spent[key] = self.spent.get(key, Decimal(0)) + spend

    @invariant()
    def no_budget_is_passed_and_nothing_leaks(self) -> None:
        for budget in BUDGETS:
            account = self.store.spent(budget.dimension, budget.id)
            mine = [hold for hold in self.held if any(b.id == budget.id for b in hold.budgets)]
            assert account.under_way == len(mine)
            assert account.held_usd == sum(hold.ask.usd or 0 for hold in mine)
            assert account.held_tokens == sum(hold.ask.tokens for hold in mine)
            assert account.spent_usd == self.spent.get((budget.dimension, budget.id), 0)
        for budget in BUDGETS[:2]:  # each is its id's only limit, so whatever the id's calls hold was held of it
            account = self.store.spent(budget.dimension, budget.id)
            assert account.spent_usd + account.held_usd <= budget.limit.amount


TestTree = Tree.TestCase
