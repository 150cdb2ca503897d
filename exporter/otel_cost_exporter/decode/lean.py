"""OTLP's ``Span``, less all that the books have no use for.

The names and numbers of the fields are OTLP's, so a span is read the same way as the whole message is. What stays out,
such as events and links, is passed over as an unknown field, whatever is in it. Values that hold further values are
taken as the bytes that they are, which bounds how deep a message can be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE: Final = "otel_cost.lean"


def _message(name: str, fields: dict[str, tuple[int, int | str]], *, oneof: bool = False) -> Any:
    """The message `name`: for each field its number, and its type or the name of its message, ``*`` if repeated."""
    message = descriptor_pb2.DescriptorProto(name=name)
    if oneof:
        message.oneof_decl.add(name="value")
    for field, (number, kind) in fields.items():
        added = message.field.add(name=field, number=number, label=_Field.LABEL_OPTIONAL)
        if isinstance(kind, int):
            added.type = _Field.Type.ValueType(kind)
        else:
            added.type, added.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind.removesuffix('*')}"
            added.label = _Field.LABEL_REPEATED if kind.endswith("*") else _Field.LABEL_OPTIONAL
        if oneof:
            added.oneof_index = 0
    return message


def _span() -> Descriptor:
    file = descriptor_pb2.FileDescriptorProto(name="otel_cost/lean.proto", package=_PACKAGE, syntax="proto3")
    file.message_type.extend(
        [
            _message("Text", {"string_value": (1, _Field.TYPE_STRING)}),
            _message("ArrayValue", {"values": (1, "Text*")}),
            _message(
                "AnyValue",
                {
                    "string_value": (1, _Field.TYPE_STRING),
                    "bool_value": (2, _Field.TYPE_BOOL),
                    "int_value": (3, _Field.TYPE_INT64),
                    "double_value": (4, _Field.TYPE_DOUBLE),
                    "array_value": (5, "ArrayValue"),
                    "kvlist_value": (6, _Field.TYPE_BYTES),
                    "bytes_value": (7, _Field.TYPE_BYTES),
                },
                oneof=True,
            ),
            _message("KeyValue", {"key": (1, _Field.TYPE_STRING), "value": (2, "AnyValue")}),
            _message("Status", {"code": (3, _Field.TYPE_INT32)}),
            _message(
                "Span",
                {
                    "trace_id": (1, _Field.TYPE_BYTES),
                    "span_id": (2, _Field.TYPE_BYTES),
                    "parent_span_id": (4, _Field.TYPE_BYTES),
                    "name": (5, _Field.TYPE_BYTES),
                    "start_time_unix_nano": (7, _Field.TYPE_FIXED64),
                    "end_time_unix_nano": (8, _Field.TYPE_FIXED64),
                    "attributes": (9, "KeyValue*"),
                    "status": (15, "Status"),
                },
            ),
        ]
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindMessageTypeByName(f"{_PACKAGE}.Span")


SPAN: Final = _span()
"""What a span is, for whoever decodes many at once."""
LeanSpan: Final[Any] = message_factory.GetMessageClass(SPAN)
"""One span as an object. It has the attributes of OTLP's ``Span`` that are named above."""
