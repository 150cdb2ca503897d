"""The calls that the application's sampler dropped, on their way to the ledger: their figures, and to nobody else.

Where the application's spans go to the spool, these go there too; else by OTLP/HTTP to a path that only the ledger
serves. Nothing is imported or started before the first such call ends.
"""

from __future__ import annotations

import threading
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

from otel_cost import losses
from otel_cost.figures import figures
from otel_cost.safety import after_fork_in_child

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

_MOST_WAITING: Final = 16_384
"""Calls that wait for a ledger that is away; OpenTelemetry's processor drops the oldest beyond, and says so."""

_lock = threading.Lock()
_started: BatchSpanProcessor | None = None


def keep(span: ReadableSpan) -> None:
    """Send the figures of `span`, a call that has ended and that no tracing backend gets, to the ledger."""
    _processor().on_end(figures(span))


def flush() -> None:
    """Send what waits, without waiting long for a ledger that is away: the process ends."""
    if _started is not None:
        _started.span_exporter.force_flush()
        _started.force_flush()


def _processor() -> BatchSpanProcessor:
    global _started  # noqa: PLW0603 - one process, one way to the books
    with _lock:
        if _started is None:
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - see the module's docstring

            _started = BatchSpanProcessor(_exporter(), _MOST_WAITING)
        return _started


def _exporter() -> SpanExporter:
    if losses.to_spool():
        (spool,) = entry_points(group="opentelemetry_traces_exporter", name=losses.SPOOL)
        exporter: SpanExporter = spool.load()()
        return exporter
    from otel_cost.ledger_exporter import LedgerExporter  # noqa: PLC0415 - see the module's docstring

    return LedgerExporter()


def _forked() -> None:
    """The processor begins anew in a child by itself; the lock may have been held by a thread of the parent's."""
    global _lock  # noqa: PLW0603 - replaced once, in the child
    _lock = threading.Lock()


after_fork_in_child(_forked)
