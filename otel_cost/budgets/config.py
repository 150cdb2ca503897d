"""A budget as people write it, in code, in a file or in JSON, and how one stands: models that check themselves.

The rules are stated once, here. pydantic is imported with the first budget that somebody writes, not with `otel_cost`.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_serializer, model_validator
from pydantic_core import PydanticCustomError

from otel_cost import money, semconv
from otel_cost.budgets.limit import Limit
from otel_cost.budgets.rule import PLAIN, At, Budget, OnExceed, OnUnknown, Policy, Sizing
from otel_cost.budgets.window import Span, Window, span_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import ValidationInfo

    from otel_cost.budgets.tree import Amount, Standing

_FLOAT: Final = "is a float, which is not exact: write "
_GOES_WITH: Final = {
    "safety_factor": ("sizing", "safety_factor"),
    "unknown_rate_usd_per_million": ("on_unknown", "rate"),
    "pause_seconds": ("on_exceed", "pause"),
}
"""What says nothing unless another key has a certain value."""


Model = TypeVar("Model", bound=BaseModel)


class BudgetError(ValueError):
    """A budget that cannot be.

    Attributes:
        problems: the key that is wrong, None where it is the whole, and what to write instead.
    """

    def __init__(self, problems: list[tuple[str | None, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(text for _, text in problems))


def _says(check: Callable[[Any], Any]) -> BeforeValidator:
    """A check whose `ValueError` is for the reader as it stands."""

    def checked(value: Any) -> Any:
        try:
            return check(value)
        except ValueError as error:
            raise PydanticCustomError("said", "{said}", {"said": str(error)}) from None

    return BeforeValidator(checked)


def _usd(value: Any) -> Decimal:
    if isinstance(value, float):
        raise ValueError(f"{value!r} {_FLOAT}{str(value)!r}")  # noqa: TRY004 - one error type for what cannot be
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise ValueError(f"{value!r} is not an amount of money: write it like '0.05'")  # noqa: TRY004 - likewise
    return Limit.of_usd(value).amount


def _tokens(value: Any) -> int:
    return int(Limit.of_tokens(value).amount)


def _number(value: Any) -> Decimal:
    """A plain number, which a float is as it is written."""
    try:
        found = Decimal(str(value)) if not isinstance(value, bool) else Decimal("NaN")
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite():
        raise ValueError(f"{value!r} is not a number")
    return found


def _factor(value: Any) -> Decimal:
    if (found := _number(value)) < 1:
        raise ValueError(f"{value!r} is less than 1: write how many times the spent may be, as in 1.3")
    return found


def _share(value: Any) -> Decimal:
    found = _number(value)
    if not 0 < found <= 1:
        raise ValueError(f"{value!r} is no share of the limit: write a number above 0 and up to 1, as in 0.8")
    return found


def _shares(value: Any) -> tuple[Decimal, ...]:
    shares = value if isinstance(value, list | tuple | set | frozenset) else (value,)
    return tuple(sorted({_share(share) for share in shares}))


def _seconds(value: Any) -> float:
    if (found := _number(value)) <= 0:
        raise ValueError(f"{value!r} is no time to wait: write seconds, as in 600")
    return float(found)


def _timezone(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no time zone: write one like 'Europe/Berlin'")  # noqa: TRY004 - likewise
    return Window.of("day", value).timezone


def _match(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} matches no id: write one, or a pattern like team-*")
    return value


class PolicyConfig(BaseModel):
    """How a budget treats a call before it leaves, and one that does not fit: the keys of ``[defaults]`` in a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    on_exceed: OnExceed = Field(
        default="raise",
        description="What becomes of a call that does not fit: it is refused (raise), it leaves and an event says so "
        "(warn), it waits for somebody to raise the limit (pause), or it asks a cheaper model (downgrade).",
    )
    at: At = Field(default="call", description="Where it is stopped: before any call, or before the next stage begins.")
    sizing: Sizing = Field(
        default="expected",
        description="How much a call holds before it leaves: what such calls cost lately (expected), what it can cost "
        "at most (strict), or nothing, and no call fits once safety_factor times the spent reach the limit.",
    )
    safety_factor: Annotated[Decimal, _says(_factor)] = Field(
        default=PLAIN.safety_factor, description="The factor of sizing = safety_factor."
    )
    on_unknown: OnUnknown = Field(
        default="refuse",
        description="What becomes of a call whose price nobody knows, under a limit in US dollars: it is refused, it "
        "is allowed, or it is allowed and counts unknown_rate_usd_per_million (rate).",
    )
    unknown_rate_usd_per_million: Annotated[Decimal, _says(_usd)] | None = Field(
        default=None, description="US dollars per million tokens, for on_unknown = rate."
    )
    warn_at: Annotated[tuple[Decimal, ...], _says(_shares)] = Field(
        default=(), description="Shares of the limit, above 0 and up to 1: an event each, as what is spent reaches it."
    )
    pause_seconds: Annotated[float, _says(_seconds)] | None = Field(
        default=None,
        description="How long a call waits under on_exceed = pause before it is refused; without it, until somebody "
        "decides.",
    )

    @model_validator(mode="after")
    def _goes_together(self, info: ValidationInfo) -> PolicyConfig:
        own = info.context["own"] if info.context else self.model_fields_set
        fields = PolicyConfig.model_fields
        for key in (key for key in _GOES_WITH if key in own and getattr(self, key) != fields[key].default):
            other, value = _GOES_WITH[key]
            if getattr(self, other) != value:
                raise PydanticCustomError("said", "{said}", {"said": f"{key} says nothing without {other}={value!r}"})
        if self.on_unknown == "rate" and self.unknown_rate_usd_per_million is None:
            said = "on_unknown='rate' needs unknown_rate_usd_per_million"
            raise PydanticCustomError("said", "{said}", {"said": said})
        return self

    @cached_property
    def policy(self) -> Policy:
        """As the gate reads it."""
        return Policy(
            on_exceed=self.on_exceed,
            at=self.at,
            sizing=self.sizing,
            safety_factor=self.safety_factor,
            on_unknown=self.on_unknown,
            unknown_rate=self.unknown_rate_usd_per_million,
            warn_at=self.warn_at,
            pause_seconds=self.pause_seconds,
        )


class BudgetConfig(PolicyConfig):
    """A budget for every id of a dimension that a pattern matches: a ``[[budget]]`` of a file, or one in code.

    Amounts are exact: a text, `Decimal` or whole number in Python and JSON, a plain number in TOML.
    """

    dimension: Annotated[str, _says(semconv.check_dimension)] = Field(
        description="Any dimension, such as run or project."
    )
    match: Annotated[str, _says(_match)] = Field(
        default="*", description="For which of its ids, as in a shell: *, ? and [abc]. Each has the limit for itself."
    )
    limit_usd: Annotated[Decimal, _says(_usd)] | None = Field(
        default=None, description="US dollars. Either these or tokens."
    )
    limit_tokens: Annotated[int, _says(_tokens)] | None = Field(
        default=None, description="Tokens, input and output together."
    )
    window: Span = Field(default="life", description="How long the limit is for, again and again; or an id's life.")
    timezone: Annotated[str, _says(_timezone)] = Field(
        default="UTC", description="By whose clocks the window begins, as in Europe/Berlin."
    )

    @model_validator(mode="after")
    def _is_one_limit(self) -> BudgetConfig:
        if (self.limit_usd is None) == (self.limit_tokens is None):
            raise PydanticCustomError("said", "a budget needs limit_usd or limit_tokens, and not both")
        return self

    @cached_property
    def limit(self) -> Limit:
        """How much."""
        if self.limit_tokens is not None:
            return Limit.of_tokens(self.limit_tokens)
        return Limit(self.limit_usd or Decimal(0))

    @cached_property
    def lasts(self) -> Window:
        """For how long."""
        return Window.of(self.window, self.timezone)

    def budget(self, id: str) -> Budget:  # noqa: A002 - what it is
        """The budget of one id."""
        return Budget(self.dimension, id, self.limit, self.lasts, self.policy)


def budget_of(dimension: str, id: str, **given: Any) -> Budget:  # noqa: A002 - what it is
    """The budget that code asks for; None stands for what is not given.

    Raises:
        BudgetError: it cannot be, and what to write instead.
        ValueError: the id cannot be one.
    """
    config = checked(BudgetConfig, {"dimension": dimension, **_without_none(given)})
    return config.budget(semconv.check_id(dimension, id))


def _without_none(given: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if value is not None}


def checked(model: type[Model], written: dict[str, Any], own: set[str] | None = None) -> Model:
    """`written` as a `model`.

    Args:
        model: `BudgetConfig` or `PolicyConfig`.
        written: the keys and values.
        own: those keys that stand here, where others come from defaults.

    Raises:
        BudgetError: it cannot be, and what to write instead.
    """
    try:
        return model.model_validate(written, context=None if own is None else {"own": own})
    except ValidationError as error:
        raise BudgetError([_problem(model, found) for found in error.errors()]) from None


def _problem(model: type[BaseModel], found: Any) -> tuple[str | None, str]:
    """What pydantic found, as a person would say it."""
    key = str(found["loc"][0]) if found["loc"] else None
    kind, value = found["type"], found["input"]
    if kind == "extra_forbidden":
        return key, f"{key}: no such key; there are {', '.join(model.model_fields)}"
    if kind == "missing":
        return None, f"{key} is missing"
    if kind == "literal_error":
        options = found["ctx"]["expected"].replace(" or ", ", ").replace("'", "")
        return key, f"{key}={value!r}: write one of {options}"
    if kind == "said" and key is None:  # of several keys: the first is named first
        return next((name for name in model.model_fields if found["msg"].startswith(name)), None), found["msg"]
    if kind == "said":
        return key, f"{key}: {found['msg']}"
    return key, f"{key}={value!r}: {found['msg']}"


State = Literal["open", "warned", "paused", "exhausted", "stopped"]


class BudgetStatus(BaseModel):
    """How a budget stands. In JSON, amounts are texts that hold them exactly."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dimension: str = Field(description="The dimension that carries the budget, such as run.")
    id: str = Field(description="The id within it.")
    unit: Literal["USD", "tokens"] = Field(description="What all amounts here are in.")
    window: Span = Field(default="life", description="How long the limit is for.")
    period: str = Field(
        default="", description="Which window it is: its span, first moment and time zone; empty for the id's life."
    )
    limit: Decimal = Field(description="How much may be spent.")
    spent: Decimal = Field(description="What calls have spent.")
    held: Decimal = Field(description="What calls under way may still spend.")
    remaining: Decimal = Field(description="What is neither spent nor held; never less than 0.")
    state: State = Field(
        description="open; warned, once a share that it warns at is spent; paused, while calls wait for somebody to "
        "raise the limit; exhausted, once the limit is spent; stopped, where somebody said so."
    )
    calls: int = Field(ge=0, description="How many calls have been booked to it; a charge is none.")
    under_way: int = Field(default=0, ge=0, description="How many calls are under way.")
    on_exceed: OnExceed = Field(default="raise", description="What becomes of a call that does not fit.")
    reason: str | None = Field(default=None, description="Why it was stopped, or lets nothing through.")

    @classmethod
    @money.exactly
    def of(cls, standing: Standing, policy: Policy, *, paused: bool = False) -> BudgetStatus:
        """How the account of `standing` stands under `policy`; `paused` while calls wait for a decision about it."""
        key, limit = standing.key, standing.limit
        return cls(
            dimension=key.dimension,
            id=key.id,
            unit="tokens" if limit.in_tokens else "USD",
            window=span_of(key.period),
            period=key.period,
            limit=_shown(limit.amount, limit),
            spent=_shown(standing.spent, limit),
            held=_shown(standing.held, limit),
            remaining=_shown(max(Decimal(0), limit.amount - standing.spent - standing.held), limit),
            state=_state(standing, policy, paused=paused),
            calls=standing.calls,
            under_way=standing.under_way,
            on_exceed=policy.on_exceed,
            reason=standing.stopped or limit.flaw,
        )

    @field_serializer("limit", "spent", "held", "remaining", when_used="json")
    def _exact(self, amount: Decimal) -> str:
        return money.text(amount) if self.unit == money.CURRENCY else str(int(amount))


def _shown(amount: Amount, limit: Limit) -> Decimal:
    """`amount` as it is to be printed: 0.000000, where it was 0E-12."""
    return Decimal(amount) if limit.in_tokens else Decimal(money.text(Decimal(amount)))


def _state(standing: Standing, policy: Policy, *, paused: bool) -> State:
    limit = standing.limit
    if standing.stopped is not None or limit.flaw is not None:
        return "stopped"
    if paused:
        return "paused"
    if standing.spent >= limit.amount:
        return "exhausted"
    return "warned" if any(standing.spent >= share * limit.amount for share in policy.warn_at) else "open"
