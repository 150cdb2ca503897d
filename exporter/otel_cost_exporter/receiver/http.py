"""OTLP/HTTP in: ``POST`` with protobuf or JSON."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Request, Response  # noqa: TC002 - FastAPI reads the annotations
from google.protobuf.json_format import MessageToJson
from starlette.requests import ClientDisconnect

from otel_cost_exporter.errors import LedgerBusyError, UnsupportedError
from otel_cost_exporter.receiver.encodings import LARGEST_REQUEST, check_size, unpack
from otel_cost_exporter.receiver.intake import LONGEST_READ, LONGEST_WAIT, PATIENCE
from otel_cost_exporter.receiver.refusal import refusal_of
from otel_cost_exporter.receiver.signals import SIGNALS

if TYPE_CHECKING:
    from concurrent.futures import Future

    from google.protobuf.message import Message

    from otel_cost_exporter.decode.parcel import Parcel, Receipt
    from otel_cost_exporter.receiver.intake import Intake
    from otel_cost_exporter.receiver.signals import Signal

_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
_THREADS: Final = 8


def routes(intake: Intake) -> APIRouter:
    """The routes that take OTLP for `intake`."""
    router = APIRouter(tags=["OTLP"])
    # Threads of its own: a flood must not take those that answer questions.
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="otel-cost-otlp")
    for signal in SIGNALS:
        for path in signal.paths:
            _add(router, path, _Receiver(intake, signal, threads))
    return router


def _add(router: APIRouter, path: str, receiver: _Receiver) -> None:
    @router.post(path)
    async def export(request: Request) -> Response:
        """Take an OTLP export request; 200 means that the calls in it are committed."""
        return await receiver.export(request)


class _Receiver:
    """Takes requests of one kind."""

    def __init__(self, intake: Intake, signal: Signal, threads: ThreadPoolExecutor) -> None:
        self._intake, self._signal, self._threads = intake, signal, threads

    async def export(self, request: Request) -> Response:
        """The answer to `request`, in the form in which that came."""
        kind = content_type(request.headers.get("content-type", ""))
        try:
            _check_kind(kind)
            committed = await self._take(request, is_json=kind == _JSON)
            receipt = await asyncio.wait_for(asyncio.wrap_future(committed), LONGEST_WAIT)
            return _response(self._intake.answer(self._signal, receipt), kind)
        except ClientDisconnect:
            return Response(status_code=400)  # which nobody reads
        except Exception as error:  # noqa: BLE001 - whatever it is, its sender has the calls still
            return refused(error, kind)

    async def _take(self, request: Request, *, is_json: bool) -> Future[Receipt]:
        """Read the request and queue it."""
        with self._intake.room.ask(_expected(request)) as place:
            try:
                await asyncio.wait_for(asyncio.wrap_future(place.granted), PATIENCE)
            except TimeoutError:
                raise LedgerBusyError("more comes than can be written: send this again in a moment") from None
            encoding, run = request.headers.get("content-encoding", ""), asyncio.get_running_loop().run_in_executor
            # Nobody holds the request any more while the parcel waits.
            parcel = await run(self._threads, self._walk, await _read(request), encoding, is_json)
            place.shrink(parcel.size)
            return await run(self._threads, self._intake.take, parcel)

    def _walk(self, body: bytes, encoding: str, is_json: bool) -> Parcel:  # noqa: FBT001 - an executor passes it
        unpacked = unpack(body, encoding)
        return self._signal.walk(self._signal.from_json(unpacked) if is_json else unpacked)


def content_type(header: str) -> str:
    """The media type of a ``Content-Type`` header, without its parameters."""
    return header.partition(";")[0].strip().lower()


def refused(error: Exception, kind: str) -> Response:
    """The answer to a request of the content type `kind` that ended in `error`."""
    refusal = refusal_of(error)
    headers = {} if refusal.retry_seconds is None else {"Retry-After": str(refusal.retry_seconds)}
    return _response(refusal.status(), kind, refusal.http, headers)


def _response(message: Message, kind: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    if kind == _JSON:
        return Response(MessageToJson(message, indent=None), status, headers, _JSON)
    return Response(message.SerializeToString(), status, headers, _PROTOBUF)


def _check_kind(kind: str) -> None:
    if kind not in {_PROTOBUF, _JSON}:
        raise UnsupportedError(f"content type {kind[:50]!r} is not taken here: send {_PROTOBUF} or {_JSON}")


def _expected(request: Request) -> int:
    """How much memory it will take: what it says of its size, where it says so and is not packed."""
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or request.headers.get("content-encoding"):
        return LARGEST_REQUEST
    return int(length)


async def _read(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(LONGEST_READ):
            async for chunk in request.stream():
                body += chunk
                check_size(len(body))
    except TimeoutError:
        raise LedgerBusyError(f"the request did not come whole within {LONGEST_READ:g} s: send it again") from None
    return bytes(body)
