"""The budget tree: what each account has spent and holds, and the decision of all that a call is charged to at once.

Nothing here waits, locks, or knows a clock: whoever owns a `Tree` does. The store of a process owns one, the ledger
service another.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_cost import money
from otel_cost.budgets.limit import Limit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from otel_cost.budgets.rule import Budget, Key

Amount = Decimal | int
"""US dollars, or tokens."""

_MOST_ACCOUNTS: Final = 65_536
"""Of ids that nobody has a call under way for: a server sees a new run with every request."""


class Verdict(IntEnum):
    """What becomes of a call, the worst last: of several budgets, the worst decides."""

    FITS = 0
    BUSY = 1  # it does not fit beside calls under way, which may turn out cheaper
    DOWNGRADED = 2
    PAUSED = 3
    EXCEEDED = 4
    UNKNOWN = 5  # nobody knows what it costs
    STOPPED = 6


_WHERE_EXCEEDED: Final = {"downgrade": Verdict.DOWNGRADED, "pause": Verdict.PAUSED}


class Claim(NamedTuple):
    """What a call asks of one budget.

    Attributes:
        budget: the budget.
        key: its account.
        amount: what is to be held, in the budget's unit; None where nobody can tell.
        own: what calls hold of the account that cannot end while this one waits, because it was begun amid them.
        passes: whether the call is let through whatever the account says: the budget only warns, or it lets a stage
            that is under way be finished.
        reason: why nobody can tell the amount.
    """

    budget: Budget
    key: Key
    amount: Amount | None
    own: Amount = 0
    passes: bool = False
    reason: str | None = None


_NONE: Final = Limit(Decimal("Infinity"))


@dataclass(slots=True)
class Account:
    """What has been spent, and what calls under way may still spend, in one unit.

    Attributes:
        limit: the last limit that a call brought, or that a person has put in its place.
        raised: whether a person has.
        stopped: why nothing may be spent any more, as a person said; None mostly.
        warned: the largest amount that an event has told of: a share of some limit, for calls may bring several.
        seeded: whether what others have spent is in it.
    """

    spent: Amount = 0
    held: Amount = 0
    under_way: int = 0
    calls: int = 0
    limit: Limit = _NONE
    raised: bool = False
    stopped: str | None = None
    warned: Amount = 0
    seeded: bool = False


class Standing(NamedTuple):
    """How an account stands, and the budget that was asked.

    Attributes:
        crossed: the shares of the limit that what is spent has just reached.
    """

    key: Key
    limit: Limit
    spent: Amount
    held: Amount
    under_way: int
    calls: int
    stopped: str | None
    crossed: tuple[Decimal, ...] = ()


class Decision(NamedTuple):
    """Why a call is not held: the claim that decided, and how its account stands."""

    verdict: Verdict
    claim: Claim
    standing: Standing


class Hold(NamedTuple):
    """What a call under way holds, until it is settled.

    Attributes:
        id: names it in a store that several processes share.
    """

    claims: tuple[Claim, ...]
    id: str = ""


@dataclass(frozen=True, slots=True)
class Spend:
    """What a call has spent: US dollars (None where nobody knows) and tokens (None likewise).

    Attributes:
        calls: how many calls it is the end of: none, where it is a charge, or an attempt of a call that goes on.
    """

    usd: Decimal | None
    tokens: int | None
    calls: int = 1

    @money.exactly
    def of(self, claim: Claim) -> Amount:
        """In the unit of `claim`. Where nobody knows, what was held for it: the provider may charge for it."""
        if claim.budget.limit.in_tokens:
            return self.tokens if self.tokens is not None else claim.amount or 0
        if self.usd is not None:
            return self.usd
        rate = claim.budget.policy.unknown_rate
        if rate is not None and self.tokens is not None:
            return money.usd(rate * self.tokens / 1_000_000)
        return claim.amount or 0


class Tree:
    """All accounts. Not for several threads at once."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[Key, Account] = OrderedDict()

    @money.exactly
    def reserve(self, claims: Sequence[Claim]) -> Decision | None:
        """Hold all `claims`, or none of them: then why."""
        accounts = [self._account(claim) for claim in claims]
        worst = Verdict.FITS
        decided = -1
        for at, (claim, account) in enumerate(zip(claims, accounts, strict=True)):
            verdict = _decide(claim, account)
            if verdict > worst:
                worst, decided = verdict, at
        if decided >= 0:
            return Decision(worst, claims[decided], _standing(claims[decided].key, accounts[decided]))
        for claim, account in zip(claims, accounts, strict=True):
            account.held += claim.amount or 0
            account.under_way += 1
        return None

    @money.exactly
    def settle(self, claims: Sequence[Claim], spend: Spend) -> list[Standing]:
        """Put what the call really spent in the place of what it held; how the accounts stand then."""
        return [self._settled(claim, spend, held=True) for claim in claims]

    @money.exactly
    def charge(self, claims: Sequence[Claim], spend: Spend) -> list[Standing]:
        """Book what was spent that nothing was held for."""
        return [self._settled(claim, spend, held=False) for claim in claims]

    @money.exactly
    def release(self, claims: Sequence[Claim]) -> None:
        """Give back what was held: nothing left the process."""
        for claim in claims:
            account = self._account(claim)
            account.held -= claim.amount or 0
            account.under_way -= 1

    @money.exactly
    def correct(self, claims: Sequence[Claim], spend: Spend) -> list[Standing]:
        """Put what a call really spent in the place of what was booked for it when its process was taken for dead."""
        for claim in claims:
            account = self._account(claim)
            account.spent -= Spend(None, None).of(claim)
            account.calls -= 1
        return self.charge(claims, spend)

    def put_limit(self, key: Key, limit: Limit) -> None:
        """What a person decides takes the place of whatever limit calls bring; and lifts a stop."""
        account = self._accounts.setdefault(key, Account())
        account.limit, account.raised, account.stopped = limit, True, None

    def stop(self, key: Key, reason: str) -> None:
        """Let nothing through any more."""
        self._accounts.setdefault(key, Account()).stopped = reason

    def resume(self, key: Key) -> None:
        """Lift a stop."""
        self._accounts.setdefault(key, Account()).stopped = None

    @money.exactly
    def seed(self, key: Key, spent: Amount, calls: int, limit: Limit | None = None) -> None:
        """Begin an account with what others have spent; once, however often somebody asks them.

        With a `limit` it stands before the first call brings one.
        """
        account = self._accounts.setdefault(key, Account())
        if limit is not None and account.limit is _NONE:
            account.limit = limit
        if account.seeded:
            return
        account.seeded = True
        account.spent += spent
        account.calls += calls

    def has(self, key: Key) -> bool:
        """Whether there is an account of `key`."""
        return key in self._accounts

    def keys(self) -> Iterator[Key]:
        """The accounts that there are."""
        return iter(self._accounts)

    def standings(self, keys: Collection[Key] | None = None) -> Iterator[Standing]:
        """How each account stands that a call was charged to; or only those of `keys`."""
        asked = self._accounts.items() if keys is None else [(key, self._accounts.get(key)) for key in keys]
        return (_standing(key, account) for key, account in asked if account is not None and account.limit is not _NONE)

    def nothing_is_under_way(self) -> None:
        """In a forked child: what was held is the parent's to settle."""
        for account in self._accounts.values():
            account.held, account.under_way = 0, 0

    def clear(self) -> None:
        """Forget all accounts."""
        self._accounts.clear()

    def _settled(self, claim: Claim, spend: Spend, *, held: bool) -> Standing:
        account = self._account(claim)
        account.spent += spend.of(claim)
        account.calls += spend.calls
        if held:
            account.held -= claim.amount or 0
            account.under_way -= 1
        return _standing(claim.key, account, _crossed(claim, account))

    def _account(self, claim: Claim) -> Account:
        account = self._accounts.get(claim.key)
        if account is None:
            account = self._accounts[claim.key] = Account()
            self._forget_oldest()
        else:
            self._accounts.move_to_end(claim.key)
        if not account.raised:
            account.limit = claim.budget.limit
        return account

    def _forget_oldest(self) -> None:
        if len(self._accounts) > _MOST_ACCOUNTS:
            key, oldest = next(iter(self._accounts.items()))
            if oldest.under_way:
                self._accounts.move_to_end(key)
            else:
                del self._accounts[key]


def _decide(claim: Claim, account: Account) -> Verdict:
    """What one budget says."""
    policy, limit = claim.budget.policy, account.limit
    if account.stopped is not None or limit.flaw is not None:
        return Verdict.STOPPED
    if claim.passes:
        return Verdict.FITS
    if claim.amount is None:
        return Verdict.UNKNOWN
    if policy.sizing == "safety_factor":
        fits = (account.spent + account.held) * policy.safety_factor < limit.amount
        never = (account.spent + claim.own) * policy.safety_factor >= limit.amount
    else:
        fits = account.spent + account.held + claim.amount <= limit.amount
        never = account.spent + claim.own + claim.amount > limit.amount
    if fits:
        return Verdict.FITS
    return _WHERE_EXCEEDED.get(policy.on_exceed, Verdict.EXCEEDED) if never else Verdict.BUSY


def _crossed(claim: Claim, account: Account) -> tuple[Decimal, ...]:
    """The shares to warn at that what is spent has reached since the last event."""
    shares, limit = claim.budget.policy.warn_at, account.limit
    if not shares:
        return ()
    crossed = tuple(share for share in shares if account.warned < share * limit.amount <= account.spent)
    if crossed:
        account.warned = max(crossed) * limit.amount
    return crossed


def _standing(key: Key, account: Account, crossed: tuple[Decimal, ...] = ()) -> Standing:
    return Standing(
        key, account.limit, account.spent, account.held, account.under_way, account.calls, account.stopped, crossed
    )
