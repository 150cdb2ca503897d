"""Which account a person means who names a dimension and an id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_cost.budgets.window import is_over, span_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from otel_cost.budgets.rule import Key


def pick(known: Iterable[Key], of_life: Key, window: str | None, now: datetime) -> Key:
    """The account of an id in a unit: the only one that is `known`, or `of_life` where none is.

    Args:
        known: all accounts.
        of_life: that of the id's life.
        window: of which span; None where there is no other.
        now: periods that are over by now are nobody's.

    Raises:
        ValueError: there are several, or none of that window; the text says which there are.
    """
    of_id = (key for key in known if key[:3] == of_life[:3] and not is_over(key.period, now))
    found = {key for key in of_id if window in {None, span_of(key.period)}}
    if not found and window in {None, "life"}:
        return of_life
    if len(found) == 1:
        return found.pop()
    name = f"{of_life.dimension} {of_life.id!r}"
    if not found:
        raise ValueError(f"{name} has no budget in {of_life.unit} by {window} that calls have named so far")
    windows = ", ".join(sorted({span_of(key.period) for key in found}))
    raise ValueError(f"{name} has {len(found)} budgets in {of_life.unit} ({windows}): say for which window")
