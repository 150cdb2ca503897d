"""A question to the books, read from the parameters of an HTTP request or of a command: one reading for both."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from otel_cost.semconv import DIMENSIONS
from otel_cost_exporter.errors import QuestionError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from datetime import tzinfo

TIME_BUCKETS: Final = ("hour", "day", "week", "month")
FACETS: Final = ("provider", "model", "service", "environment", "operation", "outcome", "charge")
"""Columns of the view ``facts`` that the sums of every dimension have as well, as they have ``project``."""
FILTERS: Final = (*DIMENSIONS, *FACETS)
"""Columns of the view ``facts`` that a question may filter by, beside the user's own dimensions."""
GROUPINGS: Final = (*FILTERS, *TIME_BUCKETS)
"""What a question may group by, beside the user's own dimensions."""
FIGURES: Final = (
    "calls",
    "failed_calls",
    "cut_calls",
    "refused_calls",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_usd",
    "estimated_cost_usd",
    "estimated_calls",
    "unknown_calls",
    "unknown_input_tokens",
    "unknown_output_tokens",
    "waste_usd",
    "unknown_waste_calls",
)
"""The figures of every answer, in the order in which ``figures.sql`` selects them."""

_AGO: Final = re.compile(r"(\d{1,6})([mhdw])\Z")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_MONTH: Final = re.compile(r"\d{4}-\d{2}\Z")
_LONGEST: Final = 1024
_MOST_DAYS: Final = 3660
_VIEWS: Final = ("calls", "focus")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the calls.

    Attributes:
        by: what to group by, in the order of the answer's keys.
        filters: the ids that are asked for, by what is filtered; a call must match each of the filters.
        since: the earliest start that counts, UTC without a zone.
        until: the start from which calls no longer count, UTC without a zone.
        tz: by whose clocks a day and an hour begin, and a time without a zone is meant.
        limit: how many rows are wanted.
        cursor: where the page before ended.
        sort: what a list is ordered by.
        search: what the ids of a list must contain.
        days: how many days back, today included.
        per: the dimension that is the unit of work.
        instead: other models that calls are compared with.
        view: what is exported: ``calls``, or ``focus``.
    """

    by: tuple[str, ...] = ()
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    tz: tzinfo = UTC
    limit: int | None = None
    cursor: str | None = None
    sort: str | None = None
    search: str | None = None
    days: int | None = None
    per: str | None = None
    instead: tuple[str, ...] = ()
    view: str | None = None


_PARAMETERS: Final = tuple(each.name for each in fields(Question) if each.name != "filters")
SUMMARY: Final = frozenset({"by", "since", "until", "tz", "limit"})
"""The parameters of a summary, beside its filters."""


def askable(dimensions: Collection[str]) -> tuple[str, ...]:
    """Those of `dimensions` that are the user's own, by name; but for those called like a figure or a parameter."""
    return tuple(sorted(set(dimensions) - {*GROUPINGS, *FIGURES, *_PARAMETERS}))


def read(
    parameters: Iterable[tuple[str, str]],
    own_dimensions: Collection[str],
    takes: Collection[str] = SUMMARY,
    *,
    filters: Collection[str] = FILTERS,
) -> Question:
    """The question that `parameters` ask.

    Args:
        parameters: name and value of each, such as ``("by", "model")`` and ``("project", "a")``; may repeat.
        own_dimensions: the user's own dimensions that occur in the books.
        takes: the names of the parameters that this question may have.
        filters: what it may be filtered by, and by the user's own dimensions then.

    Raises:
        QuestionError: a parameter is unknown or cannot be read; the text names it and what is allowed.
    """
    own = askable(own_dimensions)
    by: list[str] = []
    instead: list[str] = []
    wanted: dict[str, tuple[str, ...]] = {}
    texts: dict[str, str] = {}
    allowed = (*(name for name in _PARAMETERS if name in takes), *((*filters, *own) if filters else ()))
    for name, value in parameters:
        _require(
            name, allowed, f"parameter {name!r} is unknown, " + ("allowed are" if allowed else "none is allowed here")
        )
        if name == "by":
            _require(value, (*GROUPINGS, *own), f"by={value!r} is unknown, by can be")
            by += [value] if value not in by else []
        elif name == "instead":
            instead += [_text(name, value, UTC)] if value not in instead else []
        elif name not in takes:
            wanted[name] = (*wanted.get(name, ()), value)
        elif name in texts:
            raise QuestionError(f"{name} is given more than once")
        else:
            texts[name] = value
    if "per" in texts:
        _require(texts["per"], (*DIMENSIONS, *own), f"per={texts['per']!r} is unknown, per can be")
    tz = _zone("tz", texts.pop("tz")) if "tz" in texts else UTC
    given = {name: _READ[name](name, text, tz) for name, text in texts.items()}
    if {"since", "until"} <= given.keys() and given["since"] > given["until"]:
        raise QuestionError(f"since={texts['since']!r} is after until={texts['until']!r}")
    return Question(tuple(by), wanted, tz=tz, instead=tuple(instead), **given)


def _require(name: str, allowed: tuple[str, ...], complaint: str) -> None:
    if name not in allowed:
        raise QuestionError(f"{complaint}: {', '.join(allowed)}" if allowed else complaint)


def _zone(name: str, text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError):  # there is none of that name, or it is no name but a path
        raise QuestionError(f"{name}={text!r} is no time zone: write one like UTC or Europe/Berlin") from None


def _time(name: str, text: str, tz: tzinfo) -> datetime:
    """A point in time, UTC without a zone: ISO 8601, where no zone means `tz`, or how long ago, such as ``24h``.

    A month, such as ``2026-11``, is its beginning.
    """
    try:
        if ago := _AGO.match(text):
            moment = datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            moment = datetime.fromisoformat(f"{text}-01" if _MONTH.match(text) else text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=tz)
        return moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise QuestionError(
            f"{name}={text!r} is no time: write it like 2026-11-22, 2026-11-22T15:00:00Z, 2026-11, 24h or 7d"
        ) from None


def _number(most: int) -> Callable[[str, str, tzinfo], int]:
    def number(name: str, text: str, _: tzinfo) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) <= len(str(most)) and 1 <= int(text) <= most):
            raise QuestionError(f"{name}={text!r} is no whole number from 1 to {most}")
        return int(text)

    return number


def _text(name: str, text: str, _: tzinfo) -> str:
    if not 0 < len(text) <= _LONGEST:
        raise QuestionError(f"{name} is empty or longer than {_LONGEST} characters")
    return text


def _view(name: str, text: str, _: tzinfo) -> str:
    if text not in _VIEWS:
        raise QuestionError(f"{name}={text!r} is unknown, {name} can be: {', '.join(_VIEWS)}")
    return text


_READ: Final[Mapping[str, Callable[[str, str, tzinfo], Any]]] = {
    "since": _time,
    "until": _time,
    "limit": _number(1000),
    "cursor": _text,
    "sort": _text,
    "search": _text,
    "days": _number(_MOST_DAYS),
    "per": _text,
    "view": _view,
}
