"""Answers as JSON, CSV or Arrow, whichever the request accepts."""

from __future__ import annotations

import io
import json
import logging
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from fastapi import HTTPException
from fastapi.responses import JSONResponse, Response, StreamingResponse

from otel_cost_exporter.answers import tables
from otel_cost_exporter.answers.tables import ARROW
from otel_cost_exporter.answers.words import in_words
from otel_cost_exporter.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fastapi import Request
    from starlette.types import Send

    from otel_cost_exporter.answers.question import Question
    from otel_cost_exporter.answers.reader import Reader
    from otel_cost_exporter.answers.routes import Route

_logger = logging.getLogger(__name__)

JSON: Final = "application/json"
CSV: Final = "text/csv"
LINES: Final = "application/x-ndjson"


def accepted(request: Request, offered: tuple[str, ...]) -> str:
    """Which of `offered` media types the request wants most; the first where it takes any.

    Raises:
        HTTPException: it wants none of them.
    """
    wants = _wants(", ".join(request.headers.getlist("accept")) or "*/*")
    best = max(offered, key=lambda each: _share(wants, each))
    if _share(wants, best) <= 0:
        raise HTTPException(406, f"Accept: {request.headers['accept']} is none of {', '.join(offered)}")
    return best


def _wants(accept: str) -> dict[str, float]:
    """How much each media range is wanted."""
    found = {}
    for each in accept.split(","):
        name, *parameters = (part.strip().lower() for part in each.split(";"))
        share = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        try:
            found[name] = float(share)
        except ValueError:
            found[name] = 0.0
    return found


def _share(wants: Mapping[str, float], name: str) -> float:
    ranges = (name, f"{name.partition('/')[0]}/*", "*/*")
    return next((wants[each] for each in ranges if each in wants), 0.0)


def answered(kind: str, route: Route, asked: Question, answer: dict[str, Any]) -> Response:
    """The response that `answer` is, as the media type `kind`."""
    if kind == JSON:
        return JSONResponse({name: in_words(value, asked.tz) for name, value in answer.items()})
    if kind == CSV:
        rows = tables.rows_of(route, answer)
        return Response("".join(tables.texts(rows, asked.tz)), media_type=CSV)
    table, sink = tables.arrow(route, answer, asked.tz), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return Response(sink.getvalue(), media_type=ARROW)


def exported(kind: str, reader: Reader, parameters: list[tuple[str, str]]) -> StreamingResponse:
    """The response that sends all calls bit by bit."""
    if kind == ARROW:
        return _Stream(_begun(_arrow(reader, parameters)), media_type=ARROW)
    rows = reader.export_rows(parameters)
    lines = tables.texts(rows, UTC) if kind == CSV else (json.dumps(row) + "\n" for row in rows)
    return _Stream(_begun(_joined(lines)), media_type=kind)


class _Stream(StreamingResponse):
    """Sends bit by bit. Where the books fail meanwhile it breaks off without an end, by which its reader knows."""

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        except LedgerError as error:
            _logger.warning("An export broke off: %s", error)


def _begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """`pieces`, the first of which is made now, so that a question without an answer still gets an error's status."""
    first = next(pieces, b"")

    def go_on() -> Iterator[bytes]:
        yield first
        yield from pieces

    return go_on()


def _joined(lines: Iterable[str], size: int = 500) -> Iterator[bytes]:
    some: list[str] = []
    for line in lines:
        some.append(line)
        if len(some) == size:
            yield "".join(some).encode()
            some.clear()
    yield "".join(some).encode()


def _arrow(reader: Reader, parameters: list[tuple[str, str]]) -> Iterator[bytes]:
    sink = io.BytesIO()
    with reader.export(parameters) as batches, pa.ipc.new_stream(sink, batches.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield _taken(sink)
    yield _taken(sink)


def _taken(sink: io.BytesIO) -> bytes:
    """What has been written to `sink`, which is empty then."""
    found = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return found
