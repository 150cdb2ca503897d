"""Carry who pays, the budgets, and which calls are under way above, into the threads that a context starts.

Python gives a new thread an empty context, and the OpenTelemetry instrumentation for threads is not released for every
SDK. Only our own members are carried: the application's traces stay as they are.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import wrapt

from otel_cost import attribution
from otel_cost.budgets import lineage, under_way
from otel_cost.safety import guard

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_cost.attribution import Carried
    from otel_cost.budgets.lineage import Open
    from otel_cost.budgets.under_way import Begun


class _Inherited(NamedTuple):
    who: Carried | None
    above: tuple[Open, ...]
    begun: Begun


_submitting = threading.local()


def wrap_threads() -> None:
    """Wrap the start of threads and the submission to thread pools."""
    wrapt.wrap_function_wrapper(threading.Thread, "start", _start)
    wrapt.wrap_function_wrapper(ThreadPoolExecutor, "submit", _submit)


def _carried() -> _Inherited | None:
    """What a thread that starts here inherits; None where there is nothing."""
    with guard("carrying attribution into a thread"):
        found = _Inherited(attribution.carried(), lineage.begun_above(), under_way.begun())
        return found if found.who is not None or found.above or found.begun else None
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


def _run(inherited: _Inherited, run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    who = attribution.inheriting(inherited.who) if inherited.who is not None else nullcontext()
    with who, lineage.inheriting(inherited.above), under_way.under_way(inherited.begun):
        return run(*args, **kwargs)
