"""The prices of one call put together: what is published, what our table knows better, what the user's file says."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from otel_cost.pricing import catalogue, names
from otel_cost.pricing.meters import METERS
from otel_cost.pricing.plan import ARITHMETIC, lay_out
from otel_cost.pricing.tables import Asked
from otel_cost.pricing.terms import is_ordinary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from otel_cost.pricing.catalogue import Listed
    from otel_cost.pricing.plan import Plan, Steps
    from otel_cost.pricing.tables import Item, Table


class _Draft:
    """Prices as they come together, source by source, each over the one before."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._prices: dict[str, Steps] = {}
        self._special: set[str] = set()
        self._met: set[str] = set()
        self._per_request = Decimal(0)
        self._least_seconds = 0
        self._doubt: str | None = None
        self._are_all = False
        self._version: str | None = None

    def take_listed(self, listed: Listed) -> None:
        """What is published for the model: its standard prices, and over them those for a call of this kind."""
        asked = self._asked
        self._doubt = listed.doubt
        prices, per_request = listed.prices(asked.moment)
        self._per_request = per_request or Decimal(0)
        self._version = catalogue.version()
        self._prices.update(prices)
        context = {**asked.terms, **({"service_tier": asked.tier} if asked.tier else {})}
        if asked.tier == "batch":
            context["processing"] = "batch"
        for keys, special in listed.variants(asked.moment, context):
            self._met |= {"service_tier" if key == "processing" else key for key in keys}
            for meter in special.keys() - self._special:
                self._prices[meter] = special[meter]
                self._special.add(meter)

    def take_table(self, table: Table) -> None:
        """What a table says: discounts on what was there before it, then its prices, then its factors on all."""
        items = table.about(self._asked)
        if not all(item.confirms for item in items):
            self._version = table.version
        if discounts := [item.discount for item in items if item.discount is not None]:
            self._multiply(discounts[-1], METERS)
            self._per_request = ARITHMETIC.multiply(self._per_request, discounts[-1])
        for item in sorted(items, key=lambda item: item.special):  # what is for some calls alone goes over the rest
            self._take_item(item)
        if not table.is_ours and any("input_tokens" in item.prices and not item.special for item in items):
            self._are_all = True
        for item in items:
            if item.token_factor is not None:
                self._take_factor(item.token_factor, of_tier=bool(item.tiers))

    def _take_item(self, item: Item) -> None:
        if item.tiers:
            self._met.add("service_tier")
        self._met |= item.terms.keys()
        if "input_tokens" in item.prices and not item.special:  # who says what this very model costs means no other
            self._doubt = None
        for meter, price in item.prices.items():
            if item.special:
                self._special.add(meter)
            elif meter in self._special:
                continue
            if not item.above:
                self._prices[meter] = ((0, price),)
            elif meter in self._prices:  # a longer input costs more than something: without that it has no price
                lower = (step for step in self._prices[meter] if step[0] < item.above)
                self._prices[meter] = (*lower, (item.above, price))
        if item.per_request is not None:
            self._per_request = item.per_request
        if item.least_seconds is not None:
            self._least_seconds = item.least_seconds

    def _take_factor(self, factor: Decimal, *, of_tier: bool) -> None:
        """A tier's share of the standard prices, where it has none of its own; or more for whatever price holds."""
        tokens = {name for name in METERS if METERS[name].counts_tokens}
        if of_tier:
            tokens -= self._special
            self._special |= tokens & self._prices.keys()
        self._multiply(factor, tokens)

    def _multiply(self, factor: Decimal, meters: Mapping[str, object] | set[str]) -> None:
        for meter in self._prices.keys() & set(meters):
            self._prices[meter] = tuple((start, ARITHMETIC.multiply(usd, factor)) for start, usd in self._prices[meter])

    def plan(self) -> Plan | None:
        """The plan; None where nobody says anything of the model."""
        if not self._prices and not self._per_request:
            return None
        asked = self._asked
        doubts = [self._doubt] if self._doubt else []
        if asked.tier and "service_tier" not in self._met:
            doubts.append(f"service tier {asked.tier!r}")
        for term, value in asked.terms.items():
            if not is_ordinary(value) and term not in self._met:
                doubts.append(f"{term} {value!r}")
        return lay_out(
            self._prices,
            per_request=self._per_request,
            doubts=tuple(doubts),
            version=self._version or "",
            least_seconds=self._least_seconds,
            are_all=self._are_all,
        )


def plan_of(
    provider: str, model: str, *, tier: str | None, moment: datetime, terms: Mapping[str, str], tables: Sequence[Table]
) -> tuple[Plan | None, bool]:
    """The plan for a call, and whether it depends on the hour."""
    found = catalogue.find(names.provider_id(provider), model)
    asked = Asked(tuple(names.spellings(names.provider_id(provider), model)), names.tier_id(tier), terms, moment)
    is_hourly = any(table.is_hourly(asked) for table in tables) or (found is not None and found.is_hourly)
    return draw_up(asked, found, tables), is_hourly


def draw_up(asked: Asked, listed: Listed | None, tables: Sequence[Table]) -> Plan | None:
    """The plan for a call, from what is published and the tables, each of which goes over what is before it."""
    draft = _Draft(asked)
    if listed is not None:
        draft.take_listed(listed)
    for table in tables:
        draft.take_table(table)
    return draft.plan()
