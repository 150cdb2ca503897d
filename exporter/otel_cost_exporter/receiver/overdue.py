"""Breaks off what takes too long: a sender that stands still must not keep its place from all others."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_LOOK_EVERY_SECONDS: Final = 1.0


class Overdue:
    """Breaks off what takes longer than `seconds`. May be used by many threads at once.

    Args:
        seconds: how long something may take, and up to a second more.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds: Final = seconds
        self._under_way: Final[dict[object, tuple[float, Callable[[], object]]]] = {}  # what began first comes first
        self._lock: Final = threading.Lock()
        self._stop: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name="otel-cost-overdue", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    @contextmanager
    def unless_over(self, break_off: Callable[[], object]) -> Iterator[None]:
        """Have `break_off` called, by another thread, where the block takes too long."""
        key = object()
        with self._lock:
            self._under_way[key] = time.monotonic() + self._seconds, break_off
        try:
            yield
        finally:
            with self._lock:
                self._under_way.pop(key, None)

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_SECONDS):
            for break_off in self._found():
                break_off()

    def _found(self) -> list[Callable[[], object]]:
        now, found = time.monotonic(), []
        with self._lock:
            for key, (until, break_off) in list(self._under_way.items()):
                if until > now:
                    break
                del self._under_way[key]
                found.append(break_off)
        return found
