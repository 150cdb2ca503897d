"""A question to the books, read from the parameters of an HTTP request or of a command: one reading for both."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from otel_cost.semconv import DIMENSIONS
from otel_cost_exporter.errors import QuestionError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

TIME_BUCKETS: Final = ("hour", "day")
FILTERS: Final = (*DIMENSIONS, "provider", "model", "service", "environment", "operation", "outcome")
"""Columns of the view ``facts`` that a question may filter by, beside the user's own dimensions."""
GROUPINGS: Final = (*FILTERS, *TIME_BUCKETS)
"""Columns of the view ``facts`` that a question may group by, beside the user's own dimensions."""
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
"""The figures of every answer, in the order in which ``summary.sql`` selects them."""

_AGO: Final = re.compile(r"(\d{1,6})([mhdw])\Z")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the calls.

    Attributes:
        by: what to group by, in the order of the answer's keys.
        filters: the ids that are asked for, by what is filtered; a call must match each of the filters.
        since: the earliest start that counts, UTC without a zone.
        until: the start from which calls no longer count, UTC without a zone.
    """

    by: tuple[str, ...] = ()
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None


def askable(dimensions: Collection[str]) -> tuple[str, ...]:
    """Those of `dimensions` that are the user's own, by name; but for those called like a figure or a parameter."""
    return tuple(sorted(set(dimensions) - {*GROUPINGS, *FIGURES, "by", "since", "until"}))


def read(parameters: Iterable[tuple[str, str]], own_dimensions: Collection[str]) -> Question:
    """The question that `parameters` ask.

    Args:
        parameters: name and value of each, such as ``("by", "model")`` and ``("project", "a")``; may repeat.
        own_dimensions: the user's own dimensions that occur in the books.

    Raises:
        QuestionError: a parameter is unknown or cannot be read; the text names it and what is allowed.
    """
    own = askable(own_dimensions)
    by: list[str] = []
    filters: dict[str, tuple[str, ...]] = {}
    times: dict[str, datetime] = {}
    for name, value in parameters:
        if name == "by":
            _require(value, (*GROUPINGS, *own), f"by={value!r} is unknown, by can be")
            if value not in by:
                by.append(value)
        elif name in {"since", "until"}:
            if name in times:
                raise QuestionError(f"{name} is given more than once")
            times[name] = _time(name, value)
        else:
            _require(name, ("by", "since", "until", *FILTERS, *own), f"parameter {name!r} is unknown, allowed are")
            filters[name] = (*filters.get(name, ()), value)
    return Question(tuple(by), filters, times.get("since"), times.get("until"))


def _require(name: str, allowed: tuple[str, ...], complaint: str) -> None:
    if name not in allowed:
        raise QuestionError(f"{complaint}: {', '.join(allowed)}")


def _time(name: str, text: str) -> datetime:
    """A point in time, UTC without a zone: ISO 8601, where no zone means UTC, or how long ago, such as ``24h``."""
    try:
        if ago := _AGO.match(text):
            moment = datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            moment = datetime.fromisoformat(text)
            moment = moment.astimezone(UTC) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        raise QuestionError(
            f"{name}={text!r} is no time: write it like 2026-11-22, 2026-11-22T15:00:00Z, 24h or 7d"
        ) from None
    return moment.replace(tzinfo=None)
