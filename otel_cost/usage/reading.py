"""Read a response's usage while it passes by: whole JSON bodies and server-sent events, without holding them up."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from otel_cost.usage.decoding import decoder_of
from otel_cost.usage.formats import FORMATS
from otel_cost.usage.model import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from decimal import Decimal

    from otel_cost.usage.decoding import Decoder
    from otel_cost.usage.formats import Path, WireFormat

_LARGEST_BODY = 64 * 1024 * 1024  # a whole response beyond it is passed on unread, not kept in memory


@dataclass(frozen=True, slots=True)
class Reading:
    """What a response has said so far.

    Attributes:
        usage: None while none was stated.
        model: the model that answered.
        response_id: the provider's id of the response.
        service_tier: the tier that it was served and is charged at.
        terms: what else the response says its prices depend on, by name: ``inference_geo``, ``speed``.
        shares: where several models were billed inside the response, what of `usage` is whose; else empty.
        stated_cost: what the provider itself says that the response costs, in US dollars.
        complete: whether the response reached its own end, so that `usage` is final.
        output_events: for a stream, how many events carried a piece of the answer; a floor for output tokens.
        unmetered: what the response says was used beyond the meters, and is charged apart or at another price.
        unreadable: what should be a count of a meter and is none; `usage` is None then.
    """

    usage: Usage | None = None
    model: str | None = None
    response_id: str | None = None
    service_tier: str | None = None
    terms: Mapping[str, str] = field(default_factory=dict)
    shares: tuple[tuple[str, Usage], ...] = ()
    stated_cost: Decimal | None = None
    complete: bool = False
    output_events: int = 0
    unmetered: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()


class JsonReader:
    """Reads one JSON document that arrives in pieces."""

    def __init__(self, wire_format: WireFormat, decoder: Decoder) -> None:
        self._format, self._decoder = wire_format, decoder
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the body, as it came off the wire."""
        self._size += len(piece)
        if self._size <= _LARGEST_BODY:
            self._pieces.append(self._decoder.decode(piece))
        else:
            self._pieces.clear()

    def is_complete(self) -> bool:
        """Whether the document is whole."""
        return self.reading().complete

    def reading(self) -> Reading:
        """What the document says; an empty reading where it is not whole or is no JSON."""
        try:
            document = json.loads(b"".join(self._pieces))
        except ValueError:
            return Reading()
        return (
            _Statement(self._format).take(document).reading(complete=True) if isinstance(document, dict) else Reading()
        )


class EventReader:
    """Reads server-sent events that arrive in pieces, cut anywhere."""

    def __init__(self, wire_format: WireFormat, decoder: Decoder) -> None:
        self._format, self._decoder = wire_format, decoder
        self._rest: list[bytes] = []
        self._statement = _Statement(wire_format)
        self._complete = False
        self._output_events = 0

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the body, as it came off the wire."""
        plain = self._decoder.decode(piece)
        self._rest.append(plain)
        if b"\n" not in plain and b"\r" not in plain:
            return
        lines = b"".join(self._rest).splitlines(keepends=True)
        # A line without its end may go on in the next piece, and a CR at the very end may be half of a CRLF.
        self._rest = [lines.pop()] if not lines[-1].endswith(b"\n") else []
        for line in lines:
            self._line(line)

    def is_complete(self) -> bool:
        """Whether the events so far have stated the end of the stream."""
        return self._complete

    def reading(self) -> Reading:
        """What the events say; nothing may be fed after it."""
        self._line(b"".join(self._rest))
        self._rest = []
        return self._statement.reading(complete=self._complete, output_events=self._output_events)

    def _line(self, line: bytes) -> None:
        if not line.startswith(b"data:"):
            return
        data = line[5:].strip()
        if data == b"[DONE]":
            self._complete = True
            return
        try:
            event = json.loads(data)
        except ValueError:
            return
        if isinstance(event, dict):
            self._event(event)

    def _event(self, event: dict[str, Any]) -> None:
        last = event.get("type") in self._format.stream_ends or (event.get("choices") == [] and event.get("usage"))
        self._complete = self._complete or bool(last)
        # Every format streams its answer in events that have a delta or choices with one.
        self._output_events += bool(event.get("delta") or event.get("choices"))
        for root in self._format.stream_roots:
            if isinstance(document := _dig(event, root), dict):
                self._statement.take(document)


class _Statement:
    """What documents of one response state, each correcting those before it."""

    def __init__(self, wire_format: WireFormat) -> None:
        self._format = wire_format
        self._usage: dict[str, Any] = {}
        self._model: str | None = None
        self._id: str | None = None
        self._tier: str | None = None
        self._tools: tuple[str, ...] = ()

    def take(self, document: dict[str, Any]) -> _Statement:
        usage = document.get("usage")
        if isinstance(usage, dict):
            self._usage.update({key: value for key, value in usage.items() if value is not None})
        self._model = _text(document.get("model")) or self._model
        self._id = _text(document.get("id")) or self._id
        self._tier = _text(document.get("service_tier")) or _text(self._usage.get("service_tier")) or self._tier
        if "output" in document:
            self._tools = _tools(document["output"])
        return self

    def reading(self, *, complete: bool, output_events: int = 0) -> Reading:
        found = Reading(
            model=self._model,
            response_id=self._id,
            service_tier=self._tier,
            complete=complete,
            output_events=output_events,
            unmetered=self._tools,
        )
        counts = {path: _dig(self._usage, path) for path in _paths(self._format.name)}
        if unreadable := tuple(f"{'.'.join(path)}={n!r}"[:100] for path, n in counts.items() if not _is_count(n)):
            return replace(found, unreadable=unreadable)
        if all(count is None for count in counts.values()):
            return found
        unmetered = (*_unmetered(self._format, self._usage), *self._tools)
        return replace(found, usage=_usage(self._format.meters, counts), unmetered=unmetered)


def _usage(meters: Mapping[str, tuple[Path, ...]], counts: dict[Path, Any]) -> Usage:
    return Usage(**{name: int(sum(counts[path] or 0 for path in paths)) for name, paths in meters.items()})


@lru_cache(maxsize=64)
def _paths(wire_format: str) -> tuple[Path, ...]:
    """Every path that is a meter of the format, once."""
    return tuple(dict.fromkeys(path for paths in FORMATS[wire_format].meters.values() for path in paths))


_MOST_TOKENS = 10**12


def _is_count(value: object) -> bool:
    """Whether `value` can be a count of a meter: a whole number, however JSON writes it, or nothing at all."""
    if value is None:
        return True
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= _MOST_TOKENS and value == int(value)  # type: ignore[operator, call-overload] # a number


_CALLED_BY_THE_APP = frozenset(
    {
        "function_call",
        "custom_tool_call",
        "computer_call",
        "local_shell_call",
        "mcp_call",
        "apply_patch_call",
        "shell_call",
    }
)


def _tools(output: object) -> tuple[str, ...]:
    """Tools that the provider ran for a response, which it charges one by one: items of its output."""
    kinds = {str(item.get("type")) for item in output if isinstance(item, dict)} if isinstance(output, list) else set()
    return tuple(sorted(kind for kind in kinds if kind.endswith("_call") and kind not in _CALLED_BY_THE_APP))


def _unmetered(wire_format: WireFormat, stated: dict[str, Any]) -> Iterator[str]:
    known = _known(wire_format.name)
    for path, value in _leaves(stated):
        if path not in known and (not isinstance(value, str) or f"{path}={value}" not in known):
            yield path if not isinstance(value, str) else f"{path} {value}"


@lru_cache(maxsize=64)
def _known(wire_format: str) -> frozenset[str]:
    found = FORMATS[wire_format]
    return found.harmless | {".".join(path) for paths in found.meters.values() for path in paths}


def _leaves(stated: dict[str, Any], above: str = "") -> Iterator[tuple[str, object]]:
    """The figures, texts and lists that a usage states, by their path, where they are not zero or empty."""
    for key, value in stated.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        elif value:
            yield f"{above}{key}", value


def _dig(document: Any, path: Path) -> Any:
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def reader_of(wire_format: WireFormat, headers: Mapping[str, str]) -> JsonReader | EventReader:
    """The reader for a response in `wire_format` that has these `headers` (names in lower case)."""
    kind = EventReader if headers.get("content-type", "").startswith("text/event-stream") else JsonReader
    return kind(wire_format, decoder_of(headers.get("content-encoding", "")))
