"""What something is likely to cost, as it is published."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Estimate(BaseModel):
    """What calls are likely to cost, as a range."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: Decimal = Field(ge=0, description="What it hardly comes below: nine tenths cost more.")
    likely: Decimal = Field(ge=0, description="What is most likely: the median of runs, the mean of calls.")
    high: Decimal = Field(ge=0, description="What it hardly exceeds: nine tenths cost less.")
    currency: Literal["USD"] = Field(default="USD", description="What all amounts here are in.")
    basis: Literal["sizes", "calls", "runs", "calls priced anew"] = Field(
        description="What it is worked out from: given sizes and prices; what calls or runs cost, as the ledger has "
        "it; or the sizes of those calls at the prices of another model."
    )
    calls: int | None = Field(
        default=None, description="For how many calls it is; None for a run, however many it has."
    )
    seen: int = Field(default=0, ge=0, description="How many calls or runs of the ledger it is worked out from.")
    model: str | None = Field(default=None, description="At whose prices; None where at those that calls were made at.")
    price_version: str | None = Field(default=None, description="Which prices these are.")
    doubts: tuple[str, ...] = Field(default=(), description="What it leaves out, or is not sure of.")
