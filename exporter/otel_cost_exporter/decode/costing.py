"""What calls cost, and which meter how much of it: for many calls at once.

It is `otel_cost.pricing` that says what a call costs. Here calls of one model, tier, place and day are multiplied out
together, in whole numbers of 1e-12 US dollars, wherever the prices are whole numbers of that and nothing else is to be
said of the call. All others, and the first of each such group, are priced one by one, and no figure differs.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from otel_cost import money
from otel_cost.pricing import prices, terms
from otel_cost.pricing.cost import Cost
from otel_cost.pricing.plan import ARITHMETIC
from otel_cost.usage import Usage
from otel_cost.usage.location import terms_at
from otel_cost_exporter.decode import cost_columns
from otel_cost_exporter.decode.cost_columns import Found
from otel_cost_exporter.decode.product import FIELDS, PICO, SECONDS, Product

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_cost.pricing.plan import Plan
    from otel_cost_exporter.decode.product import Bools, Integers

_KEYS: Final = ("provider", "request_model", "response_model", "service_tier", "server", "price_terms")
_DAY_US: Final = 24 * 3600 * 10**6
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO: Final = 10**6
_MOST_USD: Final = 10**6
"""What no call costs, and what the books cannot hold."""
_MOST_CODES: Final = 2**62
_FEW: Final = 6
"""Calls of a group that are priced sooner one by one."""
_NAMELESS: Final = "the span names no provider and model"
_TOO_DEAR: Final = "it would cost a million US dollars or more"


def settle(calls: pa.Table) -> pa.Table:
    """`calls`, each with its cost, and with lines where their sum is the cost to the last digit.

    Args:
        calls: rows of `batch.CALLS`. Those without a cost status are priced here; their reason, if any, says why their
            usage is in doubt.
    """
    if not calls.num_rows:
        return calls
    sheet = _Sheet(calls.combine_chunks())
    found = Found(calls.num_rows)
    for rows in sheet.groups():
        _Group(sheet, rows).settle(found)
    return found.onto(sheet.calls, sheet.is_open)


class _Sheet:
    """The calls, with the figures of all of them at hand as arrays."""

    def __init__(self, calls: pa.Table) -> None:
        self.calls = calls
        self.is_open: Bools = calls["cost_status"].is_null().to_numpy()
        self.counts: Integers = np.stack([self._count(name) for name in FIELDS])
        self.starts: Integers = calls["start_ts"].cast(pa.int64()).to_numpy()
        self.costs: Integers = cost_columns.whole_numbers(calls["cost"])
        self.is_costed: Bools = calls["cost"].is_valid().to_numpy()

    def _count(self, name: str) -> Integers:
        column = self.calls[name]
        if name == FIELDS[SECONDS]:
            return cost_columns.whole_numbers(column)
        numbers: Integers = column.fill_null(0).to_numpy()
        return numbers

    def groups(self) -> Iterator[Integers]:
        """The rows of the calls that have the same prices, group by group."""
        codes = self.starts // _DAY_US
        codes -= codes.min()
        most = int(codes.max()) + 1
        for name in _KEYS:
            column = self.calls[name].combine_chunks().dictionary_encode()
            kinds = len(column.dictionary) + 1
            if most * kinds > _MOST_CODES:
                codes = _encoded(codes)
                most = int(codes.max()) + 1
            codes = codes * kinds + column.indices.fill_null(kinds - 1).to_numpy()
            most *= kinds
        codes = _encoded(codes)
        order = np.argsort(codes, kind="stable")
        yield from np.split(order, np.cumsum(np.bincount(codes))[:-1])

    def text(self, name: str, row: int) -> str | None:
        found: str | None = self.calls[name][row].as_py()
        return found

    def usage(self, row: int) -> Usage:
        counts = self.counts[:, row].tolist()
        counts[SECONDS] = Decimal(counts[SECONDS]) / _MICRO
        return Usage(**dict(zip(FIELDS, counts, strict=True)))

    def moment(self, row: int) -> datetime:
        return _EPOCH + timedelta(microseconds=int(self.starts[row]))


def _encoded(codes: Integers) -> Integers:
    encoded: Integers = pa.array(codes).dictionary_encode().indices.to_numpy().astype(np.int64)
    return encoded


class _Group:
    """Calls of a sheet that have the same prices, unless these change within the day."""

    def __init__(self, sheet: _Sheet, rows: Integers) -> None:
        self._sheet, self._rows = sheet, rows
        first = int(rows[0])
        self._provider, asked, answered, self._tier, server, stated = (sheet.text(name, first) for name in _KEYS)
        self._models = tuple(dict.fromkeys(model for model in (answered, asked) if model is not None))
        self._terms = {**terms_at(server or "", "/"), **terms.of_text(stated or "")}

    def settle(self, found: Found) -> None:
        """Put what the calls cost into `found`, as far as it is open, and their lines."""
        if self._provider is None or not self._models:
            found.cost(self._open(self._rows), Cost.unknown(_NAMELESS))
            return
        rows = self._rows
        if len(rows) > _FEW:
            rows = self._settle_together(found)
        for row in rows.tolist():
            self._settle_one(row, found)

    def _settle_together(self, found: Found) -> Integers:
        """Settle those that can be multiplied out together; returns the others."""
        plans = self._plans_of_the_day()
        if plans is None:
            return self._rows
        if not plans:  # no model has a price, so whatever was used is unknown
            found.cost(self._open(self._rows), self._price(int(self._rows[0])))
            return self._rows[:0]
        products = [Product.of(plan, self._sheet.counts[:, self._rows]) for plan in plans]
        plain = products[0].is_plain
        priced = np.flatnonzero(plain & self._sheet.is_open[self._rows])
        if len(priced):
            cost = self._price(int(self._rows[priced[0]]))
            if cost.amount is None or _pico(cost.amount) != products[0].total[priced[0]]:
                return self._rows
            found.cost(self._rows[priced], cost, products[0].total[priced])
            found.lines(self._rows, priced, products[0].parts)
        self._find_lines(products, found)
        return self._rows[~plain]

    def _find_lines(self, products: list[Product], found: Found) -> None:
        """The lines of calls whose application said what they cost, where a plan comes to the same."""
        costs = self._sheet.costs[self._rows]
        sought = self._sheet.is_costed[self._rows] & ~self._sheet.is_open[self._rows]
        for product in products:
            same = sought & product.is_plain & (product.total == costs)
            found.lines(self._rows, np.flatnonzero(same), product.parts)
            sought &= ~same

    def _settle_one(self, row: int, found: Found) -> None:
        if self._sheet.is_open[row]:
            cost = self._price(row)
            found.cost(np.array([row]), cost)
            pico = None if cost.amount is None else _pico(cost.amount)
        else:
            pico = int(self._sheet.costs[row]) if self._sheet.is_costed[row] else None
        if pico is None:
            return
        usage, moment = self._sheet.usage(row), self._sheet.moment(row)
        for model in self._models:
            plan = prices.plan_for(self._provider or "", model, self._tier, moment, self._terms)
            lines = [] if plan is None else _rounded(plan.lines(usage))
            if plan is not None and sum(cost for _, _, cost in lines) == pico:
                found.lines_of(row, lines)
                return

    def _price(self, row: int) -> Cost:
        cost = prices.price_by_first(
            self._models,
            provider=self._provider or "",
            usage=self._sheet.usage(row),
            service_tier=self._tier,
            at=self._sheet.moment(row),
            terms=self._terms,
        )
        return Cost.unknown(_TOO_DEAR) if cost.amount is not None and cost.amount >= _MOST_USD else cost

    def _open(self, rows: Integers) -> Integers:
        return rows[self._sheet.is_open[rows]]

    def _plans_of_the_day(self) -> list[Plan] | None:
        """The plans that hold for all the calls, the likeliest first; None where prices change within the day."""
        moment = self._sheet.moment(int(self._rows[0]))
        plans = []
        for model in self._models:
            plan = prices.plan_for(self._provider or "", model, self._tier, moment, self._terms)
            if not prices.hold_all_day(self._provider or "", model, self._tier, moment, self._terms):
                return None
            if plan is not None:
                plans.append(plan)
        return plans


def _pico(amount: Decimal) -> int:
    return int(ARITHMETIC.multiply(amount, Decimal(PICO)))


def _rounded(lines: list[tuple[str, Any, Decimal]]) -> list[tuple[str, int, int]]:
    """`lines` with how much in millionths, and for how many 1e-12 US dollars, so that these add up to the rounded sum.

    Each is what the rounded sum grows by with it, so no line is off by more than the last digit.
    """
    found = []
    amount, before = Decimal(0), 0
    for meter, count, usd in lines:
        amount = ARITHMETIC.add(amount, usd)
        so_far = _pico(money.usd(amount))
        found.append((meter, int(count * _MICRO), so_far - before))
        before = so_far
    return found
