"""Answers ready for JSON, and for people."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from otel_cost import money

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import tzinfo


def in_words(answer: Any, tz: tzinfo = UTC) -> Any:
    """`answer` with money as an exact decimal text, and times as ISO 8601 by the clocks of `tz`."""
    if answer is None or isinstance(answer, (str, int)):  # most of what an export has
        return answer
    if isinstance(answer, dict):
        return {name: in_words(each, tz) for name, each in answer.items()}
    if isinstance(answer, (list, tuple)):
        return [in_words(each, tz) for each in answer]
    if isinstance(answer, Decimal):
        return money.text(answer)
    if isinstance(answer, datetime):
        return time(answer, tz)
    return answer.isoformat() if isinstance(answer, date) else answer


def amount(amount: Decimal | int, unit: str) -> str:
    """`amount` in the unit of a budget, as an exact text."""
    return money.text(Decimal(amount)) if unit == money.CURRENCY else str(int(amount))


def plain(amount: Decimal | None) -> str | None:
    """`amount` of something else as a plain decimal text: 12, 0.5."""
    return None if amount is None else f"{amount.normalize():f}"


def time(moment: datetime, tz: tzinfo = UTC) -> str:
    """`moment`, UTC without a zone, as ISO 8601."""
    if tz is UTC:
        return f"{moment.isoformat()}Z"
    return moment.replace(tzinfo=UTC).astimezone(tz).isoformat()


def keyed(rows: Iterable[dict[str, Any]], **names: str) -> list[dict[str, Any]]:
    """`rows` with some columns named anew."""
    return [{names.get(name, name): value for name, value in row.items()} for row in rows]


def rows_of(number: int) -> str:
    """How many calls and charges, for people: where both are counted."""
    return "1 call or charge" if number == 1 else f"{number:,} calls and charges"
