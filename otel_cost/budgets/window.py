"""How long a budget lasts: the life of its id, or an hour, day, week or month in a named time zone, again and again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, get_args

if TYPE_CHECKING:
    from datetime import tzinfo

Span = Literal["life", "hour", "day", "week", "month"]

_QUARTER: Final = 900
"""Seconds. Clocks of all time zones are apart by whole quarters of an hour, so no period begins between two."""


@dataclass(frozen=True, slots=True)
class Window:
    """An hour, day, week (from Monday) or month by the clocks of `timezone`; or the whole life of an id."""

    span: Span = "life"
    timezone: str = "UTC"

    @classmethod
    @lru_cache(maxsize=256)
    def of(cls, span: str, timezone: str = "UTC") -> Window:
        """The window of `span` in `timezone`.

        Raises:
            ValueError: there is no such span or time zone.
        """
        if span not in get_args(Span):
            raise ValueError(f"window={span!r}: write one of {', '.join(get_args(Span))}")
        _zone(timezone)
        return LIFE if span == "life" else cls(span, timezone)  # type: ignore[arg-type] # it is one

    @property
    def text(self) -> str:
        """As baggage carries it behind a limit: ``/day``, ``/day/Europe/Berlin``; nothing for an id's life."""
        if self.span == "life":
            return ""
        return f"/{self.span}" if self.timezone == "UTC" else f"/{self.span}/{self.timezone}"

    def period(self, at: datetime | None = None) -> str:
        """The name of the period that `at` (now) lies in, which no other has: its span, first moment and time zone."""
        if self.span == "life":
            return ""
        return _period(self, int((at.timestamp() if at is not None else time.time()) // _QUARTER))

    def start(self, at: datetime) -> datetime:
        """The first moment of the period that `at` lies in."""
        local = at.astimezone(_zone(self.timezone))
        if self.span == "hour":
            return local.replace(minute=0, second=0, microsecond=0)
        day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        if self.span == "week":
            return day - timedelta(days=day.weekday())
        return day.replace(day=1) if self.span == "month" else day


LIFE: Final = Window()


def span_of(period: str) -> Span:
    """What kind of window the period of that name is of."""
    return period.partition(" ")[0] or "life"  # type: ignore[return-value] # it is one


def started(period: str) -> datetime | None:
    """The first moment of the period of that name; None for an id's life."""
    return datetime.fromisoformat(period.split(" ")[1]) if period else None


def is_over(period: str, at: datetime) -> bool:
    """Whether `at` lies in another period than the one of that name, which it never does in an id's life.

    Raises:
        ValueError: no period has that name.
    """
    if not period:
        return False
    span, _, zone = period.split(" ")
    return Window.of(span, zone).period(at) != period


@lru_cache(maxsize=256)  # asked for with every call
def _period(window: Window, quarter: int) -> str:
    begins = window.start(datetime.fromtimestamp(quarter * _QUARTER, UTC))
    return f"{window.span} {begins.isoformat()} {window.timezone}"


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    """The time zone `name`.

    Raises:
        ValueError: there is none of that name.
    """
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415 - few processes need it

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError, AttributeError):
        raise ValueError(
            f"{name!r} is no time zone that is known here: write one like Europe/Berlin; "
            "a system without a list of them needs: pip install tzdata"
        ) from None
