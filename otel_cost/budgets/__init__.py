"""Budgets: which hold in a context, what a call may cost, and the decision before it leaves."""

from otel_cost.budgets.context import budget, budgets_in, enforce
from otel_cost.budgets.limit import Budget, Limit
from otel_cost.budgets.memory import STORE, Hold, MemoryStore
from otel_cost.budgets.sizing import Ask, Spend, input_tokens, learn, likely, likely_cost

__all__ = [
    "STORE",
    "Ask",
    "Budget",
    "Hold",
    "Limit",
    "MemoryStore",
    "Spend",
    "budget",
    "budgets_in",
    "enforce",
    "input_tokens",
    "learn",
    "likely",
    "likely_cost",
]
