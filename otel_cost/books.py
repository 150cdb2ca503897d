"""The calls that the application's sampler dropped, on their way to the ledger: their figures, and to nobody else.

Where the application's spans go to the spool, these go there too; else by OTLP/HTTP to a path that only the ledger
serves. Nothing is imported or started before the first such call ends.
"""

from __future__ import annotations

import os
import threading
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, Status, TraceFlags

from otel_cost import semconv
from otel_cost.safety import after_fork_in_child

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

_SPOOL: Final = "otel_cost"
"""What the exporter to the spool is called in ``OTEL_TRACES_EXPORTER``."""
_MOST_WAITING: Final = 16_384
"""Calls that wait for a ledger that is away; OpenTelemetry's processor drops the oldest beyond, and says so."""
_NEEDED: Final = (
    semconv.PREFIX,
    semconv.USAGE_PREFIX,
    semconv.GEN_AI_OPERATION_NAME,
    semconv.GEN_AI_PROVIDER_NAME,
    semconv.GEN_AI_REQUEST_MODEL,
    semconv.GEN_AI_RESPONSE_MODEL,
    semconv.GEN_AI_RESPONSE_ID,
    semconv.ERROR_TYPE,
)
"""How the names of a call's figures begin. No prompt or completion is among them."""
_NEEDED_OF_RESOURCE: Final = (semconv.SERVICE_NAME, semconv.DEPLOYMENT_ENVIRONMENT)

_lock = threading.Lock()
_started: BatchSpanProcessor | None = None


def keep(span: ReadableSpan) -> None:
    """Send the figures of `span`, a call that has ended and that no tracing backend gets, to the ledger."""
    _processor().on_end(_figures(span))


def flush() -> None:
    """Send what waits, without waiting long for a ledger that is away: the process ends."""
    if _started is not None:
        _started.span_exporter.force_flush()
        _started.force_flush()


def _processor() -> BatchSpanProcessor:
    global _started  # noqa: PLW0603 - one process, one way to the books
    with _lock:
        if _started is None:
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - see the module's docstring

            _started = BatchSpanProcessor(_exporter(), _MOST_WAITING)
        return _started


def _exporter() -> SpanExporter:
    names = os.environ.get("OTEL_TRACES_EXPORTER", "").split(",")
    if _SPOOL in map(str.strip, names):
        (spool,) = entry_points(group="opentelemetry_traces_exporter", name=_SPOOL)
        exporter: SpanExporter = spool.load()()
        return exporter
    from otel_cost.ledger_exporter import LedgerExporter  # noqa: PLC0415 - see the module's docstring

    return LedgerExporter()


def _figures(span: ReadableSpan) -> ReadableSpan:
    """What the ledger needs of `span`, marked as sampled: else no processor would let it pass."""
    found = span.context
    attributes, resource = span.attributes or {}, span.resource.attributes
    return ReadableSpan(
        span.name,
        SpanContext(found.trace_id, found.span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)),
        span.parent,
        Resource({key: resource[key] for key in _NEEDED_OF_RESOURCE if key in resource}),
        {key: value for key, value in attributes.items() if key.startswith(_NEEDED)},
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _forked() -> None:
    """The processor begins anew in a child by itself; the lock may have been held by a thread of the parent's."""
    global _lock  # noqa: PLW0603 - replaced once, in the child
    _lock = threading.Lock()


after_fork_in_child(_forked)
