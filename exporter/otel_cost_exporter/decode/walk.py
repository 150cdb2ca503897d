"""An OTLP trace export request -> the spans of it that may be calls, as the bytes that they came as, less their texts.

Most spans of most traffic are no calls to a model. A span that may be one has names of attributes that say so, and to
look for these in the bytes is far cheaper than to parse: what has none of them is stepped over by its length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_cost import dialects, semconv
from otel_cost_exporter.decode import trim
from otel_cost_exporter.decode.parcel import Parcel
from otel_cost_exporter.decode.source import source_of
from otel_cost_exporter.decode.wire import LENGTH, fields, varint
from otel_cost_exporter.errors import MalformedError

if TYPE_CHECKING:
    from otel_cost_exporter.decode.parcel import Source

_METERED_MARKS: Final = (semconv.COST_STATUS.encode(),)
_STARTS: Final = {
    name.partition(".")[0].encode() + b"."
    for dialect in (dialects.GENAI, *dialects.DIALECTS)
    for name in (*dialect.kind, *dialect.signs)
}
"""How the names of attributes begin by which a dialect tells a call: ``gen_ai.``, ``ai.``, ``llm.`` and so on."""
_FOREIGN_MARKS: Final = (
    *sorted(start for start in _STARTS if not any(other in start for other in _STARTS - {start})),
    *_METERED_MARKS,
)
"""The first one, ``ai.``, is by far the most frequent."""
_NOWHERE: Final = 2**62
"""Behind the end of any request: modulo this, the -1 of what is not found is close to it, and a place is itself."""
_SPAN_OVERHEAD: Final = 100
"""Bytes that a span takes in memory beside its own."""
_LARGEST: Final = 0x7F
"""Bytes of a length that are larger tell that another one follows."""

_RESOURCE_SPANS: Final = 1
_RESOURCE: Final = 1
_SCOPE_SPANS: Final = 2
_SCOPE: Final = 1
_SPANS: Final = 2
_SPANS_TAG: Final = _SPANS << 3 | LENGTH


def walk(body: bytes) -> Parcel:
    """The spans of the OTLP ``ExportTraceServiceRequest`` in `body` that may be calls.

    Neither the spans that it steps over nor the inside of those that it takes are looked at: what is wrong there is
    found when they are decoded, and takes no other span with it.

    Raises:
        MalformedError: `body` is no such message.
    """
    spans: list[bytes] = []
    sources: list[Source] = []
    try:
        for number, kind, start, end in fields(body, 0, len(body)):
            if number == _RESOURCE_SPANS and kind == LENGTH:
                _walk_resource(body, start, end, spans, sources)
    except (MalformedError, IndexError) as error:
        raise MalformedError(f"not an OTLP ExportTraceServiceRequest in protobuf: {error}") from None
    return Parcel(spans, sources, size=sum(map(len, spans)) + len(spans) * _SPAN_OVERHEAD)


def _walk_resource(body: bytes, start: int, end: int, spans: list[bytes], sources: list[Source]) -> None:
    resource, scopes = b"", []
    for number, kind, at, after in fields(body, start, end):
        if kind == LENGTH and number == _RESOURCE:
            resource += body[at:after]  # a message that comes in parts is their concatenation
        elif kind == LENGTH and number == _SCOPE_SPANS:
            scopes.append((at, after))
    marks = _METERED_MARKS if source_of(resource, b"").metered else _FOREIGN_MARKS
    for at, after in scopes:
        scope = _take_spans(body, at, after, marks, spans)
        taken = len(spans) - len(sources)
        if taken:
            sources.extend([source_of(resource, scope)] * taken)


def _take_spans(body: bytes, at: int, end: int, marks: tuple[bytes, ...], taken: list[bytes]) -> bytes:
    """Append the spans of the ``ScopeSpans`` in ``body[at:end]`` that have one of `marks`; returns its scope.

    This runs for every span of all traffic, so it is written out.
    """
    scope, (frequent, *others) = b"", marks
    mark, other, found = -1, -1, dict.fromkeys(others, -1)
    while at < end:
        if body[at] != _SPANS_TAG:
            number, kind, start, at = next(fields(body, at, end))
            if number == _SCOPE and kind == LENGTH:
                scope += body[start:at]
            continue
        length, at = body[at + 1], at + 2
        if length > _LARGEST and body[at] > _LARGEST:
            length, at = varint(body, at - 1, end)
        elif length > _LARGEST:
            length, at = length & _LARGEST | body[at] << 7, at + 1
        after = at + length
        if after > end:
            raise MalformedError("a span does not end within its message")
        if mark < at:
            mark = body.find(frequent, at, end) % _NOWHERE
        if mark >= after and other < at:
            other = _next_mark(body, at, end, found)
        if mark < after or other < after:
            taken.append(body[at:after] if length <= trim.LARGE else trim.trimmed(body[at:after]))
        at = after
    return scope


def _next_mark(body: bytes, at: int, end: int, found: dict[bytes, int]) -> int:
    """Where the first mark is that does not start before `at`.

    `found` keeps where each mark was found last, -1 at first.
    """
    for mark, last in found.items():
        if last < at:
            found[mark] = body.find(mark, at, end) % _NOWHERE
    return min(found.values(), default=_NOWHERE)
