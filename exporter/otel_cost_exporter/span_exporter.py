"""The exporter inside the application: calls go to a spool folder, and no server is needed.

``opentelemetry-instrument --traces_exporter otel_cost`` selects it. This module works in an application that has
otel-cost without extras, so it imports nothing of the ledger's.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_cost import settings
from otel_cost.safety import Row
from otel_cost.semconv import COST_STATUS
from otel_cost_exporter import segments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

_logger = logging.getLogger(__name__)


class SpoolSpanExporter(SpanExporter):
    """Leaves calls as durable segments in a folder, from which ``otel-cost serve`` and ``otel-cost report`` take them.

    Spans that are no calls are not kept. Never raises into the application.

    Args:
        folder: the spool; None for the one that ``OTEL_COST_SPOOL`` names.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder: Final[Path] = folder if folder is not None else settings.get(settings.SPOOL)
        self._losses: Final = Row(_logger)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write the calls among `spans` as one segment; nothing is written where there is none."""
        calls = [span for span in spans if span.attributes and COST_STATUS in span.attributes]
        if not calls:
            return SpanExportResult.SUCCESS
        try:
            segments.write(self.folder, encode_spans(calls).SerializeToString())
        except Exception as error:  # noqa: BLE001 - an exporter must never raise into the application
            self._losses.goes_on(
                "The cost of %d calls is lost: spool %s cannot be written: %s. Make it writable, or set %s to a folder "
                "that is. Said once; later losses are logged at DEBUG",
                len(calls),
                self.folder,
                error,
                settings.SPOOL.name,
            )
            return SpanExportResult.FAILURE
        self._losses.is_over("Spool %s can be written again", self.folder)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing is held back, so nothing is left to do."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Nothing is held back: every export is on disk when it returns."""
        return True
