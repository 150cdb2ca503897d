"""How long a call waits: for other calls to settle, and for a person to decide."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Self

from otel_cost.budgets.events import BudgetEvent, emit
from otel_cost.safety import after_fork_in_child

if TYPE_CHECKING:
    from collections.abc import Collection

    from opentelemetry.trace import Span

    from otel_cost.budgets.events import Kind
    from otel_cost.budgets.rule import Key
    from otel_cost.budgets.store import Store
    from otel_cost.budgets.tree import Decision

LONGEST_WAIT_SECONDS: Final = 600.0
"""How long a call waits for others to settle, which is as long as SDKs wait for an answer."""
LONGEST_STANDSTILL_SECONDS: Final = 60.0
"""The same where none of them goes on: one may be waiting for it in a way that nobody can see."""
_ASKS_EVERY_SECONDS: Final = 1.0


class ForOthers:
    """One call's wait for others, since it fits beside them once they turn out cheaper than they might."""

    def __init__(self) -> None:
        self._until = time.monotonic() + LONGEST_WAIT_SECONDS
        self._seen: object = None
        self._moved = 0.0

    def left(self, seen: object) -> float:
        """Seconds that it may go on. They go on themselves as long as what is `seen` of them changes."""
        now = time.monotonic()
        if self._seen != seen:
            self._seen, self._moved = seen, now
        return min(self._until, self._moved + LONGEST_STANDSTILL_SECONDS) - now


class ForAPerson:
    """One call's wait for somebody to raise the limits that it does not fit, or to stop it.

    Args:
        model: what the call asks.
        span: its span; None for the current one.
    """

    def __init__(self, model: str | None, span: Span | None) -> None:
        self._model, self._span = model, span
        self._paused: dict[Key, tuple[Decision, float]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _waiting.discard(self)

    @property
    def keys(self) -> Collection[Key]:
        """The accounts that have it wait."""
        return self._paused.keys()

    def left(self, decision: Decision) -> float:
        """Seconds until it is time to look again; 0 where nobody came in time. The first time, all are told."""
        now, key = time.monotonic(), decision.claim.key
        if key in self._paused:
            _, until = self._paused[key]
        else:
            seconds = decision.claim.budget.policy.pause_seconds
            until = float("inf") if seconds is None else now + seconds
            self._tell("paused", decision)
        self._paused[key] = decision, until
        _waiting.add(self)
        return max(0.0, min(until - now, _ASKS_EVERY_SECONDS))

    def ended(self, decision: Decision, why: str) -> bool:
        """Somebody stopped it, or nobody came in time: that is told where it did wait. Whether it did."""
        if self._paused:
            self._tell("stopped", decision, why)
        return bool(self._paused)

    def came(self, keeper: Store) -> None:
        """The call goes on. How its accounts stand is asked where `keeper` says so at once."""
        if not self._paused:
            return
        now = {} if keeper.blocks else {standing.key: standing for standing in keeper.standings(self._paused)}
        for key, (decision, _) in self._paused.items():
            self._tell("resumed", decision._replace(standing=now.get(key, decision.standing)))

    def _tell(self, kind: Kind, decision: Decision, message: str = "") -> None:
        amount, policy = decision.claim.amount, decision.claim.budget.policy
        factor = policy.safety_factor if policy.sizing == "safety_factor" else None
        event = BudgetEvent.of(
            kind, decision.standing, call=amount, model=self._model, message=message, safety_factor=factor
        )
        emit(event, self._span, is_raised=kind == "stopped")


_waiting: set[ForAPerson] = set()


def paused() -> frozenset[Key]:
    """The accounts that calls of this process wait for somebody to raise."""
    return frozenset(key for person in tuple(_waiting) for key in person.keys)


after_fork_in_child(_waiting.clear)
