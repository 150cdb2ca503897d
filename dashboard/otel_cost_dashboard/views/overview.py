"""The overview: what was spent in a period, by whom, when, and how much of each budget is used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

import pandas as pd
import streamlit as st

from otel_cost_dashboard import charts, frames, question, states, tables
from otel_cost_dashboard import format as fmt
from otel_cost_dashboard.tables import Column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamlit.delta_generator import DeltaGenerator

    from otel_cost_dashboard.client import Budget, Budgets, Figures, Ledger, Summary
    from otel_cost_dashboard.question import Question

_CALM: Final = charts.COLOURS[0]
_NEAR: Final = charts.COLOURS[1]
_BROKEN: Final = charts.COLOURS[5]
_NEAR_SHARE: Final = 0.8
_LENGTHS: Final = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
_MOST_POINTS: Final = 20_000
"""How many rows are asked for to draw spend over time: the ledger refuses very many, and few of them can be seen."""


def show(ledger: Ledger) -> None:
    """Draw the page.

    Raises:
        LedgerError: no answer, or not the promised one.
    """
    health = ledger.health()
    if health.calls == 0:
        states.empty(health, ledger.url)
        return
    if health.failure is not None:
        states.cannot_write(health)
    occurring = ledger.dimensions()
    asked = question.from_sidebar(ledger, occurring)
    books = tables.code(PurePath(health.ledger).name)
    st.sidebar.caption(f"From {books} at {tables.code(ledger.url)}", help=tables.plain(health.ledger))
    st.markdown("## Overview")
    st.caption(tables.plain(asked.words()))
    totals = st.container()
    dimension = _dimension(occurring)
    summary = asked.ask(ledger, dimension, limit=tables.MOST_ROWS)
    budgets = ledger.budgets(tables.MOST_ROWS)
    if summary.total.calls or summary.total.refused_calls:
        with totals:
            _totals(summary.total)
        names = _over_time(ledger, asked, summary, dimension)
        _breakdown(summary, dimension, names)
    else:
        states.nothing_found()
    _budgets(budgets)


def _dimension(occurring: Sequence[str]) -> str:
    """Let one choose what to break the spend down by."""
    return st.segmented_control(
        "Break down by",
        question.dimensions(occurring),
        default=question.FIRST[0],
        required=True,
        key="by",
        bind="query-params",
    )


def _totals(total: Figures) -> None:
    """The figures of the whole view: what is known, estimated and unknown stands side by side."""
    spent, known, estimated, unknown, calls, refused = st.columns(6)
    _card(spent, "Spent", fmt.usd(total.cost_usd), _exactly(total.cost_usd))
    _card(known, "Known", fmt.usd(total.known_cost_usd), _exactly(total.known_cost_usd))
    _card(
        estimated,
        "Estimated",
        fmt.usd(total.estimated_cost_usd),
        f"{fmt.calls(total.estimated_calls)}, part of what was spent",
        hint="Their usage was not stated in full, or their price is not certain.",
    )
    _card(
        unknown,
        "No price",
        fmt.calls(total.unknown_calls),
        f"{fmt.tokens(total.unknown_input_tokens + total.unknown_output_tokens)}, in no sum",
        hint="What they cost is in no sum on this page: unknown is not zero.",
    )
    failures = f"{fmt.count(total.failed_calls)} failed, {fmt.count(total.cut_calls)} cut off"
    _card(calls, "Calls", fmt.count(total.calls), failures)
    _card(refused, "Refused", fmt.count(total.refused_calls), "by a budget, nothing sent")


def _card(place: DeltaGenerator, title: str, figure: str, note: str, *, hint: str | None = None) -> None:
    """One figure with its name above and a note below."""
    with place.container(border=True, height="stretch", gap="xsmall"):
        st.metric(title, tables.plain(figure), help=hint)
        st.caption(tables.plain(note))


def _over_time(ledger: Ledger, asked: Question, summary: Summary, dimension: str) -> list[str]:
    """Draw spend over time; the values that have colours, in their order."""
    bucket, start, end = question.bucket(ledger, asked)
    values, count = [row.keys[dimension] for row in summary.rows], len(summary.rows) + summary.more_rows
    if count * ((end - start) / _LENGTHS[bucket] + 1) <= _MOST_POINTS:
        names = [fmt.name(value) for value in values]
        frame = frames.over_time(asked.ask(ledger, bucket, dimension), bucket, dimension)
    else:
        # The ledger is asked for those alone that get a colour; calls without a value cannot be, so they are others.
        names = [value for value in values if value is not None]
        named = asked.only(dimension, names[: charts.SERIES]).ask(ledger, bucket, dimension)
        rest = frames.rest_over_time(asked.ask(ledger, bucket), named, bucket)
        frame = pd.concat([frames.over_time(named, bucket, dimension), rest])
    title = fmt.title(dimension)
    st.markdown("##### Spend over time")
    chart = charts.over_time(
        frame, bucket=bucket, names=names, more=count - len(names), title=title, start=start, end=end
    )
    st.altair_chart(chart, alt=f"Spend per {bucket} by {title.lower()}, in US dollars")
    return names


def _breakdown(summary: Summary, dimension: str, names: list[str]) -> None:
    title = fmt.title(dimension)
    st.markdown(f"##### Spend by {title.lower()}")
    bars, table = st.columns([1, 2], gap="medium")
    with bars:
        chart = charts.by_dimension(frames.by_dimension(summary, dimension), names=names, title=title)
        st.altair_chart(chart, alt=f"Spend by {title.lower()}, in US dollars")
    figures = [row.figures for row in summary.rows]
    columns = [
        Column(title, [fmt.name(row.keys[dimension]) for row in summary.rows], words=True),
        Column("Calls", [fmt.count(figure.calls) for figure in figures]),
        Column("Refused", [fmt.count(figure.refused_calls) for figure in figures]),
        Column("Tokens in", [fmt.count(figure.input_tokens) for figure in figures]),
        Column("Tokens out", [fmt.count(figure.output_tokens) for figure in figures]),
        Column("Cost", [fmt.usd(figure.cost_usd) for figure in figures]),
        Column("Share", [fmt.share(figure.cost_usd, summary.total.cost_usd) for figure in figures]),
        Column("Exact USD", [fmt.exact_usd(figure.cost_usd) for figure in figures], muted=True),
    ]
    if any(figure.unknown_calls for figure in figures):
        columns.insert(3, Column("No price", [fmt.count(figure.unknown_calls) for figure in figures]))
    with table:
        tables.show(columns, alt=f"Spend by {title.lower()}", more=summary.more_rows)


def _budgets(budgets: Budgets) -> None:
    st.markdown("##### Budgets")
    if not budgets.rows:
        st.caption("No call carried a budget yet. Set one with: `otel-cost run --budget 0.50 -- python app.py`")
        return
    st.caption("Over the whole life of each budget, whatever the period and the filters.")
    uses = [use for budget in budgets.rows for use in _uses(budget)]
    columns = [
        Column("Budget", [f"{use.budget.dimension} {use.budget.id}" for use in uses], words=True),
        Column("Limit", [use.limit for use in uses]),
        Column("Spent", [use.spent for use in uses]),
        Column("Used", [fmt.share(use.part, use.whole) for use in uses], fills=[_fill(use) for use in uses]),
        Column("Calls", [fmt.count(use.budget.calls) for use in uses]),
        Column("No price", [fmt.count(use.budget.unknown_calls) for use in uses]),
        Column("Refused", [fmt.count(use.budget.refused_calls) for use in uses]),
        Column("Exact USD", [fmt.exact_usd(use.budget.spent_usd) for use in uses], muted=True),
    ]
    tables.show(columns, alt="Budgets", more=budgets.more_rows)


@dataclass(frozen=True, slots=True)
class _Use:
    """One limit of a budget, and what is used of it."""

    budget: Budget
    limit: str
    spent: str
    part: Decimal | None
    whole: Decimal


def _uses(budget: Budget) -> list[_Use]:
    uses = []
    if budget.limit_usd is not None:
        limit, spent = fmt.usd(budget.limit_usd), fmt.usd(budget.spent_usd)
        uses.append(_Use(budget, limit, spent, budget.spent_usd, budget.limit_usd))
    if budget.limit_tokens is not None:
        limit, spent = fmt.tokens(budget.limit_tokens), fmt.tokens(budget.spent_tokens)
        uses.append(_Use(budget, limit, spent, Decimal(budget.spent_tokens), Decimal(budget.limit_tokens)))
    return uses


def _fill(use: _Use) -> tuple[float, str]:
    """How far the bar of a limit goes, and its colour. A limit of zero is used up from the start."""
    share = 0.0 if use.part is None else float(use.part / use.whole) if use.whole else 1.0
    return share, _BROKEN if share >= 1 else _NEAR if share >= _NEAR_SHARE else _CALM


def _exactly(amount: Decimal | None) -> str:
    return "no call has a price" if amount is None else f"exactly {fmt.exact_usd(amount)} USD"
