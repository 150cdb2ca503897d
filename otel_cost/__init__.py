"""LLM cost tracking and budgets that speak OpenTelemetry.

>>> import otel_cost
>>> with otel_cost.attribute(project="atlas", stage="draft"):
...     with otel_cost.budget("run", "nightly-7", limit_usd="0.50"):
...         ...
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from otel_cost.attribution import attribute
from otel_cost.budgets import BudgetEvent, Guard, budget, choose_model, sign_budget, stage, status, subscribe
from otel_cost.budgets.artifacts import cost_of
from otel_cost.charges import charge
from otel_cost.errors import BudgetExceededError
from otel_cost.metering import Metered, meter, meter_batch
from otel_cost.pricing import price
from otel_cost.usage import Usage

if TYPE_CHECKING:
    from otel_cost.budgets.artifact_model import ArtifactCost
    from otel_cost.budgets.config import BudgetConfig, BudgetStatus
    from otel_cost.budgets.estimate import estimate
    from otel_cost.budgets.estimate_model import Estimate
    from otel_cost.budgets.report import CostReport
    from otel_cost.budgets.schemas import schemas

__all__ = [
    "ArtifactCost",
    "BudgetConfig",
    "BudgetEvent",
    "BudgetExceededError",
    "BudgetStatus",
    "CostReport",
    "Estimate",
    "Guard",
    "Metered",
    "Usage",
    "attribute",
    "budget",
    "charge",
    "choose_model",
    "cost_of",
    "estimate",
    "meter",
    "meter_batch",
    "price",
    "schemas",
    "sign_budget",
    "stage",
    "status",
    "subscribe",
]

_LATE = {
    "ArtifactCost": "artifact_model",
    "BudgetConfig": "config",
    "BudgetStatus": "config",
    "CostReport": "report",
    "Estimate": "estimate_model",
    "estimate": "estimate",
    "schemas": "schemas",
}


def __getattr__(name: str) -> Any:
    """What needs pydantic or a network: its module in `otel_cost.budgets` is imported where somebody asks for it."""
    if name in _LATE:
        return getattr(import_module(f"otel_cost.budgets.{_LATE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
