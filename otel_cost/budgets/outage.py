"""What calls may do while the store that processes share does not answer: nothing, or spend a stated allowance."""

from __future__ import annotations

import logging
import threading
import uuid
from typing import TYPE_CHECKING

from otel_cost import money
from otel_cost.budgets.tree import Decision, Hold, Standing, Verdict
from otel_cost.budgets.waiting import Bell

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from otel_cost.budgets.limit import Limit
    from otel_cost.budgets.rule import Key
    from otel_cost.budgets.tree import Amount, Claim, Spend

_logger = logging.getLogger(__name__)


class StoreGoneError(Exception):
    """The store that processes share does not answer; the text says why.

    Attributes:
        is_final: whether it does, and refuses this one thing that it was asked, as it would again.
    """

    is_final = False


class NobodyThereError(StoreGoneError):
    """Nobody listens there, or a program that is no such store."""


class Outage:
    """The time while the store does not answer, and what this process spends meanwhile.

    Args:
        where: the address of the store, for a person.
        allowance: what calls of this process may spend together in each such time; None for nothing.

    Attributes:
        cause: why the store does not answer; None while it does.
    """

    def __init__(self, where: str, allowance: Limit | None) -> None:
        self.cause: str | None = None
        self._where, self._allowance = where, allowance
        self._spent: Amount = 0
        self._holds: dict[str, Amount] = {}
        # Reentrant: a stream that is garbage collected settles its call, and collection can happen under the lock.
        self._lock = threading.RLock()

    def begins(self, cause: str) -> None:
        """The store does not answer, because of `cause`."""
        begun, self.cause = self.cause is None, cause
        if begun:
            go_on = "are refused" if self._allowance is None else f"may spend {_said(self._allowance)} in this process"
            _logger.warning(
                "the budget store at %s does not answer: %s. Until it does, calls under a budget %s",
                self._where,
                cause,
                go_on,
            )

    def ends(self) -> None:
        """The store answers."""
        ended, self.cause = self.cause is not None, None
        with self._lock:
            self._spent = 0
        if ended:
            _logger.warning("the budget store at %s answers again", self._where)

    @money.exactly
    def reserve(self, claims: tuple[Claim, ...]) -> Hold | Decision:
        """Hold what the call asks for of the allowance. A budget that only warns lets it through whatever is left.

        What its budget would not let through were nothing spent of it yet, is not let through here either.
        """
        never = next((claim for claim in claims if _never_fits(claim)), None)
        if never is not None:
            return Decision(Verdict.STOPPED, never, self._refused(never, known=True))
        bound = next((claim for claim in claims if not claim.passes), None)
        amount = self._asked(claims)
        with self._lock:
            left = None if self._allowance is None else self._allowance.amount - self._spent - sum(self._holds.values())
            if bound is not None and (left is None or amount is None or amount > left):
                return Decision(Verdict.STOPPED, bound, self._refused(bound, known=amount is not None))
            hold = Hold(claims, uuid.uuid4().hex)
            self._holds[hold.id] = amount or 0
        return hold

    @money.exactly
    def settle(self, hold: Hold, spend: Spend | None) -> bool:
        """Whether `hold` is of the allowance. What was spent takes its place, or nothing where that is None."""
        with self._lock:
            amount = self._holds.pop(hold.id, None)
            if amount is None:
                return False
            if spend is not None and self.cause is not None:
                self._spent += max((spend.of(claim) for claim in hold.claims if self._is_of(claim)), default=amount)
        return True

    def forked(self) -> None:
        """In a forked child: what was held is the parent's to settle."""
        self._lock = threading.RLock()
        self._holds.clear()

    def _is_of(self, claim: Claim) -> bool:
        return self._allowance is not None and claim.budget.limit.in_tokens == self._allowance.in_tokens

    def _asked(self, claims: tuple[Claim, ...]) -> Amount | None:
        """What the call may spend in the unit of the allowance; None where no budget in that unit can tell."""
        return max((claim.amount for claim in claims if self._is_of(claim) and claim.amount is not None), default=None)

    def _refused(self, claim: Claim, *, known: bool) -> Standing:
        reason = f"the budget store at {self._where} does not answer ({self.cause})"
        if _never_fits(claim):
            reason += ", and the call is beyond the whole limit anyway"
        elif self._allowance is not None and known:
            reason += f", and what is left of the {_said(self._allowance)} that may be spent meanwhile is less"
        elif self._allowance is not None:
            reason += (
                f", and nobody can hold this call against the {_said(self._allowance)} that may be spent meanwhile"
            )
        return Standing(claim.key, claim.budget.limit, 0, 0, 0, 0, reason)


def _never_fits(claim: Claim) -> bool:
    limit = claim.budget.limit
    return limit.flaw is not None or (not claim.passes and claim.amount is not None and claim.amount > limit.amount)


def _said(allowance: Limit) -> str:
    return f"{allowance.amount} tokens" if allowance.in_tokens else f"{money.text(allowance.amount)} USD"


class RefusingStore:
    """The store of a process whose store cannot be: nothing is let through but what passes whatever its budget says.

    Args:
        flaw: what is wrong.
    """

    blocks = False
    poll_seconds: float | None = None

    def __init__(self, flaw: str) -> None:
        self.bell = Bell()
        self._flaw = flaw

    def reserve(self, claims: tuple[Claim, ...]) -> Hold | Decision:
        """See `Store`."""
        bound = next((claim for claim in claims if not claim.passes), None)
        if bound is None:
            return Hold(claims)
        return Decision(Verdict.STOPPED, bound, Standing(bound.key, bound.budget.limit, 0, 0, 0, 0, self._flaw))

    def settle(self, hold: Hold, spend: Spend) -> Sequence[Standing]:  # noqa: ARG002 - of the protocol
        """See `Store`: it is in no account."""
        return ()

    def release(self, hold: Hold) -> None:
        """See `Store`: it is in no account."""

    def charge(self, claims: tuple[Claim, ...], spend: Spend) -> Sequence[Standing]:  # noqa: ARG002 - likewise
        """See `Store`: it is in no account."""
        return ()

    def put_limit(self, key: Key, limit: Limit) -> None:  # noqa: ARG002 - likewise
        """See `Store`.

        Raises:
            StoreGoneError: there is none.
        """
        raise StoreGoneError(self._flaw)

    def stop(self, key: Key, reason: str) -> None:
        """See `Store`: nothing is let through anyway."""

    def resume(self, key: Key) -> None:  # noqa: ARG002 - likewise
        """See `Store`.

        Raises:
            StoreGoneError: there is none.
        """
        raise StoreGoneError(self._flaw)

    def standings(self, keys: Collection[Key] | None = None) -> Sequence[Standing]:  # noqa: ARG002 - there are none
        """See `Store`: there are no accounts."""
        return ()

    def flush(self, seconds: float) -> bool:  # noqa: ARG002 - likewise
        """See `Store`: nothing waits."""
        return True

    def forked(self) -> None:
        """See `Store`."""
        self.bell = Bell()
