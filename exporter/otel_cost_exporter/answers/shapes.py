"""The shapes of what the books answer, as OpenAPI and ``/v1/schemas`` publish them.

An answer is made as plain dictionaries, and a test holds that each is what its shape says. Money is an exact decimal
text, and null where it is unknown; a time is ISO 8601 in UTC unless a time zone was asked for.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Usd = Annotated[str, Field(pattern=r"^\d+\.\d{6,12}$", description="US dollars, an exact decimal.")]
Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?(Z|[+-]\d\d:\d\d)$")]
Count = Annotated[int, Field(ge=0)]
CompleteSince = Annotated[
    Time | None,
    Field(
        description="Null where the answer is whole. Otherwise what it asks for began before this time and has been "
        "pruned from the books, so that the figures are of calls from then on."
    ),
]
Next = Annotated[str | None, Field(description="Send it as cursor for the next page; null after the last one.")]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Figures(_Shape):
    """What some calls amount to."""

    calls: Count = Field(description="Calls that were sent, whatever became of them.")
    failed_calls: Count = Field(description="Those that failed.")
    cut_calls: Count = Field(description="Those whose stream ended before its end.")
    refused_calls: Count = Field(description="Calls that a budget stopped; they are not among calls.")
    input_tokens: Count = Field(description="Cached ones included.")
    output_tokens: Count = Field(description="Reasoning included.")
    cache_read_tokens: Count = Field(description="The part of the input that was read from a cache.")
    cache_write_tokens: Count = Field(description="The part of the input that was written to a cache.")
    reasoning_tokens: Count = Field(description="The part of the output that is reasoning.")
    cost_usd: Usd | None = Field(
        description="Known and estimated cost; null where calls were sent and none of them has a price."
    )
    estimated_cost_usd: Usd = Field(description="The estimated part of it.")
    estimated_calls: Count = Field(description="Calls and charges whose cost is estimated.")
    unknown_calls: Count = Field(description="Calls and charges without a price; they are in no sum of money.")
    unknown_input_tokens: Count = Field(description="What those sent.")
    unknown_output_tokens: Count = Field(description="What those received.")
    waste_usd: Usd = Field(description="What attempts that broke off may have cost, beside cost_usd.")
    unknown_waste_calls: Count = Field(description="Calls of which nobody can tell what such attempts cost.")


class SummaryRow(Figures):
    """The figures of one group; its keys are what was grouped by, null where the calls have none."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str | None]


class Summary(_Shape):
    """What was spent: the answer of /v1/summary."""

    rows: list[SummaryRow] = Field(description="The dearest first, unknown last; with hour or day ascending in time.")
    total: Figures
    more_rows: Count = Field(description="How many rows a limit has left out.")
    complete_since: CompleteSince


class StageOfModel(Figures):
    """What one model cost in one stage."""

    stage: str | None
    model: str | None


class OfStage(Figures):
    """What one stage cost."""

    stage: str | None


class OfModel(Figures):
    """What one model cost."""

    model: str | None


class OfRole(Figures):
    """What one role cost."""

    role: str | None


class OfScene(Figures):
    """What one scene cost."""

    scene: str | None


class OfRun(Figures):
    """What one run cost."""

    run: str | None


class _Whole(_Shape):
    """What one id amounts to, and its parts, the dearest first."""

    projects: list[str] = Field(description="Who pays.")
    first_call: Time = Field(description="When the first call began.")
    last_call: Time = Field(description="When the last call began.")
    total: Figures
    stages: list[StageOfModel] = Field(description="By stage and model.")
    by_stage: list[OfStage]
    by_model: list[OfModel] = Field(description="By the model that answered, else the one asked.")
    by_role: list[OfRole]
    complete_since: CompleteSince


class RunCostSummary(_Whole):
    """What a run has cost: the answer of /v1/runs/{id}."""

    run: str
    by_scene: list[OfScene]
    limit_usd: Usd | None = Field(description="The budget that holds for the run in US dollars; null: none.")
    remaining_usd: Usd | None = Field(description="What of it is not spent; never less than 0.")
    limit_tokens: Count | None = Field(description="The budget that holds for the run in tokens; null: none.")
    remaining_tokens: Count | None = Field(description="What of it is not spent; never less than 0.")


class SceneCost(_Whole):
    """What a scene has cost, over all its runs: the answer of /v1/scenes/{id}."""

    scene: str
    run_count: Count = Field(description="How many runs it is of; calls of no run are one of them.")
    by_run: list[OfRun] = Field(description="The dearest of them.")


class RunRow(Figures):
    """One run."""

    run: str
    projects: list[str] = Field(description="Who pays.")
    first_call: Time = Field(description="When its first call began.")
    last_call: Time = Field(description="When its last call began.")


class Runs(_Shape):
    """A page of runs: the answer of /v1/runs."""

    runs: list[RunRow]
    next: Next
    complete_since: CompleteSince


class HistoricRun(RunRow):
    """One run of a project, with what the project's runs had cost by its end."""

    cumulative_cost_usd: Usd | None = Field(description="Cost of this run and all that began before it.")
    units: Count | None = Field(description="How many units of work it did, where one was named with per.")


class Change(_Shape):
    """What something cost lately against before; medians over runs whose cost is known in full."""

    recent_usd: Usd | None
    before_usd: Usd | None
    change: float | None = Field(description="0.25: a quarter more than before. Null where one of both is not known.")


class Trend(_Shape):
    """Whether runs get more or less expensive."""

    runs: Count = Field(description="How many of the last runs are compared with as many before them.")
    per_run: Change
    per_call: Change
    per_1000_output_tokens: Change
    per_unit: Change | None = Field(description="Per unit of work, where one was named with per.")


class ProjectHistory(_Shape):
    """The runs of a project through time: the answer of /v1/projects/{id}."""

    project: str
    total: Figures = Field(description="All its calls, those of no run as well.")
    run_count: Count = Field(description="How many runs it has.")
    runs: list[HistoricRun] = Field(description="Its last runs, ascending in time.")
    trend: Trend
    complete_since: CompleteSince


class Live(_Shape):
    """What is being spent right now: calls that ended within the last minutes."""

    minutes: int
    calls: Count
    unknown_calls: Count = Field(description="Those without a price, which are in no sum of money.")
    cost_usd: Usd | None
    usd_per_hour: Usd | None = Field(description="What an hour costs at this rate.")


class Coverage(_Shape):
    """How far the cost can be relied upon."""

    known_calls: Count
    known_cost_usd: Usd
    estimated_calls: Count
    estimated_cost_usd: Usd
    unknown_calls: Count
    unknown_input_tokens: Count
    unknown_output_tokens: Count


class Day(Figures):
    """What one day cost."""

    day: str


class CostDashboard(_Shape):
    """Where the money goes: the answer of /v1/cost-dashboard."""

    days: int
    tz: str
    since: Time
    until: Time
    total: Figures
    before: Figures = Field(description="As long a time before that, up to the same time of day.")
    change: float | None = Field(description="0.25: a quarter more than before. Null where one of both is not known.")
    coverage: Coverage
    live: Live
    by: str = Field(description="What the spenders are.")
    top: list[SummaryRow] = Field(description="The ten that spent most.")
    by_day: list[Day]
    complete_since: CompleteSince


class Line(_Shape):
    """What one meter of a call cost."""

    meter: str
    quantity: str
    cost: Usd


class Call(_Shape):
    """One call to a model, or one charge."""

    start: Time
    end: Time | None
    trace_id: str = Field(pattern="^[0-9a-f]{32}$")
    span_id: str = Field(pattern="^[0-9a-f]{16}$")
    received: Time = Field(description="When the books took it.")
    scope: str | None = Field(description="The instrumentation that told of it.")
    service: str | None
    environment: str | None
    provider: str | None
    server: str | None = Field(description="The host that was called: some prices depend on where that is.")
    operation: str | None
    request_model: str | None
    response_model: str | None
    response_id: str | None
    service_tier: str | None
    price_terms: str | None = Field(description="What else its price depends on, as in inference_geo=us,speed=fast.")
    input_tokens: Count | None
    output_tokens: Count | None
    cache_read_tokens: Count | None
    cache_write_tokens: Count | None
    cache_write_5m_tokens: Count | None
    cache_write_1h_tokens: Count | None
    input_audio_tokens: Count | None
    cache_read_audio_tokens: Count | None
    input_image_tokens: Count | None
    cache_read_image_tokens: Count | None
    input_video_tokens: Count | None
    reasoning_tokens: Count | None
    output_audio_tokens: Count | None
    output_image_tokens: Count | None
    web_searches: Count | None
    file_searches: Count | None
    rerank_searches: Count | None
    audio_seconds: str | None
    cost_usd: Usd | None = Field(description="Null: unknown, which is not zero.")
    cost_status: Literal["known", "estimated", "unknown"]
    cost_source: str | None
    price_version: str | None
    cost_reason: str | None
    lines: list[Line] | None = Field(description="What each meter cost; null where nobody can tell.")
    outcome: Literal["ok", "error", "cut", "refused"]
    attempts: int | None
    error_type: str | None
    failures: list[str] | None
    waste_usd: Usd | None
    waste_status: Literal["estimated", "unknown"] | None
    charge: str | None
    units: str | None
    project: str | None
    plan: str | None
    session: str | None
    run: str | None
    stage: str | None
    role: str | None
    scene: str | None
    task: str | None
    quest: str | None
    analysis: str | None
    extra: dict[str, str] = Field(description="The user's own dimensions.")


class Calls(_Shape):
    """A page of calls: the answer of /v1/calls."""

    calls: list[Call]
    next: Next
    complete_since: CompleteSince


class CallEstimate(_Shape):
    """What calls cost, one by one and a run of them together: the tenth, the half and nine tenths cost that or less."""

    calls: Count
    unknown_calls: Count
    sized_calls: Count = Field(description="Those whose input and output tokens are known.")
    cost_usd: Usd | None
    input_tokens: Count
    output_tokens: Count
    call_cost_low_usd: Usd | None
    call_cost_high_usd: Usd | None
    input_tokens_low: Count | None
    input_tokens_high: Count | None
    output_tokens_low: Count | None
    output_tokens_high: Count | None
    runs: Count
    unknown_runs: Count
    run_calls_low: Count | None
    run_calls_median: Count | None
    run_calls_high: Count | None
    run_cost_low_usd: Usd | None
    run_cost_median_usd: Usd | None
    run_cost_high_usd: Usd | None


class OtherModel(_Shape):
    """What calls would have cost with another model."""

    model: str
    provider: str | None = Field(description="Whose prices; null where nobody knows who sells it.")
    low_usd: Usd | None = Field(description="At least, of priced_calls; null where none has a price.")
    high_usd: Usd | None = Field(description="At most. The same as low_usd where both count tokens alike.")
    priced_calls: Count
    unknown_calls: Count = Field(description="Calls without a price, or that do not state their tokens; in no sum.")
    tokenizer: str | None = Field(description="What it counts tokens with; null where nobody says.")
    price_versions: list[str]
    doubts: list[str] = Field(description="What the figures leave open, in words for a person.")


class Comparison(_Shape):
    """What calls cost, and would have cost with other models: the answer of /v1/compare."""

    calls: Count = Field(description="Calls to models; charges and refused calls are none.")
    cost_usd: Usd | None = Field(description="What they cost; null where none has a price.")
    estimated_calls: Count
    unknown_calls: Count = Field(description="Those without a price, which are in no sum.")
    left_out_calls: Count = Field(description="Calls for embeddings: they are not compared.")
    answered_by: list[str] = Field(description="The models that answered, the dearest first.")
    models: list[OtherModel]
    complete_since: CompleteSince


class BookedEvent(_Shape):
    """What happened to a budget, as the application told of it: a `BudgetEvent`, and where that was."""

    at: Time
    kind: Literal["warned", "exceeded", "paused", "resumed", "stopped", "downgraded"]
    dimension: str = Field(description="The dimension that carries the budget.")
    id: str = Field(description="The id within it.")
    unit: str = Field(description="What the amounts are in: USD or tokens.")
    period: str = Field(description="Which window of the budget; empty for the life of the id.")
    limit: str | None = Field(description="The limit that held.")
    spent: str | None = Field(description="What calls had spent.")
    held: str | None = Field(description="What calls under way might still spend.")
    share: str | None = Field(description="The share of the limit that was reached.")
    call: str | None = Field(description="What the call that it is about asked for.")
    model: str | None = Field(description="The model of that call.")
    service: str | None
    environment: str | None
    trace_id: str | None = Field(description="Of the span on which it happened.")
    span_id: str | None


class BudgetEvents(_Shape):
    """A page of what happened to budgets: the answer of /v1/budgets/events."""

    events: list[BookedEvent]
    next: Next


class Refused(_Shape):
    """What came of one service and cannot stand in the books for one reason."""

    reason: str = Field(description="Why it cannot.")
    service: str | None = Field(description="Who sent it, or whose it is; null where that is not said.")
    count: Count = Field(description="How many calls, charges and events of budgets that are.")
    first_received: Time = Field(description="When the first of them came.")
    last_received: Time = Field(description="When the last of them came, which the rest tells of.")
    start: Time | None = Field(description="When it began; null where it does not say so, or says what cannot be.")
    model: str | None
    trace_id: str | None
    span_id: str | None


class Quarantine(_Shape):
    """A page of what cannot stand in the books: the answer of /v1/quarantine."""

    quarantine: list[Refused]
    next: Next


class Dimensions(_Shape):
    """The dimensions that occur in the books."""

    dimensions: list[str]


class Schemas(_Shape):
    """JSON Schemas of the public shapes."""

    schemas: dict[str, dict[str, Any]]


class Refusal(_Shape):
    """Why there is no answer."""

    detail: str


ANSWERS: Final[tuple[type[BaseModel], ...]] = (
    Summary,
    RunCostSummary,
    SceneCost,
    Runs,
    ProjectHistory,
    CostDashboard,
    Call,
    Calls,
    CallEstimate,
    Comparison,
    BudgetEvents,
)
"""The answers that are published among the public shapes."""
