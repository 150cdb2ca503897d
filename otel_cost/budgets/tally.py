"""What the calls of this process have spent of each budget, by stage, role, model and provider: what reports show.

The store decides, and knows sums alone. Here is what they are made up of, of the accounts that were charged lately; and
what calls came to by who pays, whether a budget holds or not.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import WeakValueDictionary

from otel_cost.budgets.line import Line
from otel_cost.budgets.payers import Payers
from otel_cost.safety import after_fork_in_child

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

    from otel_cost.budgets.payers import Payer
    from otel_cost.budgets.rule import Key
    from otel_cost.pricing import Cost
    from otel_cost.usage import Usage

_MOST_TALLIES: Final = 4096
_MOST_LINES: Final = 1000
"""Of one account. Names come from requests, so without a bound any number could."""
_OTHER: Final = "other"


class Of(NamedTuple):
    """What a line sums up: the calls to a model in a stage and a role, or the charges of a name there."""

    stage: str | None = None
    role: str | None = None
    model: str | None = None
    provider: str | None = None
    charge: str | None = None


class Tally:
    """What one account is made up of.

    Attributes:
        lines: its sums.
        refused: how many calls it refused.
        refused_at: the limit that the last of them did not fit, by unit.
    """

    __slots__ = ("__weakref__", "lines", "refused", "refused_at")

    def __init__(self) -> None:
        self.lines: dict[Of, Line] = {}
        self.refused = 0
        self.refused_at: dict[str, Decimal] = {}


class Account(NamedTuple):
    """Whose tally: an id of a dimension, in a period of its budget's window. Limits in USD and in tokens share it."""

    dimension: str
    id: str
    period: str

    @classmethod
    def of(cls, key: Key) -> Account:
        """That of the budget account `key`."""
        return cls(key.dimension, key.id, key.period)


PROCESS: Final = Account("", "", "")
"""All that this process does, where somebody wants a report of it."""

# Reentrant: a stream that is garbage collected ends its call, and collection can happen under the lock.
_lock = threading.RLock()
_tallies: OrderedDict[Account, Tally] = OrderedDict()
_alive: WeakValueDictionary[Account, Tally] = WeakValueDictionary()
"""Those too that somebody else holds on to."""
_payers: Final = Payers()
_of_process = False


def watch_process() -> None:
    """Keep the tally of `PROCESS` too, from now on."""
    global _of_process  # noqa: PLW0603 - one process, one answer
    _of_process = True


def add_call(
    keys: Iterable[Key],
    dimensions: Mapping[str, str],
    *,
    provider: str | None,
    model: str | None,
    usages: Iterable[Usage],
    cost: Cost,
) -> None:
    """A call has ended that is charged to the budgets `keys`.

    Args:
        keys: their accounts.
        dimensions: who pays.
        provider: who answered, or was asked.
        model: the same.
        usages: what it used, in one or several passes.
        cost: what that costs.
    """
    usages = tuple(usages)
    of = Of(dimensions.get("stage"), dimensions.get("role"), model, provider)
    with _lock:
        for line in (*_lines(_wanted(keys), of), _payers.line(dimensions, model)):
            line.add_call(usages, cost)


def add_charge(keys: Iterable[Key], dimensions: Mapping[str, str], name: str, units: Decimal, cost: Cost) -> None:
    """`units` of `name`, which is no call to a model, are charged to the budgets `keys`."""
    of = Of(dimensions.get("stage"), dimensions.get("role"), charge=name)
    with _lock:
        for line in (*_lines(_wanted(keys), of), _payers.line(dimensions, None)):
            line.add_charge(units, cost)


def add_refusal(key: Key, limit: Decimal | None) -> None:
    """A call was refused: it did not fit `limit`, or for another reason, where that is None."""
    with _lock:
        for account in (Account.of(key), *((PROCESS,) if _of_process else ())):
            kept = tally(account)
            kept.refused += 1
            if limit is not None:
                kept.refused_at[key.unit] = limit


def tally(account: Account) -> Tally:
    """That of `account`, the same object while it is kept: it goes on with the calls that follow."""
    with _lock:
        found = _tallies.get(account)
        if found is None:
            found = _tallies[account] = _alive[account] = _alive.get(account) or Tally()
            if len(_tallies) > _MOST_TALLIES:
                _tallies.popitem(last=False)
        else:
            _tallies.move_to_end(account)
    return found


def accounts() -> frozenset[Account]:
    """Those that were charged lately."""
    with _lock:
        return frozenset(_tallies)


def lines(of: Tally) -> list[tuple[Of, Line]]:
    """The lines of a tally as they stand, sums that nobody adds to any more."""
    with _lock:
        return [(what, line.copy()) for what, line in tuple(of.lines.items())]


def paid_by(payer: Payer) -> tuple[list[tuple[str | None, Line]], bool]:
    """What all of `payer` paid for together, by model, as it stands; and whether nothing of it is forgotten."""
    with _lock:
        return [(model, line.copy()) for model, line in tuple(_payers.of(payer))], _payers.has_all_of(payer)


def dimensions() -> set[str]:
    """The dimensions that calls have been paid for by, of those that are not forgotten."""
    with _lock:
        return _payers.dimensions()


def _wanted(keys: Iterable[Key]) -> set[Account]:
    accounts = {Account.of(key) for key in keys}
    if _of_process:
        accounts.add(PROCESS)
    return accounts


def _lines(accounts: Iterable[Account], of: Of) -> list[Line]:
    """The line of `of` in each account."""
    found = []
    for account in accounts:
        kept = tally(account).lines
        what = of if of in kept or len(kept) < _MOST_LINES else Of(*(name and _OTHER for name in of))
        found.append(kept.setdefault(what, Line()))
    return found


def clear() -> None:
    """Forget all of it."""
    global _of_process  # noqa: PLW0603 - likewise
    with _lock:
        _of_process = False
        _tallies.clear()
        _alive.clear()
        _payers.clear()


def _forked() -> None:
    global _lock  # noqa: PLW0603 - replaced once, in the child
    _lock = threading.RLock()


after_fork_in_child(_forked)
