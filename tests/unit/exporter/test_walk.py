"""A request is cut into the spans that may be calls; the others are stepped over, unseen."""

from __future__ import annotations

import pytest
from exporter_building import attributes, call, request, span
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from otel_cost import dialects
from otel_cost_exporter.decode.parcel import Parcel, Source
from otel_cost_exporter.decode.walk import walk
from otel_cost_exporter.errors import MalformedError


def whole(*resources: ResourceSpans) -> bytes:
    return ExportTraceServiceRequest(resource_spans=resources).SerializeToString()


def made_by(**stated: str) -> Resource:
    return Resource(attributes=attributes({key.replace("__", "."): value for key, value in stated.items()}))


def taken(parcel: Parcel) -> list[Span]:
    return [Span.FromString(each) for each in parcel.spans]


WEB = span(9, http__request__method="GET", url__full="https://example.com")
FOREIGN = span(8, gen_ai__operation__name="chat")


def test_a_request_without_calls_has_none() -> None:
    assert walk(b"") == Parcel()
    assert walk(request(WEB, WEB)) == Parcel()


def test_calls_are_taken_as_they_came_and_others_are_stepped_over() -> None:
    parcel = walk(request(WEB, call(1), WEB, WEB, call(2), FOREIGN, WEB, service__name="shop"))
    assert taken(parcel) == [call(1), call(2), FOREIGN]
    assert parcel.sources == [Source("shop")] * 3
    assert sum(map(len, parcel.spans)) < parcel.size < 2 * sum(map(len, parcel.spans))


@pytest.mark.parametrize("dialect", [dialects.GENAI, *dialects.DIALECTS], ids=lambda dialect: dialect.name)
def test_a_span_is_taken_for_any_attribute_by_which_a_dialect_tells_a_call(dialect: dialects.Dialect) -> None:
    for name in (*dialect.kind, *dialect.signs, "otel_cost.cost.status"):
        assert len(walk(request(WEB, span(1, **{name: "1"}), WEB)).spans) == 1


def test_of_a_process_that_otel_cost_runs_in_only_spans_with_a_cost_are_taken() -> None:
    parcel = walk(request(FOREIGN, call(1), WEB, otel_cost__version="0.1.0"))
    assert taken(parcel) == [call(1)]
    assert parcel.sources == [Source(metered=True)]


def test_each_scope_and_each_resource_is_told_of_its_own_spans() -> None:
    def scope(name: str, *spans: Span) -> ScopeSpans:
        return ScopeSpans(scope=InstrumentationScope(name=name, version="ai.1"), spans=spans)

    parcel = walk(
        whole(
            ResourceSpans(
                resource=made_by(service__name="a", deployment__environment__name="prod", otel_cost__version="1"),
                scope_spans=[scope("web", WEB), scope("llm.one", call(1), FOREIGN), scope("two", call(2), call(3))],
            ),
            ResourceSpans(
                resource=made_by(service__name="b", deployment__environment="test"),
                scope_spans=[scope("gen_ai.", WEB, FOREIGN)],
            ),
            ResourceSpans(scope_spans=[scope("", call(4))]),
        )
    )
    assert taken(parcel) == [call(1), call(2), call(3), FOREIGN, call(4)]
    two = Source("a", "prod", metered=True, scope="two")
    assert parcel.sources == [
        Source("a", "prod", metered=True, scope="llm.one"),
        two,
        two,
        Source("b", "test", scope="gen_ai."),
        Source(),
    ]
    assert parcel.sources[1] is parcel.sources[2]


def test_fields_may_come_in_any_order_and_in_parts() -> None:
    of_scope = (
        ScopeSpans(spans=[call(1)]).SerializeToString()
        + ScopeSpans(scope=InstrumentationScope(name="late")).SerializeToString()
    )
    body = b"".join(
        [
            ResourceSpans(scope_spans=[ScopeSpans.FromString(of_scope)]).SerializeToString(),
            ResourceSpans(resource=made_by(service__name="first")).SerializeToString(),
            ResourceSpans(resource=made_by(service__name="last"), schema_url="x").SerializeToString(),
        ]
    )
    request = b"\x0a" + bytes([len(body) & 0x7F | 0x80, len(body) >> 7]) + body
    assert walk(request).sources == [Source("last", scope="late")]


def test_fields_that_are_not_known_are_passed_over() -> None:
    unknown = b"\x98\x06\x01" + b"\x99\x06" + b"8" * 8 + b"\x9d\x06" + b"4" * 4 + b"\x9a\x06\x02ai"
    scope = ScopeSpans(spans=[call(1)]).SerializeToString() + unknown
    resource = unknown + ResourceSpans(resource=made_by(service__name="a")).SerializeToString()
    resource += b"\x12" + bytes([len(scope) & 0x7F | 0x80, len(scope) >> 7]) + scope + b"\x08\x01"
    body = unknown + b"\x0a" + bytes([len(resource) & 0x7F | 0x80, len(resource) >> 7]) + resource
    assert (taken(walk(body)), walk(body).sources) == ([call(1)], [Source("a")])


def test_odd_attributes_of_a_resource_take_no_call_with_them() -> None:
    odd = Resource(
        attributes=[
            KeyValue(key="service.name", value=AnyValue(string_value="s" * 20_000)),
            KeyValue(key="deployment.environment.name"),
            KeyValue(key="deployment.environment", value=AnyValue(int_value=7)),
            KeyValue(value=AnyValue(string_value="nameless")),
            KeyValue(key="x" * 20_000, value=AnyValue(bytes_value=b"\xff")),
        ]
    )
    body = whole(ResourceSpans(resource=odd, scope_spans=[ScopeSpans(spans=[call(1)])]))
    assert walk(body).sources == [Source("s" * 512)]
    assert walk(request(call(1), service__name="~~").replace(b"~~", b"\xff~")).sources == [Source("\ufffd~")]


def test_an_empty_span_is_none() -> None:
    assert walk(request(Span())) == walk(request(WEB, Span())) == Parcel()
    assert len(walk(request(call(1), Span())).spans) == 1


@pytest.mark.parametrize("size", [100, 2**14 - 1, 2**14, 2**21])
def test_spans_of_any_size_are_taken(size: int) -> None:
    large = span(2, otel_cost__cost__status="known", otel_cost__call__failures=["x" * size])
    assert taken(walk(request(call(1), large, call(3)))) == [call(1), large, call(3)]
    assert taken(walk(request(call(1), span(2, other="x" * size), call(3)))) == [call(1), call(3)]


GOOD = request(WEB, call(1))


@pytest.mark.parametrize(
    "body",
    [
        b"garbage",
        b"\x0a\xff\xff\xff",
        b"\x0a" + b"\xff" * 11,  # a number of more than ten bytes
        b"\x00\x00",  # a field without number
        b"\x0b\x0c",  # a group
        b"\x0d123",  # four bytes of which three are there
        GOOD[:-5],
        GOOD[:-5] + b"\xff" * 5 + b"\x0a",
        b"\x0a\x02\x12\x05",  # a scope that does not end within its resource
        b"\x0a\x04\x12\x02\x12\x05",  # a span that does not end within its scope
        b"\x0a\x03\x12\x01\x12",  # a span without a length
        b"\x0a\x04\x12\x02\x12\xff",  # a span whose length does not end
    ],
)
def test_other_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedError, match="not an OTLP ExportTraceServiceRequest in protobuf: "):
        walk(body)
