"""What a call costs, from dated prices, each model's compiled once into a plan.

Importing genai-prices takes the better part of a second and its own calculation a few hundred microseconds, so neither
stands on a call's path: the table is loaded when the first call leaves, and a plan is worked out once.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from otel_cost import money, settings
from otel_cost.pricing import names, sources
from otel_cost.pricing.cost import Cost
from otel_cost.pricing.importing import late

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_cost.pricing.plan import Plan
    from otel_cost.usage import Usage

_NO_PRICE: Final = "no price for"

are_loaded = sources.are_loaded
load_in_background = sources.load_in_background


def price(
    *,
    provider: str,
    model: str,
    usage: Usage,
    service_tier: str | None = None,
    at: datetime | None = None,
    terms: Mapping[str, str] | None = None,
) -> Cost:
    """What `usage` of `model` costs at `provider`.

    Args:
        provider: as in ``gen_ai.provider.name``, or by another name in use: ``aws.bedrock``, ``bedrock``, ``xai``.
        model: as the provider names it.
        usage: what was used.
        service_tier: as the response states it; None for the standard tier.
        at: when, in UTC where it names no zone; now where it is None.
        terms: what else the price depends on, by the names that the provider's responses use: ``inference_geo``,
            ``speed``.

    Raises:
        TypeError: `at` is no datetime.

    Returns:
        A known cost; an estimated one where some of the usage has no price; an unknown one where the model has none.
    """
    moment = datetime.now(UTC) if at is None else _in_utc(at)
    plan = plan_for(provider, model, service_tier, moment, terms or {})
    if plan is None:
        return Cost.unknown(f"{_NO_PRICE} model {model!r} of {provider!r}")
    amount, doubts = plan.cost(usage)
    if amount is None:
        return Cost.unknown(f"{_NO_PRICE} {', '.join(doubts)} of model {model!r} of {provider!r}")
    cost = Cost(money.usd(amount), "known", "local", plan.version)
    if sources.written().awaited:
        cost = cost.estimated(f"the prices that {settings.PRICES.name} names were not there yet")
    return cost.estimated(f"{_NO_PRICE} {', '.join(doubts)}") if doubts else cost


def price_by_first(
    models: Iterable[str | None],
    *,
    provider: str,
    usage: Usage,
    service_tier: str | None = None,
    at: datetime | None = None,
    terms: Mapping[str, str] | None = None,
) -> Cost:
    """What `usage` costs by the first of `models` that has a price: the one that answered, or the one asked for."""
    cost = None
    for model in models:
        if model is not None:
            cost = price(provider=provider, model=model, usage=usage, service_tier=service_tier, at=at, terms=terms)
            if cost.amount is not None:
                break
    return cost or Cost.unknown("neither request nor response names a model")


def _in_utc(moment: object) -> datetime:
    if not isinstance(moment, datetime):
        kind = type(moment).__name__
        raise TypeError(f"otel_cost: at is a {kind}; pass a datetime, as datetime.fromisoformat makes it of a text")
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def lines_to_add(provider: str, model: str) -> str:
    """What to put into the price file of `OTEL_COST_PRICES` for a model without a price, amounts left open."""
    return (
        f"[[price]]\nprovider = {_quoted(names.provider_id(provider))}\nmodel = {_quoted(model)}\n"
        "input = …   # USD per million tokens\noutput = …  # USD per million tokens\n"
    )


def advice(provider: str, model: str, reason: str | None) -> str:
    """What to say to whoever runs the application where a model's cost is unknown for that `reason`; mostly nothing."""
    if not (reason or "").startswith(_NO_PRICE):
        return ""
    return f". To give it a price, put into the file of {settings.PRICES.name}:\n{lines_to_add(provider, model)}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in escaped) + '"'


_plans: dict[tuple[object, ...], Plan | None] = {}
_MOST_PLANS = 4096


def plan_for(provider: str, model: str, tier: str | None, moment: datetime, terms: Mapping[str, str]) -> Plan | None:
    """The prices of a call; None where its model has none.

    A plan is kept while no price changes: for the UTC day, or for the minute where hours matter.
    """
    written = sources.written()
    day: tuple[object, ...] = (written.generation, provider, model, tier, moment.toordinal())
    if terms:
        day = (*day, *sorted(terms.items()))
    if day in _plans:
        return _plans[day]
    minute = (*day, moment.hour, moment.minute)
    if minute in _plans:
        return _plans[minute]
    plan: Plan | None
    plan, is_hourly = late("draft").plan_of(
        provider, model, tier=tier, moment=moment, terms=terms, tables=written.tables
    )
    if len(_plans) >= _MOST_PLANS:
        _plans.clear()
    _plans[minute if is_hourly else day] = plan
    return plan
