"""The calls that were counted or refused lately, so that what tells of one of them again adds nothing.

Most spans name the response, or stand over the call. Some do neither: they are started beside it, or written when it
is over. Those are known by their figures: the same model and the same tokens, at the same time. A span beside a stream
may end before that does, with the figures that were there by then: it is known by the model and by when it began.

A call can be refused several times over: as a span of it starts, and as it leaves, for some instrumentations swallow
what is raised then, and make the call.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from contextlib import suppress
from contextvars import ContextVar
from itertools import product
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from otel_cost.usage import Usage

_MOST_IDS = 10_000
_MOST_RECENT = 1_000
_AFTERWARDS_NS = 5_000_000_000
"""How long after a call has ended a span may begin that tells of it."""
_SWALLOWED = 5.0
"""Seconds within which a call leaves that was refused as its span started."""


class Passing(msgspec.Struct, eq=False):
    """A call whose response is passing by, so that it is about to be counted.

    Attributes:
        models: what it may be called.
        started_ns: when it began.
        tellers: the instrumentation scopes that told of it.
    """

    models: frozenset[str | None]
    started_ns: int
    tellers: set[str] = msgspec.field(default_factory=set)


class _Counted(msgspec.Struct, frozen=True):
    """A call that was counted.

    Attributes:
        models: what it may be called, asked for and answering.
        usage: what it used.
        ended_ns: when it ended.
        tellers: the instrumentation scopes that told of it. Each does so once, so the next like it is another call.
    """

    models: frozenset[str | None]
    usage: Usage
    ended_ns: int
    tellers: set[str] = msgspec.field(default_factory=set)


_ids: OrderedDict[str, None] = OrderedDict()
_recent: deque[_Counted] = deque(maxlen=_MOST_RECENT)
_passing: set[Passing] = set()


def passes(models: frozenset[str | None], started_ns: int) -> Passing:
    """The response of a call begins to pass by; `passed` follows."""
    passing = Passing(models, started_ns)
    _passing.add(passing)
    return passing


def passed(passing: Passing) -> frozenset[str]:
    """The response has passed by; who told of its call until then."""
    _passing.discard(passing)
    return frozenset(passing.tellers)


def add(
    response_id: str | None,
    models: frozenset[str | None],
    usage: Usage | None,
    tellers: frozenset[str] = frozenset(),
) -> None:
    """Remember a call that was counted: seen on the wire, or told of by the scopes `tellers`."""
    if usage is not None:
        _recent.append(_Counted(models, usage, time.time_ns(), set(tellers)))
    if response_id is not None:
        _ids[response_id] = None
        while len(_ids) > _MOST_IDS:
            with suppress(KeyError):  # another thread was faster
                _ids.popitem(last=False)


def is_settled(response_id: str) -> bool:
    """Whether the response of that id is counted already."""
    return response_id in _ids


def is_counted(
    response_id: str | None, models: frozenset[str | None], usage: Usage, *, teller: str, started_ns: int
) -> bool:
    """Whether a call that the scope `teller` tells of, in a span started at `started_ns`, is counted already."""
    if response_id in _ids:
        return True
    for call in reversed(tuple(_recent)):
        if call.ended_ns + _AFTERWARDS_NS < started_ns:
            break
        if teller not in call.tellers and _alike(models, call.models) and _same(usage, call.usage):
            call.tellers.add(teller)
            return True
    return _is_passing(models, teller, started_ns)


def _is_passing(models: frozenset[str | None], teller: str, started_ns: int) -> bool:
    """Whether a span that began at `started_ns` may tell of a call that is passing by: the first that began in it."""
    possible = [
        call
        for call in tuple(_passing)
        if call.started_ns >= started_ns and teller not in call.tellers and _alike(models, call.models)
    ]
    if possible:
        min(possible, key=lambda call: call.started_ns).tellers.add(teller)
    return bool(possible)


def _alike(told: frozenset[str | None], counted: frozenset[str | None]) -> bool:
    """Whether a model is in both, be it that one of them leaves out who made it (``amazon.``, ``openai/``)."""
    if not told.isdisjoint(counted):
        return True
    return any(_ends_with(one, other) or _ends_with(other, one) for one, other in product(told, counted))


def _ends_with(full: str | None, short: str | None) -> bool:
    return full is not None and short is not None and full.endswith((f".{short}", f"/{short}"))


def _same(told: Usage, counted: Usage) -> bool:
    """Whether the totals agree, be it that what is `told` leaves out what was cached."""
    cached = counted.cache_read_tokens + counted.cache_write_tokens
    inputs = {counted.input_tokens, counted.input_tokens - cached, counted.input_tokens - counted.cache_read_tokens}
    return told.output_tokens == counted.output_tokens and told.input_tokens in inputs


class _Refused:
    """A call that a budget has refused as a span of it started.

    Attributes:
        budget: which budget.
        tellers: the instrumentation scopes whose spans told of it. Each does so once, so the next like it is another.
        at: when that was.
    """

    __slots__ = ("at", "budget", "tellers")

    def __init__(self, budget: object, teller: str) -> None:
        self.budget, self.tellers, self.at = budget, {teller}, time.monotonic()


_refused: ContextVar[_Refused | None] = ContextVar("otel_cost.refused", default=None)


def is_refused(budget: object, teller: str | None) -> bool:
    """Whether the call that `budget` refuses here has been refused before, in the same task.

    Args:
        budget: which budget.
        teller: the scope of the span that starts; None where the call leaves, and nothing follows.
    """
    last = _refused.get()
    if last is not None and (
        last.budget != budget or teller in last.tellers or time.monotonic() - last.at > _SWALLOWED
    ):
        last = None
    if teller is None:
        _refused.set(None)
    elif last is None:
        _refused.set(_Refused(budget, teller))
    else:
        last.tellers.add(teller)
    return last is not None
