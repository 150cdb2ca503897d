"""Who made a span: what of the resource and of the instrumentation scope of an OTLP request is of use here."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from otel_cost import semconv
from otel_cost_exporter.decode.lean import SPAN
from otel_cost_exporter.decode.parcel import Source
from otel_cost_exporter.decode.wire import field, parts

_LONGEST_NAME: Final = 512
_LONGEST_CACHED: Final = 16_384
_ATTRIBUTES: Final = 1
_KEY: Final = 1
_VALUE: Final = 2
_STRING_VALUE: Final = 1
_SCOPE_NAME: Final = 1
_SPAN_ATTRIBUTES: Final = SPAN.fields_by_name["attributes"].number
_MOST_PAYERS: Final = 2048
"""Bytes that a resource may say of who pays: all its spans say it again."""
_ENVIRONMENTS: Final = (semconv.DEPLOYMENT_ENVIRONMENT, "deployment.environment")
"""The second is the name that the conventions had for it before."""
_INSTANCE: Final = ("service.instance.id", "host.name", "k8s.pod.name")
"""What tells one process of a service from another."""


def source_of(resource: bytes, scope: bytes) -> Source:
    """The source that an OTLP ``Resource`` and an ``InstrumentationScope`` say.

    Raises:
        MalformedError: they are no such messages.
    """
    if len(resource) + len(scope) > _LONGEST_CACHED:
        return _read(resource, scope)
    return _read_once(resource, scope)


def _read(resource: bytes, scope: bytes) -> Source:
    places = parts(resource, 0, len(resource), _ATTRIBUTES)
    found = dict(_attribute(resource, start, end) for start, end in places)
    payers = b"".join(
        field(_SPAN_ATTRIBUTES, resource[start:end])
        for start, end in places
        if _is_payer(_text(resource, start, end, _KEY))
    )
    return Source(
        service=found.get(semconv.SERVICE_NAME),
        environment=next((found[key] for key in _ENVIRONMENTS if found.get(key)), None),
        metered=semconv.VERSION in found,
        scope=_text(scope, 0, len(scope), _SCOPE_NAME) or "",
        payers=payers if len(payers) <= _MOST_PAYERS else b"",
        instance=" ".join(f"{key}={found[key]}" for key in _INSTANCE if found.get(key)),
    )


_read_once = lru_cache(maxsize=1024)(_read)  # a process says the same with each of its requests


def _is_payer(key: str | None) -> bool:
    return key is not None and key != semconv.VERSION and semconv.dimension_of(key) is not None


def _attribute(resource: bytes, start: int, end: int) -> tuple[str | None, str | None]:
    values = parts(resource, start, end, _VALUE)
    return _text(resource, start, end, _KEY), _text(resource, *values[-1], _STRING_VALUE) if values else None


def _text(message: bytes, start: int, end: int, number: int) -> str | None:
    """The text with `number` in a message, as much of it as is kept; None where it is missing or empty.

    Bytes that are no UTF-8 are replaced: that a name is odd is no reason to lose a call.
    """
    texts = parts(message, start, end, number)
    if not texts:
        return None
    start, end = texts[-1]
    return message[start : min(end, start + 4 * _LONGEST_NAME)].decode(errors="replace")[:_LONGEST_NAME] or None
