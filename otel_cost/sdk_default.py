"""The OpenTelemetry SDK, configured where nobody else did, and making way for whoever does it later.

otel-cost ships no distro, so that it never competes with the user's. ``opentelemetry-instrument`` without a distro
configures nothing, and a default is wanted then: traces to an OTLP endpoint. But an application may still set a
provider of its own, in its code, and must find the place free.
"""

from __future__ import annotations

import atexit
import logging
import os
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import wrapt
from opentelemetry import trace
from opentelemetry._logs import _internal as logs_internal
from opentelemetry.metrics import _internal as metrics_internal
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.util._once import Once

from otel_cost.safety import guard

if TYPE_CHECKING:
    from collections.abc import Callable

_logger = logging.getLogger(__name__)

_OTHERS = (("METRICS", metrics_internal, "_METER_PROVIDER"), ("LOGS", logs_internal, "_LOGGER_PROVIDER"))
_default: TracerProvider | None = None


def configure_where_nobody_did() -> None:
    """Configure the SDK as the OpenTelemetry distro would, traces only; not where somebody did or a distro is there."""
    global _default  # noqa: PLW0603 - one process, one default
    if isinstance(trace.get_tracer_provider(), TracerProvider) or entry_points(group="opentelemetry_configurator"):
        return
    from opentelemetry.sdk._configuration import _OTelSDKConfigurator  # noqa: PLC0415 - as distros do

    os.environ.setdefault("OTEL_TRACES_EXPORTER", "otlp")
    os.environ.setdefault("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    # Milliseconds that a span may wait for others: what a killed process takes with it.
    os.environ.setdefault("OTEL_BSP_SCHEDULE_DELAY", "500")
    configure: Callable[[], None] = _OTelSDKConfigurator().configure  # type: ignore[no-untyped-call] # the SDK's
    try:
        configure()
    except RuntimeError as error:  # an exporter, propagator or id generator that is not there, such as a mistyped one
        _logger.error("OpenTelemetry's SDK cannot be set up, so no span is made and no cost recorded: %s", error)  # noqa: TRY400 - whose traceback says no more
        return
    for signal, module, name in _OTHERS:
        if f"OTEL_{signal}_EXPORTER" not in os.environ:
            _vacate(module, name)
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        _default = provider
        wrapt.wrap_function_wrapper(trace, "set_tracer_provider", _set_by_the_application)


def _set_by_the_application(
    wrapped: Callable[..., None], _: object, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    with guard("making way for the application's tracer provider"):
        _make_way(args[0] if args else kwargs["tracer_provider"])
    wrapped(*args, **kwargs)


def _make_way(successor: object) -> None:
    """Give up the place of the global provider, and let tracers that were handed out already feed `successor`."""
    global _default
    if _default is None or trace.get_tracer_provider() is not _default or successor is _default:
        return
    default, _default = _default, None
    _vacate(trace, "_TRACER_PROVIDER")
    processors = default._active_span_processor  # noqa: SLF001 - nothing public swaps what a provider feeds
    replaced = processors._span_processors  # noqa: SLF001
    processors._span_processors = (  # noqa: SLF001
        (successor._active_span_processor,) if isinstance(successor, TracerProvider) else ()  # noqa: SLF001
    )
    atexit.unregister(default.shutdown)
    for processor in replaced:
        processor.shutdown()


def _vacate(module: Any, name: str) -> None:
    """Free the place of a global provider. OpenTelemetry has no public way to."""
    setattr(module, name, None)
    setattr(module, f"{name}_SET_ONCE", Once())
