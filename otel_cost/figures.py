"""What the ledger needs of a span: figures and names, and nothing of what was said."""

from __future__ import annotations

from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, Status, TraceFlags

from otel_cost import semconv

_NEEDED: Final = (
    semconv.PREFIX,
    semconv.USAGE_PREFIX,
    semconv.GEN_AI_OPERATION_NAME,
    semconv.GEN_AI_PROVIDER_NAME,
    semconv.GEN_AI_REQUEST_MODEL,
    semconv.GEN_AI_RESPONSE_MODEL,
    semconv.GEN_AI_RESPONSE_ID,
    semconv.ERROR_TYPE,
    semconv.SERVER_ADDRESS,
)
"""How the names of a call's figures begin. No prompt or completion is among them."""
_NEEDED_OF_RESOURCE: Final = (semconv.PREFIX, semconv.SERVICE_NAME, semconv.DEPLOYMENT_ENVIRONMENT)


def figures(span: ReadableSpan) -> ReadableSpan:
    """What the ledger needs of `span`, marked as sampled: else no processor would let it pass."""
    found = span.context
    attributes, resource = span.attributes or {}, span.resource.attributes
    return ReadableSpan(
        span.name,
        SpanContext(found.trace_id, found.span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)),
        span.parent,
        Resource({key: value for key, value in resource.items() if key.startswith(_NEEDED_OF_RESOURCE)}),
        {key: value for key, value in attributes.items() if key.startswith(_NEEDED)},
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
