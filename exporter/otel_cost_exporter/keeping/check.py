"""Whether the sums are those of the calls, to the last digit, and mending them where they are not.

Hours are held against the calls, and days against the hours: for calls that were pruned only the latter can be done.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from otel_cost_exporter.file import statements
from otel_cost_exporter.writing import rollups
from otel_cost_exporter.writing.late import kept

if TYPE_CHECKING:
    import duckdb

    from otel_cost_exporter.file.database import Database
    from otel_cost_exporter.writing.ledger import Ledger
    from otel_cost_exporter.writing.rollups import Part

CALLS_AT_ONCE: Final = 50_000
_SUMS_AT_ONCE: Final = 50_000
_MOST_TOLD: Final = 100
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_BEGINNING: Final = datetime.min  # noqa: DTZ901 - as all times of the books, UTC without a zone


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of a sum that is not what it should be.

    Attributes:
        span: ``hour`` or ``day``.
        since: when that begins.
        dimension: empty for all calls.
        id: of the dimension.
        model: of the sum; None where its calls name none.
        cost_status: of the sum.
        figure: a column of the rollups.
        owed: what the calls of the hour say, or the hours of the day; None where there are none.
        held: what the sum says; None where there is none.
    """

    span: str
    since: datetime
    dimension: str
    id: str
    model: str | None
    cost_status: str
    figure: str
    owed: str | None
    held: str | None


@dataclass(slots=True)
class Checked:
    """What a check has found.

    Attributes:
        calls: how many were added up.
        since: the first hour for which there are calls; before it, only days were held against hours.
        number: how many figures differ.
        differences: the first of them.
        wrong_hours: where hours differ from their calls.
        wrong_days: where days differ from their hours.
    """

    calls: int = 0
    since: datetime | None = None
    number: int = 0
    differences: list[Difference] = field(default_factory=list)
    wrong_hours: list[Part] = field(default_factory=list)
    wrong_days: list[Part] = field(default_factory=list)

    @property
    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        told = [{**asdict(each), "since": f"{each.since.isoformat()}Z"} for each in self.differences]
        since = f"{self.since.isoformat()}Z" if self.since else None
        return {"calls": self.calls, "since": since, "different_figures": self.number, "differences": told}

    def note(self, found: list[tuple[Any, ...]], part: Part, wrong: list[Part]) -> None:
        """Take in the rows of ``differences.sql`` for `part`, each of which says last how many there are."""
        if found:
            wrong.append(part)
            self.number += found[0][-1]
            self.differences += [Difference(*row[:-1]) for row in found[: _MOST_TOLD - len(self.differences)]]


def check(database: Database) -> Checked:
    """Hold all sums against what they are sums of, as the books stand at one moment."""
    checked = Checked()
    with closing(database.cursor()) as cursor:
        cursor.begin()
        checked.since = since = kept(cursor).get("calls")
        hours = _counted(cursor, "queries/busy_hours", "AND hour >= $since", since=since or _BEGINNING)
        checked.calls = sum(calls for _, calls in hours)
        for part in rollups.parts(hours, _HOUR, CALLS_AT_ONCE):
            checked.note(_different_hours(cursor, part), part, checked.wrong_hours)
        for part in rollups.parts(_counted(cursor, "queries/busy_days"), _DAY, _SUMS_AT_ONCE):
            checked.note(_different_days(cursor, part), part, checked.wrong_days)
        cursor.rollback()
    return checked


def repair(ledger: Ledger, checked: Checked) -> None:
    """Make the sums anew where a check has found a difference."""
    for part in checked.wrong_hours:
        ledger.do(partial(rollups.rebuild_hours, part)).result()
    for part in checked.wrong_days:
        ledger.do(partial(rollups.rebuild_days, part)).result()


def _counted(
    cursor: duckdb.DuckDBPyConnection, query: str, condition: str = "", **parameters: object
) -> list[tuple[datetime, int]]:
    return cursor.execute(statements.load(query).replace("/* hours */", condition), parameters).fetchall()


def _different_hours(cursor: duckdb.DuckDBPyConnection, part: Part) -> list[tuple[Any, ...]]:
    return _different(cursor, part, calls=part.condition("start_ts"), hours=part.condition("hour"))


def _different_days(cursor: duckdb.DuckDBPyConnection, part: Part) -> list[tuple[Any, ...]]:
    return _different(cursor, part, days=part.condition("day"), hours_of_days=part.condition("hour"))


def _different(cursor: duckdb.DuckDBPyConnection, part: Part, **conditions: str) -> list[tuple[Any, ...]]:
    query = statements.load("queries/differences")
    for marker in ("calls", "hours", "days", "hours_of_days"):
        query = query.replace(f"/* {marker} */", conditions.get(marker, "AND false"))
    return cursor.execute(query, part.parameters).fetchall()
