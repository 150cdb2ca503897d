"""Spans and export requests, built by hand as a sender would send them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from otel_cost_exporter.decode.parcel import Parcel, Source

SECOND = 10**9
HOUR = 3600 * SECOND
DAY = 24 * HOUR


def at(text: str) -> int:
    """Unix time in nanoseconds of an ISO time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


def naive(text: str) -> datetime:
    """A time of the books: UTC without a zone."""
    return datetime.fromisoformat(text)


NOON = at("2026-03-02T12:00:00")


def value(plain: Any) -> AnyValue:
    if isinstance(plain, bool):
        return AnyValue(bool_value=plain)
    if isinstance(plain, int):
        return AnyValue(int_value=plain)
    if isinstance(plain, float):
        return AnyValue(double_value=plain)
    if isinstance(plain, list):
        return AnyValue(array_value=ArrayValue(values=[value(item) for item in plain]))
    return AnyValue() if plain is None else AnyValue(string_value=plain)


def attributes(plain: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=value(item)) for key, item in plain.items()]


def span(number: int = 1, *, start: int = NOON, end: int | None = None, **plain: Any) -> Span:
    """Span `number`, which has one trace of its own; attributes with ``__`` for each dot."""
    return Span(
        trace_id=number.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        name="chat gpt-4o",
        start_time_unix_nano=start,
        end_time_unix_nano=start + SECOND if end is None else end,
        attributes=attributes({key.replace("__", "."): item for key, item in plain.items()}),
    )


def call(number: int = 1, *, start: int = NOON, end: int | None = None, **plain: Any) -> Span:
    """A call of 1000 input and 200 output tokens to gpt-4o: at 2.50 and 10 USD a million, 0.0045 USD.

    An attribute that is ``...`` is left out.
    """
    usual = {
        "gen_ai__operation__name": "chat",
        "gen_ai__provider__name": "openai",
        "gen_ai__request__model": "gpt-4o",
        "gen_ai__usage__input_tokens": 1000,
        "gen_ai__usage__output_tokens": 200,
        "otel_cost__cost__status": "known",
        "otel_cost__cost__amount": "0.0045",
        "otel_cost__cost__currency": "USD",
        "otel_cost__call__outcome": "ok",
    }
    stated = {key: item for key, item in (usual | plain).items() if item is not ...}
    return span(number, start=start, end=end, **stated)


def unknown(number: int = 1, **plain: Any) -> Span:
    """A call whose model has no price."""
    return call(number, otel_cost__cost__status="unknown", otel_cost__cost__amount=..., **plain)


def refused(number: int = 1, **plain: Any) -> Span:
    """A call that a budget stopped."""
    nothing = {"gen_ai__usage__input_tokens": ..., "gen_ai__usage__output_tokens": ...}
    return call(number, otel_cost__call__outcome="refused", otel_cost__cost__amount="0.000000", **nothing, **plain)


def request(*spans: Span, **resource: str) -> bytes:
    """An export request; resource attributes with ``__`` for each dot."""
    made_by = Resource(attributes=attributes({key.replace("__", "."): item for key, item in resource.items()}))
    message = ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=made_by, scope_spans=[ScopeSpans(spans=spans)])]
    )
    return message.SerializeToString()


def parcel(*spans: Span, source: Source = Source(metered=True)) -> Parcel:  # noqa: B008 - it cannot change
    """What a request with `spans`, all of `source`, brings to the ledger."""
    bodies = [each.SerializeToString() for each in spans]
    return Parcel(bodies, [source] * len(bodies), size=sum(map(len, bodies)))
