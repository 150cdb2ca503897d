"""OTLP/JSON -> the same request in protobuf, so that there is one way to decode.

JSON names fields in camel case and knows neither bytes nor large integers: ids are hexadecimal, other bytes base64, and
integers of 64 bits are strings or numbers. Fields that are unknown, or of no use here, are passed over.
"""

from __future__ import annotations

import base64
import re
import threading
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_cost_exporter.errors import MalformedError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

_MOST_OBJECTS: Final = 1_000_000
"""Objects and arrays in a request. Each takes some hundred bytes of memory, whatever it takes on the wire."""
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", re.DOTALL
)
"""An escape in a JSON text; two together where they are one character."""
_one_at_a_time: Final = threading.Lock()
"""What JSON takes of memory, it takes once; and the interpreter lets one thread work at a time anyway."""

_Int: TypeAlias = int | str
_Float: TypeAlias = float | str


class _Shape(msgspec.Struct, rename="camel", gc=False, omit_defaults=True):
    """A JSON object of OTLP; null is as if the field was not there."""


class _Value(_Shape):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: _Int | None = None
    double_value: _Float | None = None
    bytes_value: str | None = None
    array_value: _Array | None = None
    kvlist_value: _KeyValues | None = None


class _Array(_Shape):
    values: list[_Value] | None = None


class _KeyValues(_Shape):
    values: list[_KeyValue] | None = None


class _KeyValue(_Shape):
    key: str | None = None
    value: _Value | None = None


class _Resource(_Shape):
    attributes: list[_KeyValue] | None = None


class _Scope(_Shape):
    name: str | None = None
    version: str | None = None
    attributes: list[_KeyValue] | None = None


class _Event(_Shape):
    time_unix_nano: _Int | None = None
    name: str | None = None
    attributes: list[_KeyValue] | None = None


class _Status(_Shape):
    message: str | None = None
    code: int | None = None


class _Span(_Shape):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    kind: int | None = None
    start_time_unix_nano: _Int | None = None
    end_time_unix_nano: _Int | None = None
    attributes: list[_KeyValue] | None = None
    events: list[_Event] | None = None
    status: _Status | None = None


class _ScopeSpans(_Shape):
    scope: _Scope | None = None
    spans: list[_Span] | None = None


class _ResourceSpans(_Shape):
    resource: _Resource | None = None
    scope_spans: list[_ScopeSpans] | None = None


class _Traces(_Shape):
    resource_spans: list[_ResourceSpans] | None = None


class _LogRecord(_Shape):
    time_unix_nano: _Int | None = None
    observed_time_unix_nano: _Int | None = None
    severity_number: int | None = None
    severity_text: str | None = None
    body: _Value | None = None
    attributes: list[_KeyValue] | None = None
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None


class _ScopeLogs(_Shape):
    scope: _Scope | None = None
    log_records: list[_LogRecord] | None = None


class _ResourceLogs(_Shape):
    resource: _Resource | None = None
    scope_logs: list[_ScopeLogs] | None = None


class _Logs(_Shape):
    resource_logs: list[_ResourceLogs] | None = None


def traces(body: bytes) -> bytes:
    """The ``ExportTraceServiceRequest`` that the JSON in `body` is, in protobuf.

    Raises:
        MalformedError: it is none.
        TooLargeError: it is one of too many parts.
    """
    return _request(body, _Traces, ExportTraceServiceRequest)


def logs(body: bytes) -> bytes:
    """The ``ExportLogsServiceRequest`` that the JSON in `body` is, in protobuf.

    Raises:
        MalformedError: it is none.
        TooLargeError: it is one of too many parts.
    """
    return _request(body, _Logs, ExportLogsServiceRequest)


def _request(body: bytes, shape: type[_Shape], kind: type[Message]) -> bytes:
    if body.count(b"{") + body.count(b"[") > _MOST_OBJECTS:
        raise TooLargeError(f"more than {_MOST_OBJECTS} objects in one request: send smaller batches")
    with _one_at_a_time:
        try:
            request = kind()
            _fill(request, _decode(body, shape))
            return request.SerializeToString()
        except msgspec.DecodeError as error:
            raise MalformedError(f"not an OTLP {kind.DESCRIPTOR.name} in JSON: {error}") from None
        except ValueError:  # its text may say what is in the request
            reason = "an id, a number or a text in it cannot be one"
        except RecursionError:
            reason = "it is nested too deeply"
    raise MalformedError(f"not an OTLP {kind.DESCRIPTOR.name} in JSON: {reason}")


def _decode(body: bytes, shape: type[_Shape]) -> _Shape:
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.decode(_mended(body), type=shape)


def _mended(body: bytes) -> bytes:
    """`body` with a replacement for each half of a character, as in texts that a sender has cut anywhere."""
    whole = body.decode(errors="replace").encode()
    return _ESCAPE.sub(lambda found: rb"\ufffd" if _is_half(found[0]) else found[0], whole)


def _is_half(escape: bytes) -> bool:
    """Whether an escape is one half of the two that a character outside of the basic plane is written as."""
    return len(escape) == len(rb"\ud800") and escape[2:4].lower() >= b"d8" and escape[2:3] in b"dD"


def _fill(message: Message, found: _Shape) -> None:
    for name in found.__struct_fields__:
        value = getattr(found, name)
        if value is None:
            continue
        if isinstance(value, list):
            field = getattr(message, name)
            for each in value:
                _fill(field.add(), each)
        elif isinstance(value, _Shape):
            part = getattr(message, name)
            part.SetInParent()
            _fill(part, value)
        else:
            setattr(message, name, _READ[name](value) if name in _READ else value)


_READ: Final[dict[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(("trace_id", "span_id", "parent_span_id"), bytes.fromhex),
    **dict.fromkeys(("int_value", "time_unix_nano", "observed_time_unix_nano"), int),
    **dict.fromkeys(("start_time_unix_nano", "end_time_unix_nano"), int),
    "double_value": float,
    "bytes_value": base64.b64decode,
}
"""How the text or number of a field is read that JSON has no type for."""
