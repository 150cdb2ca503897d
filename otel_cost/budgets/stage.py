"""A stage: a step of the user's work, which a budget may say is finished once it has begun."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Self

from otel_cost import attribution, semconv
from otel_cost.attribution import Scope
from otel_cost.budgets.admission import begin_stage
from otel_cost.budgets.context import budgets_in
from otel_cost.budgets.under_way import begun, in_stage, let_begin, under_way
from otel_cost.budgets.waiting import finish, finish_async, in_event_loop
from otel_cost.decorating import Block
from otel_cost.safety import guard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from otel_cost.budgets.rule import Budget


class Stage(Block):
    """What `stage` returns."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name, self._under_way = name, begun()

    def again(self) -> Self:
        """See `Block`."""
        return type(self)(self._name)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """It begins, or does not. A budget that would have it wait in an event loop, has its calls wait instead."""
        waits = not in_event_loop()
        with self._attributed(), guard("asking budgets whether a stage may begin"):
            self._under_way = let_begin(finish(begin_stage(self._asked(), self._name, waits=waits)))
        yield

    @asynccontextmanager
    async def whole_async(self) -> AsyncIterator[None]:
        """It begins, or does not."""
        with self._attributed(), guard("asking budgets whether a stage may begin"):
            self._under_way = let_begin(await finish_async(begin_stage(self._asked(), self._name, waits=True)))
        yield

    @contextmanager
    def step(self) -> Iterator[None]:
        """Its calls are attributed to it, and let through by the budgets that let it begin."""
        with self._attributed(), under_way(self._under_way):
            yield

    def _attributed(self) -> Scope:
        return Scope({semconv.dimension_key("stage"): self._name})

    def _asked(self) -> tuple[Budget, ...]:
        """The budgets that stop before a stage, where none is under way that they have let begin."""
        holding = budgets_in(attribution.members())
        return tuple(budget for budget in holding if budget.policy.at == "stage" and not in_stage(budget))


def stage(name: str) -> Stage:
    """Attribute the calls inside a ``with`` block or a decorated function to the stage `name`.

    A budget with ``at="stage"`` is asked before it begins, and then lets all of its calls leave: what is under way is
    finished, and what is not does not begin. A stage inside another is part of that one.

    >>> with stage("draft"):
    ...     ...
    >>> @stage("review")
    ... async def review(text): ...

    Args:
        name: the id of the dimension ``stage``.

    Raises:
        ValueError: a name that cannot be carried, and what it must look like.
        BudgetExceededError: as it begins: a budget is spent.
    """
    return Stage(semconv.check_id("stage", name))
