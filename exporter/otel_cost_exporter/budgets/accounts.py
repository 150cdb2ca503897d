"""The accounts of budgets that processes share: one tree of them, the holds on it, and what people decided.

An account begins, where nobody has used it since the service started, with what is written down of it, or with what
its calls in the books have spent, whichever is more: the first is behind by a second at most where the service was
killed, and the second by what is still on its way.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from otel_cost import semconv
from otel_cost.budgets.limit import Limit
from otel_cost.budgets.rule import PLAIN, Key
from otel_cost.budgets.tree import Spend, Standing, Tree, Verdict
from otel_cost.budgets.window import is_over
from otel_cost_exporter.budgets.written import Account, Order, moment
from otel_cost_exporter.errors import LedgerDownError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from otel_cost.budgets.rule import Policy
    from otel_cost.budgets.tree import Claim, Decision
    from otel_cost_exporter.budgets.written import Written

_logger = logging.getLogger(__name__)

_WRITE_EVERY_SECONDS: Final = 1.0
_PAUSED_SECONDS: Final = 5.0
"""How long an account counts as paused after a call that waits has asked for the last time: it asks every second."""
_MOST_ENDED: Final = 100_000
"""Holds that are over and remembered, so that what is sent again counts once."""
_MOST_POLICIES: Final = 65_536
_MOST_KEPT_ELSEWHERE: Final = 1_000
"""Accounts that processes keep themselves and are listed: the books are asked about each that is of a window."""


@dataclass(frozen=True, slots=True)
class Status:
    """How an account stands, and what people decided about it.

    Attributes:
        paused: whether calls wait for somebody to decide.
        limit_put: the order that put its limit, if any.
        stop: the order that stopped its id, if any.
    """

    standing: Standing
    policy: Policy = PLAIN
    paused: bool = False
    limit_put: Order | None = None
    stop: Order | None = None


class Accounts:
    """All accounts of the service, for many threads.

    Args:
        written: what the ledger's file says of them.
        clock: the time in seconds since 1970.
    """

    def __init__(self, written: Written, clock: Callable[[], float] = time.time) -> None:
        self._written, self._clock = written, clock
        self._lock: Final = threading.Lock()
        self._tree: Final = Tree()
        self._holds: dict[str, tuple[float, Sequence[Claim]]] = {}  # with the end of its lease
        self._leases: list[tuple[float, str]] = []
        self._ended: OrderedDict[str, Sequence[Claim] | None] = OrderedDict()  # claims: those of a lease that ran out
        self._policies: OrderedDict[Key, Policy] = OrderedDict()
        self._paused: dict[Key, float] = {}
        self._elsewhere: OrderedDict[Key, Limit] = OrderedDict()  # in the memory of processes, with the limit
        self._limits: dict[Key, Order] = {}
        self._stops: dict[tuple[str, str], Order] = {}
        self._changed: dict[Key, Standing] = {}
        self._closing: Final = threading.Event()
        for order in written.orders():
            self._remember(order)
        self._writer: Final = threading.Thread(target=self._write_regularly, name="otel-cost-budgets", daemon=True)
        self._writer.start()

    def close(self) -> None:
        """Write down what has changed."""
        self._closing.set()
        self._writer.join()
        self._write_changed()

    # --- calls -------------------------------------------------------------------------------------------------------
    def reserve(self, hold: str, claims: Sequence[Claim], lease_seconds: float) -> Decision | None:
        """Hold all `claims` as `hold`, or none: then why. A hold that is there, or is over, is not held again."""
        self._begin(claim.key for claim in claims)
        with self._lock:
            self._end_overdue()
            if hold in self._holds or hold in self._ended:
                return None
            for claim in claims:
                self._policies[claim.key] = claim.budget.policy
                self._policies.move_to_end(claim.key)
            if len(self._policies) > _MOST_POLICIES:
                self._policies.popitem(last=False)
            decision = self._tree.reserve(claims)
            if decision is None:
                until = self._clock() + lease_seconds
                self._holds[hold] = until, claims
                heapq.heappush(self._leases, (until, hold))
            elif decision.verdict is Verdict.PAUSED:
                self._paused[decision.claim.key] = self._clock()
        return decision

    def settle(self, hold: str, claims: Sequence[Claim], spend: Spend) -> Sequence[Standing]:
        """Put what was spent in the place of `hold`, once; how its accounts stand then.

        What nothing is held for here is charged: nothing ever was, or the service has started anew since.
        """
        self._begin(claim.key for claim in claims)
        with self._lock:
            self._end_overdue()
            if hold in self._holds:
                standings = self._tree.settle(self._holds.pop(hold)[1], spend)
            elif hold not in self._ended:
                standings = self._tree.charge(claims, spend)
            elif (booked := self._ended[hold]) is not None:
                standings = self._tree.correct(booked, spend)
            else:
                return ()
            self._end(hold, None)
            return self._note(standings)

    def release(self, hold: str) -> None:
        """Give `hold` back: nothing left the process."""
        with self._lock:
            self._end_overdue()
            if hold in self._holds:
                self._tree.release(self._holds.pop(hold)[1])
            elif (booked := self._ended.get(hold)) is not None:
                self._note(self._tree.correct(booked, Spend(Decimal(0), 0, calls=0)))
            self._end(hold, None)

    def _begin(self, keys: Iterable[Key]) -> None:
        """Have an account for each of `keys`."""
        for key in keys:
            if not self._tree.has(key):
                past = self.past(key)  # without the lock: it may take a while
                with self._lock:
                    self._begin_with(past)

    def _begin_with(self, past: Account) -> None:
        key = past.key
        if not self._tree.has(key):
            self._tree.seed(key, past.spent, past.calls)
            if (put := self._limits.get(key)) is not None:
                self._tree.put_limit(key, limit_of(key, put.limit_amount))
            if (stop := self._stops.get((key.dimension, key.id))) is not None:
                self._tree.stop(key, reason_of(stop))

    def _end_overdue(self) -> None:
        """Book what is held by processes that are dead, as it seems: the requests may have left."""
        now = self._clock()
        while self._leases and self._leases[0][0] <= now:
            _, hold = heapq.heappop(self._leases)
            if hold in self._holds:
                claims = self._holds.pop(hold)[1]
                self._note(self._tree.settle(claims, Spend(None, None)))
                self._end(hold, claims)

    def _end(self, hold: str, booked: Sequence[Claim] | None) -> None:
        self._ended[hold] = booked
        self._ended.move_to_end(hold)
        if len(self._ended) > _MOST_ENDED:
            self._ended.popitem(last=False)

    def _note(self, standings: Sequence[Standing]) -> Sequence[Standing]:
        for standing in standings:
            if is_of_a_person(standing.key):
                self._changed[standing.key] = standing
        return standings

    # --- what is written down ----------------------------------------------------------------------------------------
    def past(self, key: Key, before: datetime | None = None) -> Account:
        """What has been spent of an account so far, as far as this service knows; by calls that began `before` then."""
        if not is_of_a_person(key):
            return Account(key, 0, 0)
        changed = self._changed.get(key)
        known = Account(key, changed.spent, changed.calls) if changed is not None else self._written.account(key)
        by_calls = self._written.spent_by_calls(key, before)
        return by_calls if known is None or by_calls.spent > known.spent else known

    def _write_regularly(self) -> None:
        while not self._closing.wait(_WRITE_EVERY_SECONDS):
            with self._lock:
                self._end_overdue()
            self._write_changed()

    def _write_changed(self) -> None:
        with self._lock:
            changed = dict(self._changed)
        if not changed:
            return
        accounts = [_account(standing) for standing in changed.values()]
        try:
            self._written.write_accounts(accounts, moment(self._clock()))
        except LedgerDownError as error:
            _logger.warning("%s. It is tried again every second", error)
            return
        with self._lock:
            for key, standing in changed.items():
                if self._changed.get(key) is standing:
                    del self._changed[key]

    # --- people ------------------------------------------------------------------------------------------------------
    def put_limit(self, key: Key, limit: Limit, by: str) -> None:
        """Put `limit` in the place of whatever limit calls bring to the account; a stop of its id is lifted.

        Raises:
            LedgerDownError: it cannot be written down.
        """
        if (key.dimension, key.id) in self._stops:
            self.resume(key.dimension, key.id, by)
        order = Order(moment(self._clock()), by, "limit", *key, limit_amount=limit.amount)
        self._begin([key])
        self._written.write_order(order)
        with self._lock:
            self._remember(order)
            self._tree.put_limit(key, limit)

    def stop(self, dimension: str, id: str, reason: str, by: str) -> None:  # noqa: A002 - what it is
        """Let nothing through any more that is charged to `id`.

        Raises:
            LedgerDownError: it cannot be written down.
        """
        order = Order(moment(self._clock()), by, "stop", dimension, id, reason=reason)
        self._written.write_order(order)
        with self._lock:
            self._remember(order)
            for key in self._keys(dimension, id):
                self._tree.stop(key, reason_of(order))

    def resume(self, dimension: str, id: str, by: str) -> None:  # noqa: A002 - what it is
        """Lift a stop.

        Raises:
            LedgerDownError: it cannot be written down.
        """
        order = Order(moment(self._clock()), by, "resume", dimension, id)
        self._written.write_order(order)
        with self._lock:
            self._remember(order)
            for key in self._keys(dimension, id):
                self._tree.resume(key)

    def asks(self, key: Key, limit: Limit | None = None, *, paused: bool) -> tuple[Order | None, Order | None]:
        """The limit that was put, and the stop, for a process that keeps the account itself.

        Args:
            key: the account.
            limit: the one that its calls bring.
            paused: whether a call waits there for somebody to decide.
        """
        with self._lock:
            if paused:
                self._paused[key] = self._clock()
            if limit is not None:
                self._elsewhere[key] = limit
                self._elsewhere.move_to_end(key)
            if len(self._elsewhere) > _MOST_KEPT_ELSEWHERE:
                self._elsewhere.popitem(last=False)
            return self._limits.get(key), self._stops.get((key.dimension, key.id))

    def _remember(self, order: Order) -> None:
        if order.kind == "limit":
            self._limits[Key(order.dimension, order.id, order.unit or "", order.period or "")] = order
        elif order.kind == "stop":
            self._stops[order.dimension, order.id] = order
        else:
            self._stops.pop((order.dimension, order.id), None)

    def _keys(self, dimension: str, id: str) -> list[Key]:  # noqa: A002 - what it is
        return [key for key in self._tree.keys() if key.dimension == dimension and key.id == id]  # noqa: SIM118 - no dict

    # --- questions ---------------------------------------------------------------------------------------------------
    def statuses(self) -> list[Status]:
        """How each account stands that is in use, is written down, or that people decided about, and is not over."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        written = {each.key: each for each in self._written.accounts() if not is_over(each.key.period, now)}
        with self._lock:
            elsewhere = [key for key in self._elsewhere if not is_over(key.period, now)]
        in_books = {key: self.past(key) for key in elsewhere if key.period}  # without the lock: it may take a while
        with self._lock:
            self._end_overdue()
            standings = {each.key: each for each in self._tree.standings() if not is_over(each.key.period, now)}
            known = {*self._limits, *self._paused, *elsewhere}
            decided = {key for key in known if not is_over(key.period, now)}
            stopped = set(self._stops) - {(key.dimension, key.id) for key in (*standings, *written, *decided)}
            decided |= {Key(dimension, id_, "USD") for dimension, id_ in stopped}
            for key in (*written, *decided):
                if key not in standings:
                    standings[key] = self._idle(key, written.get(key))
            for key, past in in_books.items():
                spent, calls = max(standings[key].spent, past.spent), max(standings[key].calls, past.calls)
                standings[key] = standings[key]._replace(spent=spent, calls=calls)
            return [self._status(standing) for standing in standings.values()]

    def _idle(self, key: Key, account: Account | None) -> Standing:
        """How an account stands that is not in use."""
        put, stop = self._limits.get(key), self._stops.get((key.dimension, key.id))
        amount = put.limit_amount if put is not None else account.limit_amount if account is not None else None
        if amount is None and key in self._elsewhere:
            amount = self._elsewhere[key].amount
        spent, calls = (account.spent, account.calls) if account is not None else (0, 0)
        return Standing(key, limit_of(key, amount), spent, 0, 0, calls, reason_of(stop) if stop is not None else None)

    def _status(self, standing: Standing) -> Status:
        key = standing.key
        paused = self._clock() - self._paused.get(key, float("-inf")) < _PAUSED_SECONDS
        return Status(
            standing,
            self._policies.get(key, PLAIN),
            paused,
            self._limits.get(key),
            self._stops.get((key.dimension, key.id)),
        )


def limit_of(key: Key, amount: Decimal | None) -> Limit:
    """A limit in the unit of `key`; of nothing, where none is known."""
    return Limit(amount or Decimal(0), in_tokens=key.unit == semconv.TOKENS)


def reason_of(stop: Order) -> str:
    """Why nothing may be spent any more, for the person whose call is refused."""
    return f"stopped by {stop.given_by}: {stop.reason}" if stop.reason else f"stopped by {stop.given_by}"


def is_of_a_person(key: Key) -> bool:
    """Whether somebody gave the id, so that it may come again; that of a trace does not."""
    return not key.id.startswith("trace-")


def _account(standing: Standing) -> Account:
    amount = standing.limit.amount
    return Account(standing.key, standing.spent, standing.calls, amount if amount.is_finite() else None)
