"""One model's prices at one moment, laid out so that a cost is a few multiplications.

Each priced meter charges what is left of it after its priced parts, which is how providers publish their prices. Parts
may overlap: audio tokens that were read from a cache are taken out of the input once, not with the audio and again with
the cached tokens. So each charge knows with which sign every field of `Usage` counts for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from otel_cost.pricing.meters import METERS, WHOLES, title

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_cost.usage import Usage

Steps = tuple[tuple[int, Decimal], ...]
"""US dollars a unit, by how large the whole input is: from more than so many tokens on. The first is from 0 on."""

ARITHMETIC: Final = Context(prec=50, rounding=ROUND_HALF_EVEN)
"""Money is not worked out in the context of the application's thread, which may round to anything."""
_FIELDS: Final = tuple(METERS)
_AT: Final = {name: index for index, name in enumerate(_FIELDS)}
_INPUT: Final = _AT["input_tokens"]
_SECONDS: Final = _AT["audio_seconds"]
_values: Callable[[Usage], tuple[Any, ...]] = attrgetter(*_FIELDS)


@dataclass(frozen=True, slots=True)
class _Charge:
    """What one meter charges.

    Attributes:
        meter: its name.
        terms: which fields of `Usage` make up what is left of it, each with its sign.
        steps: its price.
        guessed: whether nobody publishes a price for just this, and a like one stands in.
    """

    meter: str
    terms: tuple[tuple[int, int], ...]
    steps: Steps
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The charges of one model at one moment.

    Attributes:
        charges: one for each priced meter.
        per_request: US dollars for each request, whatever it uses.
        unpriced: the whole meters that have no price, by the index of their field.
        doubts: what the prices do not cover whatever the usage, such as a service tier without a price.
        version: which prices these are.
        least_seconds: the shortest sound that is charged.
    """

    charges: tuple[_Charge, ...]
    per_request: Decimal
    unpriced: tuple[int, ...]
    doubts: tuple[str, ...]
    version: str
    least_seconds: int = 0

    def cost(self, usage: Usage) -> tuple[Decimal | None, list[str]]:
        """US dollars for `usage`, unrounded, and what in it has no price. None where nothing of it has one."""
        values = _values(usage)
        if 0 < values[_SECONDS] < self.least_seconds:
            values = (*values[:_SECONDS], self.least_seconds, *values[_SECONDS + 1 :])
        amount, doubts, charged = self.per_request, [*self.doubts], False
        for charge in self.charges:
            count = 0
            for at, sign in charge.terms:
                count += values[at] if sign == 1 else sign * values[at]
            if not count:
                continue
            charged = True
            if count < 0:
                doubts.append(f"{title(charge.meter)} fewer than their parts")
                continue
            if charge.guessed:
                doubts.append(title(charge.meter))
            price = charge.steps[0][1]
            for start, stepped in charge.steps[1:]:
                if values[_INPUT] > start:
                    price = stepped
            amount = ARITHMETIC.add(amount, ARITHMETIC.multiply(price, count))
        if missing := self._missing(values):
            return (amount if charged else None), missing + doubts
        return amount, doubts

    def _missing(self, values: tuple[Any, ...]) -> list[str]:
        """What was used and has no price. Sound is charged by its tokens or by its time, so one of them will do."""
        missing = [_FIELDS[at] for at in self.unpriced if values[at]]
        by_time = values[_SECONDS] and "audio_seconds" not in missing
        by_tokens = any(values[_AT[name]] and name not in missing for name in ("input_tokens", "output_tokens"))
        if missing and by_time:
            missing = [name for name in missing if not METERS[name].counts_tokens]
        if by_tokens and "audio_seconds" in missing:
            missing.remove("audio_seconds")
        return [title(name) for name in missing]


def lay_out(
    prices: Mapping[str, Steps],
    *,
    per_request: Decimal = Decimal(0),
    doubts: tuple[str, ...] = (),
    version: str = "",
    least_seconds: int = 0,
) -> Plan:
    """The plan for `prices`, by meter."""
    guesses = _guesses(prices)
    priced = {**prices, **guesses}
    left = _left(tuple(priced))
    charges = tuple(
        _Charge(name, tuple((_AT[part], sign) for part, sign in left[name].items() if sign), steps, name in guesses)
        for name, steps in priced.items()
    )
    unpriced = tuple(_AT[name] for name in WHOLES if name not in priced)
    return Plan(charges, per_request, unpriced, doubts, version, least_seconds)


def _left(priced: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """For each priced meter, with which sign every priced meter counts for what is left of it after its parts."""
    left: dict[str, dict[str, int]] = {}
    for name in sorted(priced, key=lambda name: -len(METERS[name].kinds)):
        left[name] = {name: 1}
        for part in priced:
            if METERS[part].kinds > METERS[name].kinds:
                for field, sign in left[part].items():
                    left[name][field] = left[name].get(field, 0) - sign
    return left


def _guesses(prices: Mapping[str, Steps]) -> dict[str, Steps]:
    """Prices for what two priced meters share and which has none itself: that of the one named first in the table."""
    guesses: dict[str, Steps] = {}
    for name, meter in METERS.items():
        if name not in prices:
            of = [above for above in METERS if above in prices and METERS[above].kinds < meter.kinds]
            nearest = [one for one in of if not any(METERS[other].kinds > METERS[one].kinds for other in of)]
            if len(nearest) > 1:
                guesses[name] = prices[nearest[0]]
    return guesses
