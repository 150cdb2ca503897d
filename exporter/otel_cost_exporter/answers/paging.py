"""Lists by pages: a cursor says behind which row the next page begins, so rows that arrive meanwhile shift nothing."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from otel_cost_exporter.errors import QuestionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_cost_exporter.answers.question import Question

USUAL: Final = 100
"""Rows on a page, where nobody says how many."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a list is ordered by: a column, which may be unknown, and others that no two rows have alike.

    Attributes:
        column: the SQL of what it is ordered by; unknown comes last.
        ties: the SQL of what decides where that is alike.
        types: the SQL types of `column` and `ties`.
        ascending: whether the smallest comes first.
    """

    column: str
    ties: Sequence[str]
    types: Sequence[str]
    ascending: bool = False

    @property
    def sql(self) -> str:
        """What stands behind ORDER BY."""
        way = "ASC" if self.ascending else "DESC"
        return ", ".join([f"{self.column} {way} NULLS LAST", *(f"{tie} {way}" for tie in self.ties)])

    @property
    def places(self) -> str:
        """The SQL of what says where a row stands, as further columns."""
        return "".join(f", {each} AS place_{number}" for number, each in enumerate((self.column, *self.ties)))

    def after(self, place: Sequence[str | None], parameters: dict[str, Any]) -> str:
        """The SQL of what comes behind `place`, whose values go into `parameters`."""
        names = [f"place_{number}" for number in range(len(place))]
        parameters.update(zip(names, place, strict=True))
        value, *rest = (f"${name}::{kind}" for name, kind in zip(names, self.types, strict=True))
        beyond = ">" if self.ascending else "<"
        behind = f"({', '.join(self.ties)}) {beyond} ({', '.join(rest)})"
        if place[0] is None:
            return f" AND {self.column} IS NULL AND {behind}"
        return (
            f" AND ({self.column} {beyond} {value} OR ({self.column} = {value} AND {behind}) OR {self.column} IS NULL)"
        )


def order_of(asked: Question, orders: Mapping[str, Order]) -> tuple[str, Order]:
    """The order that is asked for, and its name: the first where none is.

    Raises:
        QuestionError: there is no such order.
    """
    name = asked.sort or next(iter(orders))
    if name not in orders:
        raise QuestionError(f"sort={name!r} is unknown, sort can be: {', '.join(orders)}")
    return name, orders[name]


def place_of(asked: Question, sort: str, order: Order) -> list[str | None] | None:
    """Where the page before ended; None for the first page.

    Raises:
        QuestionError: the cursor is none, or is of a list in another order.
    """
    if asked.cursor is None:
        return None
    try:
        of, *place = json.loads(base64.urlsafe_b64decode(asked.cursor.encode("ascii")))
        if of == sort and len(place) == len(order.types) and None not in place[1:] and _fit(place, order):
            return list(place)
    except (ValueError, TypeError):
        pass
    raise QuestionError(
        f"cursor={asked.cursor!r} is none of a list by {sort}: "
        "send what the answer before had as next, and the same sort"
    )


def next_of(sort: str, place: Sequence[object]) -> str:
    """The cursor of the page that begins behind `place`."""
    texts = [None if value is None else str(value) for value in place]
    return base64.urlsafe_b64encode(json.dumps([sort, *texts]).encode()).decode()


def cut(found: list[dict[str, Any]], limit: int, sort: str, order: Order) -> tuple[list[dict[str, Any]], str | None]:
    """The page of `found`, which are one row more where there are more, and the cursor of the next one."""
    places = [[row.pop(f"place_{number}") for number in range(len(order.types))] for row in found]
    return found[:limit], next_of(sort, places[limit - 1]) if len(found) > limit else None


def _fit(place: Sequence[Any], order: Order) -> bool:
    """Whether the database can read each value as its type."""
    return all(value is None or _READ[kind](value) for value, kind in zip(place, order.types, strict=True))


def _reads(read: Any, *errors: type[Exception]) -> Any:
    def can(text: object) -> bool:
        try:
            return isinstance(text, str) and read(text) is not None
        except errors:
            return False

    return can


_READ: Final = {
    "TIMESTAMP": _reads(datetime.fromisoformat, ValueError),
    "DECIMAL(38, 12)": _reads(lambda text: Decimal(text).is_finite() or None, InvalidOperation),
    "HUGEINT": _reads(int, ValueError),
    "VARCHAR": _reads(str),
    "UUID": _reads(lambda text: bytes.fromhex(text.replace("-", "")), ValueError),
    "UBIGINT": _reads(int, ValueError),
}
