"""The errors that otel-cost raises on purpose.

    RuntimeError
    └── BudgetExceededError      a call was refused, because a budget would have broken

Nothing else of ours leaves into an application: other failures are suppressed in `otel_cost.safety`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_cost import money

if TYPE_CHECKING:
    from decimal import Decimal


class BudgetExceededError(RuntimeError):
    """A budget refused the call. Nothing was sent to the provider.

    Attributes:
        scope: the dimension that carries the budget, such as ``run``.
        id: the id within it, such as ``nightly-7``.
        limit: the budget, in US dollars, or in tokens where `unit` is ``tokens``.
        spent: what calls have spent of it so far, in the same unit.
        held: what calls that are still under way may spend of it, in the same unit.
        call: what the refused call would likely have cost, in the same unit; None where its model has no known price,
            0 where nothing is left, whatever it costs.
        unit: ``USD`` or ``tokens``.
        model: the model that the call asked for.
        stage: the stage that did not begin; None where it was a call that was refused.
        safety_factor: how many times the spent must stay below the limit; None where the budget's sizing is another.
        reason: why the limit could not be read, or why nobody can tell what the call would have cost; None where
            `limit` and `call` say it.
        repeated: whether the same call was refused just before, as a span of it started, and is counted.
    """

    repeated = False

    def __init__(
        self,
        *,
        scope: str,
        id: str,  # noqa: A002 - the public name of the attribute
        limit: Decimal | int,
        spent: Decimal | int,
        held: Decimal | int,
        call: Decimal | int | None,
        unit: str,
        model: str | None,
        reason: str | None = None,
        stage: str | None = None,
        safety_factor: Decimal | None = None,
    ) -> None:
        self.scope, self.id, self.limit, self.spent, self.held = scope, id, limit, spent, held
        self.call, self.unit, self.model, self.reason, self.stage = call, unit, model, reason, stage
        self.safety_factor = safety_factor
        super().__init__(self._line())

    def _line(self) -> str:
        call = "a call" if self.model is None else f"a call to {self.model!r}"
        what = call if self.stage is None else f"stage {self.stage!r}"
        if self.reason and self.call is not None:
            return f"budget of {self.scope} {self.id!r} refused {what}: {self.reason}"
        budget = f"budget of {self.scope} {self.id!r} ({self._amount(self.limit)})"
        if self.call is None:
            reason = self.reason or "no price is known"
            instead = (
                ". State its price, or on_unknown; or set a limit in tokens" if self.unit == money.CURRENCY else ""
            )
            return f"{budget} refused {what}, which cannot be held against a limit in {self.unit}: {reason}{instead}"
        held = f" and {self._amount(self.held)} held by calls under way" if self.held else ""
        return f"{budget} refused {what}: {self._amount(self.spent)} spent{held}, {self._rest()}"

    def _rest(self) -> str:
        if self.safety_factor is not None:
            return f"and none leaves once {self.safety_factor} times that reach the limit (safety_factor)"
        return f"and this call would cost about {self._amount(self.call)}" if self.call else "which leaves nothing"

    def _amount(self, amount: Decimal | int) -> str:
        return f"{money.text(amount)} USD" if self.unit == money.CURRENCY else f"{amount} tokens"  # type: ignore[arg-type]

    def __reduce__(self) -> tuple[object, ...]:
        """Keyword arguments survive pickling, so that the error crosses process pools."""
        return (_rebuild, ({name: getattr(self, name) for name in _FIELDS},))


_FIELDS = ("scope", "id", "limit", "spent", "held", "call", "unit", "model", "reason", "stage", "safety_factor")


def _rebuild(fields: dict[str, object]) -> BudgetExceededError:
    return BudgetExceededError(**fields)  # type: ignore[arg-type]
