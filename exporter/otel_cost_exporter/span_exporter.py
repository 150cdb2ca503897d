"""The exporters inside the application: calls, and events of budgets, go to a spool folder, and no server is needed.

``opentelemetry-instrument --traces_exporter otel_cost --logs_exporter otel_cost`` selects them. This module works in an
application that has otel-cost without extras, so it imports nothing of the ledger's.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_cost import losses, settings
from otel_cost.figures import figures
from otel_cost.safety import Row
from otel_cost.semconv import COST_STATUS, PREFIX
from otel_cost_exporter import segments

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from google.protobuf.message import Message
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan

_logger = logging.getLogger(__name__)


class _Spool:
    """The spool as an exporter sees it. Never raises into the application.

    Args:
        folder: the spool; None for the one that ``OTEL_COST_SPOOL`` names.
        what: what is lost where it cannot be written, as a warning says it, with ``%d`` for how many.
    """

    def __init__(self, folder: Path | None, what: str) -> None:
        self.folder: Final[Path] = folder if folder is not None else settings.get(settings.SPOOL)
        self._what: Final = what
        self._losses: Final = Row(_logger)

    def leave(self, count: int, encode: Callable[[], Message], *, logs: bool = False) -> bool:
        """Leave `count` things, as `encode` makes one request of them, as one segment; whether that worked."""
        try:
            segments.write(self.folder, encode().SerializeToString(), logs=logs)
        except Exception as error:  # noqa: BLE001 - an exporter must never raise into the application
            self._losses.goes_on(
                f"{self._what}: spool %s cannot be written: %s. Make it writable, or set %s to a folder "
                "that is. Said once; later losses are logged at DEBUG",
                count,
                self.folder,
                error,
                settings.SPOOL.name,
            )
            return False
        self._losses.is_over("Spool %s can be written again", self.folder)
        return True


class SpoolSpanExporter(SpanExporter):
    """Leaves calls as durable segments in a folder, from which ``otel-cost serve`` and ``otel-cost report`` take them.

    Spans that are no calls are not kept, nor is what was said in a call. Never raises into the application.

    Args:
        folder: the spool; None for the one that ``OTEL_COST_SPOOL`` names.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._spool: Final = _Spool(folder, "The cost of calls is lost (%d)")

    @property
    def folder(self) -> Path:
        """The spool."""
        return self._spool.folder

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write the calls among `spans` as one segment; nothing is written where there is none."""
        calls = [span for span in spans if span.attributes and COST_STATUS in span.attributes]
        if not calls or self._spool.leave(len(calls), lambda: encode_spans([figures(span) for span in calls])):
            return SpanExportResult.SUCCESS
        losses.count(len(calls))
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Nothing is held back, so nothing is left to do."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Nothing is held back: every export is on disk when it returns."""
        return True


class SpoolLogExporter(LogRecordExporter):
    """Leaves events of budgets in the same folder. Other logs are not kept. Never raises into the application.

    Args:
        folder: the spool; None for the one that ``OTEL_COST_SPOOL`` names.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._spool: Final = _Spool(folder, "%d events of budgets are lost")

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Write the events of ours in `batch` as one segment; nothing is written where there is none."""
        events = [each for each in batch if (each.log_record.event_name or "").startswith(PREFIX)]
        if not events or self._spool.leave(len(events), lambda: encode_logs(events), logs=True):
            return LogRecordExportResult.SUCCESS
        return LogRecordExportResult.FAILURE

    def shutdown(self) -> None:
        """Nothing is held back, so nothing is left to do."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Nothing is held back: every export is on disk when it returns."""
        return True
