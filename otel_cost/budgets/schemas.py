"""The JSON Schemas of the public shapes: what people write, and what otel-cost answers and sends."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from otel_cost.budgets.artifact_model import ArtifactCost
from otel_cost.budgets.config import BudgetConfig, BudgetStatus, PolicyConfig
from otel_cost.budgets.estimate_model import Estimate
from otel_cost.budgets.events import Kind
from otel_cost.budgets.profile_config import ProfileConfig
from otel_cost.budgets.report import CostReport

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class BudgetFile(BaseModel):
    """The file that OTEL_COST_BUDGETS names, in TOML."""

    model_config = ConfigDict(extra="forbid")

    defaults: PolicyConfig | None = Field(
        default=None, description="How budgets are treated that do not say so: those here, and those in baggage."
    )
    budget: list[BudgetConfig] = Field(default=[], description="Budgets, each for every id that it matches.")
    profile: list[ProfileConfig] = Field(default=[], description="Which models stages and roles ask.")


class BudgetEvent(BaseModel):
    """What a webhook gets when something happens to a budget. Amounts are texts that hold them exactly."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(description="One sentence that says it all, where chats look for it.")
    event: Kind = Field(description="What has happened.")
    time: datetime = Field(description="When.")
    dimension: str = Field(description="The dimension that carries the budget, such as run.")
    id: str = Field(description="The id within it.")
    unit: Literal["USD", "tokens"] = Field(description="What all amounts here are in.")
    period: str = Field(default="", description="Which window of the budget; absent for the id's life.")
    limit: str = Field(description="The limit that holds.")
    spent: str = Field(description="What calls have spent.")
    held: str = Field(description="What calls under way may still spend.")
    share: str | None = Field(default=None, description="The share of the limit that was reached.")
    call: str | None = Field(default=None, description="What the call that it is about asks for, or has spent.")
    model: str | None = Field(default=None, description="The model of that call.")


_WRITTEN: Final[tuple[type[BaseModel], ...]] = (BudgetConfig, BudgetFile)
_ANSWERED: Final[tuple[type[BaseModel], ...]] = (ArtifactCost, BudgetEvent, BudgetStatus, CostReport, Estimate)


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of each shape, by its name."""
    written = {model.__name__: model.model_json_schema() for model in _WRITTEN}
    answered = {model.__name__: model.model_json_schema(mode="serialization") for model in _ANSWERED}
    return {name: {"$schema": _DIALECT, **schema} for name, schema in sorted((written | answered).items())}
