"""Hours, days, weeks and months by the clocks of a time zone. Which these are, Python's zones say, and nobody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

    from otel_cost_exporter.answers.question import Question

_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
"""No call starts before the one or after the other, and near the end of all dates no clock can be read."""
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_STEP: Final = timedelta(days=7)
"""No zone has ever changed its clocks and changed them back within a week."""
_SECOND: Final = timedelta(seconds=1)


def bucket(name: str, asked: Question, parameters: dict[str, Any]) -> str:
    """The SQL of the hour, as it begins in UTC, or of the first day of what else `name` is, that ``began`` lies in.

    A week begins on Monday. Moments go into `parameters`.
    """
    if asked.tz is UTC:
        return "date_trunc('hour', began)" if name == "hour" else f"date_trunc('{name}', began::DATE)::DATE"
    ahead = _ahead(asked, parameters)
    if name == "hour":
        return f"date_trunc('hour', began + {ahead}) - {ahead}"
    return f"date_trunc('{name}', (began + {ahead})::DATE)::DATE"


def has_whole_hours(asked: Question) -> bool:
    """Whether an hour by the clocks of the zone is always an hour of UTC."""
    return asked.tz is UTC or not any(offset % _HOUR for _, offset in _offsets(asked))


def _ahead(asked: Question, parameters: dict[str, Any]) -> str:
    """The SQL of how far the clocks of the zone are ahead of UTC at ``began``."""
    (_, offset), *changes = _offsets(asked)
    parameters["ahead"] = offset
    found = "$ahead"
    for number, (moment, later) in enumerate(changes):
        parameters |= {f"change_{number}": moment, f"ahead_{number}": later}
        found = f"CASE WHEN began >= $change_{number} THEN $ahead_{number} ELSE {found} END"
    return found


def _offsets(asked: Question) -> list[tuple[datetime, timedelta]]:
    """From when on, UTC without a zone, the clocks are how far ahead, in the time that is asked for."""
    since = _within(asked.since) if asked.since else _EARLIEST
    until = _within(asked.until) if asked.until else datetime.now(UTC) + 2 * _DAY
    return [(moment.replace(tzinfo=None), ahead) for moment, ahead in _changes(asked.tz, since, max(since, until))]


def _within(moment: datetime) -> datetime:
    return max(_EARLIEST, min(moment.replace(tzinfo=UTC), _LATEST))


def _changes(tz: tzinfo, since: datetime, until: datetime) -> Iterator[tuple[datetime, timedelta]]:
    ahead = _at(tz, since)
    yield since, ahead
    while since < until:
        then = min(since + _STEP, until)
        if (later := _at(tz, then)) != ahead:
            since, then = _narrowed(tz, since, then)
            ahead = later
            yield then, ahead
        since = then


def _narrowed(tz: tzinfo, since: datetime, until: datetime) -> tuple[datetime, datetime]:
    """The second in which the clocks are put forward or back between two times."""
    before = _at(tz, since)
    since, until = since.replace(microsecond=0), until.replace(microsecond=0)
    while until - since > _SECOND:
        middle = since + timedelta(seconds=(until - since) // _SECOND // 2)
        since, until = (middle, until) if _at(tz, middle) == before else (since, middle)
    return since, until


def _at(tz: tzinfo, moment: datetime) -> timedelta:
    return moment.astimezone(tz).utcoffset() or timedelta()
