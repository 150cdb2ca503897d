"""One exchange with a provider, taken apart: what it used and what that costs. The same for every way in."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from msgspec import structs

from otel_cost import money, pricing
from otel_cost.pricing import Cost
from otel_cost.usage import FORMATS, STATES_COST, Reading, Request, reader_of, recognise
from otel_cost.usage.documents import dig
from otel_cost.usage.statement import Statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from otel_cost.usage import Usage, WireFormat

_logger = logging.getLogger(__name__)
_FIRST_ERROR_STATUS = 400


@dataclass(frozen=True, slots=True)
class Metered:
    """One exchange with a provider, taken apart.

    Attributes:
        provider: value of ``gen_ai.provider.name``; the host where the provider is not known.
        operation: value of ``gen_ai.operation.name``.
        usage: what the model that answered used; None where the response states nothing.
        shares: what further passes used that are charged on top of `usage`, each with its model.
        cost: what all of that costs.
        request_model: the model asked for.
        response_model: the model that answered.
        response_id: the provider's id of the response.
        service_tier: the tier that it was served at.
        complete: whether the response is whole.
        pending: whether the provider still works on the response, and states later what it used.
        custom_id: what a batch calls the request; None outside of one.
    """

    provider: str
    operation: str
    usage: Usage | None
    shares: tuple[tuple[str, Usage], ...]
    cost: Cost
    request_model: str | None
    response_model: str | None
    response_id: str | None
    service_tier: str | None
    complete: bool
    pending: bool = False
    custom_id: str | None = None


def meter(
    *,
    url: str,
    request_body: bytes | str = b"",
    status: int = 200,
    response_headers: Mapping[str, str] | None = None,
    response_body: bytes | str = b"",
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
        What it used and what that costs, an estimate where the body is not whole. None where the exchange is no call to
        a model.

    Raises:
        TypeError: a body is neither bytes nor text, or `at` is no datetime.
    """
    response_body = _as_bytes("response_body", response_body)
    request = recognise(method.upper(), url, _as_bytes("request_body", request_body), by_path=True)
    if request is None:
        return None
    if status >= _FIRST_ERROR_STATUS:
        reading, cost = Reading(), Cost.nothing()
    else:
        headers = {name.lower(): value for name, value in (response_headers or {}).items()}
        reading = _read(request, headers, response_body)
        cost = cost_of(request, reading, at)
        if not reading.complete:
            cost = cost.estimated("the response was cut: about what it had used by then")
        elif reading.pending:
            cost = cost.estimated("the provider still works on it: what it had used by then")
    return _metered(request, reading, cost)


def meter_batch(
    lines: Iterable[str | bytes],
    *,
    provider: str | None = None,
    model: str | None = None,
    at: datetime | None = None,
    location: str | None = None,
) -> Iterator[Metered]:
    """Take the results of a batch apart, line by line, each priced at the batch tier and counted once.

    The results of batches at OpenAI and those who do as it does, Anthropic, Gemini, Vertex AI and Bedrock are told by
    what is in them.

    Args:
        lines: the lines of a file of results, such as the open file itself.
        provider: whose batch it was, where that is not the one whose format the results have, such as
            ``azure.ai.openai``.
        model: the model asked for, where the results do not name it, as those of Bedrock do not.
        at: when the batch ran, for its prices; now where it is None.
        location: where it ran, such as ``europe-west1``, for its prices; results do not say it.

    Returns:
        One for each line that is a result. One that failed costs nothing; one whose response was there before is left
        out.

    Raises:
        TypeError: `lines` are no lines, but one text or something else.
    """
    if isinstance(lines, str | bytes):
        raise TypeError("otel_cost.meter_batch takes lines, and not one text: pass the open file, or splitlines()")
    return _each_of_batch(lines, provider, model, at, location)


def _each_of_batch(
    lines: Iterable[str | bytes], provider: str | None, model: str | None, at: datetime | None, location: str | None
) -> Iterator[Metered]:
    terms = {} if location is None else {"location": location}
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        result = _result(line)
        if result is None:
            if line.strip():
                _logger.warning("line %d of a batch's results is passed over: it cannot be read as one", number)
            continue
        custom_id, body, (wire_format, speaker) = result
        request = Request(wire_format, provider or speaker, model=model, terms=terms)
        if not body:
            yield replace(_metered(request, Reading(), Cost.nothing()), custom_id=custom_id)
            continue
        statement = Statement(wire_format, {})
        statement.take(body)
        reading = structs.replace(statement.reading(complete=True), service_tier="batch")
        if reading.response_id in seen:
            continue
        if reading.response_id is not None:
            seen.add(reading.response_id)
        yield replace(_metered(request, reading, cost_of(request, reading, at)), custom_id=custom_id)


def _as_bytes(name: str, body: object) -> bytes:
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    kind = type(body).__name__
    raise TypeError(f"otel_cost.meter: {name} is a {kind}; pass the body as it crossed the wire, as bytes or text")


def _result(line: object) -> tuple[str | None, dict[str, Any], tuple[WireFormat, str]] | None:
    """What a line of a batch's results calls its request, the response, empty where it failed, and who speaks."""
    if not isinstance(line, str | bytes | bytearray):
        raise TypeError(f"otel_cost.meter_batch: a line is a {type(line).__name__}; pass it as it stands in the file")
    try:
        result = json.loads(line)
    except ValueError:
        return None
    if not isinstance(result, dict):
        return None
    names = (result.get(name) for name in ("custom_id", "key", "recordId"))
    custom_id = next((name for name in names if isinstance(name, str)), None)
    for path in (("response", "body"), ("result", "message"), ("modelOutput",), ("response",)):
        body = dig(result, path)
        if isinstance(body, dict):
            failed = dig(result, ("response", "status_code"))
            if not body or (isinstance(failed, int) and failed >= _FIRST_ERROR_STATUS):
                break
            return custom_id, body, _spoken(body)
    else:
        if not {"error", "result", "status"} & result.keys():
            return None
    return custom_id, {}, _spoken_around(result)


def _spoken_around(result: dict[str, Any]) -> tuple[WireFormat, str]:
    """The format of a line of a batch that states no response, and who speaks it."""
    if "recordId" in result:
        return FORMATS["bedrock.invoke"], "aws.bedrock"
    if "result" in result:
        return FORMATS["anthropic.messages"], "anthropic"
    if "custom_id" in result:
        return FORMATS["openai.chat"], "openai"
    return FORMATS["gemini.generate"], "gcp.gemini"


def _spoken(body: dict[str, Any]) -> tuple[WireFormat, str]:
    """The format of a response that came in a batch, and who speaks it."""
    if "usageMetadata" in body or "candidates" in body:
        return FORMATS["gemini.generate"], "gcp.gemini"
    if body.get("type") == "message":
        return FORMATS["anthropic.messages"], "anthropic"
    kind = body.get("object")
    if kind is None and "choices" not in body:
        return FORMATS["bedrock.invoke"], "aws.bedrock"
    names = {"response": "openai.responses", "list": "openai.embeddings", "text_completion": "openai.completions"}
    return FORMATS[names.get(str(kind), "openai.chat")], "openai"


def _metered(request: Request, reading: Reading, cost: Cost) -> Metered:
    return Metered(
        provider=request.provider,
        operation=request.wire_format.operation,
        usage=reading.usage,
        shares=reading.shares,
        cost=cost,
        request_model=request.model,
        response_model=reading.model,
        response_id=reading.response_id,
        service_tier=reading.service_tier,
        complete=reading.complete,
        pending=reading.pending,
    )


def _read(request: Request, headers: Mapping[str, str], body: bytes) -> Reading:
    """What `body` says. Whoever kept it may have decoded it, and kept the header that says that it is encoded."""
    plain = {name: value for name, value in headers.items() if name != "content-encoding"}
    readings = []
    for each in (headers, plain) if len(plain) < len(headers) else (headers,):
        with suppress(Exception):  # whatever a decoder makes of bytes that are none of its own
            reader = reader_of(request.wire_format, each)
            reader.feed(body)
            readings.append(reader.reading())
    return max(readings, key=lambda reading: (reading.complete, reading.usage is not None), default=Reading())


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
    if request.wire_format.priced_as_asked:
        cost = _price_as_asked(request, reading.usage, reading, at)
    else:
        cost = _price(request, (reading.model, request.model), reading.usage, reading, at)
    for model, usage in reading.shares:
        cost = _sum(cost, _price(request, (model,), usage, reading, at))
    if apart := (*reading.unmetered, *request.charged_beside):
        cost = cost.estimated(f"no price for {', '.join(apart)}")
    return cost.estimated("; ".join(reading.doubts)) if reading.doubts else cost


def _price_as_asked(request: Request, usage: Usage, reading: Reading, at: datetime | None) -> Cost:
    asked = _price(request, (request.model,), usage, reading, at)
    if asked.amount is not None or reading.model is None:
        return asked
    answered = _price(request, (reading.model,), usage, reading, at)
    return answered.estimated("what was asked for has no price: that of the model that answered")


def _price(
    request: Request, models: tuple[str | None, ...], usage: Usage, reading: Reading, at: datetime | None
) -> Cost:
    return pricing.price_by_first(
        models,
        provider=request.provider,
        usage=usage,
        service_tier=reading.service_tier,
        at=at,
        terms=terms_of(request, reading),
    )


def terms_of(request: Request, reading: Reading) -> Mapping[str, str]:
    """What the prices of a call depend on beside its model and tier."""
    return {**request.terms, **reading.terms} if request.terms else reading.terms


@money.exactly
def _sum(first: Cost, second: Cost) -> Cost:
    """Both costs together; what is in doubt about one is in doubt about both."""
    if first.amount is None or second.amount is None:
        known, unknown = (first, second) if second.amount is None else (second, first)
        return known.estimated(unknown.reason or "") if known.amount is not None else unknown
    both = replace(first, amount=first.amount + second.amount)
    return both.estimated(second.reason or "") if second.status == "estimated" else both
