"""Periods of windows, by the clocks of named time zones."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from otel_cost.budgets.window import LIFE, Window, span_of, started


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_the_life_of_an_id_is_one_period_without_a_name() -> None:
    assert Window.of("life", "Europe/Berlin") is LIFE
    assert LIFE.period() == ""
    assert (span_of(""), started(""), LIFE.text) == ("life", None, "")


@pytest.mark.parametrize(
    ("span", "zone", "at", "name"),
    [
        ("hour", "UTC", "2026-11-23T02:59:59Z", "hour 2026-11-23T02:00:00+00:00 UTC"),
        ("day", "Europe/Berlin", "2026-11-22T23:00:00Z", "day 2026-11-23T00:00:00+01:00 Europe/Berlin"),
        ("day", "Europe/Berlin", "2026-11-22T22:59:59Z", "day 2026-11-22T00:00:00+01:00 Europe/Berlin"),
        ("day", "Asia/Kathmandu", "2026-01-01T18:15:00Z", "day 2026-01-02T00:00:00+05:45 Asia/Kathmandu"),
        ("day", "Asia/Kathmandu", "2026-01-01T18:14:59Z", "day 2026-01-01T00:00:00+05:45 Asia/Kathmandu"),
        ("week", "UTC", "2026-11-22T23:59:59Z", "week 2026-11-16T00:00:00+00:00 UTC"),
        ("week", "UTC", "2026-11-23T00:00:00Z", "week 2026-11-23T00:00:00+00:00 UTC"),
        ("month", "America/New_York", "2026-11-01T03:59:59Z", "month 2026-10-01T00:00:00-04:00 America/New_York"),
        ("month", "America/New_York", "2026-11-01T04:00:00Z", "month 2026-11-01T00:00:00-04:00 America/New_York"),
    ],
)
def test_a_period_is_named_by_its_first_moment(span: str, zone: str, at: str, name: str) -> None:
    found = Window.of(span, zone).period(moment(at))
    assert found == name
    assert span_of(found) == span
    assert started(found) == moment(name.split(" ")[1])


def test_now_lies_in_a_period() -> None:
    before = datetime.now(UTC)
    begun = started(Window.of("hour").period())
    assert begun is not None
    assert begun <= datetime.now(UTC) < begun + timedelta(hours=1, seconds=(datetime.now(UTC) - before).total_seconds())


@pytest.mark.parametrize("zone", ["America/Havana", "Europe/Berlin", "Africa/Cairo", "Atlantic/Azores"])
def test_days_follow_one_another_where_the_clocks_change(zone: str) -> None:
    """By each quarter of an hour of two years: no day comes twice, none is left out, each begins on time."""
    window, there = Window.of("day", zone), ZoneInfo(zone)
    at = datetime(2025, 1, 1, tzinfo=UTC)
    seen: list[str] = []
    while at.year < 2027:
        name = window.period(at)
        assert name.startswith(f"day {at.astimezone(there).date()}T00:00:00")
        if not seen or name != seen[-1]:
            assert not seen or started(name) == at
            seen.append(name)
        at += timedelta(minutes=15)
    assert len(seen) == len(set(seen)) == len({name[:14] for name in seen})


def test_an_hour_that_comes_twice_is_two() -> None:
    berlin = Window.of("hour", "Europe/Berlin")
    first, second = berlin.period(moment("2026-10-25T00:30:00Z")), berlin.period(moment("2026-10-25T01:30:00Z"))
    assert (first, second) == (
        "hour 2026-10-25T02:00:00+02:00 Europe/Berlin",
        "hour 2026-10-25T02:00:00+01:00 Europe/Berlin",
    )


def test_two_zones_with_the_same_clocks_have_periods_of_their_own() -> None:
    at = moment("2026-11-23T12:00:00Z")
    assert Window.of("day", "Europe/Berlin").period(at) != Window.of("day", "Europe/Paris").period(at)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "/etc/localtime", "Europe", "x\0"])
def test_a_time_zone_that_is_not_there(zone: str) -> None:
    with pytest.raises(ValueError, match="write one like Europe/Berlin"):
        Window.of("day", zone)


def test_a_span_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="window='year': write one of life, hour, day, week, month"):
        Window.of("year")


@pytest.mark.parametrize(
    ("window", "text"),
    [(Window.of("day"), "/day"), (Window.of("month", "Europe/Berlin"), "/month/Europe/Berlin")],
)
def test_a_window_as_baggage_carries_it(window: Window, text: str) -> None:
    assert window.text == text
