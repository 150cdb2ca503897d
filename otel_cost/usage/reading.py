"""Read a response's usage while it passes by: whole bodies and streams, without holding them up."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from otel_cost.usage.decoding import decoder_of
from otel_cost.usage.documents import dig
from otel_cost.usage.formats import places
from otel_cost.usage.framing import DONE, LARGEST, framer_of, object_in
from otel_cost.usage.statement import Reading, Statement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_cost.usage.decoding import Decoder
    from otel_cost.usage.formats import WireFormat
    from otel_cost.usage.framing import Document

__all__ = ["Reader", "Reading", "read_whole", "reader_of"]


class Reader:
    """Reads one response that arrives in pieces, cut anywhere."""

    def __init__(self, wire_format: WireFormat, headers: Mapping[str, str], decoder: Decoder) -> None:
        self._format, self._decoder = wire_format, decoder
        self._framer = framer_of(headers.get("content-type", ""))
        self._statement = Statement(wire_format, headers)
        self._stated, self._piece = _marks(wire_format)
        self._pieces = tuple(f'"{name}"'.encode() for name in wire_format.pieces)
        self._held: list[bytes] = []
        self._size = self._read_size = 0  # of what is held, and of what was before
        self._at_once = 0  # until it is known who answers
        self._parsed = self._output_events = 0
        self._complete = False

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the body, as it came off the wire. Several are read at once, which costs less."""
        self._held.append(piece)
        self._size += len(piece)
        if self._size >= self._at_once:
            self._read()

    def is_complete(self) -> bool:
        """Whether the response has stated its own end."""
        self._read()
        return self._complete or self._framer.complete

    @property
    def taken(self) -> int:
        """How many bytes it has taken."""
        return self._read_size + self._size

    @property
    def response_id(self) -> str | None:
        """The id that the response has stated so far."""
        return self._statement.response_id

    def reading(self) -> Reading:
        """What the response says; nothing may be fed after it."""
        self._read()
        rest = self._framer.end()
        if not self._framer.is_one_document:
            for document in rest:
                self._event(document)
            complete = self._complete or self._framer.complete
            return self._statement.reading(complete=complete, output_events=self._output_events)
        whole = rest[0].value
        if whole is None:
            return Reading()
        self._statement.take(whole)
        return self._statement.reading(complete=True)

    def _read(self) -> None:
        """Read the pieces that are held."""
        encoded, self._held, self._size = b"".join(self._held), [], 0
        self._read_size += len(encoded)
        for plain in self._decoder.steps(encoded):
            for document in self._framer.feed(self._to_be_fed(plain)):
                self._event(document)
        if self._knows_who_answers():
            self._at_once = _AT_ONCE

    def _knows_who_answers(self) -> bool:
        return self._parsed >= _FIRST_EVENTS or (self._parsed > 0 and self._statement.response_id is not None)

    def _to_be_fed(self, plain: bytes) -> bytes:
        """`plain` without the whole events before the first that states something: they only carry pieces, counted."""
        if not (self._framer.is_of_events and self._knows_who_answers()):
            return plain
        start, end = self._framer.whole_events(plain, self._first_stated(plain))
        self._output_events += next(filter(None, (plain.count(piece, start, end) for piece in self._pieces)), 0)
        return plain[:start] + plain[end:]

    def _first_stated(self, text: bytes) -> int:
        """Where `text` states something for the first time; its length where it does not."""
        # One expression of all names takes half as long again, with 30 names thrice; and `in` twice as long as `rfind`.
        found = (stated.search(text) for name, stated in self._stated if text.rfind(name) >= 0)
        return min((match.start() for match in found if match is not None), default=len(text))

    def _event(self, document: Document) -> None:
        """An event of a stream. Most only carry a piece of the answer, and are not even parsed."""
        self._output_events += self._piece.search(document.text) is not None
        ends = document.name in self._format.stream_ends
        if not ends and self._knows_who_answers() and self._first_stated(document.text) == len(document.text):
            return
        event = document.value
        if event is None:
            return
        self._parsed += 1
        self._complete = self._complete or ends or self._is_last(event)
        self._statement.note_error(event)
        for root in self._format.stream_roots:
            if isinstance(found := dig(event, root), dict):
                self._statement.take(found)

    def _is_last(self, event: dict[str, Any]) -> bool:
        kind = event.get("type") or event.get("event_type")
        last = (isinstance(kind, str) and kind in self._format.stream_ends) or (
            event.get("choices") == [] and event.get("usage")
        )
        return bool(last or any(_has(event, place) for place in self._format.ends_with))


def _has(event: dict[str, Any], place: str) -> bool:
    """Whether `event` has something at `place`, or one of the elements of a list: ``candidates[].finishReason``."""
    at, _, inner = place.partition("[].")
    found = dig(event, tuple(at.split(".")))
    if inner and isinstance(found, list):
        return any(isinstance(element, dict) and element.get(inner) for element in found)
    return bool(found) and not inner


_AT_ONCE = 8 * 1024
_FIRST_EVENTS = 3  # what a response says of itself, it says in one of these


@lru_cache(maxsize=128)
def _marks(wire_format: WireFormat) -> tuple[Sequence[tuple[bytes, re.Pattern[bytes]]], re.Pattern[bytes]]:
    """What of an event's text tells that it states something, by name, and that it carries a piece of the answer."""
    figures = {path.rpartition(".")[2].removesuffix("[]") for path in wire_format.usage_at if path}
    if "" in wire_format.usage_at:
        figures |= {
            place.partition(".")[0].partition("[")[0]
            for meter in wire_format.meters.values()
            for part in places(meter)
            for place in part
        }
    figures |= {place.rpartition(".")[2] for place in wire_format.ends_with} | wire_format.stream_ends
    figures |= {"groundingMetadata", "executed_tools", "gateway", "status", "error"}
    # Before a colon it is the name of something, which is not null or false; else it is what the event calls itself.
    stated = [
        (name, re.compile(re.escape(name) + rb"\s*(?::\s*[^\snf]|[,}])"))
        for name in (f'"{figure}"'.encode() for figure in sorted(figures))
    ]
    stated.append((DONE, re.compile(re.escape(DONE))))
    pieces = "|".join(map(re.escape, wire_format.pieces))
    return stated, re.compile(rf'"(?:{pieces})"\s*:\s*(?:\{{|\[\s*\{{|"[^"])'.encode())


def read_whole(wire_format: WireFormat, headers: Mapping[str, str], body: bytes) -> Reading:
    """What a body says that is here from its beginning to its end, its content decoded."""
    document = object_in(body) if len(body) <= LARGEST else None
    if document is None:  # a stream of documents, or what only a reader can tell
        reader = Reader(wire_format, headers, decoder_of(""))
        reader.feed(body)
        return reader.reading()
    statement = Statement(wire_format, headers)
    statement.take(document)
    return statement.reading(complete=True)


def reader_of(wire_format: WireFormat, headers: Mapping[str, str]) -> Reader:
    """The reader for a response in `wire_format` that has these `headers` (names in lower case)."""
    return Reader(wire_format, headers, decoder_of(headers.get("content-encoding", "")))
