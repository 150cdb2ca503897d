"""The budget store of one process, for all its threads and event loops."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from otel_cost.budgets.tree import Hold, Tree
from otel_cost.budgets.waiting import Bell

if TYPE_CHECKING:
    from collections.abc import Collection

    from otel_cost.budgets.limit import Limit
    from otel_cost.budgets.rule import Key
    from otel_cost.budgets.tree import Amount, Claim, Decision, Spend, Standing


class MemoryStore:
    """Accounts that live and end with the process."""

    blocks = False
    poll_seconds: float | None = None

    def __init__(self) -> None:
        # Reentrant: a stream that is garbage collected settles its call, and collection can happen under the lock.
        self._lock = threading.RLock()
        self._tree = Tree()
        self.bell = Bell()

    def reserve(self, claims: tuple[Claim, ...]) -> Hold | Decision:
        """See `Store`."""
        with self._lock:
            decision = self._tree.reserve(claims)
        return decision or Hold(claims)

    def settle(self, hold: Hold, spend: Spend) -> list[Standing]:
        """See `Store`."""
        with self._lock:
            standings = self._tree.settle(hold.claims, spend)
        self.bell.ring()
        return standings

    def release(self, hold: Hold) -> None:
        """See `Store`."""
        with self._lock:
            self._tree.release(hold.claims)
        self.bell.ring()

    def charge(self, claims: tuple[Claim, ...], spend: Spend) -> list[Standing]:
        """See `Store`."""
        with self._lock:
            return self._tree.charge(claims, spend)

    def put_limit(self, key: Key, limit: Limit) -> None:
        """See `Store`."""
        with self._lock:
            self._tree.put_limit(key, limit)
        self.bell.ring()

    def stop(self, key: Key, reason: str) -> None:
        """See `Store`."""
        with self._lock:
            self._tree.stop(key, reason)
        self.bell.ring()

    def resume(self, key: Key) -> None:
        """See `Store`."""
        with self._lock:
            self._tree.resume(key)
        self.bell.ring()

    def seed(self, key: Key, spent: Amount, calls: int, limit: Limit | None = None) -> None:
        """Begin an account with what others have spent."""
        with self._lock:
            self._tree.seed(key, spent, calls, limit)

    def standings(self, keys: Collection[Key] | None = None) -> list[Standing]:
        """See `Store`."""
        with self._lock:
            return list(self._tree.standings(keys))

    def flush(self, seconds: float) -> bool:  # noqa: ARG002 - of the protocol
        """See `Store`: nothing is on its way."""
        return True

    def forked(self) -> None:
        """In a forked child: no thread of the parent is there to give the lock back, or to settle what it held."""
        self._lock, self.bell = threading.RLock(), Bell()
        self._tree.nothing_is_under_way()

    def clear(self) -> None:
        """Forget all accounts."""
        with self._lock:
            self._tree.clear()
