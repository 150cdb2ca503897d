"""Answers of the ledger as frames: what charts draw. Money in them is still `Decimal`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from otel_cost_dashboard import format as fmt

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

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


def _money(amounts: Iterable[Decimal | None]) -> pd.Series[Any]:
    """Money as objects: pandas must not make floats of it, nor NaN of what is unknown."""
    return pd.Series(list(amounts), dtype="object")
