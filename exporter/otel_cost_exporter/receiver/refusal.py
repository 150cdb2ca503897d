"""What a sender is told whose request is not taken: the same over gRPC and over HTTP, by the OTLP specification.

A sender drops what is refused for good, and sends again what is refused for now. So only what the sender itself could
do better is refused for good; whatever goes wrong here is for now.
"""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

from otel_cost_exporter.errors import (
    ForbiddenError,
    LedgerBusyError,
    LedgerDownError,
    MalformedError,
    TooLargeError,
    UnknownSenderError,
    UnsupportedError,
)

_logger = logging.getLogger(__name__)

_BUSY_SECONDS: Final = 1
_DOWN_SECONDS: Final = 5
_FOR_GOOD: Final[dict[type[Exception], tuple[int, int]]] = {
    MalformedError: (400, code_pb2.INVALID_ARGUMENT),
    TooLargeError: (413, code_pb2.RESOURCE_EXHAUSTED),  # without RetryInfo, so nobody sends it again
    UnsupportedError: (415, code_pb2.UNIMPLEMENTED),
    UnknownSenderError: (401, code_pb2.UNAUTHENTICATED),
    ForbiddenError: (403, code_pb2.PERMISSION_DENIED),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not taken.

    Attributes:
        http: the HTTP status.
        code: the gRPC status, as ``google.rpc.Code`` numbers it.
        message: why, for a person.
        retry_seconds: when to send it again; None where that would not help.
    """

    http: int
    code: int
    message: str
    retry_seconds: int | None = None

    def status(self) -> Status:
        """The same as a message, with the details that the specification asks for."""
        status = Status(code=self.code, message=self.message)
        if self.retry_seconds is not None:
            status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=self.retry_seconds)))
        elif self.code == code_pb2.INVALID_ARGUMENT:
            violation = BadRequest.FieldViolation(description=self.message)
            status.details.add().Pack(BadRequest(field_violations=[violation]))
        return status


def refusal_of(error: Exception) -> Refusal:
    """What to tell a sender whose request ended in `error`."""
    for kind, (http, code) in _FOR_GOOD.items():
        if isinstance(error, kind):
            return Refusal(http, code, str(error))
    if isinstance(error, LedgerBusyError):
        return _for_now(str(error), _BUSY_SECONDS)
    if isinstance(error, LedgerDownError):
        return _for_now(str(error), _DOWN_SECONDS)
    if isinstance(error, TimeoutError):
        return _for_now("the calls are not written yet: send them again", _BUSY_SECONDS)
    # The text of an unknown error may say what was in the request, which nobody should read: only where it came from.
    name, where = type(error).__name__, "".join(traceback.format_tb(error.__traceback__))
    _logger.error("A request could not be taken, and its sender is asked to try again: %s at\n%s", name, where)
    return _for_now("something went wrong here: send it again; the log of the service says where", _DOWN_SECONDS)


def _for_now(message: str, seconds: int) -> Refusal:
    return Refusal(503, code_pb2.UNAVAILABLE, message, seconds)
