"""Google's formats: the Gemini API and Vertex AI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_cost.usage.formats import rules
from otel_cost.usage.formats.wire_format import WireFormat, words

if TYPE_CHECKING:
    from collections.abc import Mapping

_MODALITIES: Final = {"TEXT": 1, "IMAGE": 2, "VIDEO": 3, "AUDIO": 4, "DOCUMENT": 5}
"""The number of each, by which answers name it where the request asks for ``enum-encoding=int``, as some SDKs do."""


def _of(modality: str, *details: str) -> str:
    """The places of what a response counts of a modality, of which one is there."""
    names = (modality, _MODALITIES[modality])
    return " | ".join(f"{one}[{name}].tokenCount" for one in details for name in names)


_PROMPT: Final = ("promptTokensDetails", "promptTokenDetails")
_ANSWER: Final = ("candidatesTokensDetails", "responseTokensDetails")
_TOOLS: Final = "toolUsePromptTokensDetails"
_CACHE: Final = "cacheTokensDetails"
_METERS: Final = {
    "input_tokens": "promptTokenCount + toolUsePromptTokenCount",
    "output_tokens": "candidatesTokenCount | responseTokenCount + thoughtsTokenCount",
    "cache_read_tokens": "cachedContentTokenCount",
    "reasoning_tokens": "thoughtsTokenCount",
    "input_audio_tokens": f"{_of('AUDIO', *_PROMPT)} + {_of('AUDIO', _TOOLS)}",
    "cache_read_audio_tokens": _of("AUDIO", _CACHE),
    "output_audio_tokens": _of("AUDIO", *_ANSWER),
    "input_image_tokens": f"{_of('IMAGE', *_PROMPT)} + {_of('IMAGE', _TOOLS)}",
    "cache_read_image_tokens": _of("IMAGE", _CACHE),
    "output_image_tokens": _of("IMAGE", *_ANSWER),
    "input_video_tokens": f"{_of('VIDEO', *_PROMPT)} + {_of('VIDEO', _TOOLS)}",
    "web_searches": "tool_calls.web_search",
}
_HARMLESS: Final = frozenset(
    f"{details}[{modality}].tokenCount"
    for details in (*_PROMPT, _TOOLS, _CACHE, _ANSWER[0])
    for name in ("TEXT", "DOCUMENT", "VIDEO")
    for modality in (name, _MODALITIES[name], "MODALITY_UNSPECIFIED")
) | words("serviceTier trafficType")
_PER_PROMPT: Final = ("gemini-1", "gemini-2")


def _grounding(response: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was looked up for an answer, in the web and elsewhere.

    Of searches of the web, Gemini 1 and 2 charge a prompt once however often they search, later ones each search.
    """
    candidates = response.get("candidates")
    queries: set[str] = set()
    found: dict[str, int] = {}
    for candidate in candidates if isinstance(candidates, list) else ():
        metadata = candidate.get("groundingMetadata") if isinstance(candidate, dict) else None
        if isinstance(metadata, dict):
            queries.update(
                query for query in metadata.get("webSearchQueries") or () if isinstance(query, str) and query
            )
            if any(isinstance(chunk, dict) and "maps" in chunk for chunk in metadata.get("groundingChunks") or ()):
                found["google_maps"] = 1
            if metadata.get("imageSearchQueries"):
                found["image_search"] = 1
    if queries:
        model = response.get("modelVersion")
        once = isinstance(model, str) and model.startswith(_PER_PROMPT)
        found["web_search"] = 1 if once else len(queries)
    return found


_PUBLISHED: Final = r"/models/(?P<model>[^/:]+)"

GENERATE: Final = WireFormat(
    name="gemini.generate",
    operation="generate_content",
    paths=(
        rf"{_PUBLISHED}:(?:generateContent|(?P<stream>streamGenerateContent))",
        r"/endpoints/(?P<model>[^/:]+):(?:generateContent|(?P<stream>streamGenerateContent))",
    ),
    asks=("contents",),
    meters=_METERS,
    usage_at=("usageMetadata",),
    harmless=_HARMLESS,
    model_at=("modelVersion",),
    id_at=("responseId",),
    tier_at=("usageMetadata.serviceTier", "usageMetadata.trafficType"),
    max_tokens=("generationConfig.maxOutputTokens", "generation_config.max_output_tokens"),
    choices=("generationConfig.candidateCount",),
    ends_with=("candidates[].finishReason",),
    pieces=("candidates",),
    rules=(rules.hidden_may_be_output, rules.nothing_used),
    tools=_grounding,
)
EMBED: Final = WireFormat(
    name="gemini.embed",
    operation="embeddings",
    paths=(rf"{_PUBLISHED}:(?:embedContent|batchEmbedContents|asyncBatchEmbedContent)",),
    asks=("content", "requests"),
    meters=_METERS,
    usage_at=("usageMetadata",),
    harmless=_HARMLESS,
    model_at=("modelVersion",),
    id_at=("responseId",),
    tier_at=("usageMetadata.serviceTier", "usageMetadata.trafficType"),
    rules=(rules.nothing_used,),
)
PREDICT: Final = WireFormat(
    name="vertex.predict",
    operation="embeddings",
    paths=(rf"/publishers/google{_PUBLISHED}:predict",),
    asks=("instances",),
    meters={"input_tokens": "token_count"},
    usage_at=("predictions[].embeddings.statistics",),
    harmless=words("truncated"),
)
INTERACTIONS: Final = WireFormat(
    name="gemini.interactions",
    operation="generate_content",
    paths=(r"/interactions",),
    retrievals=(r"^GET .*/interactions/(?P<id>[^/:]+)", r"^POST .*/interactions/(?P<id>[^/:]+)(?::|/)cancel"),
    asks=("input",),
    meters={
        "input_tokens": "total_input_tokens + total_tool_use_tokens",
        "output_tokens": "total_output_tokens + total_thought_tokens",
        "cache_read_tokens": "total_cached_tokens",
        "reasoning_tokens": "total_thought_tokens | total_reasoning_tokens",
        "input_audio_tokens": "input_tokens_by_modality[audio].tokens + tool_use_tokens_by_modality[audio].tokens",
        "cache_read_audio_tokens": "cached_tokens_by_modality[audio].tokens",
        "output_audio_tokens": "output_tokens_by_modality[audio].tokens",
        "input_image_tokens": "input_tokens_by_modality[image].tokens + tool_use_tokens_by_modality[image].tokens",
        "cache_read_image_tokens": "cached_tokens_by_modality[image].tokens",
        "output_image_tokens": "output_tokens_by_modality[image].tokens",
        "input_video_tokens": "input_tokens_by_modality[video].tokens + tool_use_tokens_by_modality[video].tokens",
        "web_searches": "grounding_tool_count[google_search].count",
    },
    harmless=frozenset(
        f"{kind}_tokens_by_modality[{modality}].tokens"
        for kind in ("input", "output", "cached", "tool_use")
        for modality in ("text", "document", "video")
    )
    | words("initial_input_tokens"),
    max_tokens=("generation_config.max_output_tokens",),
    stream_roots=(("interaction",),),
    stream_ends=frozenset({"interaction.completed", "interaction.complete", "interaction.failed"}),
    pieces=("delta",),
    rules=(rules.nothing_used,),
)
FORMATS: Final = (GENERATE, EMBED, PREDICT, INTERACTIONS)
