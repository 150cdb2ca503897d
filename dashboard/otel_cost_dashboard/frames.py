"""Answers of the ledger as frames: what charts draw. Money in them is still `Decimal`."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd

from otel_cost_dashboard import format as fmt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_cost_dashboard.client import Summary


def by_dimension(summary: Summary, dimension: str) -> pd.DataFrame:
    """One row per value of `dimension`: ``name``, ``cost_usd``, ``calls``; in the order of the summary."""
    return pd.DataFrame(
        {
            "name": [fmt.name(row.keys[dimension]) for row in summary.rows],
            "cost_usd": _money(row.figures.cost_usd for row in summary.rows),
            "calls": [row.figures.calls for row in summary.rows],
        }
    )


def over_time(summary: Summary, bucket: str, dimension: str) -> pd.DataFrame:
    """One row per time bucket and value: ``bucket`` (UTC), ``name``, ``cost_usd``, ``calls``."""
    frame = by_dimension(summary, dimension)
    frame.insert(0, "bucket", pd.to_datetime([str(row.keys[bucket]) for row in summary.rows], utc=True))
    return frame


def rest_over_time(whole: Summary, named: Summary, bucket: str) -> pd.DataFrame:
    """What `whole`, by time buckets, has beyond values that are `named`, as `over_time` has it, under no name."""
    costs: defaultdict[str | None, Decimal] = defaultdict(Decimal)
    calls: Counter[str | None] = Counter()
    unknown: Counter[str | None] = Counter()
    for row in named.rows:
        costs[row.keys[bucket]] += row.figures.cost_usd or 0
        calls[row.keys[bucket]] += row.figures.calls
        unknown[row.keys[bucket]] += row.figures.unknown_calls
    rest = []
    for row in whole.rows:
        at, figures = row.keys[bucket], row.figures
        cost = max((figures.cost_usd or Decimal(0)) - costs[at], Decimal(0))
        is_known = cost or figures.unknown_calls <= unknown[at]
        rest.append((at, cost if is_known else None, max(figures.calls - calls[at], 0)))
    return pd.DataFrame(
        {
            "bucket": pd.to_datetime([str(at) for at, _, _ in rest], utc=True),
            "name": "",
            "cost_usd": _money(cost for _, cost, _ in rest),
            "calls": [count for _, _, count in rest],
        }
    )


def _money(amounts: Iterable[Decimal | None]) -> pd.Series[Any]:
    """Money as objects: pandas must not make floats of it, nor NaN of what is unknown."""
    return pd.Series(list(amounts), dtype="object")
