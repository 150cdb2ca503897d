"""A store that processes share: one server keeps the accounts, and each process asks it over the network.

A hold is asked for while its call waits. What becomes of it is booked behind the call's back, by a thread that goes on
until the server has it, since calls end in event loops and in the garbage collector, which must not wait for a network.
Everything that is asked carries an id of its own, so it counts once however often it is sent.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

from otel_cost.budgets.outage import Outage, RefusingStore, StoreGoneError
from otel_cost.budgets.outbox import Outbox
from otel_cost.budgets.tree import Hold
from otel_cost.budgets.waiting import Bell
from otel_cost.safety import guard

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from otel_cost.budgets.limit import Limit
    from otel_cost.budgets.rule import Key
    from otel_cost.budgets.tree import Claim, Decision, Spend, Standing

_logger = logging.getLogger(__name__)

LEASE_SECONDS: Final = 600.0
"""How long a hold lasts that nobody settles. Then its process is taken for dead, and the hold for spent: the request
may have left. A call that ends later than that is put right all the same."""
_POLL_SECONDS: Final = 0.2
_TRY_AGAIN_SECONDS: Final = 1.0

Kind = Literal["settle", "release", "charge"]


class Booking(NamedTuple):
    """What became of a hold, or what was spent without one.

    Attributes:
        kind: ``settle`` puts what was spent in the place of the hold, ``release`` gives the hold back, ``charge`` books
            what was spent that nothing was held for.
        id: that of the hold; a charge has one of its own.
        claims: what was held; they say whom to charge.
        spend: what was spent; None where the hold is given back.
    """

    kind: Kind
    id: str
    claims: tuple[Claim, ...]
    spend: Spend | None


class Server(Protocol):
    """The server that keeps the accounts, as one process talks to it, from many threads at once.

    Each method waits for an answer, though not long, and raises `StoreGoneError` where none comes.

    Attributes:
        where: its address, for a person; without a password.
    """

    where: str

    def reserve(self, hold: Hold, lease_seconds: float) -> Decision | None:
        """Hold all claims of `hold`, or none: then why. One that is held already is held once."""

    def book(self, bookings: Sequence[Booking]) -> Sequence[Sequence[Standing]]:
        """Book each of `bookings` that is not booked yet; for each, how its accounts stand then."""

    def put_limit(self, key: Key, limit: Limit) -> None:
        """See `Store`."""

    def stop(self, key: Key, reason: str) -> None:
        """See `Store`."""

    def resume(self, key: Key) -> None:
        """See `Store`."""

    def standings(self, keys: Collection[Key] | None = None) -> Sequence[Standing]:
        """See `Store`."""

    def forked(self) -> None:
        """In a forked child: connections are the parent's."""

    def close(self) -> None:
        """Close the connections that are kept."""


class SharedStore:
    """The accounts of a `Server`, as a `Store` of this process.

    Args:
        server: where they are kept.
        allowance: what this process may spend while `server` does not answer; None for nothing.
        told: told of each booking, and of how its accounts stand, once the server has booked it.
    """

    blocks = True
    poll_seconds: float | None = _POLL_SECONDS

    def __init__(
        self,
        server: Server,
        allowance: Limit | None,
        told: Callable[[Booking, Sequence[Standing]], object] = lambda *_: None,
    ) -> None:
        self.server, self.told = server, told
        self._outage = Outage(server.where, allowance)
        self._begin()

    def _begin(self) -> None:
        self.bell = Bell()
        self._outbox: Outbox[Booking] = Outbox(self._book, _TRY_AGAIN_SECONDS)
        self._ask_again = 0.0
        self._lock = threading.RLock()

    def reserve(self, claims: tuple[Claim, ...]) -> Hold | Decision:
        """See `Store`."""
        if time.monotonic() < self._ask_again:
            return self._outage.reserve(claims)
        hold = Hold(claims, uuid.uuid4().hex)
        try:
            decision = self.server.reserve(hold, LEASE_SECONDS)
        except StoreGoneError as error:
            if error.is_final:
                return RefusingStore(f"the budget store at {self.server.where} refuses it: {error}").reserve(claims)
            self._outbox.put(Booking("release", hold.id, claims, None))  # it may have got there all the same
            self._gone(error)
            return self._outage.reserve(claims)
        self._back()
        return decision or hold

    def settle(self, hold: Hold, spend: Spend) -> Sequence[Standing]:
        """See `Store`. How the accounts stand, `told` is told later."""
        local = self._outage.settle(hold, spend)
        self._outbox.put(Booking("charge" if local else "settle", hold.id, hold.claims, spend))
        return ()

    def release(self, hold: Hold) -> None:
        """See `Store`."""
        if not self._outage.settle(hold, None):
            self._outbox.put(Booking("release", hold.id, hold.claims, None))
        else:
            self.bell.ring()

    def charge(self, claims: tuple[Claim, ...], spend: Spend) -> Sequence[Standing]:
        """See `Store`. How the accounts stand, `told` is told later."""
        self._outbox.put(Booking("charge", uuid.uuid4().hex, claims, spend))
        return ()

    def put_limit(self, key: Key, limit: Limit) -> None:
        """See `Store`.

        Raises:
            StoreGoneError: the server does not answer.
        """
        self.server.put_limit(key, limit)
        self.bell.ring()

    def stop(self, key: Key, reason: str) -> None:
        """See `Store`.

        Raises:
            StoreGoneError: the server does not answer.
        """
        self.server.stop(key, reason)
        self.bell.ring()

    def resume(self, key: Key) -> None:
        """See `Store`.

        Raises:
            StoreGoneError: the server does not answer.
        """
        self.server.resume(key)
        self.bell.ring()

    def standings(self, keys: Collection[Key] | None = None) -> Sequence[Standing]:
        """See `Store`; what this process has spent is among it.

        Raises:
            StoreGoneError: the server does not answer.
        """
        self.flush(_TRY_AGAIN_SECONDS)
        return self.server.standings(keys)

    def flush(self, seconds: float) -> bool:
        """Wait until the server has all that was booked so far; whether it has."""
        return self._outbox.flush(seconds)

    def forked(self) -> None:
        """In a forked child: what the parent has to book is the parent's, and its threads are not here."""
        self._outage.forked()
        self.server.forked()
        self._begin()

    def _book(self, bookings: Sequence[Booking]) -> None:
        try:
            booked = self.server.book(bookings)
        except StoreGoneError as error:
            if error.is_final:
                self._book_one_by_one(bookings, error)
                return
            self._gone(error)
            raise
        self._back()
        self.bell.ring()
        for booking, standings in zip(bookings, booked, strict=True):
            with guard("telling how budgets stand"):
                self.told(booking, standings)

    def _book_one_by_one(self, bookings: Sequence[Booking], refused: StoreGoneError) -> None:
        """One of `bookings` is `refused`, which must not hold up the others."""
        if len(bookings) > 1:
            for booking in bookings:
                self._book([booking])
            return
        _logger.error("the budget store at %s does not book a call: %s", self.server.where, refused)

    def _gone(self, error: StoreGoneError) -> None:
        with self._lock:
            self._ask_again = time.monotonic() + _TRY_AGAIN_SECONDS
            self._outage.begins(str(error))

    def _back(self) -> None:
        if self._outage.cause is not None:
            with self._lock:
                self._ask_again = 0.0
                self._outage.ends()
