"""Protobuf's wire format, as far as cutting a message into its fields needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_cost_exporter.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Iterator

VARINT: Final = 0
FIXED64: Final = 1
LENGTH: Final = 2
FIXED32: Final = 5
_LONGEST_VARINT: Final = 10
_SIZES: Final = {FIXED64: 8, FIXED32: 4}


def varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    """The number that starts at `at`, and where what follows starts.

    Raises:
        MalformedError: there is no number, or it does not end before `end`.
    """
    value = shift = 0
    for position in range(at, min(end, at + _LONGEST_VARINT)):
        byte = body[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the highest bit says that more follows
            return value, position + 1
        shift += 7
    raise MalformedError("a number does not end")


def fields(body: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Each field of the message in ``body[at:end]``: its number and wire type, where its content starts and ends.

    Raises:
        MalformedError: it is no message.
    """
    while at < end:
        tag, at = varint(body, at, end)
        number, kind = tag >> 3, tag & 7
        if kind == LENGTH:
            length, at = varint(body, at, end)
            after = at + length
        elif kind == VARINT:
            after = varint(body, at, end)[1]
        elif kind in _SIZES:
            after = at + _SIZES[kind]
        else:
            raise MalformedError(f"a field of the unknown wire type {kind}")
        if not number or after > end:
            raise MalformedError("a field has no number, or does not end within its message")
        yield number, kind, at, after
        at = after


def parts(body: bytes, at: int, end: int, number: int) -> list[tuple[int, int]]:
    """Where the messages or texts with `number` in ``body[at:end]`` start and end.

    Raises:
        MalformedError: it is no message.
    """
    return [(start, after) for found, kind, start, after in fields(body, at, end) if found == number and kind == LENGTH]


def field(number: int, content: bytes) -> bytes:
    """The field with `number` that has `content`, a message or a text."""
    return bytes([*_varint(number << 3 | LENGTH), *_varint(len(content))]) + content


def _varint(value: int) -> Iterator[int]:
    while value > 0x7F:  # noqa: PLR2004 - the highest bit says that more follows
        yield value & 0x7F | 0x80
        value >>= 7
    yield value
