"""What both receivers share: the bytes of an export request go to the ledger, and the answer says what became of it."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from otel_cost_exporter.decode import decode

if TYPE_CHECKING:
    from otel_cost_exporter.ledger import Ledger

LARGEST_REQUEST: Final = 32 * 1024 * 1024
"""Bytes of an export request, unpacked. A Collector's batches are well below it."""
LONGEST_WAIT: Final = 60.0
"""Seconds that a sender is kept waiting for its commit; sending the calls again afterwards does no harm."""


class Intake:
    """Takes export requests for `ledger`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger: Final = ledger

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
        return committed, response.SerializeToString()
