"""Carry who pays, and the budgets, into the threads that a context starts.

Python gives a new thread an empty context, and the OpenTelemetry instrumentation for threads is not released for every
SDK. Only our own members are carried: the application's traces stay as they are.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import wrapt

from otel_cost import attribution
from otel_cost.safety import guard

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_cost.attribution import Carried

_submitting = threading.local()


def wrap_threads() -> None:
    """Wrap the start of threads and the submission to thread pools."""
    wrapt.wrap_function_wrapper(threading.Thread, "start", _start)
    wrapt.wrap_function_wrapper(ThreadPoolExecutor, "submit", _submit)


def _carried() -> Carried | None:
    with guard("carrying attribution into a thread"):
        return attribution.carried()
    return None


def _start(wrapped: Callable[[], None], thread: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    # A pool's thread outlives the task that started it, so it must not inherit from that task.
    if not getattr(_submitting, "now", False) and (inherited := _carried()) is not None:
        thread.run = partial(_run, inherited, thread.run)
    wrapped(*args, **kwargs)


def _submit(wrapped: Callable[..., Any], _: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if args and (inherited := _carried()) is not None:
        args = (partial(_run, inherited, args[0]), *args[1:])
    _submitting.now = True
    try:
        return wrapped(*args, **kwargs)
    finally:
        _submitting.now = False


def _run(inherited: Carried, run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with attribution.inheriting(inherited):
        return run(*args, **kwargs)
