"""The stage that is under way here, and the budgets that let it begin: they let it be finished.

What code sets or names inside the stage has not let it begin, so its calls are held against that one by one.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_cost.budgets.rule import Budget
    from otel_cost.budgets.window import Window

Begun = frozenset["tuple[str, str, str, Window]"]
"""The budgets that have let a stage begin."""

_begun: ContextVar[Begun] = ContextVar("otel_cost.stage-under-way", default=frozenset())


def begun() -> Begun:
    """Those that have let the stage begin that is under way here."""
    return _begun.get()


def in_stage(budget: Budget) -> bool:
    """Whether a stage is under way that `budget` has let begin."""
    return _name(budget) in _begun.get()


def let_begin(budgets: Iterable[Budget]) -> Begun:
    """Those that are under way where a stage begins that `budgets` let begin."""
    return _begun.get().union(map(_name, budgets))


@contextmanager
def under_way(budgets: Begun) -> Iterator[None]:
    """The stage that `budgets` let begin is under way inside a ``with`` block."""
    token = _begun.set(budgets)
    try:
        yield
    finally:
        with suppress(ValueError):  # left in another context than it was entered in, whose values go with it
            _begun.reset(token)


def _name(budget: Budget) -> tuple[str, str, str, Window]:
    return budget.dimension, budget.id, budget.limit.unit, budget.window
