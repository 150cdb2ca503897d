"""Each call once, however often and by however many it is told of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otel_cost_exporter.file import statements
from otel_cost_exporter.writing.told import Calls, Memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import duckdb

_KEY: Final = ["start_ts", "trace_id", "span_id"]
_GONE: Final = pa.schema([("span", pa.uint64()), ("start", pa.int64())])
_WITHIN: Final = timedelta(minutes=10)
"""How far apart two that tell of one call may say that it began: SDKs wait for an answer no longer than that."""
_TOGETHER: Final = timedelta(hours=1)
_MOST_STRETCHES: Final = 16
"""How many stretches of time the books are searched in for one commit."""


@dataclass(frozen=True)
class Fresh:
    """What a commit adds.

    Attributes:
        calls: those that the books do not have.
        replaced: calls in the books that go, because one of `calls` says better what it cost: their spans and starts.
        marks: by which they are recognised; None as long as no call had to be priced here.
    """

    calls: pa.Table
    replaced: pa.Table
    marks: Calls | None = None


class _New(NamedTuple):
    """The calls that came whose spans the books do not have, and the spans and starts of those that they have worse."""

    calls: pa.Table
    worse: pa.Table


class Dedupe:
    """Knows what stands in the books of `cursor`, which is the writer's."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor: Final = cursor
        (any_foreign,) = cursor.execute(statements.load("queries/any_foreign")).fetchone() or (False,)
        # Nothing is to be compared until the first call that two may tell of.
        self._memory = self._empty_memory() if any_foreign else None

    def fresh(self, calls: pa.Table) -> Fresh:
        """What of `calls` is new, within the transaction that adds it."""
        calls, worse = self._new(_first_of_each(calls))
        if self._memory is None:
            if pc.all(calls["metered"]).as_py() is not False:
                return Fresh(calls, worse)
            self._memory = self._empty_memory()
        marks = self._marks(calls)
        late = self._memory.late(marks)
        earlier = self._earlier(calls.filter(pa.array(late))) if late.any() else None
        verdict = self._memory.judge(marks, earlier)
        told_of = pa.table({"span": verdict.replaced.span, "start": verdict.replaced.start})
        replaced = pa.concat_tables([worse, told_of])
        if not verdict.again.any():
            return Fresh(calls, replaced, marks)
        kept = ~verdict.again
        return Fresh(calls.filter(pa.array(kept)), replaced, marks.take(kept))

    def committed(self, fresh: Fresh) -> None:
        """What `fresh` tells is in the books now."""
        if self._memory is not None and fresh.marks is not None:
            self._memory.add(fresh.marks)

    def _new(self, calls: pa.Table) -> _New:
        keys = calls.select([*_KEY, "metered"]).append_column("row", pa.array(np.arange(len(calls))))
        self._cursor.register("keys", keys)
        query = statements.load("queries/known")
        known = [
            each
            for earliest, latest in _stretches(calls["start_ts"])
            for each in self._cursor.execute(query, {"earliest": earliest, "latest": latest}).fetchall()
        ]
        worse = {(span, start) for _, is_better, span, start in known if is_better}
        gone = pa.Table.from_pylist([{"span": span, "start": start} for span, start in worse], schema=_GONE)
        is_new = np.ones(len(calls), np.bool_)
        is_new[[row for row, is_better, *_ in known if not is_better]] = False
        return _New(calls.filter(pa.array(is_new)) if known else calls, gone)

    def _empty_memory(self) -> Memory:
        ((latest,),) = self._cursor.execute(statements.load("queries/latest_end")).fetchall()
        return Memory(latest)

    def _earlier(self, late: pa.Table) -> Calls:
        """The calls of the books that may be those that came `late`, told of by another."""
        self._cursor.register("late", late.select(["trace_id", "response_id"]))
        query = statements.load("queries/earlier")
        found = [
            self._cursor.sql(
                query, params={"earliest": earliest - _WITHIN, "latest": latest + _WITHIN}
            ).to_arrow_table()
            for earliest, latest in _stretches(late["start_ts"])
        ]
        return self._marks(pa.concat_tables(found))

    def _marks(self, calls: pa.Table) -> Calls:
        self._cursor.register("came", calls)
        return Calls.read(self._cursor.execute(statements.load("queries/marks")))


def _first_of_each(calls: pa.Table) -> pa.Table:
    """`calls` with each span once: the one that says what it cost, else the first."""
    if pc.count_distinct(calls["span_id"]).as_py() == len(calls):
        return calls
    keys = calls.select([*_KEY, "metered"]).append_column("row", pa.array(np.arange(len(calls))))
    ordered = keys.sort_by([("metered", "descending"), ("row", "ascending")])
    found = ordered.group_by(_KEY, use_threads=False).aggregate([("row", "first")])["row_first"]
    return calls.take(found.sort())


def _stretches(starts: pa.ChunkedArray) -> Iterator[tuple[datetime, datetime]]:
    """The stretches of time that all `starts` are in, with the longest gaps between them.

    Calls that come late are far from the others; what lies between need not be read.
    """
    moments = np.sort(starts.to_numpy())
    gaps = np.diff(moments)
    wide = np.flatnonzero(gaps > np.timedelta64(_TOGETHER))
    widest = np.sort(wide[np.argsort(gaps[wide])[-(_MOST_STRETCHES - 1) :]])
    for stretch in np.split(moments, widest + 1):
        if len(stretch):
            yield stretch[0].item(), stretch[-1].item()
