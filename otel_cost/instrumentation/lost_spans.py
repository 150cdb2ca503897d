"""Calls that have ended and stand on another instrumentation's span that has not: where it never does, they get ours.

An instrumentation can lose a span: its response is replaced before it is read, and nobody ends the span. What is lost
is noticed when the span is garbage collected, or when the process ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from weakref import finalize

from opentelemetry import context, trace
from opentelemetry.trace import NonRecordingSpan, StatusCode

from otel_cost import semconv
from otel_cost.instrumentation import call_span
from otel_cost.safety import after_fork_in_child, guard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import SpanContext

    from otel_cost.live_span import LiveSpan
    from otel_cost.usage import Request


@dataclass(frozen=True, slots=True)
class Figures:
    """What a call comes to, for a span of its own. It holds nothing that would keep the other span in memory.

    Attributes:
        attributes: all that is to stand on the span, but for what `request` and `dimensions` say.
        below: the span that is lost; ours is put below it, where it would be had the other ended early.
    """

    request: Request
    dimensions: Mapping[str, str]
    attributes: Mapping[str, Any]
    below: SpanContext
    started_ns: int
    ended_ns: int

    def onto_own_span(self) -> None:
        """Make the span."""
        parent = trace.set_span_in_context(NonRecordingSpan(self.below), context.Context())
        span = call_span.start(self.request, self.dimensions, parent, self.started_ns)
        span.set_attributes(self.attributes)
        if semconv.ERROR_TYPE in self.attributes:
            span.set_status(StatusCode.ERROR)
        span.end(self.ended_ns)


_watched: set[finalize[Any, LiveSpan]] = set()
_lost: SimpleQueue[Figures] = SimpleQueue()


def watch(standing: LiveSpan, figures: Figures) -> finalize[Any, LiveSpan]:
    """Keep `figures` until `standing` ends, which `forget` says, or is gone without."""
    # Garbage collection can strike inside any lock, so it only takes note, see `open_calls.close`.
    watching = finalize(standing, _lost.put, figures)
    watching.atexit = False  # `endings` knows when spans still go out
    _watched.add(watching)
    return watching


def forget(watching: finalize[Any, LiveSpan]) -> None:
    """The span has ended."""
    watching.detach()
    _watched.discard(watching)


def end_lost() -> None:
    """Make a span for each call whose span is gone."""
    while not _lost.empty():
        with guard("ending a call whose span was lost"):
            try:
                figures = _lost.get_nowait()
            except Empty:  # another thread was faster
                return
            figures.onto_own_span()
            _watched.difference_update([watching for watching in tuple(_watched) if not watching.alive])


def end_all() -> None:
    """Make a span for each call whose span has not ended by now, as the process exits."""
    end_lost()
    for watching in tuple(_watched):
        if (found := watching.detach()) is not None:
            standing, _, (figures,), _ = found
            standing.call, standing.covered = None, True  # should it end after all, it must not repeat the cost
            with guard("ending a call whose span was lost"):
                figures.onto_own_span()
    _watched.clear()


def _forked() -> None:
    """The parent's calls are the parent's."""
    global _lost  # noqa: PLW0603 - replaced once, in the child
    _lost = SimpleQueue()
    for watching in _watched:
        watching.detach()
    _watched.clear()


after_fork_in_child(_forked)
