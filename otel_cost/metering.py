"""One exchange with a provider, taken apart: what it used and what that costs. The same for every way in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_cost import pricing
from otel_cost.pricing import Cost

if TYPE_CHECKING:
    from otel_cost.usage import Reading, Request


def cost_of(request: Request, reading: Reading) -> Cost:
    """What a response to `request` costs, of which `reading` is what it said."""
    if reading.unreadable:
        return Cost.unknown(f"the response states what is no count: {', '.join(reading.unreadable)}")
    if reading.usage is None:
        return Cost.unknown("the response stated no usage")
    if not request.known_provider:
        return Cost.unknown(request.unknown_provider)
    cost = None
    for model in (reading.model, request.model):  # one that answers under another name has the asked one's prices
        if model is not None and (cost is None or cost.amount is None):
            cost = pricing.price(
                provider=request.provider,
                model=model,
                usage=reading.usage,
                service_tier=reading.service_tier,
                terms=reading.terms,
            )
    if cost is None:
        return Cost.unknown("neither request nor response names a model")
    return cost.estimated(f"no price for {', '.join(reading.unmetered)}") if reading.unmetered else cost
