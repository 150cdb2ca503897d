"""What both receivers share: the bytes of an export request go to the ledger, and the answer says what became of it."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from otel_cost_exporter.decode import decode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_cost_exporter.decode import Decoded
    from otel_cost_exporter.ledger import Ledger

_logger = logging.getLogger(__name__)

LARGEST_REQUEST: Final = 32 * 1024 * 1024
"""Bytes of an export request, unpacked. A Collector's batches are well below it."""
LONGEST_WAIT: Final = 60.0
"""Seconds that a sender is kept waiting for its commit; sending the calls again afterwards does no harm."""
_MOST_LINES: Final = 100
"""Reasons that are logged: some name what came from outside, and so there may be any number of them."""


class Intake:
    """Takes export requests for `ledger`.

    Attributes:
        rejected: how many calls came that cannot stand in the books.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.rejected = 0
        self._ledger: Final = ledger
        self._said: Final[set[str]] = set()
        self._lock: Final = threading.Lock()

    def take(self, body: bytes) -> tuple[Future[None], bytes]:
        """Decode the request in `body` and queue its calls.

        Returns:
            What resolves once the calls are committed, or fails with `LedgerDownError`; and the answer for the sender
            then, an ``ExportTraceServiceResponse`` that says which calls were rejected and why.

        Raises:
            MalformedError: `body` is no export request.
            LedgerBusyError: too much waits to be written.
            LedgerDownError: the ledger is closing.
        """
        decoded = decode(body)
        response = ExportTraceServiceResponse()
        if decoded.message:
            response.partial_success.CopyFrom(
                ExportTracePartialSuccess(rejected_spans=decoded.rejected, error_message=decoded.message)
            )
        if decoded.batch is None:
            committed: Future[None] = Future()
            committed.set_result(None)
        else:
            committed = self._ledger.add(decoded.batch)
        self._note(decoded)
        return committed, response.SerializeToString()

    def _note(self, decoded: Decoded) -> None:
        """Count and log what the answer says too: OpenTelemetry's own exporters for Python do not read it."""
        if not decoded.message:
            return
        rejections = [f"A call is not in the books: {reason}. /healthz counts them" for reason in decoded.rejections]
        with self._lock:
            self.rejected += decoded.rejected
            self._say([*rejections, *(f"A limit counts for nothing: {line}" for line in decoded.warnings)])

    def _say(self, lines: Iterable[str]) -> None:
        """Log each of `lines` once, not for every call, and no more of them than a log can bear."""
        for line in lines:
            if line in self._said or len(self._said) > _MOST_LINES:
                continue
            self._said.add(line)
            if len(self._said) > _MOST_LINES:
                _logger.warning("No further reason is logged. /healthz counts the calls that are not in the books")
            else:
                _logger.warning("%s. Said once", line)
