"""The ``opentelemetry_pre_instrument`` hook: puts otel-cost in place when ``opentelemetry-instrument`` starts an app.

The hook is not guarded by OpenTelemetry: if it raised, every instrumentation would be skipped. So it never does.
"""

from __future__ import annotations

import atexit
import os
from functools import partial
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import wrapt
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from otel_cost import attribution, pricing, semconv
from otel_cost.instrumentation.attempts import SDK_MODULES, wrap_sdk
from otel_cost.instrumentation.call import end_all
from otel_cost.instrumentation.http import HTTP_MODULES, wrap_http
from otel_cost.instrumentation.threads import wrap_threads
from otel_cost.safety import guard
from otel_cost.span_processor import CostSpanProcessor

if TYPE_CHECKING:
    from collections.abc import Callable

_attached: WeakSet[TracerProvider] = WeakSet()
_started = False


def start() -> None:
    """Put otel-cost in place, once: on every tracer provider, and on the clients, imported already or later."""
    global _started  # noqa: PLW0603 - one process, one start
    if _started:
        return
    _started = True
    with guard("starting"):
        wrapt.wrap_function_wrapper(TracerProvider, "__init__", _provider_made)
        _configure_sdk()
        provider = trace.get_tracer_provider()
        if isinstance(provider, TracerProvider):
            attach(provider)
    with guard("wrapping clients"):
        for modules, wrap in ((HTTP_MODULES, wrap_http), (SDK_MODULES, wrap_sdk)):
            for name in modules:
                wrapt.register_post_import_hook(partial(_wrap, wrap), name)
        wrap_threads()
    with guard("reading the process's baggage"):
        if any(key.startswith(semconv.BUDGET_PREFIX) for key in attribution.process_members()):
            pricing.load_in_background()  # the first call is going to be held against a budget, so it needs prices
    # Registered after the provider's own, so it runs before: spans that it ends are still exported.
    atexit.register(end_all)


def attach(provider: TracerProvider) -> None:
    """Give `provider` our span processor, once."""
    if provider not in _attached:
        _attached.add(provider)
        provider.add_span_processor(CostSpanProcessor())


def _provider_made(
    wrapped: Callable[..., None], provider: TracerProvider, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    wrapped(*args, **kwargs)
    with guard("attaching to a tracer provider"):
        attach(provider)


def _wrap(wrap: Callable[[Any], None], module: Any) -> None:
    with guard(f"wrapping {module.__name__}"):
        wrap(module)


def _configure_sdk() -> None:
    """Configure the SDK where no distro did: otel-cost ships none, so that it never competes with the user's."""
    if isinstance(trace.get_tracer_provider(), TracerProvider) or entry_points(group="opentelemetry_configurator"):
        return
    from opentelemetry.sdk._configuration import _OTelSDKConfigurator  # noqa: PLC0415 - as every distro does

    os.environ.setdefault("OTEL_TRACES_EXPORTER", "otlp")
    os.environ.setdefault("OTEL_METRICS_EXPORTER", "none")
    os.environ.setdefault("OTEL_LOGS_EXPORTER", "none")
    os.environ.setdefault("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    configure: Callable[[], None] = _OTelSDKConfigurator().configure  # type: ignore[no-untyped-call] # the SDK's
    configure()
