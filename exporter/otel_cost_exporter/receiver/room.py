"""How much memory requests may take until the ledger has them.

Whoever sends more than there is room for is slowed down first: its request is not read before it has a place. Only who
has waited long is refused, and told to come again.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, Self

from otel_cost_exporter.errors import LedgerBusyError

if TYPE_CHECKING:
    from types import TracebackType


class Room:
    """Room for `size` bytes, handed out in the order in which it is asked for. Safe to share between threads."""

    def __init__(self, size: int) -> None:
        self.size: Final = size
        self._free = size
        self._waiting: Final[deque[Place]] = deque()
        self._lock: Final = threading.Lock()

    @property
    def taken(self) -> int:
        """The bytes that are handed out now."""
        return self.size - self._free

    def ask(self, size: int) -> Place:
        """A place of `size` bytes, which is granted once there is room; whoever asks for more than all gets all."""
        place = Place(self, min(size, self.size))
        with self._lock:
            self._waiting.append(place)
            self._grant()
        return place

    def take_back(self, place: Place, size: int) -> None:
        """Have `size` bytes of `place` back, or have it wait no longer."""
        with self._lock:
            if place in self._waiting:
                self._waiting.remove(place)
            else:
                self._free += size
            self._grant()

    def _grant(self) -> None:
        while self._waiting and self._waiting[0].size <= self._free:
            place = self._waiting.popleft()
            self._free -= place.size
            if place.granted.set_running_or_notify_cancel():
                place.granted.set_result(None)


class Place:
    """A place in `room`, held until the ``with`` block ends.

    Attributes:
        size: its bytes.
        granted: resolves once there is room.
    """

    def __init__(self, room: Room, size: int) -> None:
        self.size = size
        self.granted: Final[Future[None]] = Future()
        self._room: Final = room

    def wait(self, seconds: float) -> None:
        """Wait for it.

        Raises:
            LedgerBusyError: it is not granted in that time.
        """
        try:
            self.granted.result(seconds)
        except TimeoutError:
            raise LedgerBusyError("more comes than can be written: send this again in a moment") from None

    def shrink(self, size: int) -> None:
        """Give back what is more than `size` bytes."""
        unused, self.size = max(self.size - size, 0), min(self.size, size)
        self._room.take_back(self, unused)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._room.take_back(self, self.size)
