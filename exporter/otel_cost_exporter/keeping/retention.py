"""How long calls and sums are kept. Sums may outlive their calls: what was spent is known longer than each call is."""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from otel_cost import settings
from otel_cost_exporter.file import statements
from otel_cost_exporter.writing.late import kept

if TYPE_CHECKING:
    import duckdb

    from otel_cost_exporter.file.database import Database
    from otel_cost_exporter.writing.ledger import Ledger

_logger = logging.getLogger(__name__)
_DAY: Final = timedelta(days=1)
_DAYS_OF: Final = {"calls": "queries/days_of_calls", "rollups": "queries/busy_days"}


@dataclass(frozen=True, slots=True)
class Retention:
    """How long to keep what; None for ever.

    Attributes:
        calls: the calls themselves, and events of budgets.
        rollups: the sums of calls, which stay at least as long as they.
    """

    calls: timedelta | None = None
    rollups: timedelta | None = None

    @classmethod
    def of_settings(cls) -> Self:
        """As the environment says."""
        return cls(settings.get(settings.KEEP_CALLS), settings.get(settings.KEEP_ROLLUPS))

    def ends(self, now: datetime | None = None) -> dict[str, datetime]:
        """Before when ``calls`` go, and then ``rollups``, which never go before their calls; what stays is not named.

        Args:
            now: what time it is; None for the clock's.
        """
        today = (now or datetime.now(UTC)).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        if self.calls is None:
            return {}
        calls = {"calls": today - self.calls}
        return calls if self.rollups is None else calls | {"rollups": today - max(self.rollups, self.calls)}


FOREVER: Final = Retention()
"""All is kept."""


def prune(
    ledger: Ledger, retention: Retention, now: datetime | None = None, stopped: threading.Event | None = None
) -> dict[str, Any]:
    """Delete what is older than is kept, by whole days in UTC, each in a transaction of its own.

    Args:
        ledger: the books.
        retention: how long to keep what.
        now: what time it is; None for the clock's.
        stopped: ends the work early, after a day, once it is set.

    Returns:
        How many ``calls``, ``events`` of budgets and ``sums`` went, and from when calls and sums are kept now: from the
        day after the last that was pruned; None where none were ever pruned.
    """
    pruned = dict.fromkeys(_DAYS_OF, 0)
    events = 0
    for what, until in retention.ends(now).items():
        pruned[what] = _prune(ledger, what, until, stopped)
        if what == "calls":
            events = ledger.do(partial(_delete_events, until)).result()
    with closing(ledger.database.cursor()) as cursor:
        return _told(pruned, events, kept(cursor))


def preview(database: Database, retention: Retention, now: datetime | None = None) -> dict[str, Any]:
    """What `prune` would delete, and answer; nothing is."""
    pruned = dict.fromkeys(_DAYS_OF, 0)
    events = 0
    with closing(database.cursor()) as cursor:
        since = kept(cursor)
        for what, until in retention.ends(now).items():
            for day, number in _days(cursor, what, until):
                pruned[what] += number
                since[what] = max(since.get(what, day), day + _DAY)
            if what == "calls":
                ((events,),) = cursor.execute(statements.load("queries/old_events"), {"until": until}).fetchall()
    return _told(pruned, events, since)


def _told(pruned: dict[str, int], events: int, since: dict[str, datetime]) -> dict[str, Any]:
    return {
        "calls": pruned["calls"],
        "events": events,
        "sums": pruned["rollups"],
        "calls_since": _text(since.get("calls")),
        "sums_since": _text(since.get("rollups")),
    }


class Pruner:
    """Prunes `ledger` at once and then every day, in a thread of its own, where anything is kept for a time only."""

    def __init__(self, ledger: Ledger, retention: Retention) -> None:
        self._ledger, self._retention = ledger, retention
        self._stopped: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name="otel-cost-pruner", daemon=True)

    def start(self) -> None:
        """Begin."""
        if self._retention != FOREVER:
            self._thread.start()

    def stop(self) -> None:
        """Finish the day that is being deleted, and end."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                prune(self._ledger, self._retention, stopped=self._stopped)
            except Exception:
                _logger.exception("%s could not be pruned; it is tried again tomorrow", self._ledger.path)
            self._stopped.wait(_DAY.total_seconds())


def _prune(ledger: Ledger, what: str, until: datetime, stopped: threading.Event | None) -> int:
    """Delete what is from before `until`, a day at a time, so that what arrives meanwhile waits for no long work."""
    with closing(ledger.database.cursor()) as cursor:
        days = _days(cursor, what, until)
    deleted = 0
    for day, number in days:
        if stopped is not None and stopped.is_set():
            return deleted
        ledger.do(partial(_delete, what, day + _DAY)).result()
        deleted += number
    return deleted


def _days(cursor: duckdb.DuckDBPyConnection, what: str, until: datetime) -> list[tuple[datetime, int]]:
    """The days before `until` that have any, and how many."""
    query = statements.load(_DAYS_OF[what]).replace("/* days */", "AND day < $until")
    found: list[tuple[datetime, int]] = cursor.execute(query, {"until": until}).fetchall()
    return found


def _delete(what: str, until: datetime, cursor: duckdb.DuckDBPyConnection) -> None:
    cursor.execute("SET VARIABLE until = $until", {"until": until})
    cursor.execute(statements.load(f"writes/prune_{what}"))
    cursor.execute(statements.load("writes/kept"), {"what": what, "since": until})


def _delete_events(until: datetime, cursor: duckdb.DuckDBPyConnection) -> int:
    cursor.execute("SET VARIABLE until = $until", {"until": until})
    cursor.execute(statements.load("writes/prune_quarantine"))
    ((deleted,),) = cursor.execute(statements.load("writes/prune_events")).fetchall()
    return int(deleted)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment.isoformat()}Z"
