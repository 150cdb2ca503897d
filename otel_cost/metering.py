"""One exchange with a provider, taken apart: what it used and what that costs. The same for every way in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_cost import pricing
from otel_cost.pricing import Cost
from otel_cost.usage import Reading, reader_of, recognise

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from otel_cost.usage import Request, Usage

_FIRST_ERROR_STATUS = 400


@dataclass(frozen=True, slots=True)
class Metered:
    """One exchange with a provider, taken apart.

    Attributes:
        provider: value of ``gen_ai.provider.name``; the host where the provider is not known.
        operation: value of ``gen_ai.operation.name``.
        usage: what was used; None where the response states nothing.
        cost: what that costs.
        request_model: the model asked for.
        response_model: the model that answered.
        response_id: the provider's id of the response.
        service_tier: the tier that it was served at.
        complete: whether the response is whole.
    """

    provider: str
    operation: str
    usage: Usage | None
    cost: Cost
    request_model: str | None
    response_model: str | None
    response_id: str | None
    service_tier: str | None
    complete: bool


def meter(
    *,
    url: str,
    request_body: bytes = b"",
    status: int = 200,
    response_headers: Mapping[str, str] | None = None,
    response_body: bytes = b"",
    method: str = "POST",
    at: datetime | None = None,
) -> Metered | None:
    """Take one exchange apart by hand, as a gateway or a reader of logs does.

    Args:
        url: where the request went.
        request_body: what it carried.
        status: the response's status.
        response_headers: the response's headers, in whatever case; its content type and encoding are read.
        response_body: the whole body, as it came off the wire: JSON, events or lines, compressed or not.
        method: the request's method.
        at: when it took place, for its prices; now where it is None.

    Returns:
        What it used and what that costs. None where the exchange is no call to a model.
    """
    request = recognise(method, url, request_body)
    if request is None:
        return None
    if status >= _FIRST_ERROR_STATUS:
        reading, cost = Reading(), Cost.nothing()
    else:
        headers = {name.lower(): value for name, value in (response_headers or {}).items()}
        reader = reader_of(request.wire_format, headers)
        reader.feed(response_body)
        reading = reader.reading()
        cost = cost_of(request, reading, at)
    return Metered(
        provider=request.provider,
        operation=request.wire_format.operation,
        usage=reading.usage,
        cost=cost,
        request_model=request.model,
        response_model=reading.model,
        response_id=reading.response_id,
        service_tier=reading.service_tier,
        complete=reading.complete,
    )


def cost_of(request: Request, reading: Reading, at: datetime | None = None) -> Cost:
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
                at=at,
                terms=reading.terms,
            )
    if cost is None:
        return Cost.unknown("neither request nor response names a model")
    return cost.estimated(f"no price for {', '.join(reading.unmetered)}") if reading.unmetered else cost
