"""A profile of models as people write it: a ``[[profile]]`` of the file of budgets."""

from __future__ import annotations

from decimal import Decimal
from functools import cached_property

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from otel_cost.budgets.profiles import Profile


class ProfileConfig(BaseModel):
    """Models from cheap to strong, and how much of the budget must be left for each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str | None = Field(default=None, min_length=1, description="For which stages, as in a shell: draft*.")
    role: str | None = Field(default=None, min_length=1, description="For which roles, likewise.")
    models: tuple[str, ...] = Field(description="The models, from cheap to strong, as requests name them.")
    shares: tuple[Decimal, ...] | None = Field(
        default=None,
        description="For each model but the first, the share of the tightest budget that must be left for it. Without "
        "them, even steps: 0.5 for the second of two.",
    )
    level: int | None = Field(
        default=None, ge=1, description="Always this model, whatever is left: 1 for the first, the cheapest."
    )

    @field_validator("models", mode="after")
    @classmethod
    def _are_models(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        if not models or not all(models) or len(set(models)) < len(models):
            raise _said("name one model or several, each once, from cheap to strong")
        return models

    @field_validator("shares", mode="before")
    @classmethod
    def _are_exact(cls, shares: object) -> object:
        if not isinstance(shares, list | tuple):
            return shares
        return [Decimal(str(share)) if isinstance(share, float) else share for share in shares]

    @model_validator(mode="after")
    def _fit(self) -> ProfileConfig:
        count, shares = len(self.models), self.shares
        if shares is not None and len(shares) != count - 1:
            raise _said(f"shares: {count} models need {count - 1} of them, one for each model but the first")
        if shares is not None and (list(shares) != sorted(set(shares)) or not all(0 < share <= 1 for share in shares)):
            raise _said("shares: write numbers above 0 and up to 1, each larger than the one before")
        if self.level is not None and self.level > count:
            raise _said(f"level: there are {count} models, so it is at most {count}")
        return self

    @cached_property
    def profile(self) -> Profile:
        """As a choice reads it."""
        count = len(self.models)
        even = tuple(Decimal(step) / count for step in range(1, count))
        shares = even if self.shares is None else self.shares
        return Profile(self.models, shares, self.stage, self.role, self.level)


def _said(text: str) -> PydanticCustomError:
    return PydanticCustomError("said", "{said}", {"said": text})
