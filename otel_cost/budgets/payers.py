"""What calls have come to by who pays: what an artifact that they made cost, whether a budget holds or not."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from otel_cost.budgets.line import Line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Payer = frozenset[tuple[str, str]]
    """Dimension and id of each of those who pay for a call together."""

_MOST_LINES: Final = 10_000
_FORGOTTEN_BYTES: Final = 1 << 20


class Payers:
    """Sums of calls and charges by who pays and by model. Of those that were added to lately: memory is bounded."""

    def __init__(self) -> None:
        self._lines: OrderedDict[tuple[Payer, str | None], Line] = OrderedDict()
        # A bit for each dimension and id of a sum that is forgotten. Some share one, so it may say too much and never
        # too little, however many there are.
        self._forgotten = bytearray()

    def line(self, dimensions: Mapping[str, str], model: str | None) -> Line:
        """The sum to add to: of what `dimensions` pay for, and `model` did; None for what is no call to a model."""
        what = frozenset(dimensions.items()), model
        line = self._lines.get(what)
        if line is not None:
            self._lines.move_to_end(what)
            return line
        line = self._lines[what] = Line()
        if len(self._lines) > _MOST_LINES:
            self._forget(*self._lines.popitem(last=False)[0])
        return line

    def of(self, wanted: Payer) -> Iterator[tuple[str | None, Line]]:
        """Each sum that all of `wanted` pay for, with its model."""
        return ((model, line) for (payer, model), line in self._lines.items() if wanted <= payer)

    def dimensions(self) -> set[str]:
        """The dimensions of whoever paid for something."""
        return {dimension for payer, _ in self._lines for dimension, _ in payer}

    def has_all_of(self, wanted: Payer) -> bool:
        """Whether surely none that `wanted` pay for was forgotten."""
        return not (self._forgotten and all(self._forgotten[at] & bit for at, bit in map(_place, wanted)))

    def clear(self) -> None:
        """Forget all of it, and that it was there."""
        self._lines.clear()
        self._forgotten = bytearray()

    def _forget(self, payer: Payer, _: str | None) -> None:
        self._forgotten = self._forgotten or bytearray(_FORGOTTEN_BYTES)
        for at, bit in map(_place, payer):
            self._forgotten[at] |= bit


def _place(pair: tuple[str, str]) -> tuple[int, int]:
    """The byte and the bit in it that stand for a dimension and its id."""
    found = hash(pair)
    return found // 8 % _FORGOTTEN_BYTES, 1 << found % 8
