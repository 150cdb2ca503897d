"""The ways a process ends, and what happens before: calls that are still open end, and the spans go out.

Python runs what `atexit` knows where a program ends by itself. A child of `multiprocessing` ends beside that, and so
does a process that is told to end by SIGTERM and has no handler for it: that is how containers are stopped.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

import wrapt

from otel_cost import books, metrics
from otel_cost.budgets import chosen, events
from otel_cost.budgets.guard import write_reports
from otel_cost.instrumentation.open_calls import end_all
from otel_cost.safety import guard

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_FLUSH_SECONDS: Final = 5.0
"""How long the end of a process may wait for its last spans: less than what is given before a kill follows."""
_providers: WeakSet[TracerProvider] = WeakSet()


def watch() -> None:
    """Be there when the process ends, whichever way."""
    atexit.register(_exits)
    wrapt.register_post_import_hook(_watch_children, "multiprocessing.util")
    if _ends_by_default():
        signal.signal(signal.SIGTERM, _terminated)


def watch_provider(provider: TracerProvider) -> bool:
    """Have the spans of `provider` go out too, before the process ends; whether they did not already."""
    if provider in _providers:
        return False
    _providers.add(provider)
    # What is registered last runs first: before the provider's own, which takes no span any more.
    atexit.unregister(_exits)
    atexit.register(_exits)
    return True


def _ends_by_default() -> bool:
    """Whether SIGTERM ends this process as it ends any other, and that may be helped here."""
    is_main_thread = threading.current_thread() is threading.main_thread()
    is_spawned = "--multiprocessing-fork" in sys.orig_argv  # see `_begin_child`
    # Where there is no alarm, which is Windows, nothing calls a handler of SIGTERM either.
    is_helped = is_main_thread and not is_spawned and hasattr(signal, "SIGALRM")
    return is_helped and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def _watch_children(util: Any) -> None:
    """A child of `multiprocessing` forgets what it inherited for its end, and then runs what is registered here."""
    util.register_after_fork(util, lambda _: _begin_child(util))


def _begin_child(util: Any) -> None:
    util.Finalize(None, _flush_in_time, exitpriority=-1)
    # As for one that is spawned: a pool ends its workers by SIGTERM, just when they begin to wait for work, and then
    # waits for them. A handler in Python can come too late by a hair there, and the pool would wait for ever.
    if signal.getsignal(signal.SIGTERM) is _terminated:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exits() -> None:
    """Told to end amid this, the process ends after it."""
    told: list[int] = []
    with guard("sending the last spans"):
        default = signal.getsignal(signal.SIGTERM) is _terminated
        if default:
            signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
        _flush()
        if default:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number in told:
        os.kill(os.getpid(), number)


def _terminated(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(int(_FLUSH_SECONDS) + 1)  # and so does this, where what was interrupted here holds up the rest
    _flush_in_time()
    os.kill(os.getpid(), number)


def _flush_in_time() -> None:
    """Flush in a thread of its own: the one that ends may be held up here while it holds a lock that this needs."""
    with guard("sending the last spans"):
        flush = threading.Thread(target=_flush_all, name="otel-cost-flush", daemon=True)
        flush.start()
        flush.join(_FLUSH_SECONDS)


def _flush() -> None:
    with guard("sending the last spans"):
        end_all()
        write_reports()
        books.flush()
        for provider in tuple(_providers):
            provider.force_flush(int(_FLUSH_SECONDS * 1000))
    with guard("booking what the last calls have spent"):
        chosen.flush(_FLUSH_SECONDS)
    with guard("sending the last events of budgets"):
        events.flush(_FLUSH_SECONDS)


def _flush_all() -> None:
    """Metrics too, which OpenTelemetry itself exports only where a program ends by itself."""
    _flush()
    with guard("sending the last metrics"):
        metrics.flush(int(_FLUSH_SECONDS * 1000))
