"""The span of a call: started where no other instrumentation's stands for it, and what is put on either."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind

from otel_cost import live_span, money, semconv
from otel_cost.metering import terms_of
from otel_cost.pricing import terms
from otel_cost.pricing.names import tier_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.context import Context

    from otel_cost.instrumentation.failure import Failure
    from otel_cost.usage import Reading, Request


@lru_cache(maxsize=1)
def _tracer() -> trace.Tracer:
    return trace.get_tracer(live_span.OWN_SCOPE)


def start(
    request: Request, dimensions: Mapping[str, str], parent: Context | None = None, start_time: int | None = None
) -> trace.Span:
    """A span of our own for the call that `request` is; started then, where `start_time` says when."""
    name = f"{request.wire_format.operation} {request.model or ''}".strip()
    attributes = asked(request, dimensions)
    return _tracer().start_span(name, parent, SpanKind.CLIENT, attributes, start_time=start_time)


def asked(request: Request, dimensions: Mapping[str, str]) -> dict[str, Any]:
    """Attributes: what is asked, and who pays."""
    attributes: dict[str, Any] = {
        semconv.GEN_AI_OPERATION_NAME: request.wire_format.operation,
        semconv.GEN_AI_PROVIDER_NAME: request.provider,
        semconv.SERVER_ADDRESS: request.host,
    }
    for dimension, id_ in dimensions.items():
        attributes[semconv.dimension_key(dimension)] = id_
    if request.model is not None:
        attributes[semconv.GEN_AI_REQUEST_MODEL] = request.model
    if request.max_output_tokens:
        attributes[semconv.GEN_AI_REQUEST_MAX_TOKENS] = request.max_output_tokens
    if request.stream:
        attributes[semconv.GEN_AI_REQUEST_STREAM] = True
    if request.port is not None:
        attributes[semconv.SERVER_PORT] = request.port
    return attributes


def answered(request: Request, reading: Reading | None) -> Mapping[str, Any]:
    """Attributes: what the answer to `request` said."""
    if reading is None:
        return {}
    found: dict[str, Any] = live_span.usage_attributes(reading.usage) if reading.usage is not None else {}
    if reading.model is not None:
        found[semconv.GEN_AI_RESPONSE_MODEL] = reading.model
    if reading.response_id is not None:
        found[semconv.GEN_AI_RESPONSE_ID] = reading.response_id
    if (tier := tier_id(reading.service_tier)) is not None:
        found[semconv.CALL_SERVICE_TIER] = tier
    if (stated := terms.text_of(terms_of(request, reading))) is not None:
        found[semconv.COST_PRICE_TERMS] = stated
    return found


@money.exactly
def failed(failures: Sequence[Failure]) -> Mapping[str, Any]:
    """Attributes: each failed attempt, and what those that broke off may have cost beside the call's own cost."""
    if not failures:
        return {}
    found: dict[str, Any] = {semconv.CALL_FAILURES: [str(failure) for failure in failures]}
    wasted = [failure.may_have_cost for failure in failures if failure.broke_off]
    if wasted:
        amounts = [amount for amount in wasted if amount is not None]
        found[semconv.WASTE_STATUS] = "estimated" if len(amounts) == len(wasted) else "unknown"
        if len(amounts) == len(wasted):
            found[semconv.WASTE_AMOUNT] = money.text(sum(amounts, money.usd(0)))
    return found
