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

USAGE_ATTRIBUTES: Final = {
    "input_tokens": GEN_AI_USAGE_INPUT_TOKENS,
    "output_tokens": GEN_AI_USAGE_OUTPUT_TOKENS,
    "cache_read_tokens": GEN_AI_USAGE_CACHE_READ_TOKENS,
    "cache_write_tokens": GEN_AI_USAGE_CACHE_WRITE_TOKENS,
    "cache_write_5m_tokens": "otel_cost.usage.cache_write_5m_tokens",
    "cache_write_1h_tokens": "otel_cost.usage.cache_write_1h_tokens",
    "reasoning_tokens": GEN_AI_USAGE_REASONING_TOKENS,
    "input_audio_tokens": "otel_cost.usage.input_audio_tokens",
    "cache_read_audio_tokens": "otel_cost.usage.cache_read_audio_tokens",
    "output_audio_tokens": "otel_cost.usage.output_audio_tokens",
    "input_image_tokens": "otel_cost.usage.input_image_tokens",
    "cache_read_image_tokens": "otel_cost.usage.cache_read_image_tokens",
    "output_image_tokens": "otel_cost.usage.output_image_tokens",
    "input_video_tokens": "otel_cost.usage.input_video_tokens",
    "web_searches": "otel_cost.usage.web_searches",
    "file_searches": "otel_cost.usage.file_searches",
    "rerank_searches": "otel_cost.usage.rerank_searches",
    "audio_seconds": "otel_cost.usage.audio_seconds",
}
"""The attribute of each field of `Usage`. Those that the conventions have no name for are ours, and stand on a span
only where they are not 0. All are whole numbers but ``audio_seconds``, an exact decimal string."""

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

VERSION: Final = "otel_cost.version"
"""On the resource: the version of otel-cost that runs in the process. It puts the cost on one span of each call, so the
ledger takes none of its other spans for a call."""

# --- otel-cost: what a call cost -----------------------------------------------------------------------------------
COST_STATUS: Final = "otel_cost.cost.status"
"""``known``, ``estimated`` or ``unknown``. A span that carries it is one call in the ledger; no other span is."""
COST_AMOUNT: Final = "otel_cost.cost.amount"
"""Exact decimal string, absent where the status is ``unknown``."""
COST_CURRENCY: Final = "otel_cost.cost.currency"
COST_SOURCE: Final = "otel_cost.cost.source"
"""``provider`` where the response states a price, ``local`` where it was worked out from the price table."""
COST_PRICE_VERSION: Final = "otel_cost.cost.price_version"
COST_PRICE_TERMS: Final = "otel_cost.cost.price_terms"
"""What the price depended on beyond provider, model, tier and time: ``inference_geo=us,speed=fast``, by the names of
`pricing.terms`. Absent where all of that is ordinary."""
COST_REASON: Final = "otel_cost.cost.reason"
"""Why the cost is ``estimated`` or ``unknown``, in a few words for a person."""

CALL_OUTCOME: Final = "otel_cost.call.outcome"
"""``ok``, ``error`` (the provider or the network failed it), ``cut`` (a stream that ended before its end) or
``refused`` (a budget stopped it; nothing was sent: `ERROR_TYPE` says whether it did not fit, or the application gave it
up while the budget had it wait)."""
CALL_ATTEMPTS: Final = "otel_cost.call.attempts"
"""How many requests left the process for this one call: the first and the SDK's retries. 0 where it was refused."""
CALL_SERVICE_TIER: Final = "otel_cost.call.service_tier"
"""The tier that the provider served it at, such as ``batch``, ``flex`` or ``priority``, where that is not the standard
one."""
CALL_DOWNGRADED_TO: Final = "otel_cost.call.downgraded_to"
"""The model that the provider was asked for in the place of `GEN_AI_REQUEST_MODEL`, which the application said and a
budget found too dear. Absent mostly."""
CALL_FAILURES: Final = "otel_cost.call.failures"
"""The attempts that brought no answer, in their order: the HTTP status and the provider's own code for it
(``429 insufficient_quota``), or the type of the error (``ReadTimeout``). Absent where there are none."""

WASTE_AMOUNT: Final = "otel_cost.waste.amount"
"""What the attempts that broke off may have cost beside `COST_AMOUNT`, in the same currency: an exact decimal string of
an estimate. Absent where none broke off, and where nobody can tell."""
WASTE_STATUS: Final = "otel_cost.waste.status"
"""``estimated`` or ``unknown``; absent where no attempt broke off."""

CHARGE: Final = "charge"
"""The value of ``gen_ai.operation.name`` on the span of a charge: of what was spent, and not on a call to a model."""
CHARGE_NAME: Final = "otel_cost.charge.name"
"""What was charged for, such as ``web_search``."""
CHARGE_UNITS: Final = "otel_cost.charge.units"
"""How much of it, an exact decimal string."""

CHARGE_EVENT: Final = "otel_cost.charge"
"""The log event by which an application that otel-cost does not run in tells the ledger of a charge: with
`CHARGE_NAME`, `CHARGE_UNITS` (1 where it is absent), `COST_AMOUNT` (else the ledger's prices say it) and who pays."""

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
METRIC_LOST: Final = "otel_cost.calls.lost"
"""Counter of calls that got lost on the way to the ledger."""

METRIC_REJECTED: Final = "otel_cost.budgets.rejected"
"""Counter of budgets in baggage that were not signed as they must be, by ``reason``: ``unsigned``, ``forged`` or
``expired``."""

# --- otel-cost: who pays -------------------------------------------------------------------------------------------
PREFIX: Final = "otel_cost."
BUDGET_PREFIX: Final = "otel_cost.budget."
"""``otel_cost.budget.<dimension>`` = limit: USD as a decimal, or tokens with the suffix ``tok``. In baggage it asks for
the limit, on a span it says which limit held."""
BUDGET_EVENT_PREFIX: Final = "otel_cost.budget.event."
"""``otel_cost.budget.event.<field>``: what an event of a budget says, on the span event and the log event of that name:
``otel_cost.budget.<kind>``."""
BUDGET_EVENTS: Final = ("warned", "exceeded", "paused", "resumed", "stopped", "downgraded")
"""The kinds of the events of budgets that are told of beyond the process."""
MODEL_CHOSEN: Final = "otel_cost.model.chosen"
"""The span event of a model that was chosen by what is left of a budget; its attribute of that name is the model."""
MODEL_CHOSEN_REASON: Final = "otel_cost.model.chosen.reason"
TOKENS_SUFFIX: Final = "tok"
TOKENS: Final = "tokens"
"""The unit of a budget that is not in US dollars."""

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
        *("budget", "budgets", "cost", "call", "calls", "charge", "waste"),
        *("provider", "model", "service", "environment", "operation", "outcome", "hour", "day", "week", "month"),
        *("by", "since", "until"),
    }
)
"""Names that mean something else, on spans or in questions to the ledger, and so name no dimension."""

LONGEST_ID: Final = 256
"""Characters of an id, and of a budget, that are read."""

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


def check_dimension(name: object) -> str:
    """`name`, where it may name a dimension.

    Raises:
        ValueError: it may not.
    """
    if not isinstance(name, str) or not is_dimension(name):
        what = "is reserved" if isinstance(name, str) and name in RESERVED else "is no dimension"
        raise ValueError(f"{name!r} {what}: use lower-case letters, digits and _, a letter first")
    return name


def check_id(dimension: str, id: object) -> str:  # noqa: A002 - what it is
    """`id`, where it may be the id of `dimension`.

    Raises:
        ValueError: it may not.
    """
    if not isinstance(id, str) or not id or len(id) > LONGEST_ID:
        raise ValueError(f"the id of {dimension} is {id!r}: it must be a text of 1 to {LONGEST_ID} characters")
    try:
        id.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the id of {dimension} is {id!r}: it must be text that UTF-8 can carry") from None
    return id
