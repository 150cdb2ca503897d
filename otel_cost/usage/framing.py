"""Take a response's plain bytes apart into its JSON documents, wherever the pieces were cut.

A body says itself how it is framed: its first bytes tell a JSON document, a top-level array, server-sent events and the
frames of an AWS event stream apart. Servers and gateways state the wrong content type, or none.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, Protocol
from zlib import crc32

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST: Final = 64 * 1024 * 1024
"""What is longer, a whole document as well as one event, is passed on unread, not kept in memory."""

DONE: Final = b"[DONE]"
"""The data of the event with which many streams end."""


class Document:
    """One JSON document of a response: all of it, or one of its events.

    Attributes:
        text: the JSON, not parsed: a look for a name in it is much cheaper than `value`.
        name: how the stream calls the event (``event:``, ``:event-type``, ``:exception-type``); else empty.
    """

    __slots__ = ("_parsed", "name", "text")
    _parsed: dict[str, Any] | None

    def __init__(self, text: bytes, name: str = "") -> None:
        self.text, self.name = text, name

    @property
    def value(self) -> dict[str, Any] | None:
        """The object that the document is; None where it is none, or is not whole."""
        try:
            return self._parsed
        except AttributeError:
            self._parsed = object_in(self.text)
            return self._parsed


class Framing(Protocol):
    """How a body is made of documents.

    Attributes:
        complete: whether the body has said that it is at its end: a ``[DONE]`` line, or the end of its only document.
    """

    @property
    def complete(self) -> bool:
        """See above."""

    def feed(self, plain: bytes) -> Sequence[Document]:
        """Take the next piece; the documents that it completes."""

    def end(self) -> Sequence[Document]:
        """What is left over; nothing is fed after it."""


def framer_of(content_type: str) -> Framer:
    """The framer for a body that came with this ``content-type`` header."""
    return Framer(_Frames() if content_type.startswith("application/vnd.amazon.eventstream") else None)


class Framer:
    """The framing of a body, which its first bytes tell."""

    def __init__(self, framing: Framing | None) -> None:
        self._framing = framing
        self._head = b""

    @property
    def complete(self) -> bool:
        """Whether the body has said that it is at its end."""
        return self._framing is not None and self._framing.complete

    @property
    def is_one_document(self) -> bool:
        """Whether the body so far is one document, and no stream of them."""
        return isinstance(self._framing, _Json) and not self._framing.has_several

    @property
    def is_of_events(self) -> bool:
        """Whether the body is server-sent events."""
        return isinstance(self._framing, _Events)

    def whole_events(self, plain: bytes, until: int) -> tuple[int, int]:
        """Where in the next piece the server-sent events begin and end that are whole before `until`.

        They need not be fed.
        """
        return self._framing.whole(plain, until) if isinstance(self._framing, _Events) else (0, 0)

    def feed(self, plain: bytes) -> Sequence[Document]:
        """Take the next piece; the documents that it completes."""
        if self._framing is None:
            self._head = plain = (self._head + plain).lstrip()
            if _BOM.startswith(plain):  # nothing yet, or a part of it
                return ()
            plain = plain.removeprefix(_BOM).lstrip()
            if not plain:
                return ()
            self._framing, self._head = _framing_of(plain[0]), b""
        return self._framing.feed(plain)

    def end(self) -> Sequence[Document]:
        """What is left over; nothing is fed after it."""
        return self._framing.end() if self._framing is not None else ()


_BOM: Final = b"\xef\xbb\xbf"


def _framing_of(first: int) -> Framing:
    """The framing of a body by its first byte that is no white space."""
    if first == ord("{"):
        return _Json()
    if first == ord("["):
        return _Array()
    if first <= 1:  # the upper byte of a frame's length
        return _Frames()
    return _Events()


class _Events:
    """Server-sent events."""

    def __init__(self) -> None:
        self.complete = False
        self._lines = _Lines()
        self._name = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, plain: bytes) -> Sequence[Document]:
        found: list[Document] = []
        for line in self._lines.feed(plain):
            if line.startswith(b"data:"):
                self._take(line[5:].strip(), found)
            elif not line:
                self._dispatch(found)
                self._name = b""
            elif line.startswith(b"event:"):
                self._name = line[6:].strip()
        return found

    def whole(self, plain: bytes, until: int) -> tuple[int, int]:
        """Where the first event that is whole in `plain` begins, and where the last one before `until` ends."""
        blank = b"\n\n" if b"\n\n" in plain else b"\r\n\r\n"
        is_between = not self._data and not self._name and not self._lines.may_go_on
        start = 0 if is_between else plain.find(blank) + len(blank)
        end = plain.rfind(blank, 0, until) + len(blank)
        return (start, end) if len(blank) <= end and start < end else (0, 0)

    def end(self) -> Sequence[Document]:
        return self.feed(b"\n\n")

    def _take(self, data: bytes, found: list[Document]) -> None:
        """A line of an event's data. No JSON has an object's end before a line and another's begin after it.

        So a server that forgets the empty line between two events is understood all the same.
        """
        done = data == DONE
        if self._data and (done or (data.startswith(b"{") and self._data[-1].endswith(b"}"))):
            self._dispatch(found)
        if done:
            self.complete = True
            return
        self._size += len(data)
        if self._size <= LARGEST:
            self._data.append(data)
        else:
            self._data.clear()

    def _dispatch(self, found: list[Document]) -> None:
        if self._data:
            text = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            found.append(Document(text, self._name.decode(errors="replace")))
            self._data.clear()
        self._size = 0


class _Lines:
    """The lines of a text, by any of their endings: LF, CR LF, CR."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._after_cr = False

    @property
    def may_go_on(self) -> bool:
        """Whether the last line, or its end, is not whole."""
        return bool(self._rest) or self._after_cr

    def feed(self, plain: bytes) -> list[bytes]:
        """The lines that `plain` ends. A CR ends one at once; where it was half of a CR LF, the LF is passed over."""
        if self._after_cr and plain.startswith(b"\n"):
            self._after_cr = False
            plain = plain[1:]
        if not plain:
            return []
        lines = plain.splitlines()
        self._after_cr = plain.endswith(b"\r")
        rest = b"" if self._after_cr or plain.endswith(b"\n") else lines.pop()
        if lines and self._rest:
            lines[0] = bytes(self._rest + lines[0])
            self._rest.clear()
        if rest:
            self._rest += rest
            if len(self._rest) > LARGEST:
                self._rest = bytearray(b":")  # too long to keep: the rest of it reads as a comment
        return lines


class _Json:
    """One JSON document; or one on each line, as soon as its second line tells."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._whole: Document | None = None
        self._has_lines = False
        self._lines: _JsonLines | None = None
        self._may_be_lines = True

    @property
    def complete(self) -> bool:
        """Whether the document is whole. It is read for that, so this is not for every piece."""
        return self._lines is None and self._document().value is not None

    @property
    def has_several(self) -> bool:
        """Whether it is one document on each line."""
        return self._lines is not None

    def feed(self, plain: bytes) -> Sequence[Document]:
        if self._lines is not None:
            return self._lines.feed(plain)
        self._whole = None
        self._size += len(plain)
        if self._size > LARGEST:
            self._pieces.clear()
            return ()
        self._pieces.append(plain)
        return self._look_for_lines(plain) if self._may_be_lines else ()

    def end(self) -> Sequence[Document]:
        return self._lines.end() if self._lines is not None else (self._document(),)

    def _document(self) -> Document:
        if self._whole is None:
            self._whole = Document(b"".join(self._pieces))
            self._pieces = [self._whole.text]
        return self._whole

    def _look_for_lines(self, plain: bytes) -> Sequence[Document]:
        """No JSON has an object's end before a line's end and another's begin after it."""
        self._has_lines = self._has_lines or b"\n" in plain
        if not self._has_lines:
            return ()
        head = b"".join(self._pieces)
        first, _, rest = head.partition(b"\n")
        rest = rest.lstrip()
        if not rest:
            return ()
        self._may_be_lines = False
        if not first.rstrip().endswith(b"}") or not rest.startswith(b"{"):
            return ()
        self._pieces.clear()
        self._lines = _JsonLines()
        return self._lines.feed(head)


class _JsonLines:
    """One JSON document on each line."""

    complete = False

    def __init__(self) -> None:
        self._lines = _Lines()

    def feed(self, plain: bytes) -> Sequence[Document]:
        return [Document(line) for line in self._lines.feed(plain) if line]

    def end(self) -> Sequence[Document]:
        return self.feed(b"\n")


_MARK = re.compile(rb'["{}\[\]]')
_TEXT = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)


class _Array:
    """A top-level array: each object in it, as soon as it ends."""

    def __init__(self) -> None:
        self.complete = False
        self._depth = 0
        self._in_text = False
        self._ahead = 0  # how much of the next piece has been passed over already: the second half of an escape
        self._element: bytearray | None = None

    def feed(self, plain: bytes) -> Sequence[Document]:
        if not plain:
            return ()
        found: list[Document] = []
        kept = 0  # from where on `plain` is not in the element yet
        for mark in self._marks(plain):
            if plain[mark] in b"{[":
                self._depth += 1
                if self._depth == 2 and plain[mark] == ord("{"):  # noqa: PLR2004 - right inside the array
                    self._element, kept = bytearray(), mark
                continue
            self._depth -= 1
            if self._depth == 1 and self._element is not None:
                found.append(Document(bytes(self._element + plain[kept : mark + 1])))
                self._element = None
            self.complete = self.complete or not self._depth
        if self._element is not None:
            self._element += plain[kept:]
            if len(self._element) > LARGEST:
                self._element = bytearray(b":")  # too long to keep: what it was is no JSON any more
        return found

    def end(self) -> Sequence[Document]:
        return ()

    def _marks(self, plain: bytes) -> Any:
        """Where brackets and braces stand, outside texts."""
        at, self._ahead = self._ahead, 0
        while at < len(plain):
            if self._in_text:
                at = _TEXT.match(plain, at).end() + 1  # type: ignore[union-attr] # it matches nothing at all, too
                if at > len(plain):
                    return
                self._in_text = plain[at - 1] != ord('"')
                self._ahead = int(self._in_text)  # a backslash, the last byte
                continue
            found = _MARK.search(plain, at)
            if found is None:
                return
            at = found.end()
            if found[0] == b'"':
                self._in_text = True
            else:
                yield found.start()


_PRELUDE: Final = Struct(">III")  # the frame's length, its headers' length, the checksum of both
_CHECKSUM: Final = 4


class _Frames:
    """The frames of an AWS event stream. Nothing is read after a length that its checksum does not confirm."""

    complete = False

    def __init__(self) -> None:
        self._rest = bytearray()
        self._broken = False

    def feed(self, plain: bytes) -> Sequence[Document]:
        if self._broken:
            return ()
        rest = self._rest
        rest += plain
        found: list[Document] = []
        while len(rest) >= _PRELUDE.size:
            length, headers, checksum = _PRELUDE.unpack_from(rest)
            whole = headers + _PRELUDE.size + _CHECKSUM <= length <= LARGEST
            if not whole or crc32(rest[: _PRELUDE.size - _CHECKSUM]) != checksum:
                self._broken = True
                rest.clear()
                break
            if len(rest) < length:
                break
            frame = bytes(rest[:length])
            del rest[:length]
            if crc32(frame[:-_CHECKSUM]) == int.from_bytes(frame[-_CHECKSUM:]):
                head, payload = frame[_PRELUDE.size :][:headers], frame[_PRELUDE.size + headers : -_CHECKSUM]
                found.append(Document(_unwrapped(payload), _event_name(head)))
        return found

    def end(self) -> Sequence[Document]:
        return ()


_WRAPPED = re.compile(rb'"bytes"\s*:\s*"([A-Za-z0-9+/=]+)"')


def _unwrapped(payload: bytes) -> bytes:
    """The model's own event, where Bedrock sends it inside one of its own, as base64."""
    found = _WRAPPED.search(payload)
    if found is None:
        return payload
    try:
        inner = base64.b64decode(found[1])
    except binascii.Error:
        return payload
    return inner if inner.startswith(b"{") else payload


_TEXT_HEADER: Final = 7
_LENGTHS: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}  # of a header's value, by its type


@lru_cache(maxsize=32)
def _event_name(head: bytes) -> str:
    """What a frame's headers call its event or the exception that it is."""
    headers: dict[bytes, bytes] = {}
    at = 0
    while at < len(head):
        start = at + 1 + head[at]
        name, kind = head[at + 1 : start], head[start : start + 1]
        if kind in (b"\x06", b"\x07"):
            at = start + 3 + int.from_bytes(head[start + 1 : start + 3])
            headers[name] = head[start + 3 : at]
        elif kind and kind[0] in _LENGTHS:
            at = start + 1 + _LENGTHS[kind[0]]
        else:
            break
    for kind in (b":exception-type", b":error-code", b":event-type"):
        if kind in headers:
            return headers[kind].decode(errors="replace")
    return ""


def object_in(text: bytes) -> dict[str, Any] | None:
    """The JSON object that `text` is; None where it is none."""
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        pass
    try:
        # As SDKs do it: a byte that is no UTF-8 spoils one word, not the whole document.
        value = json.loads(text.decode(errors="replace"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


_DECODER: Final = msgspec.json.Decoder(dict[str, Any])
"""Several times as fast as `json`, which takes more: NaN, halves of surrogate pairs."""
