"""Budgets: which hold in a context, what a call may cost, and the decision before it leaves."""

from otel_cost.budgets.admission import admit, charge, check, settle
from otel_cost.budgets.chosen import store
from otel_cost.budgets.context import budgets_in, enforce, sign_budget
from otel_cost.budgets.events import BudgetEvent, subscribe
from otel_cost.budgets.guard import Guard, budget, status
from otel_cost.budgets.limit import Limit
from otel_cost.budgets.lineage import Open
from otel_cost.budgets.profiles import choose_model
from otel_cost.budgets.rule import Budget, Policy
from otel_cost.budgets.sizing import claims_of, input_tokens, learn, likely_cost
from otel_cost.budgets.stage import stage
from otel_cost.budgets.tree import Claim, Hold, Spend, Verdict
from otel_cost.budgets.waiting import Steps, finish, finish_async

__all__ = [
    "Budget",
    "BudgetEvent",
    "Claim",
    "Guard",
    "Hold",
    "Limit",
    "Open",
    "Policy",
    "Spend",
    "Steps",
    "Verdict",
    "admit",
    "budget",
    "budgets_in",
    "charge",
    "check",
    "choose_model",
    "claims_of",
    "enforce",
    "finish",
    "finish_async",
    "input_tokens",
    "learn",
    "likely_cost",
    "settle",
    "sign_budget",
    "stage",
    "status",
    "store",
    "subscribe",
]
