"""A sum of calls and charges: the smallest piece of every account of what was spent."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from otel_cost import money

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_cost.pricing import Cost
    from otel_cost.usage import Usage


class Line:
    """A sum.

    Attributes:
        calls: how many calls to models.
        charges: how many charges for something else.
        units: how much of that something.
        input_tokens: of the calls that state it, as are
        output_tokens: these.
        cost: US dollars, of those whose cost is known or estimated.
        known: how many calls and charges have a cost that is known;
        estimated: one that is estimated;
        unknown: none that anybody knows, so that `cost` lacks it.
    """

    __slots__ = ("calls", "charges", "cost", "estimated", "input_tokens", "known", "output_tokens", "units", "unknown")

    def __init__(self) -> None:
        self.calls = self.charges = self.input_tokens = self.output_tokens = 0
        self.known = self.estimated = self.unknown = 0
        self.units = self.cost = Decimal(0)

    @money.exactly
    def add_call(self, usages: Iterable[Usage], cost: Cost) -> None:
        """Add a call that used `usages`, in one or several passes."""
        self.calls += 1
        for usage in usages:
            self.input_tokens += usage.input_tokens
            self.output_tokens += usage.output_tokens
        self._take(cost)

    @money.exactly
    def add_charge(self, units: Decimal, cost: Cost) -> None:
        """Add a charge for `units` of something."""
        self.charges += 1
        self.units += units
        self._take(cost)

    def _take(self, cost: Cost) -> None:
        if cost.amount is not None:
            self.cost += cost.amount
        setattr(self, cost.status, getattr(self, cost.status) + 1)  # the three are called like the statuses

    @money.exactly
    def merge(self, other: Line) -> None:
        """Add another sum."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def copy(self) -> Line:
        """The same sum, to which nobody adds any more."""
        copied = Line()
        copied.merge(self)
        return copied
