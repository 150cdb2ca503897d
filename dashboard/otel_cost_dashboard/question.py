"""What the page asks the ledger: a period and filters, chosen in the sidebar and kept in the URL.

Each choice is bound to a query parameter of its own name, so that a link reopens the same view. What is not in the URL
has its default. All times are UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

import streamlit as st

from otel_cost_dashboard import format as fmt
from otel_cost_dashboard.client import Figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_cost_dashboard.client import Ledger, Summary

PERIODS: Final = {
    "1h": "Last hour",
    "24h": "Last 24 hours",
    "7d": "Last 7 days",
    "30d": "Last 30 days",
    "all": "Everything",
    "days": "Chosen days",
}
_DEFAULT_PERIOD: Final = "24h"
_AGES: Final = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(7), "30d": timedelta(30)}

FIRST: Final = ("project", "run", "stage", "role", "model")
"""What one can always filter and break down by; other dimensions join them where they occur in the books."""
LAST: Final = ("provider", "service")
# Dimensions of a user's that the page leaves out: these names mean something else to the ledger, or in the address.
_TIMES: Final = ("since", "until", "hour", "day", "week", "month", "period", "days")
_TAKEN: Final = frozenset({"by", *_TIMES, *Figures.__slots__})
_HOURLY_UP_TO: Final = timedelta(hours=72)
_MOST_CHOICES: Final = 200
"""Values of a dimension that the sidebar lists; there may be as many as there are runs."""


@dataclass(frozen=True, slots=True)
class Question:
    """A period and filters.

    Attributes:
        period: a key of `PERIODS`.
        since: as the ledger's API takes it; None is the beginning.
        until: likewise; None is now.
        start: when the period begins, UTC; None is the beginning of the books.
        end: when it ends, UTC.
        filters: per dimension, the values that count; dimensions without a choice are not in it.
    """

    period: str
    since: str | None
    until: str | None
    start: datetime | None
    end: datetime
    filters: dict[str, tuple[str, ...]]

    def ask(self, ledger: Ledger, *by: str, limit: int | None = None) -> Summary:
        """The summary of this period and these filters by dimensions, up to `limit` rows of it.

        Raises:
            LedgerError: no answer, or not the promised one.
        """
        return ledger.summary(by=by, filters=self.filters, since=self.since, until=self.until, limit=limit)

    def only(self, name: str, values: Sequence[str]) -> Question:
        """The same, of `values` of a dimension alone."""
        return replace(self, filters={**self.filters, name: tuple(values)})

    def words(self) -> str:
        """The period and the filters for a person."""
        if self.period == "days" and self.start is not None:
            last = self.end - timedelta(days=1)
            words = [f"{self.start:%d %b %Y} to {last:%d %b %Y}"]
        else:
            words = [PERIODS["all" if self.start is None else self.period]]
        words.append("UTC")
        words += [f"{fmt.title(name)}: {', '.join(values)}" for name, values in self.filters.items()]
        return " · ".join(words)


def dimensions(occurring: Sequence[str]) -> tuple[str, ...]:
    """What one can break down by, given the dimensions that occur in the books."""
    more = [name for name in occurring if name not in _TAKEN.union(FIRST, LAST)]
    return (*FIRST, *more, *LAST)


def from_sidebar(ledger: Ledger, occurring: Sequence[str]) -> Question:
    """Draw the sidebar and read from it what is asked.

    Raises:
        LedgerError: no answer, or not the promised one.
    """
    with st.sidebar:
        st.markdown("### otel-cost")
        # No format_func: what a choice shows is what the address says, and a link should outlive our wording.
        period = st.segmented_control(
            "Period (UTC)",
            list(PERIODS),
            default=_DEFAULT_PERIOD,
            required=True,
            key="period",
            bind="query-params",
            help="The period and the filters are in the page's address: a link to it shows the same.",
        )
        days = _days() if period == "days" else None
        start, end = _range(period, days, datetime.now(UTC))
        since, until = (period if period in _AGES else None), None
        if days is not None and start is not None:
            since, until = start.isoformat(), end.isoformat()
        choices = {name: _filter(ledger, name, since, until) for name in dimensions(occurring)}
        st.button("Refresh", icon=":material/refresh:", width="stretch")
    filters = {name: chosen for name, chosen in choices.items() if chosen}
    return Question(period, since, until, start, end, filters)


def bucket(ledger: Ledger, question: Question) -> tuple[str, datetime, datetime]:
    """How spend over time is cut: ``hour`` or ``day``, and when the time axis begins and ends, UTC.

    Raises:
        LedgerError: no answer, or not the promised one.
    """
    start, end = question.start, question.end
    if start is None:
        days = [row.keys["day"] for row in question.ask(ledger, "day").rows]
        first = min((day for day in days if day), default=f"{end:%Y-%m-%d}")
        start = datetime.combine(date.fromisoformat(first), time(), UTC)
    if end - start <= _HOURLY_UP_TO:
        start = start.replace(minute=0, second=0, microsecond=0)
        return "hour", start, end
    return "day", datetime.combine(start.date(), time(), UTC), end


def _days() -> tuple[date, date] | None:
    """The first and the last day chosen; None while none is."""
    # An empty range, so that the address always names the days: what equals the default is left out of it.
    chosen = st.date_input("Days (UTC)", value=[], key="days", bind="query-params", format="YYYY-MM-DD")
    return (chosen[0], chosen[-1]) if chosen else None


def _range(period: str, days: tuple[date, date] | None, now: datetime) -> tuple[datetime | None, datetime]:
    """When the period begins (None: with the books) and ends."""
    if days is not None:
        return datetime.combine(days[0], time(), UTC), datetime.combine(days[1], time(), UTC) + timedelta(days=1)
    return (now - _AGES[period] if period in _AGES else None), now


def _filter(ledger: Ledger, name: str, since: str | None, until: str | None) -> tuple[str, ...]:
    """Let one choose among the values of a dimension in the period. What a link names counts in any case."""
    found = ledger.summary(by=[name], since=since, until=until, limit=_MOST_CHOICES)
    options = [value for row in found.rows if (value := row.keys[name]) is not None]
    cut = f"The {_MOST_CHOICES} that cost most; {fmt.count(found.more_rows)} more can be typed."
    chosen: list[str] = st.multiselect(
        fmt.title(name),
        options,
        key=name,
        bind="query-params",
        accept_new_options=True,
        placeholder="All",
        help=cut if found.more_rows else None,
    )
    return tuple(chosen)
