"""The table of dialects: what spans of other instrumentations call their figures, and what they mean by them.

A span says which model was called and what that used, and nobody agrees on the names, nor on whether input tokens
include those read from a cache. The dialect tells the names. Whether one figure includes another is what the dialect
says unless the figures contradict it, for they must add up: the parts fit into the whole, and the total, where it is
stated, is the sum. Where they do not tell, the cost is an estimate and the reason says why.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import msgspec

from otel_cost import semconv
from otel_cost.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Names = tuple[str, ...]
"""Names of one figure, the first that is there holds."""


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
        total: the sum of input and output.
        within: attributes whose text is JSON; its figures are named by their path below the attribute's name.
        cache_inside: whether input tokens include those read from and written to a cache; None where that depends.
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
    calls: frozenset[str] = semconv.INFERENCE_OPERATIONS
    signs: Names = ()
    provider: Names = (semconv.GEN_AI_PROVIDER_NAME, "gen_ai.system")
    before: str = "\n"
    request_model: Names = (semconv.GEN_AI_REQUEST_MODEL,)
    response_model: Names = (semconv.GEN_AI_RESPONSE_MODEL,)
    response_id: Names = (semconv.GEN_AI_RESPONSE_ID,)
    total: Names = ("gen_ai.usage.total_tokens", "llm.usage.total_tokens")
    within: Names = ()
    cache_inside: bool | None = True
    reasoning_inside: bool = True
    states_cache: bool = True
    operation_named: bool = False
    spans_streams: bool = False


_USAGE = "gen_ai.usage."
_GENAI_METERS: Final[Mapping[str, Names]] = {
    "input_tokens": (semconv.GEN_AI_USAGE_INPUT_TOKENS, f"{_USAGE}prompt_tokens"),
    "output_tokens": (semconv.GEN_AI_USAGE_OUTPUT_TOKENS, f"{_USAGE}completion_tokens"),
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
_COUNT = "llm.token_count."
_DETAILS = "langfuse.observation.usage_details"

GENAI: Final = Dialect("OpenTelemetry GenAI conventions", meters=_GENAI_METERS)
"""What holds where nothing tells another one; with the names that the conventions had earlier."""

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
    Dialect(
        "Vercel AI SDK",
        marks=("ai.operationId",),
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
            "input_tokens": ("ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"),
            "output_tokens": ("ai.usage.outputTokens", "ai.usage.completionTokens"),
            "cache_read_tokens": ("ai.usage.cachedInputTokens",),
            "reasoning_tokens": ("ai.usage.reasoningTokens",),
        },
        total=("ai.usage.totalTokens",),
        cache_inside=None,
    ),
    Dialect(
        "Langfuse",
        scopes=("langfuse-sdk",),
        marks=("langfuse.observation.type",),
        kind=("langfuse.observation.type",),
        calls=frozenset({"generation", "embedding"}),
        request_model=("langfuse.observation.model.name",),
        response_model=("langfuse.observation.model.name",),
        response_id=(),
        within=(_DETAILS,),
        meters={
            "input_tokens": (f"{_DETAILS}.input", f"{_DETAILS}.input_tokens", f"{_DETAILS}.prompt_tokens"),
            "output_tokens": (f"{_DETAILS}.output", f"{_DETAILS}.output_tokens", f"{_DETAILS}.completion_tokens"),
            "cache_read_tokens": (f"{_DETAILS}.input_cached_tokens", f"{_DETAILS}.cache_read_input_tokens"),
            "cache_write_tokens": (f"{_DETAILS}.input_cache_creation", f"{_DETAILS}.cache_creation_input_tokens"),
            "reasoning_tokens": (f"{_DETAILS}.output_reasoning_tokens",),
        },
        total=(f"{_DETAILS}.total", f"{_DETAILS}.total_tokens"),
        cache_inside=False,
        reasoning_inside=False,
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
        calls=semconv.INFERENCE_OPERATIONS | {"completion", "embedding"},
        meters=_GENAI_METERS,
    ),
    Dialect("the Anthropic SDK's own spans", scopes=("com.anthropic.sdk",), meters=_GENAI_METERS, spans_streams=True),
)
"""The more particular ones; the first that fits holds."""
_MARKS: Final = {mark: place for place, dialect in enumerate(DIALECTS) for mark in dialect.marks}


class Stated(msgspec.Struct, frozen=True):
    """What a span says of the call that it stands for.

    Attributes:
        usage: what was used; None where no count is stated.
        provider: who served it, None where it is not said; so are the others.
        request_model: the model that was asked for.
        response_model: the model that answered.
        response_id: the provider's id of the response.
        doubt: why `usage` is not certain; None where it is.
    """

    usage: Usage | None
    provider: str | None
    request_model: str | None
    response_model: str | None
    response_id: str | None
    doubt: str | None = None


@lru_cache(maxsize=1024)
def _of_scope(scope: str) -> Dialect | None:
    return next((dialect for dialect in DIALECTS if scope.startswith(dialect.scopes)), None)


def dialect_of(attributes: Mapping[str, Any], scope: str = "") -> Dialect:
    """The dialect that a span of the instrumentation scope `scope` speaks."""
    spoken = _of_scope(scope)
    if spoken is not None:
        return spoken
    marks = [_MARKS[name] for name in attributes if name in _MARKS]  # one way through: most spans have none
    return DIALECTS[min(marks)] if marks else GENAI


def is_call(attributes: Mapping[str, Any], scope: str = "", name: str = "") -> bool | None:
    """Whether a span called `name` stands for one call to a model; None where it says nothing of that."""
    dialect = dialect_of(attributes, scope)
    kind = _text(attributes, dialect.kind)
    if kind is None and dialect.operation_named:
        kind = name.partition(" ")[0]
    if kind is not None:
        return kind in dialect.calls
    return any(sign in attributes for sign in dialect.signs) or None


def read(attributes: Mapping[str, Any], scope: str = "") -> Stated:
    """What a span says of the call that it stands for."""
    dialect = dialect_of(attributes, scope)
    usage, doubt = _usage(attributes, dialect)
    provider = _text(attributes, dialect.provider)
    return Stated(
        usage,
        provider.lower().split(dialect.before)[0] if provider else None,
        _text(attributes, dialect.request_model),
        _text(attributes, dialect.response_model),
        _text(attributes, dialect.response_id),
        doubt,
    )


def _text(attributes: Mapping[str, Any], names: Names) -> str | None:
    return next((found for name in names if isinstance(found := attributes.get(name), str) and found), None)


def _count(attributes: Mapping[str, Any], names: Names) -> int | None:
    """A whole number of at least 0; some write doubles."""
    for name in names:
        found = attributes.get(name)
        if isinstance(found, float) and found.is_integer():
            found = int(found)
        if isinstance(found, int) and not isinstance(found, bool) and found >= 0:
            return found
    return None


def _usage(attributes: Mapping[str, Any], dialect: Dialect) -> tuple[Usage | None, str | None]:
    if dialect.within:
        attributes = {**attributes, **dict(_unfolded(attributes, dialect.within))}
    stated = {
        field: count for field, names in dialect.meters.items() if (count := _count(attributes, names)) is not None
    }
    if "input_tokens" not in stated and "output_tokens" not in stated:
        return None, None
    usage, doubt = _added_up(Usage(**stated), _count(attributes, dialect.total), dialect)
    if not dialect.states_cache and doubt is None:
        doubt = f"{dialect.name} says nothing of cached tokens"
    return usage, doubt


def _unfolded(attributes: Mapping[str, Any], within: Names) -> Iterator[tuple[str, Any]]:
    for name in within:
        text = attributes.get(name)
        if isinstance(text, str):
            try:
                yield from _leaves(name, json.loads(text))
            except ValueError:
                continue


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}", inner)
    else:
        yield name, value


def _added_up(stated: Usage, total: int | None, dialect: Dialect) -> tuple[Usage, str | None]:
    """`stated` with input that includes cached tokens and output that includes reasoning; and a doubt, if any.

    Each way to read the figures is held against them: whether cached tokens are inside the input, and reasoning
    inside the output. The dialect's own way holds where it adds up, another one where it alone does.
    """
    possible: dict[Usage, bool] = {}  # each way to read, and whether the dialect means it so
    for cache_inside, reasoning_inside in product((True, False), repeat=2):
        meant = dialect.cache_inside in {None, cache_inside} and dialect.reasoning_inside is reasoning_inside
        usage = _read_as(stated, cache_inside=cache_inside, reasoning_inside=reasoning_inside)
        possible[usage] = possible.get(usage, False) or meant
    fitting = [usage for usage in possible if _fits(usage, total)]
    meant_and_fitting = [usage for usage in fitting if possible[usage]]
    for found in (meant_and_fitting, fitting if total is not None else []):
        if len(found) == 1:
            return found[0], None
    least = min(meant_and_fitting or fitting or possible, key=lambda usage: usage.total_tokens)
    if len(meant_and_fitting) > 1:
        return least, f"{dialect.name}: it cannot be told whether cached tokens are among the input tokens"
    return least, "the token counts contradict each other"


def _read_as(stated: Usage, *, cache_inside: bool, reasoning_inside: bool) -> Usage:
    beside = 0 if cache_inside else stated.cache_read_tokens + stated.cache_write_tokens
    reasoning = 0 if reasoning_inside else stated.reasoning_tokens
    if not beside and not reasoning:
        return stated
    return replace(stated, input_tokens=stated.input_tokens + beside, output_tokens=stated.output_tokens + reasoning)


def _fits(usage: Usage, total: int | None) -> bool:
    return (
        usage.cache_read_tokens + usage.cache_write_tokens <= usage.input_tokens
        and usage.reasoning_tokens <= usage.output_tokens
        and total in {None, usage.total_tokens}
    )
