"""The budget store of one process: what each budget has spent and holds, and the decision of all of them at once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from otel_cost import money
from otel_cost.budgets.sizing import Ask
from otel_cost.errors import BudgetExceededError
from otel_cost.safety import after_fork_in_child

if TYPE_CHECKING:
    from otel_cost.budgets.limit import Budget, Limit
    from otel_cost.budgets.sizing import Spend

_MOST_ACCOUNTS = 65_536  # of ids that nobody has a call under way for; a server sees a new run with every request


class Account(msgspec.Struct):
    """What one id of a dimension has spent, and what its calls under way may still spend."""

    spent_usd: Decimal = Decimal(0)
    spent_tokens: int = 0
    held_usd: Decimal = Decimal(0)
    held_tokens: int = 0
    under_way: int = 0

    def of(self, limit: Limit) -> tuple[Decimal | int, Decimal | int]:
        """What is spent and what is held, in the unit of `limit`."""
        return (self.spent_tokens, self.held_tokens) if limit.in_tokens else (self.spent_usd, self.held_usd)


class Hold(msgspec.Struct, frozen=True, eq=False):
    """What a call under way holds of its budgets, until it is settled."""

    budgets: tuple[Budget, ...]
    ask: Ask


NOTHING = Ask(Decimal(0), 0, None)


class MemoryStore:
    """Budgets of this process, for all its threads and event loops."""

    def __init__(self) -> None:
        # Reentrant: a stream that is garbage collected settles its call, and collection can happen under the lock.
        self._lock = threading.RLock()
        self._accounts: OrderedDict[tuple[str, str], Account] = OrderedDict()

    def reserve(self, budgets: tuple[Budget, ...], ask: Ask) -> Hold:
        """Hold `ask` of all `budgets`, or of none.

        Raises:
            BudgetExceededError: it does not fit; nothing is held.
        """
        with self._lock:
            accounts = [self._account(budget) for budget in budgets]
            for budget, account in zip(budgets, accounts, strict=True):
                _decide(budget, account, ask)
            for account in _distinct(accounts):
                account.held_usd += ask.usd or 0
                account.held_tokens += ask.tokens
                account.under_way += 1
        return Hold(budgets, ask)

    def check(self, budgets: tuple[Budget, ...], model: str | None) -> None:
        """Refuse a call of unknown size where one of `budgets` has nothing left.

        Raises:
            BudgetExceededError: one is spent.
        """
        with self._lock:
            for budget in budgets:
                account = self._account(budget)
                spent, held = account.of(budget.limit)
                if spent + held >= budget.limit.amount:
                    raise _refusal(budget, account, Ask(Decimal(0), 0, model))

    def charge(self, budgets: tuple[Budget, ...], spend: Spend) -> None:
        """Book what a call spent that nothing was held for."""
        self.settle(Hold(budgets, NOTHING), spend)

    def settle(self, hold: Hold, spend: Spend) -> None:
        """Put what the call really spent in the place of its `hold`."""
        with self._lock:
            for account in _distinct([self._account(budget) for budget in hold.budgets]):
                account.held_usd -= hold.ask.usd or 0
                account.held_tokens -= hold.ask.tokens
                account.under_way -= hold.ask is not NOTHING
                account.spent_usd += spend.usd or 0
                account.spent_tokens += spend.tokens

    def spent(self, dimension: str, id: str) -> Account:  # noqa: A002 - what it is
        """A copy of the account of `id`, all zero where it never spent."""
        with self._lock:
            return replace(self._accounts.get((dimension, id), Account()))

    def forked(self) -> None:
        """In a forked child: no thread of the parent is there to give the lock back, or to settle what it held."""
        self._lock = threading.RLock()
        for account in self._accounts.values():
            account.held_usd, account.held_tokens, account.under_way = Decimal(0), 0, 0

    def clear(self) -> None:
        """Forget all accounts."""
        with self._lock:
            self._accounts.clear()

    def _account(self, budget: Budget) -> Account:
        key = (budget.dimension, budget.id)
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = Account()
            self._forget_oldest()
        self._accounts.move_to_end(key)
        return account

    def _forget_oldest(self) -> None:
        if len(self._accounts) > _MOST_ACCOUNTS:
            key, oldest = next(iter(self._accounts.items()))
            if oldest.under_way:
                self._accounts.move_to_end(key)
            else:
                del self._accounts[key]


def _distinct(accounts: list[Account]) -> list[Account]:
    """Each account once: an id with a limit in USD and one in tokens has two budgets and one account."""
    return list({id(account): account for account in accounts}.values())


def _decide(budget: Budget, account: Account, ask: Ask) -> None:
    """Whether `ask` fits `budget`.

    Raises:
        BudgetExceededError: it does not, or nobody can tell.
    """
    spent, held = account.of(budget.limit)
    call = _asked(budget, ask)
    if call is None or spent + held + call > budget.limit.amount:
        raise _refusal(budget, account, ask)


def _asked(budget: Budget, ask: Ask) -> Decimal | int | None:
    return ask.tokens if budget.limit.in_tokens else ask.usd


def _refusal(budget: Budget, account: Account, ask: Ask) -> BudgetExceededError:
    limit, call = budget.limit, _asked(budget, ask)
    spent, held = account.of(limit)
    return BudgetExceededError(
        scope=budget.dimension,
        id=budget.id,
        limit=int(limit.amount) if limit.in_tokens else limit.amount,
        spent=spent,
        held=held,
        call=call,
        unit="tokens" if limit.in_tokens else money.CURRENCY,
        model=ask.model,
        reason=limit.flaw or (ask.reason if call is None else None),
    )


STORE = MemoryStore()
"""The store of this process. A forked child starts with what its parent had spent."""

after_fork_in_child(STORE.forked)
