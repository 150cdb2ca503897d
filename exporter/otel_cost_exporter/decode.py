"""OTLP bytes -> a batch of calls.

A span is a call if and only if it carries ``otel_cost.cost.status``; every other span is skipped. A call with a figure
that cannot stand in the books is rejected with its reason, and the others of its request are kept.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_cost import semconv
from otel_cost_exporter.batch import CALLS, LIMITS, Batch
from otel_cost_exporter.call_row import RejectedError, call_row, limit_rows
from otel_cost_exporter.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

_MARK: Final = semconv.COST_STATUS.encode()
_CLOCK_SLACK_NS: Final = 24 * 3600 * 10**9
"""How far the sender's clock may be ahead of ours."""
_LINES_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a request holds.

    Attributes:
        batch: its calls; None where it has none.
        rejections: how many calls cannot stand in the books, by the reason.
        warnings: what else is odd, and how often.
    """

    batch: Batch | None
    rejections: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)

    @property
    def rejected(self) -> int:
        """How many calls cannot stand in the books."""
        return self.rejections.total()

    @property
    def message(self) -> str:
        """Why calls are rejected and what else is odd, for the sender; empty where there is nothing to say."""
        return _message("rejected", self.rejections) + _message("warning", self.warnings)


def decode(body: bytes) -> Decoded:
    """The calls of an OTLP ``ExportTraceServiceRequest``.

    Raises:
        MalformedError: `body` is no such message.
    """
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise MalformedError(f"not an OTLP ExportTraceServiceRequest in protobuf: {error}") from None
    # Most traffic has no call at all, and looking for the bytes is far cheaper than looking at every span.
    return _collect(request) if _MARK in body else Decoded(None)


def _collect(request: ExportTraceServiceRequest) -> Decoded:
    latest_ns = time.time_ns() + _CLOCK_SLACK_NS
    calls: list[dict[str, Any]] = []
    limits: list[dict[str, Any]] = []
    rejected: Counter[str] = Counter()
    warnings: Counter[str] = Counter()
    for span, resource in _calls(request):
        try:
            row = call_row(span, resource, latest_ns)
        except RejectedError as reason:
            rejected[str(reason)] += 1
            continue
        calls.append(row)
        for limit in limit_rows(span, row):
            if isinstance(limit, str):
                warnings[limit] += 1
            else:
                limits.append(limit)
    return Decoded(_batch(calls, limits) if calls else None, rejected, warnings)


def _calls(request: ExportTraceServiceRequest) -> Iterator[tuple[Span, dict[str, AnyValue]]]:
    """The spans that are calls, each with the attributes of its resource."""
    for resource_spans in request.resource_spans:
        resource = {item.key: item.value for item in resource_spans.resource.attributes}
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                if any(item.key == semconv.COST_STATUS for item in span.attributes):
                    yield span, resource


def _batch(calls: list[dict[str, Any]], limits: list[dict[str, Any]]) -> Batch:
    dimensions = {name for row in calls for name in semconv.DIMENSIONS if name in row}
    dimensions.update(name for row in calls for name, _ in row["extra"])
    return Batch(
        pa.Table.from_pylist(calls, schema=CALLS),
        pa.Table.from_pylist(limits, schema=LIMITS),
        frozenset(dimensions),
    )


def _message(kind: str, lines: Counter[str]) -> str:
    """What happened how often, the most frequent first; not more than a few lines of it."""
    shown = [f"{kind}: {line} ({times}x). " for line, times in lines.most_common(_LINES_SHOWN)]
    left = len(lines) - len(shown)
    return "".join(shown) + (f"And {left} more kinds. " if left else "")
