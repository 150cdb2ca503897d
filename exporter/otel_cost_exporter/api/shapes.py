"""What is sent to ``/v1/budgets`` and what it answers. Amounts are exact decimal strings in the unit of the account."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from otel_cost.budgets.config import BudgetStatus
from otel_cost.budgets.limit import Limit
from otel_cost.budgets.rule import PLAIN, Budget, Key, Policy
from otel_cost.budgets.tree import Claim, Spend
from otel_cost.budgets.window import Span, is_over, started

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_cost.budgets.tree import Amount

LONGEST_LEASE_SECONDS: Final = 86_400.0
_LONGEST: Final = 1024


def _period(text: str) -> str:
    is_over(text, datetime.now(UTC))
    if (moment := started(text)) is not None:
        _utc(moment)
    return text


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the calendar has no such time in UTC") from None


def _limit(text: str) -> str:
    Limit.parse(text)
    return text


Text = Annotated[str, Field(min_length=1, max_length=_LONGEST)]
Reason = Annotated[str, Field(max_length=_LONGEST)]
Period = Annotated[
    str,
    AfterValidator(_period),
    Field(description="Which window: its span, first moment and time zone; empty for the id's life."),
]
LimitText = Annotated[str, AfterValidator(_limit), Field(description="US dollars, `0.05`, or tokens, `20000tok`.")]
Count = Annotated[Decimal, Field(ge=0, allow_inf_nan=False, max_digits=60)]


class ClaimShape(BaseModel):
    """What a call asks of one budget."""

    dimension: Text
    id: Text
    period: Period = ""
    limit: LimitText
    flaw: str | None = Field(default=None, description="Why the limit could not be read, so that nothing may be spent.")
    amount: Count | None = Field(description="What is to be held; null where nobody can tell.")
    own: Count = Field(default=Decimal(0), description="What calls hold that this one was begun amid.")
    passes: bool = Field(default=False, description="Whether it is held whatever the account says.")
    reason: str | None = Field(default=None, description="Why nobody can tell the amount.")
    policy: Policy = PLAIN

    @property
    def claim(self) -> Claim:
        """As the tree reads it."""
        limit = Limit.parse(self.limit)
        limit = Limit(limit.amount, limit.in_tokens, self.flaw)
        budget = Budget(self.dimension, self.id, limit, policy=self.policy)
        key = Key(self.dimension, self.id, limit.unit, self.period)
        amount, own = (_amount(limit, each) for each in (self.amount, self.own))
        return Claim(budget, key, amount, own or 0, self.passes, self.reason)


def _amount(limit: Limit, amount: Decimal | None) -> Amount | None:
    return int(amount) if amount is not None and limit.in_tokens else amount


Claims = Annotated[list[ClaimShape], Field(min_length=1, max_length=100)]


class Reserve(BaseModel):
    """What a call may spend of all its budgets."""

    hold: Text = Field(description="Its id, made up by the sender: it is held once, however often this is sent.")
    lease_seconds: Annotated[float, Field(gt=0, le=LONGEST_LEASE_SECONDS)] = Field(
        default=600.0, description="How long it is held where nobody settles it; then it counts as spent."
    )
    claims: Claims


class _Spent(BaseModel):
    claims: Claims
    usd: Count | None = Field(description="US dollars; null where nobody knows: then what was held counts as spent.")
    tokens: Annotated[int, Field(ge=0)] | None = Field(description="Input and output tokens; null likewise.")
    calls: Annotated[int, Field(ge=0, le=1)] = Field(
        default=1, description="How many calls it is: 0 for a charge, or an attempt of a call that goes on."
    )

    @property
    def spent(self) -> tuple[Sequence[Claim], Spend]:
        """As the tree reads it."""
        return [each.claim for each in self.claims], Spend(self.usd, self.tokens, self.calls)


class SettleOne(_Spent):
    """What one call has spent."""

    hold: Text


class ChargeOne(_Spent):
    """What was spent that nothing was held for."""

    charge: Text = Field(description="Its id, made up by the sender: it is booked once, however often this is sent.")


class Settle(BaseModel):
    """What calls have spent."""

    settle: Annotated[list[SettleOne], Field(max_length=_LONGEST)]


class Charge(BaseModel):
    """What was spent that nothing was held for."""

    charge: Annotated[list[ChargeOne], Field(max_length=_LONGEST)]


class Release(BaseModel):
    """Holds of which nothing was spent."""

    holds: Annotated[list[Text], Field(max_length=_LONGEST)]


class Asked(BaseModel):
    """An account that a process keeps itself."""

    dimension: Text
    id: Text
    unit: Literal["USD", "tokens"]
    period: Period = ""
    limit: LimitText | None = Field(default=None, description="The limit that its calls bring.")
    paused: bool = Field(default=False, description="Whether a call waits there for somebody to decide.")
    before: Annotated[AwareDatetime, AfterValidator(_utc)] | None = Field(
        default=None, description="Asks for what was spent by calls that began before then."
    )

    @property
    def key(self) -> Key:
        """The account."""
        return Key(self.dimension, self.id, self.unit, self.period)


class Accounts(BaseModel):
    """Accounts that a process keeps itself."""

    accounts: Annotated[list[Asked], Field(max_length=100)]


class PutLimit(BaseModel):
    """A limit that takes the place of whatever limit calls bring."""

    limit: LimitText
    by: Text = Field(description="Who puts it.")
    window: Span | None = Field(default=None, description="Of which budget, where the id has several in that unit.")


class Stop(BaseModel):
    """Nothing may be spent any more."""

    by: Text = Field(description="Who stops it.")
    reason: Reason = ""


class Resume(BaseModel):
    """The stop is lifted."""

    by: Text = Field(description="Who lifts it.")


class Given(BaseModel):
    """What somebody decided."""

    by: str
    at: str = Field(description="When, in UTC.")
    limit: str | None = Field(default=None, description="The limit that was put.")
    reason: str | None = Field(default=None, description="Why it was stopped.")


class BudgetRow(BudgetStatus):
    """A budget: how it stands, what people decided about it, and what calls in the books say of its id."""

    limit_put: Given | None = Field(description="Who put the limit, where it is not the one that calls bring.")
    stop: Given | None = Field(description="Who stopped it.")
    limit_usd: str | None = Field(description="The limit, where it is in US dollars.")
    limit_tokens: int | None = Field(description="The limit, where it is in tokens.")
    spent_usd: str | None = Field(description="US dollars that calls and charges of the id have spent.")
    spent_tokens: int = Field(description="Tokens that calls of the id have spent.")
    unknown_calls: int = Field(default=0, description="Calls of the id without a price.")
    refused_calls: int = Field(default=0, description="Calls of the id that a budget stopped.")
    last_seen: str | None = Field(default=None, description="When the last call of the id began.")

    @property
    def used(self) -> float:
        """The share of the limit that is spent; a limit of nothing is used up from the start."""
        return float(self.spent / self.limit) if self.limit else float("inf")


class BudgetRows(BaseModel):
    """Budgets, the most used first."""

    budgets: list[BudgetRow]
    more_rows: int = Field(description="How many there are beyond the limit.")
