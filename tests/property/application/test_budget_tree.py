"""Whatever the order of reserving, settling, cancelling, crashing, raising, stopping and time: as on paper.

In ``strict`` no account is ever above its limit, none is negative, and none holds what nobody has.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from otel_cost.budgets import Budget, Claim, Hold, Limit, Policy, Spend, Verdict
from otel_cost.budgets.memory import MemoryStore
from otel_cost.budgets.rule import Key
from otel_cost.budgets.window import Window

amounts = st.integers(min_value=0, max_value=40).map(lambda cents: Decimal(cents) / 100)
PAUSES = Policy(sizing="strict", on_exceed="pause")
STRICT = Policy(sizing="strict")
BUDGETS = (
    Budget("project", "atlas", Limit.of_usd("2.50"), policy=STRICT),
    Budget("run", "r1", Limit.of_usd("1.00"), policy=STRICT),
    Budget("run", "r1", Limit.of_tokens(45), policy=STRICT),
    Budget("run", "r2", Limit.of_usd("0.70"), policy=PAUSES),
    Budget("project", "atlas", Limit.of_usd("0.90"), Window("day"), policy=STRICT),
)


@dataclass
class Modelled:
    """An account as a person would keep it on paper."""

    limit: Decimal
    spent: Decimal = Decimal(0)
    holds: list[Decimal] = field(default_factory=list)
    raised: bool = False
    stopped: bool = False
    highest: Decimal = Decimal(0)
    """The largest sum that a limit has ever allowed here."""


class Tree(RuleBasedStateMachine):
    holds = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.day = 1
        self.models: dict[Key, Modelled] = {}

    def key(self, budget: Budget) -> Key:
        return budget.key()._replace(period=f"day {self.day}") if budget.window.span == "day" else budget.key()

    def model(self, claim: Claim) -> Modelled:
        model = self.models.setdefault(claim.key, Modelled(claim.budget.limit.amount))
        if not model.raised:
            model.limit = claim.budget.limit.amount
        return model

    def expected(self, claims: list[Claim]) -> Verdict:
        """What each account says on paper; the worst counts."""
        said = [Verdict.FITS]
        for claim in claims:
            model, amount = self.model(claim), Decimal(claim.amount or 0)
            if model.stopped:
                said.append(Verdict.STOPPED)
            elif model.spent + amount > model.limit:
                said.append(Verdict.PAUSED if claim.budget.policy is PAUSES else Verdict.EXCEEDED)
            elif model.spent + sum(model.holds) + amount > model.limit:
                said.append(Verdict.BUSY)
        return max(said)

    @rule(target=holds, chosen=st.sets(st.sampled_from(BUDGETS), min_size=1), usd=amounts, tokens=st.integers(0, 20))
    def reserve(self, chosen: set[Budget], usd: Decimal, tokens: int) -> Hold | None:
        claims = [
            Claim(budget, self.key(budget), tokens if budget.limit.in_tokens else usd)
            for budget in sorted(chosen, key=BUDGETS.index)
        ]
        expected = self.expected(claims)
        answer = self.store.reserve(tuple(claims))
        if not isinstance(answer, Hold):
            assert answer.verdict is expected
            return None
        assert expected is Verdict.FITS
        for claim in claims:
            model = self.model(claim)
            model.holds.append(Decimal(claim.amount or 0))
            model.highest = max(model.highest, model.limit)
        return answer

    @rule(hold=consumes(holds), share=st.integers(min_value=0, max_value=100))
    def settle(self, hold: Hold | None, share: int) -> None:
        """The call ends and has spent at most what was held for it; nothing, where it failed."""
        if hold is not None:
            amounts = {claim.budget.limit.in_tokens: claim.amount or 0 for claim in hold.claims}
            usd, tokens = Decimal(amounts.get(False, 0)) * share / 100, int(amounts.get(True, 0)) * share // 100
            self.store.settle(hold, Spend(usd, tokens))
            self.ended(hold, usd=usd, tokens=tokens)

    @rule(hold=consumes(holds))
    def cancel(self, hold: Hold | None) -> None:
        """Nothing left the process."""
        if hold is not None:
            self.store.release(hold)
            self.ended(hold, usd=Decimal(0), tokens=0)

    @rule(hold=consumes(holds))
    def crash(self, hold: Hold | None) -> None:
        """Nobody knows what it spent, so what was held is spent."""
        if hold is not None:
            self.store.settle(hold, Spend(None, None))
            self.ended(hold)

    def ended(self, hold: Hold, usd: Decimal | None = None, tokens: int | None = None) -> None:
        for claim in hold.claims:
            model, amount = self.models[claim.key], Decimal(claim.amount or 0)
            model.holds.remove(amount)
            spent = tokens if claim.budget.limit.in_tokens else usd
            model.spent += amount if spent is None else spent

    @rule(budget=st.sampled_from(BUDGETS), share=st.integers(min_value=0, max_value=200))
    def put_limit(self, budget: Budget, share: int) -> None:
        """A person puts another limit, be it below what is spent."""
        amount = budget.limit.amount * share // 100
        limit = Limit.of_tokens(int(amount)) if budget.limit.in_tokens else Limit.of_usd(amount)
        self.store.put_limit(self.key(budget), limit)
        model = self.models.setdefault(self.key(budget), Modelled(limit.amount))
        model.limit, model.raised, model.stopped = limit.amount, True, False

    @rule(budget=st.sampled_from(BUDGETS))
    def stop(self, budget: Budget) -> None:
        self.store.stop(self.key(budget), "stopped by ann")
        self.models.setdefault(self.key(budget), Modelled(budget.limit.amount)).stopped = True

    @rule()
    def a_new_day(self) -> None:
        """Calls under way end on the day on which they left."""
        self.day += 1

    @invariant()
    def the_accounts_are_those_on_paper(self) -> None:
        for found in self.store.standings():
            model = self.models[found.key]
            assert (found.spent, found.held, found.under_way) == (model.spent, sum(model.holds), len(model.holds))
            assert found.spent >= 0
            assert found.held >= 0
            assert found.spent + found.held <= model.highest


TestTree = Tree.TestCase
