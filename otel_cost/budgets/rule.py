"""A budget: the limit of one id of a dimension, for a window of time, and what happens at its edge."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from otel_cost.budgets.window import LIFE

if TYPE_CHECKING:
    from otel_cost.budgets.limit import Limit
    from otel_cost.budgets.window import Window

OnExceed = Literal["raise", "warn", "pause", "downgrade"]
At = Literal["call", "stage"]
Sizing = Literal["expected", "strict", "safety_factor"]
OnUnknown = Literal["refuse", "allow", "rate"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What a budget holds of a call before it leaves, and what it does with one that does not fit.

    Attributes:
        on_exceed: ``raise`` refuses the call, ``warn`` only says so, ``pause`` has it wait for a person, ``downgrade``
            has it ask a cheaper model.
        at: where it is stopped: before any ``call``, or before the next ``stage`` begins.
        sizing: how large a hold is: what such calls cost lately (``expected``), or what this one can cost at most
            (``strict``); or ``safety_factor``: nothing fits any more once so many times the spent reach the limit.
        safety_factor: that many times.
        on_unknown: what becomes of a call whose price nobody knows, under a limit in USD: ``refuse``, ``allow``, or
            allow and count at a ``rate``.
        unknown_rate: that rate, in USD per million tokens.
        warn_at: shares of the limit; one event each as what is spent reaches them.
        pause_seconds: how long a call waits for a person before it is refused; None for as long as it takes.
    """

    on_exceed: OnExceed = "raise"
    at: At = "call"
    sizing: Sizing = "expected"
    safety_factor: Decimal = Decimal("1.3")
    on_unknown: OnUnknown = "refuse"
    unknown_rate: Decimal | None = None
    warn_at: tuple[Decimal, ...] = ()
    pause_seconds: float | None = None


PLAIN: Final = Policy()


PROCESS: Final = f"process-{uuid.uuid4().hex[:12]}"
"""The id of what a process was given without one. Those that it forks have it too, others have another."""


class Key(NamedTuple):
    """What an account is kept by: an id of a dimension, a unit, and the period of a window, empty for the id's life."""

    dimension: str
    id: str
    unit: str
    period: str = ""


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit that holds for one id of a dimension: 0.05 USD for run ``r1``, or 5 USD a day for project ``p``."""

    dimension: str
    id: str
    limit: Limit
    window: Window = LIFE
    policy: Policy = PLAIN
    _of_life: Key = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_of_life", Key(self.dimension, self.id, self.limit.unit))

    def key(self) -> Key:
        """The account that a call which leaves now is charged to."""
        if self.window is LIFE:
            return self._of_life
        return self._of_life._replace(period=self.window.period())
