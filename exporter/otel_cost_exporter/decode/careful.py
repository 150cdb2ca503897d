"""One span -> a row of the books, step by step. This is the specification of what a row is.

A span with ``otel_cost.cost.status`` is a call, and says what it cost. Any other span of a process that otel-cost runs
in is none. A span of any other process is a call where its instrumentation's dialect says so: the row has no cost
status then, for what it cost is worked out here, by `costing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_cost import semconv
from otel_cost_exporter.decode.call_row import call_row, limit_rows
from otel_cost_exporter.decode.foreign import foreign_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from otel_cost_exporter.decode.parcel import Source


def row(span: Span, source: Source, latest_ns: int) -> dict[str, Any] | None:
    """The row of the call that `span` is: a value for each column of `batch.CALLS` that it states; None: it is no call.

    Args:
        span: a span, in whole or as `lean.LeanSpan`.
        source: who made it.
        latest_ns: Unix time in nanoseconds after which no call can have started.

    Raises:
        RejectedError: it is a call, and a figure of it is bad.
    """
    if any(item.key == semconv.COST_STATUS for item in span.attributes):
        return call_row(span, source, latest_ns)
    return None if source.metered else foreign_row(span, source, latest_ns)


def limits(span: Span, found: dict[str, Any]) -> Iterator[dict[str, Any] | str]:
    """The budget limits that the call with the row `found` carried: a row of `batch.LIMITS` each, or what is odd."""
    return limit_rows(span, found)
