"""The calls that have not ended yet, and who ends those whose streams nobody reads to their end."""

from __future__ import annotations

import gc
import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol

from otel_cost.instrumentation import lost_spans
from otel_cost.safety import after_fork_in_child

if TYPE_CHECKING:
    from otel_cost.instrumentation.call import Call


class Ending(Protocol):
    """What ends a call: a response that was passing by, or a call that was waiting to leave."""

    @property
    def ended(self) -> bool:
        """Whether there is nothing to end."""

    def stream_ends(self) -> None:
        """The call ends."""


_open: set[Call] = set()
_abandoned: SimpleQueue[Ending] = SimpleQueue()
_collecting: int | None = None


def add(call: Call) -> None:
    """`call` has begun."""
    _open.add(call)


def remove(call: Call) -> None:
    """`call` has ended."""
    _open.discard(call)


def has(response_id: str) -> bool:
    """Whether a response of that id is passing by, so that its call ends with it."""
    return any(call.response_id == response_id for call in tuple(_open))


def life() -> object:
    """Something that changes as long as calls go on: an answer is on its way, or one passes by."""
    calls = tuple(_open)
    return object() if any(call.in_flight for call in calls) else sum(call.taken for call in calls)


def note_collection(phase: str, _: object) -> None:
    """A callback for `gc.callbacks`: remember which thread is collecting garbage."""
    global _collecting  # noqa: PLW0603 - one collector, one note
    _collecting = threading.get_ident() if phase == "start" else None


def close(passing: Ending) -> None:
    """A response that was passing by is closed or gone; or a call that was waiting to leave is.

    Garbage collection can strike inside any lock of this thread, a span exporter's too, so nothing is ended there and
    then: whoever comes by next does it.
    """
    if passing.ended:
        return
    if may_end_here():
        passing.stream_ends()
    else:
        _abandoned.put(passing)


def may_end_here() -> bool:
    """Whether this thread can end a call now: not while it collects garbage, see `close`."""
    return _collecting != threading.get_ident()


def end_abandoned() -> None:
    """End the calls whose streams were garbage collected, or whose spans were."""
    while not _abandoned.empty():
        with suppress(Empty):  # another thread was faster
            _abandoned.get_nowait().stream_ends()
    lost_spans.end_lost()


_NEXT_TRY_SECONDS = 5.0
_next_collection = 0.0


def end_streams_that_nobody_reads() -> bool:
    """Collect garbage, for streams in it hold money; whether there were any. Not again soon where there were none."""
    global _next_collection  # noqa: PLW0603 - one process, one collector
    if time.monotonic() < _next_collection or not any(call.streaming for call in tuple(_open)):
        return False
    gc.collect()
    found = not _abandoned.empty()
    if not found:
        _next_collection = time.monotonic() + _NEXT_TRY_SECONDS
    end_abandoned()
    return found


def end_all() -> None:
    """End every call that is still open, as the process exits: streams that nobody read to their end or closed."""
    for call in tuple(_open):
        call.stream_ends()
    lost_spans.end_all()


def _forked() -> None:
    """The parent's calls are the parent's: a child that holds their streams neither settles nor exports them."""
    global _abandoned  # noqa: PLW0603 - replaced once, in the child
    _abandoned = SimpleQueue()
    for call in _open:
        call.disown()
    _open.clear()


after_fork_in_child(_forked)
