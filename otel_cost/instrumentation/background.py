"""Calls whose answer the provider still works on, and states when somebody asks for it again.

Such a call stays open, and what it holds of its budgets is kept, until an answer in this process states what it used.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from otel_cost.safety import after_fork_in_child

if TYPE_CHECKING:
    from otel_cost.instrumentation.call import Call

_MOST: Final = 1000
_LONGEST_SECONDS: Final = 3600.0
"""How long a call waits for somebody to ask. A provider does not keep the answer much longer, nor work on it."""
_waiting: OrderedDict[str, tuple[float, Call]] = OrderedDict()


def wait(response_id: str, call: Call) -> None:
    """`call` waits for the usage of the response of that id. The oldest waits no longer where too many do."""
    _waiting[response_id] = (time.monotonic() + _LONGEST_SECONDS, call)
    end_overdue()


def taken(response_id: str) -> Call | None:
    """The call that waits for the usage of that response, if any. It waits no longer."""
    _, call = _waiting.pop(response_id, (0.0, None))
    return call


def end_overdue() -> None:
    """End the calls that waited too long."""
    while _waiting:
        with suppress(KeyError, StopIteration, RuntimeError):  # another thread was faster
            response_id, (deadline, _) = next(iter(_waiting.items()))
            if len(_waiting) <= _MOST and time.monotonic() < deadline:
                return
            _, overdue = _waiting.pop(response_id)
            overdue.stream_ends()


after_fork_in_child(_waiting.clear)
