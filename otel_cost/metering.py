"""One exchange with a provider, taken apart: what it used and what that costs. The same for every way in."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from otel_cost import money, pricing
from otel_cost.pricing import Cost
from otel_cost.usage import STATES_COST, Reading, reader_of, recognise

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
    request = recognise(method.upper(), url, request_body, by_path=True)
    if request is None:
        return None
    if status >= _FIRST_ERROR_STATUS:
        reading, cost = Reading(), Cost.nothing()
    else:
        headers = {name.lower(): value for name, value in (response_headers or {}).items()}
        reading = _read(request, headers, response_body)
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


def _read(request: Request, headers: Mapping[str, str], body: bytes) -> Reading:
    """What `body` says. Whoever kept it may have decoded it, and kept the header that says that it is encoded."""
    plain = {name: value for name, value in headers.items() if name != "content-encoding"}
    for each in (headers, plain):
        with suppress(Exception):  # whatever a decoder makes of bytes that are none of its own
            reader = reader_of(request.wire_format, each)
            reader.feed(body)
            return reader.reading()
    return Reading()


def cost_of(request: Request, reading: Reading, at: datetime | None = None) -> Cost:
    """What a response to `request` costs, of which `reading` is what it said."""
    if reading.stated_cost is not None and request.provider in STATES_COST:
        return Cost(money.usd(reading.stated_cost), "known", "provider")
    if reading.unreadable:
        return Cost.unknown(f"the response states what is no count: {', '.join(reading.unreadable)}")
    if reading.usage is None:
        return Cost.unknown("the response stated no usage")
    if not request.known_provider:
        return Cost.unknown(request.unknown_provider)
    named = (request.model, reading.model) if request.wire_format.priced_as_asked else (reading.model, request.model)
    models = tuple(dict.fromkeys(model for model in named if model is not None))
    cost = _price(request.provider, models, reading.usage, reading, at)
    for model, usage in reading.shares:
        cost = _sum(cost, _price(request.provider, (model,), usage, reading, at))
    if reading.unmetered:
        cost = cost.estimated(f"no price for {', '.join(reading.unmetered)}")
    return cost.estimated("; ".join(reading.doubts)) if reading.doubts else cost


def _price(provider: str, models: tuple[str, ...], usage: Usage, reading: Reading, at: datetime | None) -> Cost:
    """What `usage` costs, by the first of `models` that has a price: the one that answered, or the one asked for."""
    cost = Cost.unknown("neither request nor response names a model")
    for model in models:
        cost = pricing.price(
            provider=provider,
            model=model,
            usage=usage,
            service_tier=reading.service_tier,
            at=at,
            terms=reading.terms,
        )
        if cost.amount is not None:
            break
    return cost


def _sum(first: Cost, second: Cost) -> Cost:
    """Both costs together; what is in doubt about one is in doubt about both."""
    if first.amount is None or second.amount is None:
        known, unknown = (first, second) if second.amount is None else (second, first)
        return known.estimated(unknown.reason or "") if known.amount is not None else unknown
    both = replace(first, amount=first.amount + second.amount)
    return both.estimated(second.reason or "") if second.status == "estimated" else both
