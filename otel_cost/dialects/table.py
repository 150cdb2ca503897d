"""The table of dialects: what instrumentations call their figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from otel_cost import semconv

if TYPE_CHECKING:
    from collections.abc import Mapping

Names = tuple[str, ...]
"""Names of one figure, the first that is there holds."""


_CALLS: Final = semconv.INFERENCE_OPERATIONS | {
    "embedding",  # Spring AI
    *("chat.completions", "chat.streaming_completions"),  # Semantic Kernel, as all that follow
    *("text.completions", "text.streaming_completions"),
}
"""What the conventions call a call to a model, and what some do who follow them otherwise."""
_TIERS: Final = (
    semconv.CALL_SERVICE_TIER,
    "openai.response.service_tier",
    "gen_ai.openai.response.service_tier",
    "gen_ai.response.service_tier",
    "openai.request.service_tier",
    "gen_ai.openai.request.service_tier",
    "gen_ai.request.service_tier",
)


class Dialect(msgspec.Struct, frozen=True):
    """What one instrumentation, or a family of them, calls its figures.

    Attributes:
        name: what people call it.
        meters: for each field of `Usage`, its names.
        scopes: how the names of its instrumentation scopes begin.
        marks: attributes that nobody else writes; one of them tells the dialect where the scope does not.
        kind: the attribute that says what a span is about.
        calls: its values for one call to a model. A span of any other kind repeats the sum of the spans below it.
        signs: attributes that show a call to a model where the kind is not on the span (yet).
        provider: who served the call.
        before: what ends the provider's name, where the name of its API follows.
        request_model: the model that was asked for.
        response_model: the model that answered.
        response_id: the provider's id of the response.
        service_tier: the tier that the provider served it at, else the one that was asked for.
        total: the sum of input and output.
        within: attributes whose text is JSON; its figures are named by their path below the attribute's name.
        cache_inside: whether input tokens include those read from and written to a cache; None where that depends.
        cache_beside: parts of the names of providers of whose calls neither the input tokens nor the total include
            them, whatever `cache_inside` says.
        reasoning_inside: whether output tokens include reasoning.
        states_cache: whether it says how many tokens came from a cache, if any did.
        operation_named: whether the name of its span begins with what it is about, before any attribute says it.
        spans_streams: whether its span stays open until the application has read, closed or dropped a stream.
    """

    name: str
    meters: Mapping[str, Names]
    scopes: Names = ()
    marks: Names = ()
    kind: Names = (semconv.GEN_AI_OPERATION_NAME,)
    calls: frozenset[str] = _CALLS
    signs: Names = ()
    provider: Names = (semconv.GEN_AI_PROVIDER_NAME, "gen_ai.system")
    before: str = "\n"
    request_model: Names = (semconv.GEN_AI_REQUEST_MODEL,)
    response_model: Names = (semconv.GEN_AI_RESPONSE_MODEL,)
    response_id: Names = (semconv.GEN_AI_RESPONSE_ID,)
    service_tier: Names = _TIERS
    total: Names = ("gen_ai.usage.total_tokens", "llm.usage.total_tokens")
    within: Names = ()
    cache_inside: bool | None = True
    cache_beside: Names = ()
    reasoning_inside: bool = True
    states_cache: bool = True
    operation_named: bool = False
    spans_streams: bool = False


_USAGE = "gen_ai.usage."
_GENAI_METERS: Final[Mapping[str, Names]] = {
    "input_tokens": (
        semconv.GEN_AI_USAGE_INPUT_TOKENS,
        f"{_USAGE}prompt_tokens",
        "gen_ai.response.prompt_tokens",
    ),
    "output_tokens": (
        semconv.GEN_AI_USAGE_OUTPUT_TOKENS,
        f"{_USAGE}completion_tokens",
        "gen_ai.response.completion_tokens",
    ),
    "cache_read_tokens": (
        semconv.GEN_AI_USAGE_CACHE_READ_TOKENS,
        f"{_USAGE}cache_read_input_tokens",
        f"{_USAGE}cache_read_tokens",
        f"{_USAGE}details.cache_read_tokens",
        f"{_USAGE}details.cache_read_input_tokens",
    ),
    "cache_write_tokens": (
        semconv.GEN_AI_USAGE_CACHE_WRITE_TOKENS,
        f"{_USAGE}cache_creation.input_tokens",
        f"{_USAGE}cache_creation_input_tokens",
        f"{_USAGE}cache_write_input_tokens",
        f"{_USAGE}cache_write_tokens",
        f"{_USAGE}details.cache_write_tokens",
        f"{_USAGE}details.cache_creation_input_tokens",
    ),
    "cache_write_5m_tokens": ("anthropic.usage.cache_creation.ephemeral_5m_input_tokens",),
    "cache_write_1h_tokens": ("anthropic.usage.cache_creation.ephemeral_1h_input_tokens",),
    "reasoning_tokens": (
        semconv.GEN_AI_USAGE_REASONING_TOKENS,
        f"{_USAGE}reasoning_tokens",
        "llm.usage.reasoning_tokens",
        f"{_USAGE}details.reasoning_tokens",
        f"{_USAGE}details.thoughts_tokens",
    ),
    "input_audio_tokens": (f"{_USAGE}details.input_audio_tokens",),
    "cache_read_audio_tokens": (f"{_USAGE}details.cache_audio_read_tokens",),
    "output_audio_tokens": (f"{_USAGE}details.output_audio_tokens",),
}
_RAW = f"{_USAGE}raw"
_LOGFIRE_METERS: Final[Mapping[str, Names]] = {
    **_GENAI_METERS,
    "cache_read_tokens": (
        *_GENAI_METERS["cache_read_tokens"],
        f"{_RAW}.prompt_tokens_details.cached_tokens",
        f"{_RAW}.input_tokens_details.cached_tokens",
        f"{_RAW}.cache_read_input_tokens",
    ),
    "cache_write_tokens": (
        *_GENAI_METERS["cache_write_tokens"],
        f"{_RAW}.prompt_tokens_details.cache_write_tokens",
        f"{_RAW}.input_tokens_details.cache_write_tokens",
        f"{_RAW}.cache_creation_input_tokens",
    ),
    "reasoning_tokens": (
        *_GENAI_METERS["reasoning_tokens"],
        f"{_RAW}.completion_tokens_details.reasoning_tokens",
        f"{_RAW}.output_tokens_details.reasoning_tokens",
    ),
}
_LANGSMITH_IN, _LANGSMITH_OUT = f"{_USAGE}input_token_details", f"{_USAGE}output_token_details"
_COUNT = "llm.token_count."
_DETAILS = "langfuse.observation.usage_details"

GENAI: Final = Dialect("OpenTelemetry GenAI conventions", meters=_GENAI_METERS)
"""What holds where nothing tells another one; with the names that the conventions had earlier."""

_METADATA = "ai.response.providerMetadata"
_VERCEL_6: Final = Dialect(
    "Vercel AI SDK 6",
    marks=(
        "ai.usage.inputTokenDetails.noCacheTokens",
        "ai.usage.inputTokenDetails.cacheReadTokens",
        "ai.usage.inputTokenDetails.cacheWriteTokens",
    ),
    kind=("ai.operationId",),
    calls=frozenset(
        {
            *("ai.generateText.doGenerate", "ai.streamText.doStream", "ai.embed.doEmbed", "ai.embedMany.doEmbed"),
            *("ai.generateObject.doGenerate", "ai.streamObject.doStream"),
        }
    ),
    provider=("gen_ai.system", "ai.model.provider"),
    before=".",
    request_model=(semconv.GEN_AI_REQUEST_MODEL, "ai.model.id"),
    response_model=(semconv.GEN_AI_RESPONSE_MODEL, "ai.response.model"),
    response_id=(semconv.GEN_AI_RESPONSE_ID, "ai.response.id"),
    meters={
        "input_tokens": ("ai.usage.inputTokens",),
        "output_tokens": ("ai.usage.outputTokens",),
        "cache_read_tokens": ("ai.usage.inputTokenDetails.cacheReadTokens", "ai.usage.cachedInputTokens"),
        "cache_write_tokens": ("ai.usage.inputTokenDetails.cacheWriteTokens",),
        "reasoning_tokens": ("ai.usage.outputTokenDetails.reasoningTokens", "ai.usage.reasoningTokens"),
    },
    total=("ai.usage.totalTokens",),
)

DIALECTS: Final = (
    Dialect(
        "OpenInference",
        scopes=("openinference.",),
        marks=("openinference.span.kind", f"{_COUNT}prompt", f"{_COUNT}completion"),
        kind=("openinference.span.kind",),
        calls=frozenset({"LLM", "EMBEDDING"}),
        signs=(
            "llm.invocation_parameters",
            "llm.model_name",
            "embedding.model_name",
            "embedding.invocation_parameters",
        ),
        provider=("llm.provider", "llm.system"),
        request_model=("llm.request.model_name", "llm.model_name", "embedding.model_name"),
        response_model=("llm.response.model_name", "llm.model_name", "embedding.model_name"),
        response_id=(),
        meters={
            "input_tokens": (f"{_COUNT}prompt",),
            "output_tokens": (f"{_COUNT}completion",),
            "cache_read_tokens": (f"{_COUNT}prompt_details.cache_read", f"{_COUNT}prompt_details.cache_input"),
            "cache_write_tokens": (f"{_COUNT}prompt_details.cache_write",),
            "reasoning_tokens": (f"{_COUNT}completion_details.reasoning",),
            "input_audio_tokens": (f"{_COUNT}prompt_details.audio",),
            "output_audio_tokens": (f"{_COUNT}completion_details.audio",),
        },
        total=(f"{_COUNT}total",),
    ),
    _VERCEL_6,
    Dialect(
        "Vercel AI SDK",
        marks=("ai.operationId",),
        kind=_VERCEL_6.kind,
        calls=_VERCEL_6.calls,
        provider=_VERCEL_6.provider,
        before=_VERCEL_6.before,
        request_model=_VERCEL_6.request_model,
        response_model=_VERCEL_6.response_model,
        response_id=_VERCEL_6.response_id,
        within=(_METADATA,),
        meters={
            "input_tokens": ("ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"),
            "output_tokens": ("ai.usage.outputTokens", "ai.usage.completionTokens"),
            "cache_read_tokens": (
                "ai.usage.cachedInputTokens",
                f"{_METADATA}.anthropic.cacheReadInputTokens",
                f"{_METADATA}.bedrock.usage.cacheReadInputTokens",
            ),
            "cache_write_tokens": (
                f"{_METADATA}.anthropic.cacheCreationInputTokens",
                f"{_METADATA}.bedrock.usage.cacheWriteInputTokens",
            ),
            "reasoning_tokens": ("ai.usage.reasoningTokens",),
        },
        total=("ai.usage.totalTokens",),
        cache_inside=None,
        cache_beside=("anthropic", "bedrock"),
    ),
    Dialect(
        "Langfuse",
        scopes=("langfuse-sdk",),
        marks=("langfuse.observation.type", _DETAILS),
        kind=("langfuse.observation.type",),
        calls=frozenset({"generation", "embedding"}),
        signs=("langfuse.observation.model.name",),
        request_model=("langfuse.observation.model.name",),
        response_model=("langfuse.observation.model.name",),
        response_id=(),
        within=(_DETAILS,),
        meters={
            "input_tokens": (f"{_DETAILS}.input", f"{_DETAILS}.input_tokens", f"{_DETAILS}.prompt_tokens"),
            "output_tokens": (f"{_DETAILS}.output", f"{_DETAILS}.output_tokens", f"{_DETAILS}.completion_tokens"),
            "cache_read_tokens": (
                f"{_DETAILS}.input_cached_tokens",
                f"{_DETAILS}.input_cache_read",
                f"{_DETAILS}.cache_read_input_tokens",
            ),
            "cache_write_tokens": (f"{_DETAILS}.input_cache_creation", f"{_DETAILS}.cache_creation_input_tokens"),
            "reasoning_tokens": (f"{_DETAILS}.output_reasoning_tokens", f"{_DETAILS}.output_reasoning"),
        },
        total=(f"{_DETAILS}.total", f"{_DETAILS}.total_tokens"),
        cache_inside=False,
        reasoning_inside=False,
    ),
    Dialect(
        "LangSmith",
        scopes=("langsmith",),
        marks=("langsmith.span.kind",),
        kind=("langsmith.span.kind",),
        calls=frozenset({"llm", "embedding"}),
        within=(_LANGSMITH_IN, _LANGSMITH_OUT),
        meters={
            **_GENAI_METERS,
            "cache_read_tokens": (f"{_LANGSMITH_IN}.cache_read",),
            "cache_write_tokens": (f"{_LANGSMITH_IN}.cache_creation",),
            "input_audio_tokens": (f"{_LANGSMITH_IN}.audio",),
            "reasoning_tokens": (f"{_LANGSMITH_OUT}.reasoning",),
            "output_audio_tokens": (f"{_LANGSMITH_OUT}.audio",),
        },
    ),
    Dialect(
        "Logfire",
        scopes=("logfire.",),
        marks=(_RAW,),
        signs=(semconv.GEN_AI_REQUEST_MODEL,),
        within=(_RAW,),
        meters=_LOGFIRE_METERS,
    ),
    Dialect("Pydantic AI", scopes=("pydantic-ai",), meters=_GENAI_METERS),
    Dialect(
        "LiteLLM",
        scopes=("litellm",),
        marks=("litellm.call_id",),
        meters=_GENAI_METERS,
        states_cache=False,
    ),
    Dialect(
        "OpenLIT over openai", scopes=("openlit.instrumentation.openai",), meters=_GENAI_METERS, operation_named=True
    ),
    Dialect(
        "OpenLIT over anthropic",
        scopes=("openlit.instrumentation.anthropic",),
        meters=_GENAI_METERS,
        cache_inside=False,
        operation_named=True,
    ),
    Dialect(
        "OpenLIT",
        scopes=("openlit",),
        marks=("gen_ai.sdk.version",),
        meters=_GENAI_METERS,
        cache_inside=None,
        operation_named=True,
    ),
    Dialect(
        "OpenLLMetry",
        marks=("llm.request.type", "llm.usage.total_tokens", "gen_ai.is_streaming"),
        kind=(semconv.GEN_AI_OPERATION_NAME, "llm.request.type"),
        calls=_CALLS | {"completion"},
        meters=_GENAI_METERS,
    ),
    Dialect("the Anthropic SDK's own spans", scopes=("com.anthropic.sdk",), meters=_GENAI_METERS, spans_streams=True),
)
"""The more particular ones; the first that fits holds."""
