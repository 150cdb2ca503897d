"""The wire contract: every attribute, metric and baggage name that otel-cost writes or reads.

Usage follows the OpenTelemetry GenAI semantic conventions unchanged. Their Python constants are deprecated since the
conventions moved to a repository of their own, so the names are pinned here. Everything under ``otel_cost.`` is ours.

Input tokens include cached ones, output tokens include reasoning.
"""

from __future__ import annotations

import re
from typing import Final

# --- OpenTelemetry GenAI conventions -------------------------------------------------------------------------------
GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
GEN_AI_REQUEST_STREAM: Final = "gen_ai.request.stream"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_RESPONSE_ID: Final = "gen_ai.response.id"
GEN_AI_TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - no secret
USAGE_PREFIX: Final = "gen_ai.usage."
GEN_AI_USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
GEN_AI_USAGE_CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_USAGE_CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
GEN_AI_USAGE_CACHE_CREATION_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"
"""The earlier name of the one above, which most backends still look for."""
GEN_AI_USAGE_REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"

INFERENCE_OPERATIONS: Final = frozenset({"chat", "text_completion", "generate_content", "embeddings"})
"""Values of ``gen_ai.operation.name`` that are one call to a model. Agent, workflow and tool spans repeat the sum of
their children, so they never carry cost."""

# The open proposal for cost on GenAI spans. Experimental: the exact figure is ``otel_cost.cost.amount``.
GEN_AI_USAGE_COST_AMOUNT: Final = "gen_ai.usage.cost.amount"
GEN_AI_USAGE_COST_CURRENCY: Final = "gen_ai.usage.cost.currency"
GEN_AI_USAGE_COST_SOURCE: Final = "gen_ai.usage.cost.source"

BACKENDS_COST: Final = ("gen_ai.usage.cost", "llm.cost.total", "operation.cost")
"""Where tracing backends look for the cost of a call, US dollars as a double: Langfuse and OpenLIT, OpenInference's
and Langfuse again, Logfire. An instrumentation may have written its own figure there; ours stands in its place."""

# --- OpenTelemetry general conventions -----------------------------------------------------------------------------
ERROR_TYPE: Final = "error.type"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
SERVICE_NAME: Final = "service.name"
DEPLOYMENT_ENVIRONMENT: Final = "deployment.environment.name"

# --- otel-cost: what a call cost -----------------------------------------------------------------------------------
COST_STATUS: Final = "otel_cost.cost.status"
"""``known``, ``estimated`` or ``unknown``. A span that carries it is one call in the ledger; no other span is."""
COST_AMOUNT: Final = "otel_cost.cost.amount"
"""Exact decimal string, absent where the status is ``unknown``."""
COST_CURRENCY: Final = "otel_cost.cost.currency"
COST_SOURCE: Final = "otel_cost.cost.source"
"""``provider`` where the response states a price, ``local`` where it was worked out from the price table."""
COST_PRICE_VERSION: Final = "otel_cost.cost.price_version"
COST_REASON: Final = "otel_cost.cost.reason"
"""Why the cost is ``estimated`` or ``unknown``, in a few words for a person."""

CALL_OUTCOME: Final = "otel_cost.call.outcome"
"""``ok``, ``error`` (the provider or the network failed it), ``cut`` (a stream that ended before its end) or
``refused`` (a budget stopped it; nothing was sent)."""
CALL_ATTEMPTS: Final = "otel_cost.call.attempts"
"""How many requests left the process for this one call: the first and the SDK's retries. 0 where it was refused."""
CALL_FAILURES: Final = "otel_cost.call.failures"
"""The attempts that brought no answer, in their order: the HTTP status and the provider's own code for it
(``429 insufficient_quota``), or the type of the error (``ReadTimeout``). Absent where there are none."""

WASTE_AMOUNT: Final = "otel_cost.waste.amount"
"""What the attempts that broke off may have cost beside `COST_AMOUNT`, in the same currency: an exact decimal string of
an estimate. Absent where none broke off, and where nobody can tell."""
WASTE_STATUS: Final = "otel_cost.waste.status"
"""``estimated`` or ``unknown``; absent where no attempt broke off."""

CALLS_PATH: Final = "/v1/calls"
"""Where the ledger takes an OTLP trace export request over HTTP too. Nobody else serves it, so what the application's
sampler dropped gets to the ledger or to nobody."""

# --- Metrics -------------------------------------------------------------------------------------------------------
METRIC_TOKEN_USAGE: Final = "gen_ai.client.token.usage"  # noqa: S105 - no secret
"""The conventions' histogram: tokens of a call, by `GEN_AI_TOKEN_TYPE`, ``input`` or ``output``."""
METRIC_COST: Final = "otel_cost.cost"
"""Counter of US dollars: what calls cost, known or estimated."""
METRIC_WASTE: Final = "otel_cost.waste"
"""Counter of US dollars: what failed attempts that broke off may have cost, beside `METRIC_COST`."""
METRIC_UNPRICED: Final = "otel_cost.calls.unpriced"
"""Counter of calls whose cost is ``unknown``, which `METRIC_COST` lacks."""

# --- otel-cost: who pays -------------------------------------------------------------------------------------------
PREFIX: Final = "otel_cost."
BUDGET_PREFIX: Final = "otel_cost.budget."
"""``otel_cost.budget.<dimension>`` = limit: USD as a decimal, or tokens with the suffix ``tok``. In baggage it asks for
the limit, on a span it says which limit held."""
TOKENS_SUFFIX: Final = "tok"

DIMENSIONS: Final = (
    "project",
    "plan",
    "session",
    "run",
    "stage",
    "role",
    "scene",
    "task",
    "quest",
    "analysis",
)
"""The attribution dimensions that ship. A user may add more: any name that `is_dimension` accepts."""

RESERVED: Final = frozenset(
    {
        *("budget", "budgets", "cost", "call", "calls", "waste"),
        *("provider", "model", "service", "environment", "operation", "outcome", "hour", "day", "by", "since", "until"),
    }
)
"""Names that mean something else, on spans or in questions to the ledger, and so name no dimension."""

_DIMENSION = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")


def is_dimension(name: str) -> bool:
    """Whether `name` may name a dimension: lower-case letters, digits and ``_``, at most 64, a letter first.

    A `RESERVED` name may not.
    """
    return _DIMENSION.match(name) is not None and name not in RESERVED


def is_budget(key: str) -> bool:
    """Whether the baggage member `key` is meant to set a budget, be it that it names no dimension."""
    return key.startswith(BUDGET_PREFIX) or f"{key}." == BUDGET_PREFIX


def dimension_key(dimension: str) -> str:
    """The baggage member and span attribute that carry the id of `dimension`."""
    return PREFIX + dimension


def budget_key(dimension: str) -> str:
    """The baggage member and span attribute that carry the budget limit of `dimension`."""
    return BUDGET_PREFIX + dimension


def dimension_of(key: str) -> str | None:
    """The dimension whose id the baggage member or span attribute `key` carries, None for any other key."""
    name = key.removeprefix(PREFIX)
    return name if name != key and is_dimension(name) else None


def budgeted_dimension_of(key: str) -> str | None:
    """The dimension whose budget limit the baggage member or span attribute `key` carries, None for any other key."""
    name = key.removeprefix(BUDGET_PREFIX)
    return name if name != key and is_dimension(name) else None
