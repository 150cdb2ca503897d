"""Charts: pure functions from a frame to an Altair chart.

The one place where money becomes a float, because pixels are. Tooltips carry the exact figure as text. Colours are
those of Okabe and Ito, which colour-blind people can tell apart, without the ones that vanish on white or on black;
axes, grid and fonts come from Streamlit's theme, light or dark.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import altair as alt

from otel_cost_dashboard import format as fmt

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd

COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
OTHERS_COLOUR: Final = "#8A8F98"
SERIES: Final = len(COLOURS)
"""How many values of a dimension get a colour of their own; the rest are drawn together."""
BARS: Final = 12
"""How many bars are drawn; the table beside them has the rest."""
_MONEY_AXIS: Final = "$,.6~f"
_HEIGHT_PIXELS: Final = 320
_BAR_PIXELS: Final = 30
_LABEL_ROOM: Final = 1.5
"""How much wider than its longest bar a bar chart is, so that the figure behind it has room."""


def over_time(
    frame: pd.DataFrame, *, bucket: str, names: list[str], more: int = 0, title: str, start: datetime, end: datetime
) -> alt.Chart:
    """Spend over time as stacked bars.

    Args:
        frame: one row per time bucket and value: ``bucket`` (UTC timestamps), ``name``, ``cost_usd`` (Decimal, None
            where unknown), ``calls``.
        bucket: how long a bucket is: ``hour`` or ``day``.
        names: values by cost, descending: the first ones get a colour each, the same as in `by_dimension`.
        more: how many values there are beyond them.
        title: the name of the dimension.
        start: where the time axis begins, UTC.
        end: where it ends, UTC.
    """
    colours = colours_of(names, more)
    groups = _drawn(frame, names, more).groupby(["bucket", "name", "rank"], as_index=False)
    drawn = groups.agg(cost_usd=("cost_usd", _total), calls=("calls", "sum"))
    drawn["exact"] = [fmt.exact_usd(cost) for cost in drawn["cost_usd"]]
    drawn["cost"] = drawn["cost_usd"].astype(float)
    unit = alt.TimeUnitParams(unit="yearmonthdatehours" if bucket == "hour" else "yearmonthdate", utc=True)
    time_format = "%d %b %H:%M" if bucket == "hour" else "%d %b %Y"
    domain = [_moment(start), _moment(end)]
    chart: alt.Chart = (
        alt.Chart(drawn.drop(columns="cost_usd"), height=_HEIGHT_PIXELS)
        .mark_bar(cornerRadiusTopLeft=1, cornerRadiusTopRight=1)
        .encode(
            x=alt.X(
                "bucket:T",
                timeUnit=unit,
                scale=alt.Scale(type="utc", domain=domain),
                axis=alt.Axis(format=time_format, title=None, labelOverlap=True),
            ),
            y=alt.Y("cost:Q", stack="zero", title=f"USD per {bucket}", axis=alt.Axis(format=_MONEY_AXIS)),
            color=alt.Color(
                "name:N",
                title=None,
                scale=alt.Scale(domain=list(colours), range=list(colours.values())),
                legend=alt.Legend(orient="top", labelLimit=240, columns=SERIES + 1),
            ),
            order=alt.Order("rank:Q"),
            tooltip=[
                alt.Tooltip("bucket:T", timeUnit=unit, title="UTC", format=time_format),
                alt.Tooltip("name:N", title=title),
                alt.Tooltip("exact:N", title="USD"),
                alt.Tooltip("calls:Q", title="Calls", format=","),
            ],
        )
    )
    return chart


def by_dimension(frame: pd.DataFrame, *, names: list[str], title: str) -> alt.LayerChart:
    """Spend by the values of a dimension as horizontal bars, the largest on top.

    Args:
        frame: one row per value, by cost, descending: ``name``, ``cost_usd`` (Decimal, None where unknown), ``calls``.
        names: those that get a colour, as in `over_time`.
        title: the name of the dimension.
    """
    colours = colours_of(names)
    drawn = frame.head(BARS).reset_index(drop=True)
    drawn["exact"] = [fmt.exact_usd(cost) for cost in drawn["cost_usd"]]
    drawn["label"] = [fmt.usd(cost) for cost in drawn["cost_usd"]]
    drawn["cost"] = [0.0 if cost is None else float(cost) for cost in drawn["cost_usd"]]
    drawn["colour"] = [colours.get(name, OTHERS_COLOUR) for name in drawn["name"]]
    largest = drawn["cost"].max() or 1.0
    base = alt.Chart(drawn.drop(columns="cost_usd")).encode(
        x=alt.X("cost:Q", title=None, axis=None, scale=alt.Scale(domain=[0, largest * _LABEL_ROOM], nice=False)),
        y=alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=130, ticks=False, domain=False)),
        tooltip=[
            alt.Tooltip("name:N", title=title),
            alt.Tooltip("exact:N", title="USD"),
            alt.Tooltip("calls:Q", title="Calls", format=","),
        ],
    )
    bars = base.mark_bar(cornerRadiusEnd=2).encode(color=alt.Color("colour:N", scale=None))
    labels = base.mark_text(align="left", dx=5, color=OTHERS_COLOUR).encode(text="label:N")
    return alt.LayerChart(layer=[bars, labels], height=_BAR_PIXELS * (len(drawn) + 1))


def colours_of(names: list[str], more: int = 0) -> dict[str, str]:
    """A colour for each of the first values, and for the rest together, by the name under which they are drawn."""
    first = list(dict.fromkeys(names))
    colours = dict(zip(first, COLOURS, strict=False))
    if (others := len(first) + more - SERIES) > 0:
        colours[_others(others)] = OTHERS_COLOUR
    return colours


def _moment(when: datetime) -> alt.DateTime:
    return alt.DateTime(year=when.year, month=when.month, date=when.day, hours=when.hour, minutes=when.minute, utc=True)


def _others(number: int) -> str:
    return f"{number} other" if number == 1 else f"{number} others"


def _drawn(frame: pd.DataFrame, names: list[str], more: int) -> pd.DataFrame:
    """The frame with its values as they are drawn: a name, and its rank in the stack."""
    first = list(dict.fromkeys(names))
    ranks = {name: min(rank, SERIES) for rank, name in enumerate(first)}
    others = _others(len(first) + more - SERIES)
    rank = frame["name"].map(ranks).fillna(SERIES).astype(int)
    name = frame["name"].where(rank < SERIES, others)
    return frame.assign(name=name, rank=rank)


def _total(costs: pd.Series[Any]) -> Decimal | None:
    """The exact sum of the costs that are known; None where none is."""
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if known else None
