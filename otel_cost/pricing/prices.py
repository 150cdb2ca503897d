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
    from decimal import Decimal

    from otel_cost.pricing.plan import Plan
    from otel_cost.usage import Usage

_NO_PRICE: Final = "no price for"
_AWAITED: Final = f"the prices that {settings.PRICES.name} names were not there yet"

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
        cost = cost.estimated(_AWAITED)
    return cost.estimated(f"{_NO_PRICE} {', '.join(doubts)}") if doubts else cost


def of_text(
    *, provider: str, model: str, input_tokens: int, output_tokens: int, terms: Mapping[str, str]
) -> tuple[Decimal | None, str | None]:
    """What so many tokens of plain text cost now, in US dollars: what `price` says of them, in a fraction of its time.

    None where that is unknown, and then why.
    """
    plan = plan_for(provider, model, None, datetime.now(UTC), terms)
    amount = None if plan is None else plan.of_text(input_tokens, output_tokens)
    if amount is None:
        return None, f"{_NO_PRICE} model {model!r} of {provider!r}"
    return money.usd(amount), None


def most(
    *,
    provider: str,
    model: str,
    input_tokens: int,
    output_tokens: int,
    kinds: frozenset[str],
    tiers: tuple[str | None, ...],
    terms: Mapping[str, str],
) -> Cost:
    """What a call costs at most, whichever of `tiers` it is served at; unknown where any doubt remains.

    Args:
        provider: as in ``gen_ai.provider.name``.
        model: as the provider names it.
        input_tokens: at most.
        output_tokens: at most.
        kinds: what its input may be charged as, beside plain and cached text: see `plan.Plan.most`.
        tiers: service tiers; None for the standard one.
        terms: what else the price depends on.
    """
    moment = datetime.now(UTC)
    amounts: list[Decimal] = []
    version = None
    for tier in tiers:
        plan = plan_for(provider, model, tier, moment, terms)
        amount = None if plan is None else plan.most(input_tokens, output_tokens, kinds)
        if plan is None or amount is None or plan.doubts:
            what = f"{', '.join(plan.doubts)} of model" if plan is not None and plan.doubts else "model"
            return Cost.unknown(f"{_NO_PRICE} {what} {model!r} of {provider!r}")
        amounts.append(amount)
        version = plan.version
    if sources.written().awaited:
        return Cost.unknown(_AWAITED)
    return Cost(money.usd(max(amounts)), "known", "local", version)


def context_window(provider: str, model: str) -> int | None:
    """How many tokens `model` takes in, as the price table has it; None where that does not say."""
    found = late("catalogue").find(names.provider_id(provider), model)
    return None if found is None else found.window


def maker_of(model: str) -> str | None:
    """Who is taken to sell `model` where nobody says it: its maker; None where the price table does not tell."""
    found: str | None = late("catalogue").maker_of(model.strip().lower())
    return found


def price_units(name: str, units: Decimal, at: datetime | None = None) -> Cost:
    """What `units` of `name` cost, which is no call to a model, by the user's prices.

    Args:
        name: such as ``web_search``.
        units: how much of it.
        at: when; now where it is None.

    Returns:
        A known cost; an unknown one where no unit of it has a price.
    """
    moment = datetime.now(UTC) if at is None else _in_utc(at)
    found = sources.written()
    for table in reversed(found.tables):
        for item in reversed(table.charges):
            if item.holds(name, moment):
                return Cost(
                    money.usd(late("plan").ARITHMETIC.multiply(units, item.usd)), "known", "local", table.version
                )
    awaited = f": {_AWAITED}" if found.awaited else ""
    return Cost.unknown(f"{_NO_PRICE} a unit of {name!r}{awaited}")


def charge_to_add(name: str) -> str:
    """What to put into the price file of `OTEL_COST_PRICES` for a unit without a price, the amount left open."""
    return f"[[charge]]\nname = {_quoted(name)}\nusd_per_unit = …\n"


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
    day = (written.generation, *_day(provider, model, tier, moment, terms))
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


def hold_all_day(provider: str, model: str, tier: str | None, moment: datetime, terms: Mapping[str, str]) -> bool:
    """Whether the prices that `plan_for` gave for a call hold for the whole of its UTC day."""
    return (sources.written().generation, *_day(provider, model, tier, moment, terms)) in _plans


def _day(provider: str, model: str, tier: str | None, moment: datetime, terms: Mapping[str, str]) -> tuple[object, ...]:
    day = (provider, model, tier, moment.toordinal())
    return (*day, *sorted(terms.items())) if terms else day
