"""The sums of past days in order, so that a question about one dimension does not read the others.

Merges leave sums day by day. DuckDB passes over what a question does not ask for by groups of 122,880 rows, and few
days have as many. So the sums of days that are over are written anew in blocks of a few groups, in each of which the
sums of a dimension stand together. Sums that come late stand behind them, which is as right, and slower.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from otel_cost_exporter.file import statements
from otel_cost_exporter.writing import rollups

if TYPE_CHECKING:
    import duckdb

_BLOCK: Final = 500_000
"""The most sums of a block: to write it takes about a second, in which nothing else is, and 160 MB at most."""
_LOOK_SECONDS: Final = 3600.0
_NEXT_SECONDS: Final = 10.0
"""Between two blocks, in which commits have their turn."""
_DAY: Final = timedelta(days=1)
_FIRST: Final = datetime(1, 1, 1)  # noqa: DTZ001 - times of the books have no zone


class Order:
    """When to put sums in order; of the writer's thread."""

    def __init__(self) -> None:
        self._look_at = 0.0

    def is_due(self) -> bool:
        """Whether it is time to look for a block. Whatever comes of that, the next look is an hour later."""
        if time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + _LOOK_SECONDS
        return True

    def put(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Put the oldest block in order, of hours or else of days, within a transaction. After one, look again soon."""
        if any(put_in_order(what, cursor) for what in ("hours", "days")):
            self._look_at = time.monotonic() + _NEXT_SECONDS


def put_in_order(what: str, cursor: duckdb.DuckDBPyConnection) -> bool:
    """Put the oldest block of ``hours`` or ``days`` in order, within a transaction; whether there was one.

    A day that makes a block alone is in order already.
    """
    since = dict(cursor.execute(statements.load("queries/in_order")).fetchall()).get(what, _FIRST)
    today = datetime.now(UTC).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    loose = statements.query(f"loose_{what}", days="AND day >= $since AND day < $until")
    counted = cursor.execute(loose, {"since": since, "until": today}).fetchall()
    blocks = list(rollups.parts(counted, _DAY, _BLOCK))
    if len(blocks) <= 1:  # the last has room for the next day
        return False
    block = blocks[0]
    if block.until - block.since > _DAY:
        rollups.set_part(cursor, block)
        cursor.execute(statements.load(f"writes/order_{what}"))
    cursor.execute(statements.load("writes/in_order"), {"what": what, "until": block.until})
    return True
