"""The holds begun above: by a call that this one is part of, or that the same task began and has not finished.

None of them can be settled while a call that begins here waits, so none is waited for.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from otel_cost.safety import after_fork_in_child

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_cost.budgets.rule import Key
    from otel_cost.budgets.tree import Amount, Hold


class Open:
    """A hold that is not settled yet."""

    __slots__ = ("hold", "settled")

    def __init__(self, hold: Hold) -> None:
        self.hold, self.settled = hold, False


_begun: ContextVar[tuple[Open, ...]] = ContextVar("otel_cost.begun-above", default=())


def begun_above() -> tuple[Open, ...]:
    """The holds that were begun above and are not settled: in the same task, or one that started it."""
    begun = _begun.get()
    return tuple(each for each in begun if not each.settled) if begun else begun


def begins(hold: Hold) -> Open:
    """A call that holds `hold` begins here. Those that are settled are forgotten."""
    begun = Open(hold)
    _begun.set((*begun_above(), begun))
    return begun


@contextmanager
def inheriting(above: tuple[Open, ...]) -> Iterator[None]:
    """A thread goes on with what was `begun_above` where it was started."""
    token = _begun.set(above)
    try:
        yield
    finally:
        _begun.reset(token)


def own(above: tuple[Open, ...]) -> dict[Key, Amount]:
    """What those of `above` that are not settled hold, by account."""
    held: dict[Key, Amount] = {}
    for begun in above:
        if not begun.settled:
            for claim in begun.hold.claims:
                held[claim.key] = held.get(claim.key, 0) + (claim.amount or 0)
    return held


def _forked() -> None:
    """What was begun in the parent is settled there, and holds nothing here."""
    global _begun  # noqa: PLW0603 - in no task of the child
    _begun = ContextVar("otel_cost.begun-above", default=())


after_fork_in_child(_forked)
