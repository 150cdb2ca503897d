"""Which calls are told of more than once, by different spans: by two instrumentations, or by a gateway on the way.

The first to tell of a call may be in the books when the second comes. So what is needed to recognise a call is kept in
memory for the latest ones, as numbers: 64-bit hashes, which DuckDB makes (`sql/queries/marks.sql`). For what comes so
late that the first may not be among these any more, `dedupe.py` looks it up in the books.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from otel_cost_exporter.writing.alike import Groups

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

Numbers = NDArray[np.uint64]
Truths = NDArray[np.bool_]
Rows = NDArray[np.int64]
Pairs = tuple[Rows, Rows]

_NONE: Final = np.empty(0, np.int64)

MOST_REMEMBERED: Final = 100_000
_MOST_ALIKE: Final = 8
"""How many calls with one response id are looked at: a server for tests may give all its responses the same."""
_SMALLER: Final = 4
"""How many times smaller than a call one below it may be that tells of the same, or of the largest part of it."""
_CLOCKS_US: Final = 10_000_000
"""How far the clocks of two machines may differ."""
_TOGETHER_US: Final = 1_000_000
"""How much later than a call what is told of it a second time may end."""


@dataclass(frozen=True)
class Calls:
    """What it takes to recognise calls; 0 stands for what is not stated.

    Attributes:
        span: hash of trace and span.
        parent: the same of the span above it.
        trace: hash of the trace.
        service: hash of the service.
        scope: hash of the instrumentation.
        source: hash of both.
        figures: hash of the tokens.
        size: output tokens, or input tokens where it gave none.
        response: hash of the response id.
        request_model: hash of the model asked.
        response_model: hash of the model that answered.
        start: microseconds.
        end: likewise.
        exact: whether the application itself said what the call cost.
        priced: whether its cost is known.
    """

    span: Numbers
    parent: Numbers
    trace: Numbers
    service: Numbers
    scope: Numbers
    source: Numbers
    figures: Numbers
    size: NDArray[np.int64]
    response: Numbers
    request_model: Numbers
    response_model: Numbers
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    exact: Truths
    priced: Truths

    @classmethod
    def read(cls, found: duckdb.DuckDBPyConnection) -> Calls:
        """The rows of ``marks.sql``."""
        columns: dict[str, Any] = found.fetchnumpy()
        return cls(**{field.name: columns[field.name] for field in fields(cls)})

    @classmethod
    def join(cls, parts: list[Calls]) -> Calls:
        """All of `parts`."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def __len__(self) -> int:
        return len(self.span)

    def take(self, rows: Rows | Truths) -> Calls:
        """Those at `rows`."""
        return Calls(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    @property
    def alike(self) -> Numbers:
        """A mark of the trace and the tokens in it, 0 where no tokens are stated."""
        return np.where(self.figures == 0, 0, self.trace ^ _spread(self.figures))


def _spread(numbers: Numbers) -> Numbers:
    return numbers * np.uint64(0x9E3779B97F4A7C15)


class _Index:
    """Finds the rows of `calls` by a mark."""

    def __init__(self, marks: Numbers) -> None:
        self._order: Final = np.argsort(marks, kind="stable")
        self._sorted: Final = marks[self._order]

    def rows(self, wanted: Numbers) -> Iterator[Pairs]:
        """Pairs of a row of `wanted` and a row with the same mark, the latest first; no pairs for the mark 0."""
        asking = np.flatnonzero(wanted)
        first = np.searchsorted(self._sorted, wanted[asking], "left")
        at = np.searchsorted(self._sorted, wanted[asking], "right") - 1
        for _ in range(_MOST_ALIKE):
            there = at >= first
            if not there.any():
                return
            asking, first, at = asking[there], first[there], at[there]
            yield asking, self._order[at]
            at = at - 1


class _Chunk:
    """Some calls, by what they are recognised by."""

    def __init__(self, calls: Calls) -> None:
        self.calls: Final = calls
        self._groups: Final = Groups(calls)
        self._by_response: Final = _Index(calls.response)
        self._by_span: Final = _Index(calls.span)

    def same(self, came: _Chunk) -> Iterator[Pairs]:
        """Pairs of one that `came` and one of this chunk that are the same call, told of by another."""
        for mine, here in self._by_response.rows(came.calls.response):
            one, other = came.calls.take(mine), self.calls.take(here)
            elsewhere = (one.figures == other.figures) & _near(one, other)
            is_same = (one.source != other.source) & ((one.trace == other.trace) | elsewhere)
            yield mine[is_same], here[is_same]
        found = np.array(list(came._groups.pairs(self._groups)), np.int64).reshape(-1, 2)
        yield found[:, 0], found[:, 1]

    def above(self, below: _Chunk) -> Pairs:
        """Pairs of a call of this chunk and one of `below`, right below it, with which it repeats what that is.

        What is above another call tells of the same, of the sum of several, or of one whose tokens it counts otherwise:
        then the model is the same, or it has no figures of its own. A guard or a judge that a gateway asks on the way
        is another model or much smaller, and a call that the provider gave another id is another call.
        """
        pairs = [*self._by_span.rows(below.calls.parent)]
        child, parent = (np.concatenate(each) for each in zip(*pairs, strict=True)) if pairs else (_NONE, _NONE)
        one, other = self.calls.take(parent), below.calls.take(child)
        of_two = (one.response != 0) & (other.response != 0) & (one.response != other.response)
        is_large = _SMALLER * other.size >= one.size
        repeats = (one.figures == 0) | (one.figures == other.figures) | (_same_model(one, other) & ~of_two & is_large)
        repeats |= (one.response == other.response) & (one.response != 0)
        repeats &= one.parent != other.span  # no span is below itself
        return parent[repeats], child[repeats]


def _near(one: Calls, other: Calls) -> Truths:
    """Whether both were under way at one time, as far as two clocks can tell."""
    return (one.start <= other.end + _CLOCKS_US) & (other.start <= one.end + _CLOCKS_US)


def _same_model(one: Calls, other: Calls) -> Truths:
    """Whether a model of the one is a model of the other; what states none may be any."""
    mine = (one.request_model, one.response_model)
    theirs = (other.request_model, other.response_model)
    found: Truths = ((mine[0] | mine[1]) == 0) | ((theirs[0] | theirs[1]) == 0)
    for a in mine:
        for b in theirs:
            found |= (a == b) & (a != 0)
    return found


@dataclass(frozen=True)
class Verdict:
    """Which calls are told of elsewhere.

    Attributes:
        again: for each call that came, whether another stands for it.
        replaced: calls in the books for which one that came stands now, as its application says what it cost.
    """

    again: Truths
    replaced: Calls


class Memory:
    """The latest calls of the books.

    Args:
        latest: when the last call of the books ended, microseconds; none of them is remembered yet.
    """

    def __init__(self, latest: int) -> None:
        self._chunks: list[_Chunk] = []
        self._forgotten = _past(latest)

    def late(self, came: Calls) -> Truths:
        """Which of the calls that `came` ended when calls did that are not remembered any more.

        Nobody tells of a call before it ends, so of one that ended later, nothing that was told is forgotten.
        """
        found: Truths = came.end <= self._forgotten + _TOGETHER_US
        return found

    def judge(self, came: Calls, earlier: Calls | None = None) -> Verdict:
        """Which of the calls that `came` are told of elsewhere. What an application itself says of its costs stays.

        Args:
            came: calls that came.
            earlier: calls of the books that are not remembered any more.
        """
        new, rank = _Chunk(came), _rank(came)
        again = np.zeros(len(came), np.bool_)
        above, below = new.above(new)
        again[np.where(came.exact[above] & ~came.exact[below], below, above)] = True
        for mine, other in new.same(new):
            both = ~again[mine] & ~again[other]
            again[np.where(rank[mine] < rank[other], mine, other)[both]] = True
        gone = [came.take(_NONE)]
        for chunk in [*self._chunks, *([_Chunk(earlier)] if earlier else [])]:
            books = chunk.calls
            above, below = new.above(chunk)
            better = came.exact[above] & ~books.exact[below]
            again[above[~better]] = True
            gone.append(books.take(np.unique(below[better])))
            for mine, there in chunk.same(new):
                better = _is_better(came, mine, books, there)
                again[mine[~better]] = True
                gone.append(books.take(np.unique(there[better])))
            above, below = chunk.above(new)
            again[below[books.exact[above]]] = True
            gone.append(books.take(np.unique(above[~books.exact[above] & ~again[below]])))
        return Verdict(again & ~came.exact, Calls.join(gone))

    def add(self, calls: Calls) -> None:
        """Remember `calls`, which are in the books now."""
        if len(calls):
            self._chunks.append(_Chunk(calls))
        while len(self._chunks) > 1 and len(self._chunks[-2].calls) <= 2 * len(self._chunks[-1].calls):
            last = Calls.join([self._chunks.pop(-2).calls, self._chunks.pop().calls])
            self._chunks.append(_Chunk(last))
        while sum(len(chunk.calls) for chunk in self._chunks) > MOST_REMEMBERED:
            first = self._chunks[0].calls
            half = (len(first) + 1) // 2
            self._forgotten = max(self._forgotten, _past(int(first.end[:half].max())))
            self._chunks[0] = _Chunk(first.take(np.arange(half, len(first))))


def _past(moment: int) -> int:
    """`moment`, in microseconds; now where that is to come, as some clock says."""
    return min(moment, time.time_ns() // 1000)


def _is_better(came: Calls, mine: Rows, books: Calls, there: Rows) -> Truths:
    """Which of `mine` say better what a call costs than those of the books, at `there`, do."""
    priced: Truths = came.priced[mine] & ~books.priced[there]
    return (came.exact[mine] | priced) & ~books.exact[there]


def _rank(calls: Calls) -> NDArray[np.int64]:
    """Which of several that tell of one call is kept: what is exact, else what has a price, else the innermost."""
    order = np.lexsort((np.arange(len(calls)), calls.start, calls.priced, calls.exact))
    rank = np.empty(len(calls), np.int64)
    rank[order] = np.arange(len(calls))
    return rank
