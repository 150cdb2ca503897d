"""Calls that got lost on their way to the books: said, and counted, so that what is missing there is openly unknown.

OpenTelemetry's own OTLP exporters give a batch up after some tries. What they give up of calls is watched here, unless
the calls go to the spool as well.
"""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import wrapt
from opentelemetry import metrics

from otel_cost import semconv
from otel_cost.safety import Row, guard

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import Counter
    from opentelemetry.sdk.trace.export import SpanExportResult

SPOOL: Final = "otel_cost"
"""What the exporter to the spool is called in ``OTEL_TRACES_EXPORTER``."""
_EXPORTERS: Final = tuple(f"opentelemetry.exporter.otlp.proto.{name}.trace_exporter" for name in ("grpc", "http"))

_logger = logging.getLogger(__name__)
_undelivered = Row(_logger)


@lru_cache(maxsize=1)
def _counter() -> Counter:
    return metrics.get_meter("otel_cost").create_counter(
        semconv.METRIC_LOST, "{call}", "Calls whose cost got lost on the way to the ledger."
    )


def count(calls: int) -> None:
    """Count `calls` that got lost."""
    _counter().add(calls)


def to_spool() -> bool:
    """Whether the application's calls go to the spool."""
    return SPOOL in map(str.strip, os.environ.get("OTEL_TRACES_EXPORTER", "").split(","))


def watch_exporters() -> None:
    """Watch the OTLP exporters for spans, imported already or later."""
    for name in _EXPORTERS:
        wrapt.register_post_import_hook(watch, name)


def watch(module: Any) -> None:
    """Watch the exporter of `module`."""
    with guard("watching the OTLP exporter"):
        wrapt.wrap_function_wrapper(module, "OTLPSpanExporter.export", _export)


def _export(
    wrapped: Callable[..., SpanExportResult], exporter: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> SpanExportResult:
    result = wrapped(*args, **kwargs)
    with guard("watching what the OTLP exporter gives up"):
        _note(exporter, result.name, *args, **kwargs)
    return result


def _note(exporter: Any, result: str, spans: Any) -> None:
    endpoint = str(getattr(exporter, "_endpoint", "its endpoint"))
    where = endpoint.rpartition("@")[2].partition("?")[0].rpartition("://")[2]  # it may hold a password, or a key
    if result == "SUCCESS":
        _undelivered.is_over("%s takes calls again", where)
        return
    calls = sum(semconv.COST_STATUS in (span.attributes or ()) for span in spans)
    if calls and not to_spool():
        count(calls)
        _undelivered.goes_on(
            "The cost of calls is lost (%d): %s did not take them. Where the ledger may be away, have them wait on "
            "disk: in the spool (--traces_exporter otel_cost) or in the queue of a Collector. Said once; later losses "
            "are logged at DEBUG",
            calls,
            where,
        )
