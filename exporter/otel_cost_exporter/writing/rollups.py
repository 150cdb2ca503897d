"""The sums of calls by hour and day, and how they are kept, proved and mended.

A commit appends what its calls add (`sql/writes/rollup.sql`). The writer merges that into the hours and days now and
then. Whatever changes calls that stand in the books has the sums of their hours made anew, in the same transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from otel_cost_exporter.file import statements

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    import duckdb

_FEW: Final = 50_000
"""Fresh sums that are no burden to whoever asks."""
_IDLE_SHARE: Final = 16
"""When there is nothing else to do, a merge may write so many times as many sums as are fresh."""
_MERGED_AT_ONCE: Final = 100_000
"""Sums that are read, and so held in memory, to merge those of a part; DuckDB has 160 MB for all that it does."""
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Part:
    """Some time, of whole hours.

    Attributes:
        since: the first moment.
        until: the first moment after it.
    """

    since: datetime
    until: datetime

    def condition(self, column: str) -> str:
        """Whether `column` is in it, for a marker in a query, after another condition."""
        return f"AND {column} >= $since AND {column} < $until"

    @property
    def parameters(self) -> dict[str, datetime]:
        """What `condition` refers to."""
        return {"since": self.since, "until": self.until}


class Rollups:
    """The sums as the writer keeps them: when to merge, so that all merges together cost little.

    Args:
        cursor: the writer's; of one thread.
    """

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor: Final = cursor
        self._fresh = _number(cursor.execute(statements.load("queries/fresh")))
        self._written = 0

    def append(self) -> None:
        """Append what the calls in the relation `fresh` add, within their transaction."""
        self._fresh += _number(self._cursor.execute(statements.load("writes/rollup")))

    def are_due(self, *, idle: bool) -> bool:
        """Whether fresh sums should be merged now: a merge writes all sums of the hours and days that it touches anew.

        Args:
            idle: whether the writer has nothing else to do.
        """
        if idle:
            return self._fresh > 0 and self._fresh * _IDLE_SHARE >= self._written
        return self._fresh >= max(_FEW, self._written)

    def merged(self, written: int) -> None:
        """A merge has been committed, and has written so many sums."""
        self._fresh, self._written = 0, written


def merge(cursor: duckdb.DuckDBPyConnection) -> int:
    """Merge fresh sums into the hours and days that they touch, within a transaction; how many sums that wrote."""
    days = cursor.execute(statements.load("queries/touched")).fetchall()
    written = 0
    for part in parts(days, _DAY, _MERGED_AT_ONCE):
        set_part(cursor, part)
        sums = sum(number for day, number in days if part.since <= day < part.until)
        buckets = -(-sums // _MERGED_AT_ONCE)  # more than one for a day that is too large alone
        for bucket in range(buckets):
            _set(cursor, buckets=buckets, bucket=bucket)
            written += _merge(cursor)
    return written


def _merge(cursor: duckdb.DuckDBPyConnection) -> int:
    cursor.execute(statements.load("writes/merge"))
    written = _number(cursor.execute(statements.load("writes/merged_hours")))
    written += _number(cursor.execute(statements.load("writes/merged_days")))
    cursor.execute(statements.load("writes/merged"))
    return written


def _number(result: duckdb.DuckDBPyConnection) -> int:
    (number,) = result.fetchall()[0]
    return int(number)


def rebuild_hours(part: Part, cursor: duckdb.DuckDBPyConnection) -> None:
    """Make the sums of the hours in `part` anew from the calls, and those of its days, within a transaction."""
    set_part(cursor, part)
    cursor.execute(statements.load("writes/rebuild_hours"))
    cursor.execute(statements.load("writes/rebuild_days"))


def rebuild_days(part: Part, cursor: duckdb.DuckDBPyConnection) -> None:
    """Make the sums of the days that `part` touches anew from the hours, within a transaction."""
    set_part(cursor, part)
    cursor.execute(statements.load("writes/rebuild_days"))


def set_part(cursor: duckdb.DuckDBPyConnection, part: Part) -> None:
    """Say to the statements that follow which `part` they are about."""
    _set(cursor, **part.parameters)


def _set(cursor: duckdb.DuckDBPyConnection, **values: datetime | int) -> None:
    for name, value in values.items():
        cursor.execute(f"SET VARIABLE {name} = $value", {"value": value})


def parts(counted: Iterable[tuple[datetime, int]], length: timedelta, at_once: int) -> Iterator[Part]:
    """Parts of time that hold all that is `counted`, each with up to so many at once, unless a single one has more.

    Args:
        counted: hours or days, and how many calls or sums each has, in order.
        length: of each, an hour or a day.
        at_once: what bounds the memory that work on a part takes.
    """
    since = until = None
    held = 0
    for start, number in counted:
        if since is not None and until is not None and held + number > at_once:
            yield Part(since, until)
            since, held = None, 0
        since, until, held = since or start, start + length, held + number
    if since is not None and until is not None:
        yield Part(since, until)
