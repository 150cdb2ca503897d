"""OTLP/JSON: the same request as in protobuf, however JSON has to write it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_cost_exporter.errors import MalformedError, TooLargeError
from otel_cost_exporter.receiver import otlp_json


def with_span(**fields: Any) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [fields]}]}]}).encode()


def span_of(body: bytes) -> Span:
    request = ExportTraceServiceRequest.FromString(otlp_json.traces(body))
    return request.resource_spans[0].scope_spans[0].spans[0]


def attribute(**value: Any) -> list[dict[str, Any]]:
    return [{"key": "k", "value": value}]


def test_a_span_as_the_specification_writes_it() -> None:
    """The example of the specification's repository, with each kind of value."""
    body = {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]},
                "schemaUrl": "https://opentelemetry.io",
                "scopeSpans": [
                    {
                        "scope": {"name": "my.library", "version": "1.0.0", "attributes": attribute(boolValue=True)},
                        "spans": [
                            {
                                "traceId": "5B8EFFF798038103D269B633813FC60C",
                                "spanId": "EEE19B7EC3C1B174",
                                "parentSpanId": "EEE19B7EC3C1B173",
                                "name": "I'm a server span",
                                "startTimeUnixNano": "1544712660000000000",
                                "endTimeUnixNano": 1544712661000000000,
                                "kind": 2,
                                "attributes": [
                                    {"key": "s", "value": {"stringValue": "some value"}},
                                    {"key": "i", "value": {"intValue": "-5"}},
                                    {"key": "d", "value": {"doubleValue": 1}},
                                    {"key": "n", "value": {"doubleValue": "-Infinity"}},
                                    {"key": "b", "value": {"bytesValue": "AQI="}},
                                    {"key": "a", "value": {"arrayValue": {"values": [{"boolValue": False}, {}]}}},
                                    {"key": "m", "value": {"kvlistValue": {"values": attribute(intValue=7)}}},
                                    {"key": "empty", "value": None},
                                ],
                                "events": [{"timeUnixNano": "7", "name": "e", "attributes": []}],
                                "status": {"code": 2, "message": "it failed"},
                                "someday": {"there": ["will", "be", 1, "more"]},
                            }
                        ],
                    }
                ],
            }
        ]
    }
    request = ExportTraceServiceRequest.FromString(otlp_json.traces(json.dumps(body).encode()))
    (resource,) = request.resource_spans
    (scope,) = resource.scope_spans
    (span,) = scope.spans
    assert resource.resource.attributes[0].value.string_value == "my.service"
    assert (scope.scope.name, scope.scope.version, scope.scope.attributes[0].value.bool_value) == (
        "my.library",
        "1.0.0",
        True,
    )
    assert span.trace_id.hex() == "5b8efff798038103d269b633813fc60c"
    assert (span.span_id.hex(), span.parent_span_id.hex()) == ("eee19b7ec3c1b174", "eee19b7ec3c1b173")
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (1544712660000000000, 1544712661000000000)
    assert (span.name, span.kind, span.status.code, span.status.message) == ("I'm a server span", 2, 2, "it failed")
    assert (span.events[0].time_unix_nano, span.events[0].name) == (7, "e")
    values = {item.key: item.value for item in span.attributes}
    assert (values["s"].string_value, values["i"].int_value, values["d"].double_value) == ("some value", -5, 1.0)
    assert (values["n"].double_value, values["b"].bytes_value) == (float("-inf"), b"\x01\x02")
    assert [each.WhichOneof("value") for each in values["a"].array_value.values] == ["bool_value", None]
    assert values["m"].kvlist_value.values[0].value.int_value == 7
    assert values["empty"].WhichOneof("value") is None


def test_a_log_record() -> None:
    record = {
        "timeUnixNano": "5",
        "observedTimeUnixNano": 6,
        "severityNumber": 13,
        "severityText": "WARN",
        "eventName": "otel_cost.budget.warned",
        "body": {"stringValue": "budget of run 'r' ..."},
        "attributes": attribute(stringValue="v"),
        "traceId": "00000000000000000000000000000001",
        "spanId": "0000000000000002",
    }
    body = json.dumps({"resourceLogs": [{"resource": {}, "scopeLogs": [{"logRecords": [record]}]}]}).encode()
    request = ExportLogsServiceRequest.FromString(otlp_json.logs(body))
    (found,) = request.resource_logs[0].scope_logs[0].log_records
    assert (found.time_unix_nano, found.observed_time_unix_nano, found.severity_number) == (5, 6, 13)
    assert (found.severity_text, found.event_name, found.body.string_value) == (
        "WARN",
        "otel_cost.budget.warned",
        "budget of run 'r' ...",
    )
    assert (found.trace_id[-1], found.span_id[-1], found.attributes[0].value.string_value) == (1, 2, "v")


@pytest.mark.parametrize(
    "body", [b"{}", b'{"resourceSpans":null}', b'{"resourceSpans":[]}', b'{"resource_spans":[{}]}']
)
def test_nothing_is_an_empty_request(body: bytes) -> None:
    assert otlp_json.traces(body) == b""


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (rb"cut \ud83d", "cut \ufffd"),
        (rb"\ude00 the other half \uD83D\uDE00", "\ufffd the other half \U0001f600"),
        (rb"\ud83d\ud83d\ude00 \\ud83d \n", "\ufffd\U0001f600 \\ud83d \n"),
        (b"no UTF-8: \xff\xc3", "no UTF-8: \ufffd\ufffd"),
    ],
)
def test_a_text_that_was_cut_anywhere_costs_no_call(text: bytes, read: str) -> None:
    assert span_of(with_span(name="@").replace(b"@", text)).name == read


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "Input data was truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"resourceSpans":{}}', "Expected `array | null`, got `object` - at `$.resourceSpans`"),
        (b'{"resourceSpans":[null]}', "Expected `object`, got `null`"),
        (with_span(kind="SPAN_KIND_CLIENT"), "Expected `int | null`, got `str`"),
        (with_span(kind=2**31), "cannot be one"),
        (with_span(traceId="secret"), "cannot be one"),
        (with_span(startTimeUnixNano="soon"), "cannot be one"),
        (with_span(startTimeUnixNano=str(2**64)), "cannot be one"),
        (with_span(startTimeUnixNano="9" * 5000), "cannot be one"),
        (with_span(startTimeUnixNano=1.5), "got `float`"),
        (with_span(attributes=attribute(doubleValue="much")), "cannot be one"),
        (with_span(attributes=attribute(bytesValue="A")), "cannot be one"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (
            with_span(attributes=attribute(stringValue="@")).replace(
                b'{"stringValue": "@"}', b'{"arrayValue":{"values":[' * 1000 + b"{}" + b"]}}" * 1000
            ),
            "nested too deeply",
        ),
    ],
)
def test_what_is_no_request_is_refused_with_a_reason_that_repeats_nothing_of_it(body: bytes, reason: str) -> None:
    with pytest.raises(MalformedError, match=r"not an OTLP ExportTraceServiceRequest in JSON: ") as caught:
        otlp_json.traces(body)
    assert reason in str(caught.value)
    assert "secret" not in str(caught.value)


def test_what_would_take_much_more_memory_than_its_bytes_is_too_large() -> None:
    with pytest.raises(TooLargeError, match="more than 1000000 objects"):
        otlp_json.traces(b'{"resourceSpans":[' + b"{}," * 1_000_000 + b"{}]}")


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\u0dD8ecfFnul', max_size=200).map(str.encode))
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    with suppress(MalformedError):
        otlp_json.traces(body)
