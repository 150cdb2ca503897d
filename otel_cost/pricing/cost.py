"""What a call cost, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from otel_cost import money

if TYPE_CHECKING:
    from decimal import Decimal

CostStatus = Literal["known", "estimated", "unknown"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call cost.

    Attributes:
        amount: US dollars, exact to twelve decimals; None exactly where `status` is ``unknown``.
        status: ``known``, ``estimated`` (the figure is our best, usually a lower bound) or ``unknown``.
        source: ``local`` where worked out from the price table, ``provider`` where the response stated it; None where
            unknown.
        price_version: which prices were used; None where none were.
        reason: why it is not known, in a few words for a person; None where it is.
    """

    amount: Decimal | None
    status: CostStatus
    source: Literal["local", "provider"] | None = None
    price_version: str | None = None
    reason: str | None = None

    @classmethod
    def unknown(cls, reason: str) -> Cost:
        """A cost that cannot be told, and why."""
        return cls(None, "unknown", reason=reason)

    @classmethod
    def nothing(cls) -> Cost:
        """The known cost of a call that nobody charges for: it was refused, or the provider answered with an error."""
        return cls(money.usd(0), "known", source="local")

    def estimated(self, reason: str) -> Cost:
        """The same figure, no longer taken for certain."""
        return self if self.amount is None else replace(self, status="estimated", reason=self.reason or reason)
