from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pandas as pd

from otel_cost_dashboard import charts

START = datetime(2026, 11, 22, 13, tzinfo=UTC)
END = datetime(2026, 11, 22, 16, 30, tzinfo=UTC)


def frame(*rows: tuple[str, str | None, int], at: str | None = None) -> pd.DataFrame:
    names, costs, calls = zip(*rows, strict=True)
    money = pd.Series([None if cost is None else Decimal(cost) for cost in costs], dtype="object")
    found = pd.DataFrame({"name": names, "cost_usd": money, "calls": calls})
    if at is not None:
        found.insert(0, "bucket", pd.to_datetime([at] * len(rows), utc=True))
    return found


def over_time(
    data: pd.DataFrame, names: list[str], bucket: str = "hour"
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    chart = charts.over_time(data, bucket=bucket, names=names, title="Project", start=START, end=END)
    specification = chart.to_dict()
    return specification, next(iter(specification["datasets"].values()))


def test_spend_over_time_is_stacked_in_the_order_of_cost() -> None:
    data = frame(("borealis", "0.0021", 2), ("atlas", "0.0150", 3), at="2026-11-22T15:00:00Z")
    specification, rows = over_time(data, ["atlas", "borealis"])
    encoding = specification["encoding"]
    assert encoding["y"]["stack"] == "zero"
    assert encoding["color"]["scale"] == {"domain": ["atlas", "borealis"], "range": ["#0072B2", "#E69F00"]}
    by_name = {row["name"]: row for row in rows}
    assert by_name["atlas"]["rank"] == 0
    assert by_name["borealis"]["rank"] == 1
    assert by_name["atlas"]["cost"] == 0.015
    assert by_name["atlas"]["exact"] == "0.015000"
    assert by_name["borealis"]["calls"] == 2
    assert by_name["atlas"]["bucket"].startswith("2026-11-22T15:00:00")
    assert "cost_usd" not in by_name["atlas"]


def test_hours_and_days_are_buckets_of_utc_in_the_asked_period() -> None:
    data = frame(("atlas", "1", 1), at="2026-11-22T00:00:00Z")
    hours, days = (over_time(data, ["atlas"], bucket)[0]["encoding"]["x"] for bucket in ("hour", "day"))
    assert hours["timeUnit"] == {"unit": "yearmonthdatehours", "utc": True}
    assert days["timeUnit"] == {"unit": "yearmonthdate", "utc": True}
    first, last = hours["scale"]["domain"]
    assert first == {"year": 2026, "month": 11, "date": 22, "hours": 13, "minutes": 0, "utc": True}
    assert (last["hours"], last["minutes"]) == (16, 30)


def test_values_beyond_the_colours_are_drawn_together_and_summed_exactly() -> None:
    names = [f"p{number}" for number in range(9)]
    data = frame(*((name, "0.000000000001", 1) for name in names), at="2026-11-22T15:00:00Z")
    specification, rows = over_time(data, names)
    assert specification["encoding"]["color"]["scale"]["domain"] == ["p0", "p1", "p2", "p3", "p4", "p5", "3 others"]
    others = next(row for row in rows if row["name"] == "3 others")
    assert others["exact"] == "0.000000000003"
    assert others["calls"] == 3
    assert others["rank"] == charts.SERIES
    assert len(rows) == 7


def test_one_value_beyond_the_colours_is_one_other() -> None:
    assert list(charts.colours_of([f"p{number}" for number in range(7)]))[-1] == "1 other"
    assert list(charts.colours_of(["p0"], 6))[-1] == "1 other"
    assert list(charts.colours_of(["p0"], 5)) == ["p0"]
    assert charts.colours_of([]) == {}


def test_unknown_cost_is_no_bar_and_not_zero() -> None:
    _, rows = over_time(frame(("local", None, 4), at="2026-11-22T15:00:00Z"), ["local"])
    assert rows[0]["cost"] is None
    assert rows[0]["exact"] == "unknown"


def test_a_bar_has_the_colour_of_its_stack_and_the_figure_of_the_table() -> None:
    data = frame(("atlas", "0.0150", 3), ("borealis", "0.00000015", 2), ("local", None, 1))
    specification = charts.by_dimension(data, names=["atlas", "borealis", "local"], title="Project").to_dict()
    rows = next(iter(specification["datasets"].values()))
    assert [row["label"] for row in rows] == ["$0.0150", "$0.00000015", "unknown"]
    assert [row["exact"] for row in rows] == ["0.015000", "0.00000015", "unknown"]
    assert [row["colour"] for row in rows] == list(charts.colours_of(["atlas", "borealis", "local"]).values())
    bars, labels = specification["layer"]
    assert bars["encoding"]["y"]["sort"] is None
    assert bars["encoding"]["x"]["scale"]["domain"] == [0, 0.015 * 1.5]
    assert labels["mark"]["type"] == "text"


def test_bars_are_as_many_as_one_can_read() -> None:
    data = frame(*((f"p{number:02}", "1", 1) for number in range(40)))
    specification = charts.by_dimension(data, names=list(data["name"]), title="Run").to_dict()
    rows = next(iter(specification["datasets"].values()))
    assert len(rows) == charts.BARS
    assert rows[-1]["colour"] == charts.OTHERS_COLOUR


def test_bars_without_any_cost_can_be_drawn() -> None:
    specification = charts.by_dimension(frame(("local", None, 1)), names=["local"], title="Model").to_dict()
    assert specification["layer"][0]["encoding"]["x"]["scale"]["domain"] == [0, 1.5]
