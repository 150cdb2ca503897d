"""Where the accounts of budgets are kept: one interface, whichever store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from otel_cost.budgets.limit import Limit
    from otel_cost.budgets.rule import Key
    from otel_cost.budgets.tree import Claim, Decision, Hold, Spend, Standing
    from otel_cost.budgets.waiting import Bell


class Store(Protocol):
    """Accounts, and the decision of all that a call is charged to at once.

    Attributes:
        blocks: whether a question to it waits for a server, so that an event loop must not ask it itself.
        poll_seconds: how often who waits looks again although `bell` is silent: other processes do not ring it. None
            where there are none.
        bell: rings when an account of this process changes.
    """

    blocks: bool
    poll_seconds: float | None
    bell: Bell

    def reserve(self, claims: tuple[Claim, ...]) -> Hold | Decision:
        """Hold all `claims`, or none: then why."""

    def settle(self, hold: Hold, spend: Spend) -> Sequence[Standing]:
        """Put what a call really spent in the place of its `hold`. Never waits for a server.

        Returns:
            How its accounts stand then, in the order of the claims; nothing where that is not known yet.
        """

    def release(self, hold: Hold) -> None:
        """Give `hold` back: nothing left the process."""

    def charge(self, claims: tuple[Claim, ...], spend: Spend) -> Sequence[Standing]:
        """Book what was spent that nothing was held for. Returns what `settle` does, and waits no longer."""

    def put_limit(self, key: Key, limit: Limit) -> None:
        """What a person decides takes the place of whatever limit calls bring, and lifts a stop."""

    def stop(self, key: Key, reason: str) -> None:
        """Let nothing through any more."""

    def resume(self, key: Key) -> None:
        """Lift a stop."""

    def standings(self, keys: Collection[Key] | None = None) -> Sequence[Standing]:
        """How each account stands that this store knows; or of those of `keys` only, in any order."""

    def flush(self, seconds: float) -> bool:
        """Wait, not longer than that, until all that was booked so far has got where it is kept; whether it has."""

    def forked(self) -> None:
        """In a forked child: what is held is the parent's to settle, and its threads and connections are not here."""
