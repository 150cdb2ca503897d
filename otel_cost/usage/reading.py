"""Read a response's usage while it passes by: whole bodies and streams, without holding them up."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from otel_cost.usage.decoding import decoder_of
from otel_cost.usage.formats import places
from otel_cost.usage.framing import framer_of
from otel_cost.usage.statement import Reading, Statement, dig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_cost.usage.decoding import Decoder
    from otel_cost.usage.formats import WireFormat
    from otel_cost.usage.framing import Document

__all__ = ["Reader", "Reading", "reader_of"]


class Reader:
    """Reads one response that arrives in pieces, cut anywhere."""

    def __init__(self, wire_format: WireFormat, headers: Mapping[str, str], decoder: Decoder) -> None:
        self._format, self._decoder = wire_format, decoder
        content_type = headers.get("content-type", "")
        self._framer = framer_of(content_type)
        self._statement = Statement(wire_format, headers)
        self._worth_reading, self._piece = _marks(wire_format)
        self._is_stream = content_type.startswith("text/event-stream")
        self._events = self._parsed = self._output_events = 0
        self._complete = False

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the body, as it came off the wire."""
        for document in self._framer.feed(self._decoder.decode(piece)):
            self._event(document)

    def is_complete(self) -> bool:
        """Whether the response has stated its own end."""
        return self._complete or self._framer.complete

    @property
    def response_id(self) -> str | None:
        """The id that the response has stated so far."""
        return self._statement.response_id

    def reading(self) -> Reading:
        """What the response says; nothing may be fed after it."""
        rest = self._framer.end()
        if self._is_stream or self._events or len(rest) != 1:
            for document in rest:
                self._event(document)
            return self._statement.reading(complete=self.is_complete(), output_events=self._output_events)
        whole = rest[0].value
        if whole is None:
            return Reading()
        self._statement.take(whole)
        return self._statement.reading(complete=True)

    def _event(self, document: Document) -> None:
        """An event of a stream. Most only carry a piece of the answer, and are not even parsed."""
        self._events += 1
        self._output_events += self._piece.search(document.text) is not None
        ends = document.name in self._format.stream_ends
        known = self._statement.response_id is not None or self._parsed >= _FIRST_EVENTS
        if not ends and known and self._worth_reading.search(document.text) is None:
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
        return bool(last or any(event.get(name) for name in self._format.ends_with))


_FIRST_EVENTS = 3  # what a response says of itself, it says in one of these


@lru_cache(maxsize=128)
def _marks(wire_format: WireFormat) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """What of an event's text tells that it states something, and that it carries a piece of the answer."""
    figures = {path.rpartition(".")[2].removesuffix("[]") for path in wire_format.usage_at if path}
    if "" in wire_format.usage_at:
        figures |= {
            place.partition(".")[0].partition("[")[0]
            for meter in wire_format.meters.values()
            for part in places(meter)
            for place in part
        }
    figures |= {*wire_format.ends_with, "groundingMetadata", "gateway", "status", "error"}
    stated = "|".join(map(re.escape, sorted(figures)))
    ends = "|".join(map(re.escape, sorted(wire_format.stream_ends)))
    worth = rf'"(?:{stated})"\s*:\s*[^\sn]|"type"\s*:\s*"error"' + (rf'|"(?:{ends})"' if ends else "")
    pieces = "|".join(map(re.escape, wire_format.pieces))
    return re.compile(worth.encode()), re.compile(rf'"(?:{pieces})"\s*:\s*(?:\{{|\[\s*\{{|"[^"])'.encode())


def reader_of(wire_format: WireFormat, headers: Mapping[str, str]) -> Reader:
    """The reader for a response in `wire_format` that has these `headers` (names in lower case)."""
    return Reader(wire_format, headers, decoder_of(headers.get("content-encoding", "")))
