"""The published prices of genai-prices: which model a name means, and its prices at a moment."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from otel_cost.pricing import names
from otel_cost.pricing.importing import IMPORTING
from otel_cost.pricing.meters import METERS
from otel_cost.pricing.plan import ARITHMETIC

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from decimal import Decimal

    from otel_cost.pricing.plan import Steps


def load() -> Any:
    """The price table. Importing it takes the better part of a second."""
    with IMPORTING:
        from genai_prices import data_snapshot  # noqa: PLC0415 - see above

        return data_snapshot.get_snapshot()


@lru_cache(maxsize=1)
def version() -> str:
    """Which prices these are."""
    from importlib.metadata import version as of  # noqa: PLC0415 - off the start-up path

    return f"genai-prices/{of('genai-prices')}"


class Listed:
    """A model that the price table lists.

    Attributes:
        doubt: for what its prices are a guess; None where they are not.
    """

    __slots__ = ("_model", "_own", "doubt")

    def __init__(self, model: Any, *, own: bool, doubt: str | None) -> None:
        self._model, self._own, self.doubt = model, own, doubt

    def prices(self, moment: datetime) -> tuple[dict[str, Steps], Decimal | None]:
        """The standard prices by meter, and US dollars a request."""
        return _read(self._model.get_prices(moment))

    def variants(self, moment: datetime, context: Mapping[str, str]) -> Iterator[tuple[set[str], dict[str, Steps]]]:
        """The prices that hold for a call of this context alone: for what of it, and which. The first holds."""
        for variant in self._model.price_variants or () if self._own else ():
            active = variant.constraint is None or variant.constraint.active(moment)
            if active and all(context.get(key) == value for key, value in variant.when.items()):
                yield set(variant.when), _read(variant.prices)[0]

    @property
    def window(self) -> int | None:
        """How many tokens it takes in; None where the table does not say."""
        window: int | None = self._model.context_window
        return window

    @property
    def is_hourly(self) -> bool:
        """Whether a price holds at some hours only."""
        dated = self._model.prices if isinstance(self._model.prices, list) else []
        return any(hasattr(rule.constraint, "start_time") for rule in (*dated, *(self._model.price_variants or ())))


def _read(prices: Any) -> tuple[dict[str, Steps], Decimal | None]:
    found = {
        name: _steps(price, meter.per)
        for name, meter in METERS.items()
        if (price := getattr(prices, meter.price_key)) is not None
    }
    requests = prices.requests_kcount
    return found, None if requests is None else ARITHMETIC.divide(requests, 1000)


def _steps(price: Any, per: int) -> Steps:
    tiers = (
        ((0, price), *())
        if not hasattr(price, "base")
        else ((0, price.base), *((t.start, t.price) for t in price.tiers))
    )
    return tuple((start, ARITHMETIC.divide(usd, per)) for start, usd in tiers)


def find(provider: str, model: str) -> Listed | None:
    """The model that `provider` calls `model`; None where no listed one has that name."""
    providers = {one.id: one for one in load().providers}
    for owner, name in names.spellings(provider, model):
        if (found := _find(providers, owner, name)) is not None:
            seller, listed = found
            return Listed(listed, own=seller == owner, doubt=_doubt(owner, seller, name, listed.id.lower()))
    undated = names.without_date(model)
    if undated and (found := _find(providers, provider, undated)):
        return Listed(found[1], own=found[0] == provider, doubt="this version of the model")
    return None


def maker_of(model: str) -> str | None:
    """The provider whose models are called like `model`; None where no name tells."""
    try:
        provider, _ = load().find_provider_model(model, None, None, None)
    except LookupError:
        return None
    return str(provider.id)


_SAME_PRICES: Final = ("openai", "anthropic")
"""Providers whose prices hold at the clouds that sell their models too."""


def _doubt(owner: str, seller: str, name: str, listed: str) -> str | None:
    """For what the prices of the model that is `listed` may not be those of the one that is called `name`."""
    if seller not in (owner, *_SAME_PRICES):
        return "this seller of the model"
    abroad = owner == "aws" and names.is_abroad(name)
    return "the model in this region" if abroad and not listed.startswith((name[:3], "regional.")) else None


def _find(providers: dict[str, Any], owner: str, name: str) -> tuple[str, Any] | None:
    """The model, and whose prices are listed for it: the owner's, or those of one whose models it sells."""
    if (provider := providers.get(owner)) is None:
        return None
    for seller in (provider, *(providers[id_] for id_ in provider.fallback_model_providers or ())):
        for model in seller.models:
            if model.id.lower() == name or _means(model.match, name):
                return seller.id, model
    return None


_TEXTS: Final = ("equals", "starts_with", "ends_with", "contains")
_NUMBER_BEGUN: Final = re.compile(r"-\d+$")
"""A text may end in the midst of a version: ``gemini-2.0-flash-0`` stands for the ``-001`` of it."""


def _means(clause: Any, name: str) -> bool:
    """Whether `clause` matches `name` as a whole: what it does not spell out may only be a version, or whose it is."""
    if (texts := getattr(clause, "or_", None)) is not None:
        return any(_means(one, name) for one in texts)
    if (texts := getattr(clause, "and_", None)) is not None:
        return all(one.is_match(name) for one in texts) and any(_means(one, name) for one in texts)
    if not clause.is_match(name):
        return False
    if (pattern := getattr(clause, "regex", None)) is not None:
        return _is_all(pattern, name)
    text = next(getattr(clause, key) for key in _TEXTS if hasattr(clause, key))
    before, _, after = name.partition(text.lower())
    if after[:1].isdigit() and (begun := _NUMBER_BEGUN.search(text)) is not None:
        after = begun.group() + after
    return names.is_speaker(before) and names.is_version(after)


def _is_all(pattern: str, name: str) -> bool:
    """Whether a pattern spells out `name` but for its version; one that only looks ahead spells out nothing."""
    matched = re.search(pattern, name)
    if matched is None or not matched.group():
        return False
    return pattern.endswith("$") or names.is_version(name[matched.end() - 1 :])
