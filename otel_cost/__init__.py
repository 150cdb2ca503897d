"""LLM cost tracking and budgets that speak OpenTelemetry.

>>> import otel_cost
>>> with otel_cost.attribute(project="atlas", stage="draft"):
...     with otel_cost.budget("run", "nightly-7", limit_usd="0.50"):
...         ...
"""

from otel_cost.attribution import attribute
from otel_cost.budgets import budget
from otel_cost.errors import BudgetExceededError
from otel_cost.metering import Metered, meter, meter_batch
from otel_cost.pricing import price
from otel_cost.usage import Usage

__all__ = ["BudgetExceededError", "Metered", "Usage", "attribute", "budget", "meter", "meter_batch", "price"]
