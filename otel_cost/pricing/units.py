"""What a unit of something costs that is no call to a model: a search, a second of a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """One ``[[charge]]`` of a price file.

    Attributes:
        names: what it is the price of.
        usd: US dollars a unit.
        start: the first moment at which it holds.
        end: the first moment at which it no longer does.
    """

    names: tuple[str, ...]
    usd: Decimal
    start: datetime | None = None
    end: datetime | None = None

    def holds(self, name: str, moment: datetime) -> bool:
        """Whether it says what a unit of `name` costs then."""
        is_on = (self.start is None or moment >= self.start) and (self.end is None or moment < self.end)
        return is_on and name in self.names
