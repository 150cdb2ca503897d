"""The costs that were found out for calls, as columns: money as whole numbers in arrays, and as Arrow's decimals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otel_cost_exporter.decode.batch import LINES, MONEY, QUANTITY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_cost.pricing.cost import Cost
    from otel_cost_exporter.decode.product import Bools, Integers

_SOURCE: Final = "ledger"
_MICRO: Final = 10**6


class Found:
    """What was found out of `count` calls. What is never told of a call is null."""

    def __init__(self, count: int) -> None:
        self._count: Final = count
        self._amounts: Final = np.zeros(count, np.int64)
        self._told: Final = np.zeros(count, np.int64)  # which of `_costs`
        self._costs: Final[list[Cost | None]] = [None]
        self._has_lines: Final = np.zeros(count, np.bool_)
        self._lines: Final[list[tuple[str, Integers, Integers, Integers]]] = []

    def cost(self, rows: Integers, cost: Cost, amounts: Integers | None = None) -> None:
        """All of `rows` have a cost like this; in 1e-12 US dollars `amounts`, where these are not the cost's own."""
        self._told[rows] = len(self._costs)
        self._costs.append(cost)
        if amounts is not None:
            self._amounts[rows] = amounts
        elif cost.amount is not None:
            self._amounts[rows] = int(cost.amount.scaleb(MONEY.scale))

    def lines(self, rows: Integers, chosen: Integers, parts: Iterable[tuple[str, Integers, Integers]]) -> None:
        """The lines of the `chosen` of `rows`, by their place: for each meter how much, and 1e-12 US dollars for it."""
        self._has_lines[rows[chosen]] = True
        for meter, counts, amounts in parts:
            used = chosen[counts[chosen] > 0]
            if len(used):
                self._lines.append((meter, rows[used], counts[used] * _MICRO, amounts[used]))

    def lines_of(self, row: int, lines: Iterable[tuple[str, int, int]]) -> None:
        """The lines of one call: for each meter how much, in millionths, and 1e-12 US dollars for it."""
        self._has_lines[row] = True
        for meter, quantity, amount in lines:
            self._lines.append((meter, np.array([row]), np.array([quantity]), np.array([amount])))

    def onto(self, calls: pa.Table, is_open: Bools) -> pa.Table:
        """`calls` with the costs of those that are open, and with all lines."""
        columns = {"lines": self._line_column()}
        if is_open.any():
            columns |= self._cost_columns(calls, pa.array(is_open))
        for name, column in columns.items():
            place = calls.schema.get_field_index(name)
            calls = calls.set_column(place, calls.schema.field(place), column)
        return calls

    def _cost_columns(self, calls: pa.Table, is_open: pa.Array) -> dict[str, Any]:
        told = pa.array(self._told)

        def each(attribute: str) -> pa.Array:
            return pa.array([getattr(cost, attribute, None) for cost in self._costs], pa.string()).take(told)

        doubt = calls["cost_reason"].combine_chunks()
        doubted = pc.and_(pc.equal(each("status"), "known"), doubt.is_valid()).fill_null(fill_value=False)
        unknown = pc.equal(each("status"), "unknown").fill_null(fill_value=False)
        found = {
            "cost": decimals(self._amounts, MONEY, unknown),
            "cost_status": pc.if_else(doubted, "estimated", each("status")),
            "cost_source": pc.if_else(unknown, None, pa.scalar(_SOURCE)),
            "price_version": each("price_version"),
            "cost_reason": pc.if_else(doubted, doubt, each("reason")),
        }
        return {name: pc.if_else(is_open, column, calls[name].combine_chunks()) for name, column in found.items()}

    def _line_column(self) -> pa.Array:
        meters = [meter for meter, _, _, _ in self._lines]
        sizes = [len(rows) for _, rows, _, _ in self._lines]
        rows, quantities, amounts = (
            np.concatenate([np.zeros(0, np.int64), *(line[at] for line in self._lines)]) for at in (1, 2, 3)
        )
        order = np.argsort(rows, kind="stable")
        which = np.repeat(np.arange(len(meters)), sizes)[order]
        lines = pa.StructArray.from_arrays(
            [
                pa.array(meters, pa.string()).take(pa.array(which)),
                decimals(quantities[order], QUANTITY),
                decimals(amounts[order], MONEY),
            ],
            fields=list(LINES.value_type),
        )
        offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=self._count))]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), lines, type=LINES, mask=pa.array(~self._has_lines))


def whole_numbers(column: pa.ChunkedArray) -> Integers:
    """A column of decimals of up to 18 digits, in units of their last one; 0 where it is null."""
    array = column.combine_chunks()
    halves = np.frombuffer(array.buffers()[1], np.int64)  # little-endian: the lower half holds 18 digits, and the sign
    numbers = halves[2 * array.offset : 2 * (array.offset + len(array)) : 2]
    return np.where(array.is_valid().to_numpy(zero_copy_only=False), numbers, 0)


def decimals(numbers: Integers, kind: pa.Decimal128Type, nulls: pa.Array | None = None) -> pa.Array:
    """`numbers`, in units of the last digit of `kind`, as decimals."""
    halves = np.stack([numbers, numbers >> 63], axis=1)  # the upper half is nothing but the sign
    array = pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(np.ascontiguousarray(halves))])
    return array if nulls is None else pc.if_else(nulls, None, array)
