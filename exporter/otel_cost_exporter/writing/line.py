"""What waits for the next step: a line that is bounded, and whose next step takes all that waits."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final, Generic, TypeVar

from otel_cost_exporter.errors import LedgerBusyError, LedgerDownError

T = TypeVar("T")


class Line(Generic[T]):
    """A line of things of some size each. May be used by many threads at once.

    Args:
        most: the sum of sizes that may wait. One thing is taken whatever its size where nothing else waits.
    """

    def __init__(self, most: int) -> None:
        self.size = 0
        """The sizes of what waits, in sum."""
        self._most: Final = most
        self._things: Final[deque[tuple[T, int]]] = deque()
        self._closed = False
        self._changed: Final = threading.Condition()

    def put(self, thing: T, size: int, patience: float | None = 0.0) -> None:
        """Let `thing` wait at the end of the line.

        Args:
            thing: what waits.
            size: how much of the line's room it takes.
            patience: seconds to wait for room; None waits as long as it takes.

        Raises:
            LedgerBusyError: there is no room.
            LedgerDownError: the line is closed.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._has_room(size), patience):
                raise LedgerBusyError(f"{self.size} bytes of calls wait to be written: send these again in a moment")
            if self._closed:
                raise LedgerDownError("the ledger is closing")
            self._things.append((thing, size))
            self.size += size
            self._changed.notify_all()

    def take(self, most: int, patience: float | None = None) -> list[T]:
        """Take what waits at the head of the line, in sum not more than `most` but at least one thing.

        It waits for the first one; none comes where `patience` is over or the line is closed and empty.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._things or self._closed, patience)
            taken: list[T] = []
            size = 0
            while self._things and (not taken or size + self._things[0][1] <= most):
                thing, its_size = self._things.popleft()
                taken.append(thing)
                size += its_size
            self.size -= size
            self._changed.notify_all()
        return taken

    def close(self) -> None:
        """Let nothing more in; what waits can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def ended(self) -> bool:
        """Whether nothing waits and nothing can come."""
        with self._changed:
            return self._closed and not self._things

    def _has_room(self, size: int) -> bool:
        return not self._things or self.size + size <= self._most
