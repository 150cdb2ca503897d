"""The one boundary where our failures stop: suppressed, logged as a WARNING once a place, and counted.

Code that runs inside the user's application runs under `guard`. Only a budget's decision passes it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from typing import TYPE_CHECKING, Final

from otel_cost.errors import BudgetExceededError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_logger = logging.getLogger("otel_cost")
_lock = threading.Lock()
_failures: Counter[str] = Counter()


class guard:  # noqa: N801 - a context manager that reads like a statement
    """Suppress and count whatever fails inside; what the block was to do is then simply missing.

    Args:
        place: what was being done, as a person would say it: ``reading the usage of a response``.
    """

    __slots__ = ("_place",)

    def __init__(self, place: str) -> None:
        self._place: Final = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        if kind is None or isinstance(error, BudgetExceededError) or not isinstance(error, Exception):
            return False
        report(self._place, error)
        return True


def report(place: str, error: Exception) -> None:
    """Count a failure at `place` and log it, the first time with its traceback, later ones at DEBUG."""
    with _lock:
        _failures[place] += 1
        first = _failures[place] == 1
    level = logging.WARNING if first else logging.DEBUG
    _logger.log(level, "otel-cost failed while %s: %s (the application goes on)", place, error, exc_info=error)


class Row:
    """Failures in a row: the first is a warning, the others go to DEBUG, and that it is over is said.

    Attributes:
        failing: whether the last time failed.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger: Final = logger
        self._lock: Final = threading.Lock()
        self.failing = False

    def goes_on(self, message: str, *parts: object) -> None:
        """It failed."""
        with self._lock:
            first, self.failing = not self.failing, True
        self._logger.log(logging.WARNING if first else logging.DEBUG, message, *parts)

    def is_over(self, message: str, *parts: object) -> None:
        """It worked: `message`, where it did not the last time."""
        with self._lock:
            over, self.failing = self.failing, False
        if over:
            self._logger.warning(message, *parts)


def after_fork_in_child(renew: Callable[[], None]) -> None:
    """Have `renew` called in every forked child, where no thread of the parent is left to give back a lock."""
    if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
        os.register_at_fork(after_in_child=renew)


def no_fork_while_held(lock: threading.Lock) -> None:
    """Have every fork wait until `lock` is free, so that no child begins with what it guards half done."""
    if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)


def _forked() -> None:
    global _lock  # noqa: PLW0603 - replaced once, in the child
    _lock = threading.Lock()


after_fork_in_child(_forked)


def failures() -> dict[str, int]:
    """How often something of ours failed and was suppressed, by place, since the process started."""
    with _lock:
        return dict(_failures)
