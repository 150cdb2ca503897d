"""One plan of prices times the usage of many calls, in whole numbers of 1e-12 US dollars."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from otel_cost.pricing.meters import METERS
from otel_cost.pricing.plan import ARITHMETIC

if TYPE_CHECKING:
    from otel_cost.pricing.plan import Plan, Steps

Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]

PICO: Final = 10**12
FIELDS: Final = tuple(METERS)
"""The fields of `Usage`, in the order in which they are counted here."""
SECONDS: Final = FIELDS.index("audio_seconds")
"""The place of the one that is no whole number."""
_INPUT: Final = FIELDS.index("input_tokens")
_MOST_PLAIN: Final = 10**7
"""Tokens of a call up to which these are multiplied out, so that no product gets too large."""
_MOST_PICO: Final = 10**18


@dataclass(frozen=True, slots=True)
class Product:
    """What many calls come to by one plan.

    Attributes:
        is_plain: for each call whether this is all there is to say of it; the other attributes hold for those alone.
        total: 1e-12 US dollars, for each call.
        parts: for each meter that is charged how much of it, and 1e-12 US dollars for that, for each call.
    """

    is_plain: Bools
    total: Integers
    parts: list[tuple[str, Integers, Integers]]

    @classmethod
    def of(cls, plan: Plan, counts: Integers) -> Product:
        """The product of `plan` and `counts`, which has a row for each of `FIELDS` and a column for each call."""
        is_plain: Bools = np.asarray((counts <= _MOST_PLAIN).all(axis=0))
        for at in (SECONDS, *plan.unpriced, *plan.doubted):
            is_plain &= counts[at] == 0
        counts = np.where(is_plain, counts, 0)
        charged: list[tuple[str, Integers, Steps]] = []
        if plan.per_request:
            charged.append(("requests", np.ones_like(counts[0]), ((0, plan.per_request),)))
        for charge in plan.charges:
            left: Integers = charge.left(counts)
            is_plain &= (left == 0) if charge.guessed else (left >= 0)
            if left.any():
                charged.append((charge.meter, left, ((0, charge.price), *charge.steps)))
        parts = _multiplied(charged, counts[_INPUT])
        if parts is None:
            return cls(np.zeros_like(is_plain), np.zeros_like(counts[0]), [])
        total: Integers = sum((pico for _, _, pico in parts), np.zeros_like(counts[0]))
        return cls(is_plain, total, parts)


def _multiplied(
    charged: list[tuple[str, Integers, Steps]], of_input: Integers
) -> list[tuple[str, Integers, Integers]] | None:
    """Each meter with how much of it and what that costs; None where that is no whole number, or may be too large."""
    parts = []
    most = 0
    for meter, left, steps in charged:
        prices = [(start, ARITHMETIC.multiply(usd, Decimal(PICO))) for start, usd in steps]
        most += int(left.max()) * int(max(price for _, price in prices) + 1)
        if most >= _MOST_PICO or any(price % 1 for _, price in prices):
            return None
        each = np.full_like(left, int(prices[0][1]))
        for start, price in prices[1:]:
            each[of_input > start] = int(price)
        parts.append((meter, left, each * left))
    return parts
