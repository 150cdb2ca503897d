"""OTLP/HTTP in: ``POST /v1/traces`` with protobuf, and the same at a path that no other OTLP receiver serves."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Request, Response  # noqa: TC002 - FastAPI reads the annotations
from fastapi.concurrency import run_in_threadpool
from google.rpc.code_pb2 import INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNAVAILABLE, UNIMPLEMENTED
from google.rpc.status_pb2 import Status

from otel_cost.semconv import CALLS_PATH
from otel_cost_exporter.errors import LedgerBusyError, LedgerDownError, MalformedError
from otel_cost_exporter.receiver.intake import LARGEST_REQUEST, LONGEST_WAIT

if TYPE_CHECKING:
    from otel_cost_exporter.receiver.intake import Intake

_PROTOBUF: Final = "application/x-protobuf"
_GZIP: Final = 16 + zlib.MAX_WBITS
_RETRY_AFTER: Final = {"Retry-After": "1"}  # seconds


class _RefusedError(Exception):
    """The request is answered with a status other than 200."""

    def __init__(self, http: int, code: int, message: str) -> None:
        super().__init__(message)
        self.http, self.code = http, code


def routes(intake: Intake) -> APIRouter:
    """The routes that take OTLP for `intake`."""
    router = APIRouter()

    @router.post("/v1/traces")
    @router.post(CALLS_PATH)
    async def traces(request: Request) -> Response:
        """Take an OTLP ExportTraceServiceRequest; 200 means that its calls are committed."""
        try:
            return Response(await _take(intake, request), media_type=_PROTOBUF)
        except _RefusedError as refused:
            status = Status(code=refused.code, message=str(refused)).SerializeToString()
            headers = _RETRY_AFTER if refused.code == UNAVAILABLE else None
            return Response(status, refused.http, headers, _PROTOBUF)

    return router


async def _take(intake: Intake, request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _PROTOBUF:
        raise _RefusedError(415, UNIMPLEMENTED, f"content type {kind!r} is not taken here: send {_PROTOBUF}")
    body = _unpack(await _read(request), request.headers.get("content-encoding", "").strip().lower())
    try:
        committed, answer = await run_in_threadpool(intake.take, body)
        await asyncio.wait_for(asyncio.wrap_future(committed), LONGEST_WAIT)
    except MalformedError as error:
        raise _RefusedError(400, INVALID_ARGUMENT, str(error)) from None
    except (LedgerBusyError, LedgerDownError) as error:
        raise _RefusedError(503, UNAVAILABLE, str(error)) from None
    except TimeoutError:
        raise _RefusedError(503, UNAVAILABLE, "the calls are not written yet: send them again") from None
    return answer


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        _check_size(body)
    return bytes(body)


def _unpack(body: bytes, encoding: str) -> bytes:
    if encoding in {"", "identity"}:
        return body
    if encoding != "gzip":
        raise _RefusedError(415, UNIMPLEMENTED, f"content encoding {encoding!r} is not taken here: send gzip or none")
    inflate = zlib.decompressobj(_GZIP)
    try:
        unpacked = inflate.decompress(body, LARGEST_REQUEST + 1)  # a few bytes can unpack to very many
    except zlib.error as error:
        raise _RefusedError(400, INVALID_ARGUMENT, f"the body is no gzip: {error}") from None
    _check_size(unpacked)
    if not inflate.eof:
        raise _RefusedError(400, INVALID_ARGUMENT, "the gzip body ends before its end")
    return unpacked


def _check_size(body: bytes | bytearray) -> None:
    if len(body) > LARGEST_REQUEST:
        raise _RefusedError(413, RESOURCE_EXHAUSTED, f"more than {LARGEST_REQUEST} bytes: send smaller batches")
