"""The price table: genai-prices, loaded late, and compiled into one plan per provider, model, tier and moment.

Importing genai-prices takes the better part of a second and its own calculation a few hundred microseconds, so neither
stands on a call's path: the table is loaded when the first call leaves, and a plan is worked out once.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from otel_cost import money
from otel_cost.pricing.cost import Cost
from otel_cost.pricing.plan import compile_plan, plan_holds_all_day
from otel_cost.safety import after_fork_in_child, no_fork_while_held

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_cost.pricing.plan import Plan
    from otel_cost.usage import Usage

_lock = threading.Lock()
_loaded = threading.Event()
_begun = threading.Event()


def are_loaded() -> bool:
    """Whether the price table is in memory, so that `price` answers in microseconds."""
    return _loaded.is_set()


def load_in_background() -> None:
    """Begin to load the price table, once; returns at once."""
    if not _begun.is_set():
        _begun.set()
        threading.Thread(target=_snapshot, name="otel-cost-prices", daemon=True).start()


def _snapshot() -> Any:
    with _lock:  # the loader, or the first caller that cannot wait for it
        from genai_prices import data_snapshot  # noqa: PLC0415 - takes most of a second, so it waits for the first call

        snapshot = data_snapshot.get_snapshot()
        _loaded.set()
    return snapshot


def _forked() -> None:
    global _begun  # noqa: PLW0603 - replaced once, in the child, where no thread loads anything
    _begun = threading.Event()


# A child of a half-done import could never finish it: its parts are locked for a thread that is not there.
no_fork_while_held(_lock)
after_fork_in_child(_forked)


@lru_cache(maxsize=1)
def _version() -> str:
    from importlib.metadata import version  # noqa: PLC0415 - off the start-up path

    return f"genai-prices/{version('genai-prices')}"


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
        provider: as in ``gen_ai.provider.name``.
        model: as the provider names it.
        usage: what was used.
        service_tier: as the response states it; None for the standard tier.
        at: when; now where it is None.
        terms: what else the price depends on, by the names that the provider's responses use: ``inference_geo``,
            ``speed``.

    Returns:
        A known cost; an estimated one where some of the usage has no price; an unknown one where the model has none.
    """
    moment = (at or datetime.now(UTC)).astimezone(UTC)
    plan = _plan(provider, model, service_tier, moment)
    if plan is None:
        return Cost.unknown(f"no price for model {model!r} of {provider!r}")
    amount, doubts = plan.cost(usage)
    if amount is None:
        return Cost.unknown(f"no price for {', '.join(doubts)} of model {model!r} of {provider!r}")
    cost = Cost(money.usd(amount), "known", "local", _version())
    return cost.estimated(f"no price for {', '.join(doubts)}") if doubts else cost


_plans: dict[tuple[str, str, str | None, int], Plan | None] = {}
_MOST_PLANS = 4096


def _plan(provider: str, model: str, tier: str | None, moment: datetime) -> Plan | None:
    """The plan for a model, kept for the UTC day where its prices do not change within it."""
    key = (provider, model, tier, moment.toordinal())
    if key in _plans:
        return _plans[key]
    try:
        found_provider, found = _snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        plan, lasting = None, True
    else:
        plan, lasting = compile_plan(found_provider, found, moment, tier), plan_holds_all_day(found)
    if lasting:
        if len(_plans) >= _MOST_PLANS:
            _plans.clear()
        _plans[key] = plan
    return plan
