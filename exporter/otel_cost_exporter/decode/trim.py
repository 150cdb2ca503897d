"""Large spans, less what the books have no use for.

Some instrumentations put prompts and completions on their spans, in attributes or events. None of that is read here, so
it is let go of before anything waits, is parsed or is kept.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_cost import dialects, semconv
from otel_cost_exporter.decode import call_row
from otel_cost_exporter.decode.lean import SPAN
from otel_cost_exporter.decode.wire import LENGTH, fields, parts
from otel_cost_exporter.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_cost.dialects import Dialect

LARGE: Final = 4096
"""Bytes of a span up to which it is left as it is."""
LONGEST: Final = 32_768
"""Characters of a text that is read; what has more is no name and no figure."""
_FIELDS: Final = frozenset(field.number for field in SPAN.fields)
_ATTRIBUTES: Final = SPAN.fields_by_name["attributes"].number
_KEY: Final = 1


def _names(dialect: Dialect) -> Iterator[str]:
    """The attributes that are read of a span in `dialect`."""
    yield from chain(
        dialect.kind, dialect.signs, dialect.marks, dialect.within, dialect.total, *dialect.meters.values()
    )
    yield from chain(dialect.provider, dialect.request_model, dialect.response_model, dialect.response_id)
    yield from dialect.service_tier


_PREFIX: Final = semconv.PREFIX.encode()
READ: Final = frozenset(
    name.encode()
    for name in chain(
        *map(_names, (dialects.GENAI, *dialects.DIALECTS)),
        call_row.NAMES.values(),
        call_row.NOTES.values(),
        call_row.METERS.values(),
        [semconv.SERVER_ADDRESS],
    )
)
"""The attributes that are read beside our own."""


def trimmed(span: bytes) -> bytes:
    """The OTLP ``Span`` in `span`, less what is not read, where it is large.

    One that is no span is left as it is: what is wrong with it is found when it is decoded.
    """
    if len(span) <= LARGE:
        return span
    try:
        return b"".join(_kept(span))
    except (MalformedError, IndexError, DecodeError):
        return span


def _kept(span: bytes) -> Iterator[bytes]:
    before = 0
    for number, kind, start, end in fields(span, 0, len(span)):
        if number == _ATTRIBUTES and kind == LENGTH:
            if _is_read(span, start, end):
                yield span[before:end] if end - start <= LONGEST else _cut(span[start:end])
        elif number in _FIELDS:
            yield span[before:end]
        before = end


def _is_read(span: bytes, start: int, end: int) -> bool:
    keys = parts(span, start, end, _KEY)
    key = span[slice(*keys[-1])] if keys else b""
    return key.startswith(_PREFIX) or key in READ


def _cut(attribute: bytes) -> bytes:
    item = KeyValue.FromString(attribute)
    if item.value.HasField("string_value"):
        item.value.string_value = item.value.string_value[:LONGEST]
    return Span(attributes=[item]).SerializeToString()
