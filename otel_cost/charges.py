"""What the application pays for beside calls to models: a search, a GPU. It counts against the same budgets."""

from __future__ import annotations

import logging
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.trace import SpanKind

from otel_cost import attribution, budgets, live_span, money, pricing, semconv, settings
from otel_cost.budgets import Spend, budgets_in, tally
from otel_cost.pricing import Cost
from otel_cost.safety import guard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_cost.budgets import Budget

_logger = logging.getLogger(__name__)
_LONGEST_NAME: Final = 256
_MOST_UNITS: Final = Decimal(10) ** 12


def charge(name: str, *, units: Decimal | float | str = 1, cost_usd: Decimal | int | str | None = None) -> Cost:
    """Book what was spent on something other than a call to a model, on all budgets that hold here, and in the ledger.

    It is spent already, so no budget refuses it; the next call finds less left. Each time that this is called is a
    charge of its own, also with the same name, units and cost at the same instant.

    >>> charge("web_search", units=2)
    >>> charge("gpu", cost_usd="0.12")

    Args:
        name: what it was.
        units: how much of it; its price a unit is in the file of ``OTEL_COST_PRICES``.
        cost_usd: what it cost in US dollars, where that is known.

    Returns:
        Its cost: unknown, and said once in the log, where nothing states it.

    Raises:
        ValueError: a name, units or cost that cannot be, and what they must look like.
    """
    _check_name(name)
    amount = _units(units)
    cost = pricing.price_units(name, amount) if cost_usd is None else Cost(_usd(cost_usd), "known", "local")
    with guard("booking a charge"):
        _book(name, amount, cost)
    if cost.amount is None:
        _say_once(name, cost.reason)
    return cost


def _book(name: str, units: Decimal, cost: Cost) -> None:
    members = attribution.members()
    dimensions, holding = attribution.dimensions(members), budgets_in(members)
    span = _tracer().start_span(f"{semconv.CHARGE} {name}", kind=SpanKind.INTERNAL)
    budgets.charge(holding, Spend(cost.amount, 0, calls=0), span=span)
    tally.add_charge([budget.key() for budget in holding], dimensions, name, units, cost)
    span.set_attributes(_attributes(name, units, cost, dimensions, holding))
    span.end()


@lru_cache(maxsize=1)
def _tracer() -> trace.Tracer:
    return trace.get_tracer(live_span.OWN_SCOPE)


def _attributes(
    name: str, units: Decimal, cost: Cost, dimensions: Mapping[str, str], holding: tuple[Budget, ...]
) -> dict[str, Any]:
    return {
        **{semconv.dimension_key(dimension): id_ for dimension, id_ in dimensions.items()},
        semconv.GEN_AI_OPERATION_NAME: semconv.CHARGE,
        semconv.CHARGE_NAME: name,
        semconv.CHARGE_UNITS: f"{units:f}",
        semconv.CALL_OUTCOME: "ok",
        **live_span.cost_attributes(cost),
        **live_span.budget_attributes(holding, dimensions),
    }


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
        raise ValueError(f"the name of a charge is {name!r}: it must be a text of 1 to {_LONGEST_NAME} characters")


def _units(units: Decimal | float | str) -> Decimal:
    """How many: a float as it is written."""
    try:
        found = Decimal(str(units)) if not isinstance(units, bool) else Decimal("NaN")
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite() or not 0 <= found < _MOST_UNITS:
        raise ValueError(f"units={units!r}: write a number from 0, as in 2 or 0.5")
    return found


def _usd(cost: Decimal | int | str) -> Decimal:
    if isinstance(cost, float):
        raise ValueError(f"cost_usd={cost!r} is a float, which is not exact: write cost_usd={str(cost)!r}")  # noqa: TRY004 - one error type for bad amounts
    found = money.usd(cost)
    if found < 0:
        raise ValueError(f"cost_usd={cost!r}: it must not be negative")
    return found


_MOST_SAID: Final = 1000
_said: set[str] = set()


def _say_once(name: str, reason: str | None) -> None:
    if name not in _said and len(_said) < _MOST_SAID:
        _said.add(name)
        _logger.warning(
            "The cost of a charge is unknown, and counts against no budget in USD: %s. Pass cost_usd, or put into the "
            "file of %s:\n%s",
            reason,
            settings.PRICES.name,
            pricing.charge_to_add(name),
        )
