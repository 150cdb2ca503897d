"""Figures of groups added up to those of larger groups: for a few rows that takes less time than another query."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from otel_cost import money
from otel_cost_exporter.answers.question import FIGURES, TIME_BUCKETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Row = dict[str, Any]

ADDENDS: Final = {
    "sent": "coalesce(sum(CASE WHEN outcome <> 'refused' THEN row_count ELSE 0 END), 0)",
    "cost": "coalesce(sum(cost), 0)",
}
"""The SQL of what must stand beside the figures of rows that are to be added up."""
_ADDED: Final = tuple(name for name in (*FIGURES, *ADDENDS) if name != "cost_usd")
_NOTHING: Final = {name: Decimal(0) if name.endswith("_usd") or name == "cost" else 0 for name in _ADDED}


@money.exactly
def added(rows: Iterable[Row], by: Sequence[str]) -> list[Row]:
    """The figures of `rows`, which have the `ADDENDS`, grouped `by` names, in the order of ``sums.sql``."""
    groups: dict[tuple[Any, ...], Row] = {} if by else {(): dict(_NOTHING)}
    for row in rows:
        group = groups.setdefault(tuple(row[name] for name in by), dict(_NOTHING))
        for name in _ADDED:
            group[name] += row[name]
    found = [{**dict(zip(by, keys, strict=True)), **_figures(group)} for keys, group in groups.items()]
    return sorted(found, key=lambda row: _place(row, by))


def _figures(group: Row) -> Row:
    """Unknown is not zero: where calls were sent and none has a price, there is no figure."""
    cost: Decimal | None = Decimal(0)
    if group["sent"]:
        cost = group["cost"] if group["sent"] > group["unknown_calls"] else None
    return {name: cost if name == "cost_usd" else group[name] for name in FIGURES}


def _place(row: Row, by: Sequence[str]) -> tuple[Any, ...]:
    cost, times = row["cost_usd"], tuple(row[name] for name in by if name in TIME_BUCKETS)
    keys = tuple((row[name] is None, row[name] or "") for name in by if name not in TIME_BUCKETS)
    return (times, cost is None, -(cost or 0), -row["calls"], keys)
