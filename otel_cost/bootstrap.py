"""The ``opentelemetry_pre_instrument`` hook: puts otel-cost in place when ``opentelemetry-instrument`` starts an app.

The hook is not guarded by OpenTelemetry: if it raised, every instrumentation would be skipped. So it never does.
"""

from __future__ import annotations

import gc
import importlib
from functools import lru_cache, partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import wrapt
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from otel_cost import endings, losses, semconv
from otel_cost.budgets import enforce
from otel_cost.budgets.guard import watch_process
from otel_cost.instrumentation.attempts import SDKS, wrap_sdk
from otel_cost.instrumentation.open_calls import note_collection
from otel_cost.instrumentation.threads import wrap_threads
from otel_cost.safety import guard
from otel_cost.sampling import keep_money
from otel_cost.sdk_default import configure_where_nobody_did
from otel_cost.span_processor import CostSpanProcessor

if TYPE_CHECKING:
    from collections.abc import Callable

_CLIENTS: Final = {
    "aiohttp": "aiohttp",
    "httpx": "httpx",
    "httpx2": "httpx",
    "requests": "requests",
    "urllib3": "urllib3",
}
"""Client -> which of our modules wraps it; imported with the client."""
_started = False


def start() -> None:
    """Put otel-cost in place, once: on every tracer provider, and on the clients, imported already or later."""
    global _started  # noqa: PLW0603 - one process, one start
    if _started:
        return
    _started = True
    losses.watch_exporters()
    with guard("starting"):
        wrapt.wrap_function_wrapper(TracerProvider, "__init__", _provider_made)
        configure_where_nobody_did()
        provider = trace.get_tracer_provider()
        if isinstance(provider, TracerProvider):
            attach(provider)
    with guard("wrapping clients"):
        for name, ours in _CLIENTS.items():
            wrapt.register_post_import_hook(partial(_wrap_client, ours), name)
        for sdk in SDKS:
            wrapt.register_post_import_hook(partial(_wrap, partial(wrap_sdk, sdk)), sdk.module)
        wrap_threads()
        enforce()
        watch_process()
    with guard("watching for the end of the process"):
        endings.watch()
    gc.callbacks.append(note_collection)


def attach(provider: TracerProvider) -> None:
    """Give `provider` our span processor, and a sampler under which no call is lost, once; and say so on its spans."""
    if endings.watch_provider(provider):
        keep_money(provider)
        provider.add_span_processor(CostSpanProcessor())
        provider._update_resource(_ours())  # noqa: SLF001 - nothing public reaches the tracers that it has handed out


@lru_cache(maxsize=1)
def _ours() -> Resource:
    return Resource({semconv.VERSION: version("otel-cost")})


def _provider_made(
    wrapped: Callable[..., None], provider: TracerProvider, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    wrapped(*args, **kwargs)
    with guard("attaching to a tracer provider"):
        attach(provider)


def _wrap_client(ours: str, module: Any) -> None:
    with guard(f"wrapping {module.__name__}"):
        importlib.import_module(f"otel_cost.instrumentation.clients.{ours}").wrap(module)


def _wrap(wrap: Callable[[Any], None], module: Any) -> None:
    with guard(f"wrapping {module.__name__}"):
        wrap(module)
