"""One model's prices at one moment, laid out so that a cost is a few multiplications.

The meters form a tree: tokens read from a cache are input tokens too, those written for an hour are tokens written.
Each priced meter charges what is left of it after its priced parts, which is how providers publish their prices.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from datetime import datetime

    from otel_cost.usage import Usage


@dataclass(frozen=True, slots=True)
class _Meter:
    """A field of `Usage`: the price key of genai-prices, units per price, and the meter that it is part of."""

    price_key: str
    per: int
    part_of: str | None = None


_METERS: Final[dict[str, _Meter]] = {
    "input_tokens": _Meter("input_mtok", 1_000_000),
    "cache_read_tokens": _Meter("cache_read_mtok", 1_000_000, "input_tokens"),
    "cache_write_tokens": _Meter("cache_write_mtok", 1_000_000, "input_tokens"),
    "cache_write_5m_tokens": _Meter("cache_write_5m_mtok", 1_000_000, "cache_write_tokens"),
    "cache_write_1h_tokens": _Meter("cache_write_1h_mtok", 1_000_000, "cache_write_tokens"),
    "output_tokens": _Meter("output_mtok", 1_000_000),
    "reasoning_tokens": _Meter("output_reasoning_mtok", 1_000_000, "output_tokens"),
    "web_searches": _Meter("web_searches_kcount", 1_000),
}
_STANDARD_TIERS: Final = frozenset({None, "default", "standard", "auto"})


@dataclass(frozen=True, slots=True)
class _Charge:
    """What one meter charges: the price per unit by how large the whole input is (ascending), and its priced parts."""

    meter: str
    steps: tuple[tuple[int, Decimal], ...]
    parts: tuple[str, ...]

    def price(self, input_tokens: int) -> Decimal:
        price = self.steps[0][1]
        for start, stepped in self.steps[1:]:
            if input_tokens > start:
                price = stepped
        return price


@dataclass(frozen=True, slots=True)
class Plan:
    """The charges of one model at one moment.

    Attributes:
        charges: one for each priced meter.
        per_request: US dollars for each request, whatever it uses.
        unpriced: the meters that stand for themselves and have no price.
        doubt: what the prices do not cover whatever the usage, such as an unpriced service tier; None mostly.
    """

    charges: tuple[_Charge, ...]
    per_request: Decimal
    unpriced: tuple[str, ...]
    doubt: str | None

    def cost(self, usage: Usage) -> tuple[Decimal | None, list[str]]:
        """US dollars for `usage`, unrounded, and what in it has no price. None where nothing of it has one."""
        doubts = [meter.replace("_", " ") for meter in self.unpriced if getattr(usage, meter)]
        if doubts and not any(getattr(usage, charge.meter) for charge in self.charges):
            return None, doubts
        if self.doubt:
            doubts.append(self.doubt)
        amount = self.per_request
        for charge in self.charges:
            count = getattr(usage, charge.meter) - sum(getattr(usage, part) for part in charge.parts)
            if count < 0:
                doubts.append(f"{charge.meter.replace('_', ' ')} fewer than their parts")
            elif count:
                amount += charge.price(usage.input_tokens) * count
        return amount, doubts


def compile_plan(provider: Any, model: Any, moment: datetime, tier: str | None) -> Plan:
    """The plan for a genai-prices `model` of `provider` at `moment`, served at `tier`."""
    own = any(model is candidate for candidate in provider.models)  # else another provider's prices stand in
    context = {"service_tier": tier} if tier and own else None
    prices = model.get_prices(moment, context)
    found = {name: price for name, meter in _METERS.items() if (price := getattr(prices, meter.price_key)) is not None}
    charges = tuple(
        _Charge(name, _steps(price, _METERS[name].per), tuple(part for part in found if _nearest(part, found) == name))
        for name, price in found.items()
    )
    unpriced = tuple(name for name, meter in _METERS.items() if meter.part_of is None and name not in found)
    doubt = None
    if tier not in _STANDARD_TIERS and prices == model.get_prices(moment):
        doubt = f"service tier {tier!r}"
    return Plan(charges, (prices.requests_kcount or Decimal(0)) / 1000, unpriced, doubt)


def _steps(price: Any, per: int) -> tuple[tuple[int, Decimal], ...]:
    if isinstance(price, Decimal):
        return ((0, price / per),)
    return ((0, price.base / per), *((tier.start, tier.price / per) for tier in price.tiers))


def _nearest(name: str, priced: dict[str, Any]) -> str | None:
    """The priced meter that `name` is taken out of."""
    above = _METERS[name].part_of
    while above is not None and above not in priced:
        above = _METERS[above].part_of
    return above


def plan_holds_all_day(model: Any) -> bool:
    """Whether the prices of a genai-prices `model` are the same at any time of one UTC day."""
    prices = model.prices if isinstance(model.prices, list) else []
    rules = (*prices, *(model.price_variants or ()))
    return not any(hasattr(rule.constraint, "start_time") for rule in rules)
