"""Which calls of one trace that nobody gave an id are the same call, told of by two: by their figures and their times.

Two instrumentations around each other tell of the same tokens, the one while the other does. Where an agent makes many
calls with the same figures, each of the one is paired with one of the other, in the order of their starts.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_cost_exporter.writing.told import Calls

Rows = NDArray[np.int64]

_CLOCKS_US: Final = 50_000
"""How far the clocks of two machines that keep them right may differ."""
_BESIDE_US: Final = 10_000
"""How much later than what it watches an instrumentation may look at the clock, on the same machine."""


class Groups:
    """Rows of `calls` by their trace and figures."""

    def __init__(self, calls: Calls) -> None:
        self.calls: Final = calls
        self._order: Final = np.lexsort((calls.start, calls.source, calls.alike))
        self._marks: Final = calls.alike[self._order]
        self._sources: Final = calls.source[self._order]

    def pairs(self, other: Groups) -> Iterator[tuple[int, int]]:
        """Rows here and rows of `other`, which may be this, that are the same call."""
        for mine, theirs in self._meeting(other):
            for source, one in _by_source(self.calls, mine):
                for its, two in _by_source(other.calls, theirs):
                    if source != its and (self is not other or source < its):
                        yield from _paired(self.calls, one, other.calls, two)

    def _meeting(self, other: Groups) -> Iterator[tuple[Rows, Rows]]:
        """Rows here and rows of `other` with the same mark, where more than one source has told of such a call."""
        marks = self._marks
        first = np.searchsorted(other._marks, marks, "left")
        after = np.searchsorted(other._marks, marks, "right")
        found = (marks != 0) & (after > first)
        ends = np.where(found, after - 1, 0), np.where(found, first, 0)
        if len(other._sources):
            found &= (other._sources[ends[0]] != self._sources) | (other._sources[ends[1]] != self._sources)
        rows = np.flatnonzero(found)
        breaks = np.flatnonzero(np.diff(marks[rows])) + 1
        for same in np.split(rows, breaks):
            if len(same):
                yield self._order[same], other._order[first[same[0]] : after[same[0]]]


def _by_source(calls: Calls, rows: Rows) -> list[tuple[int, list[int]]]:
    """`rows`, which are in this order, by who told of them."""
    sources = calls.source
    return [(source, list(found)) for source, found in groupby(rows.tolist(), lambda row: int(sources[row]))]


def _paired(calls: Calls, mine: Sequence[int], others: Calls, theirs: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Each of `mine` with at most one of `theirs`, and the other way round. Both are in the order of their starts."""
    i = j = 0
    while i < len(mine) and j < len(theirs):
        one, other = mine[i], theirs[j]
        if _may_be_same(calls, one, others, other):
            yield one, other
            i, j = i + 1, j + 1
        elif calls.start[one] <= others.start[other]:
            i += 1
        else:
            j += 1


def _are_beside(calls: Calls, one: int, others: Calls, other: int) -> bool:
    """Whether two services asked, each for itself: below one span, or as workers in which the same is instrumented."""
    return bool(calls.parent[one] == others.parent[other] != 0 or calls.scope[one] == others.scope[other] != 0)


def _may_be_same(calls: Calls, one: int, others: Calls, other: int) -> bool:
    """Whether a call of the one's trace and figures is the other: its model, its time, and no other response."""
    responses = {int(calls.response[one]), int(others.response[other])} - {0}
    here = calls.service[one] == others.service[other]
    if len(responses) > 1 or (not here and _are_beside(calls, one, others, other)):
        return False
    mine = {int(calls.request_model[one]), int(calls.response_model[one])} - {0}
    theirs = {int(others.request_model[other]), int(others.response_model[other])} - {0}
    if mine and theirs and mine.isdisjoint(theirs):
        return False
    slack = _BESIDE_US if here else _CLOCKS_US
    starts, ends = int(calls.start[one]) - int(others.start[other]), int(calls.end[one]) - int(others.end[other])
    return (starts >= -slack and ends <= slack) or (starts <= slack and ends >= -slack)
