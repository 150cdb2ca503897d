"""Things on their way to a server, in their order: a thread sends them until it takes them, and nobody waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from itertools import islice, takewhile
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from otel_cost.budgets.outage import StoreGoneError
from otel_cost.safety import guard

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_logger = logging.getLogger(__name__)
Item = TypeVar("Item")

_MOST_AT_ONCE: Final = 200
_MOST_WAITING: Final = 100_000


class _Mark(Future[bool]):
    """Stands among the items; told whether all before it have gone, once they have, or have been tried in vain."""


class Outbox(Generic[Item]):
    """Sends what is put into it.

    Args:
        send: takes several items at once; raises `StoreGoneError` where they must be sent again.
        pause_seconds: between two tries.
    """

    def __init__(self, send: Callable[[Sequence[Item]], None], pause_seconds: float) -> None:
        self._send, self._pause_seconds = send, pause_seconds
        # The garbage collector may put into it amid a put, which no other queue allows.
        self._new: SimpleQueue[Item | _Mark] = SimpleQueue()
        self._waiting: deque[Item | _Mark] = deque()  # of the thread alone
        self._thread: threading.Thread | None = None
        self._starting = threading.RLock()

    def put(self, item: Item) -> None:
        """Send `item` in its turn."""
        self._new.put(item)
        if self._thread is None:
            self._start()

    def flush(self, seconds: float) -> bool:
        """Wait until all that was put so far has gone, or has been tried in vain; whether it has gone."""
        if self._thread is None:
            return self._new.empty()
        mark = _Mark()
        self._new.put(mark)
        with suppress(TimeoutError):
            return mark.result(seconds)
        return False

    def _start(self) -> None:
        with self._starting, suppress(RuntimeError):  # no thread can be started where the interpreter ends
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="otel-cost-budgets", daemon=True)
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        while True:
            self._waiting.append(self._new.get())
            while self._waiting:
                self._take_new()
                if not self._deliver():
                    self._pause()

    def _take_new(self) -> None:
        with suppress(Empty):
            while True:
                self._waiting.append(self._new.get_nowait())
        if (many := len(self._waiting) - _MOST_WAITING) > 0:
            _logger.error("%d bookings are given up: the budget store has not answered for too long", many)
            for _ in range(many):
                self._waiting.popleft()

    def _deliver(self) -> bool:
        """Send all that waits; False where it must be tried again."""
        while self._waiting:
            if isinstance(first := self._waiting[0], _Mark):
                self._waiting.popleft()
                first.set_result(True)
                continue
            items = list(takewhile(_is_item, islice(self._waiting, _MOST_AT_ONCE)))
            with guard("booking what calls have spent"):  # what fails otherwise would fail again
                try:
                    self._send(items)  # type: ignore[arg-type]
                except StoreGoneError:
                    return False
            for _ in items:
                self._waiting.popleft()
        return True

    def _pause(self) -> None:
        """Wait for the next try, or for somebody who wants one at once."""
        for mark in [each for each in self._waiting if isinstance(each, _Mark)]:
            self._waiting.remove(mark)
            mark.set_result(False)
        until = time.monotonic() + self._pause_seconds
        while (left := until - time.monotonic()) > 0:
            with suppress(Empty):
                self._waiting.append(new := self._new.get(timeout=left))
                if isinstance(new, _Mark):
                    return


def _is_item(each: object) -> bool:
    return not isinstance(each, _Mark)
