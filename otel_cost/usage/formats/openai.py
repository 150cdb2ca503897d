"""OpenAI's formats, and what those who speak them add to them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from otel_cost.usage.formats import rules
from otel_cost.usage.formats.wire_format import WireFormat, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CHAT_METERS: Final = {
    "input_tokens": "prompt_tokens | input_tokens",
    "output_tokens": "completion_tokens | output_tokens",
    "cache_read_tokens": "prompt_tokens_details.cached_tokens | prompt_cache_hit_tokens | num_cached_tokens"
    " | cached_tokens | input_tokens_details.cached_tokens | prompt_token_details.cached_tokens"
    " | cache_read_input_tokens",
    "cache_write_tokens": "prompt_tokens_details.cache_write_tokens | prompt_tokens_details.cache_creation_tokens"
    " | cache_creation_input_tokens",
    "reasoning_tokens": "completion_tokens_details.reasoning_tokens | reasoning_tokens"
    " | output_tokens_details.reasoning_tokens | completion_token_details.reasoning_tokens",
    "input_audio_tokens": "prompt_tokens_details.audio_tokens | audio_prompt_tokens",
    "cache_read_audio_tokens": "prompt_tokens_details.cached_tokens_details.audio_tokens",
    "output_audio_tokens": "completion_tokens_details.audio_tokens",
    "input_image_tokens": "prompt_tokens_details.image_tokens",
    "output_image_tokens": "completion_tokens_details.image_tokens",
    "input_video_tokens": "prompt_tokens_details.video_tokens",
    "audio_seconds": "prompt_audio_seconds",
    "web_searches": "server_tool_use_details.web_search_requests | server_tool_use.web_search_requests"
    " | num_search_queries | tool_calls.web_search",
}
_CHAT_HARMLESS: Final = words(
    """
    prompt_tokens_details.text_tokens completion_tokens_details.text_tokens service_tier type currency
    completion_tokens_details.accepted_prediction_tokens completion_tokens_details.rejected_prediction_tokens
    prompt_cache_miss_tokens prompt_tokens_per_second draft_tokens draft_tokens_acceptance search_context_size
    time_per_output_token_ms time_to_first_token_ms estimated_cost cost cost_in_usd_ticks
    server_tool_use_details.tool_calls_requested server_tool_use_details.tool_calls_executed
    prompt_tokens_details.cached_tokens_details.text_tokens usage_source usage_semantic
    prompt_tokens_details.cache_creation_token_details.ephemeral_5m_input_tokens cost_details market_cost
    """
)
_CHAT_RULES: Final = (
    rules.audio_beside_input,
    rules.reasoning_beside_output,
    rules.cached_beside_input,
    rules.hidden_may_be_output,
    rules.nothing_used,
)


def _tools_of_chat(response: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was done for an answer, without a word of it in the usage.

    A search model of OpenAI's searches for every one. Groq tells beside the answer which tools it ran.
    """
    model = response.get("model")
    searches = isinstance(model, str) and model.startswith("gpt-") and "-search-" in model
    messages = _dicts([choice.get(part) for choice in _dicts(response.get("choices")) for part in _MESSAGES])
    ran = any(message.get("executed_tools") for message in messages)
    return {**({"web_search": 1} if searches else {}), **({"executed_tools": 1} if ran else {})}


_MESSAGES: Final = ("message", "delta")


CHAT: Final = WireFormat(
    name="openai.chat",
    operation="chat",
    paths=(
        r"/deployments/(?P<model>[^/]+)/chat/completions",
        r"/chat/completions",
        r"/publishers/(?!google|anthropic)[^/]+/models/(?P<model>[^/:]+):(?:rawPredict|(?P<stream>streamRawPredict))",
    ),
    retrievals=(r"^GET .*/chat/(?:completions|deferred-completion)/(?P<id>[^/]+)",),
    asks=("messages",),
    meters=_CHAT_METERS,
    usage_at=("usage", "x_groq.usage", "response.usage"),
    harmless=_CHAT_HARMLESS,
    ticket_at=("request_id",),
    terms={"search_context_size": "search_context_size"},
    max_tokens=("max_completion_tokens", "max_tokens"),
    usage_on_request=True,
    rules=_CHAT_RULES,
    tools=_tools_of_chat,
)
GEMINI_CHAT: Final = replace(
    CHAT,
    name="gemini.chat",
    paths=(),
    rules=(*_CHAT_RULES[:3], rules.hidden_is_output, rules.nothing_used),
)
VERCEL_CHAT: Final = replace(
    CHAT,
    name="vercel.chat",
    paths=(),
    rules=(rules.reasoning_always_beside_output, rules.cached_beside_input, rules.nothing_used),
)
COMPLETIONS: Final = replace(
    CHAT,
    name="openai.completions",
    operation="text_completion",
    paths=(r"/deployments/(?P<model>[^/]+)/completions", r"/completions"),
    retrievals=(),
    asks=("prompt",),
    max_tokens=("max_tokens",),
    pieces=("choices",),
)
INVOCATIONS: Final = replace(
    CHAT,
    name="databricks.invocations",
    paths=(r"/serving-endpoints/(?P<model>[^/]+)/invocations",),
    retrievals=(),
    asks=("messages", "input", "prompt"),
)


_CALLED_BY_THE_APP: Final = words(
    """
    function_call custom_tool_call computer_call local_shell_call mcp_call apply_patch_call shell_call
    """
)


def _tool_calls(response: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the provider ran for a response, which it charges one by one: items of its output.

    Of its searches of the web it charges those that search, not those that open what was found, and at another price
    where the tool is the older one.
    """
    found: Counter[str] = Counter()
    for item in _dicts(response.get("output")):
        kind, action = item.get("type"), item.get("action")
        if isinstance(kind, str) and kind.endswith("_call") and kind not in _CALLED_BY_THE_APP:
            found[kind] += not isinstance(action, dict) or action.get("type") in (None, "search")
    said: dict[str, Any] = {}
    for tool in _dicts(response.get("tools")):
        kind = tool.get("type")
        if kind == "image_generation" and isinstance(tool.get("model"), str):
            found.pop("image_generation_call", None)
            said["image_model"] = tool["model"]
        elif isinstance(kind, str) and kind.startswith("web_search_preview") and found["web_search_call"]:
            said["web_search_tool"] = "web_search_preview"
    return {**found, **said}


def _dicts(items: object) -> Iterator[dict[str, Any]]:
    return (item for item in items if isinstance(item, dict)) if isinstance(items, list) else iter(())


def _image_pass(usage: Mapping[str, Any]) -> Iterator[tuple[str | None, Mapping[str, Any]]]:
    """Pictures are made by a model of their own."""
    pictures, model = usage.get("image_gen"), usage.get("tool_calls", {}).get("image_model")
    if isinstance(pictures, dict) and pictures.get("total_tokens") and model is not None:
        yield model, pictures


RESPONSES: Final = WireFormat(
    name="openai.responses",
    operation="chat",
    paths=(
        r"/deployments/(?P<model>[^/]+)/responses(?:/compact)?",
        r"/responses(?:/compact)?",
        r"/proxy/openai-responses",
    ),
    retrievals=(r"^GET .*/responses/(?P<id>[^/]+)", r"^POST .*/responses/(?P<id>[^/]+)/cancel"),
    asks=("input", "prompt", "conversation", "previous_response_id"),
    meters={
        "input_tokens": "input_tokens | prompt_tokens",
        "output_tokens": "output_tokens | completion_tokens",
        "cache_read_tokens": "input_tokens_details.cached_tokens | prompt_tokens_details.cached_tokens",
        "cache_write_tokens": "input_tokens_details.cache_write_tokens",
        "reasoning_tokens": "output_tokens_details.reasoning_tokens | completion_tokens_details.reasoning_tokens",
        "input_audio_tokens": "input_tokens_details.audio_tokens",
        "input_image_tokens": "input_tokens_details.image_tokens",
        "output_audio_tokens": "output_tokens_details.audio_tokens",
        "output_image_tokens": "output_tokens_details.image_tokens",
        "web_searches": "web_search.num_requests | server_side_tool_usage_details.web_search_calls"
        " | tool_calls.web_search_call",
        "file_searches": "server_side_tool_usage_details.file_search_calls | tool_calls.file_search_call",
    },
    usage_at=("usage", "tool_usage"),
    harmless=words(
        """
        input_tokens_details.text_tokens output_tokens_details.text_tokens num_server_side_tools_used cost
        context_details.input_tokens context_details.output_tokens cost_in_usd_ticks pydantic_ai_gateway.cost_estimate
        cost_details input_tokens_details.cache_write_tokens_details.ttl_30m_tokens
        input_tokens_details.orchestration_input_tokens output_tokens_details.orchestration_output_tokens
        tool_calls.image_model image_gen.input_tokens image_gen.output_tokens image_gen.input_tokens_details.text_tokens
        image_gen.input_tokens_details.image_tokens image_gen.output_tokens_details.text_tokens
        image_gen.output_tokens_details.image_tokens image_gen.cached_tokens
        image_gen.cached_tokens_details.cached_text_tokens image_gen.cached_tokens_details.cached_image_tokens
        """
    ),
    terms={"web_search_tool": "tool_calls.web_search_tool"},
    max_tokens=("max_output_tokens",),
    stream_roots=(("response",),),
    stream_ends=frozenset({"response.completed", "response.incomplete", "response.failed"}),
    pieces=("delta",),
    rules=(
        rules.reasoning_beside_output,
        rules.cached_beside_input,
        rules.hidden_may_be_output,
        rules.nothing_used,
    ),
    tools=_tool_calls,
    passes=_image_pass,
)
RUNS: Final = replace(
    CHAT,
    name="openai.runs",
    paths=(r"/threads/runs", r"/threads/[^/]+/runs"),
    retrievals=(
        r"^GET .*/threads/[^/]+/runs/(?P<id>[^/]+)",
        r"^POST .*/threads/[^/]+/runs/(?P<id>[^/]+)/(?:cancel|submit_tool_outputs)",
    ),
    asks=("assistant_id",),
    max_tokens=("max_completion_tokens",),
    stream_ends=frozenset({"thread.run.completed", "thread.run.incomplete", "thread.run.failed"}),
    usage_on_request=False,
)
EMBEDDINGS: Final = WireFormat(
    name="openai.embeddings",
    operation="embeddings",
    paths=(
        r"/deployments/(?P<model>[^/]+)/embeddings",
        r"(?<!/text)(?<!/api)/(?:multimodal|contextualized)?embeddings",
    ),
    asks=("input", "inputs"),
    meters={
        "input_tokens": "prompt_tokens | total_tokens | input_tokens",
        "output_tokens": "completion_tokens",
        "input_image_tokens": "prompt_tokens_details.image_tokens",
    },
    harmless=words(
        """
        prompt_tokens_details.text_tokens text_tokens cost cost_details service_tier cost.currency
        cost.input_cost cost.total_cost
        """
    ),
    rules=(rules.nothing_used,),
)
IMAGES: Final = WireFormat(
    name="openai.images",
    operation="generate_content",
    paths=(
        r"/deployments/(?P<model>[^/]+)/images/(?:generations|edits)",
        r"/images/(?:generations|edits|variations)",
        r"/api/v1/images",
    ),
    asks=("prompt",),
    meters={
        "input_tokens": "input_tokens | prompt_tokens",
        "output_tokens": "output_tokens | completion_tokens",
        "cache_read_tokens": "cached_tokens | input_tokens_details.cached_tokens | prompt_tokens_details.cached_tokens",
        "cache_read_image_tokens": "cached_tokens_details.cached_image_tokens",
        "input_image_tokens": "input_tokens_details.image_tokens | prompt_tokens_details.image_tokens",
        "output_image_tokens": "output_tokens_details.image_tokens | completion_tokens_details.image_tokens",
        "reasoning_tokens": "output_tokens_details.reasoning_tokens | completion_tokens_details.reasoning_tokens",
    },
    harmless=words(
        """
        input_tokens_details.text_tokens output_tokens_details.text_tokens cost_in_usd_ticks num_images
        cached_tokens_details.cached_text_tokens cost cost_details
        """
    ),
    stream_ends=frozenset({"image_generation.completed", "image_edit.completed"}),
    pieces=("b64_json",),
    rules=(rules.images_are_output, rules.nothing_used),
)
AUDIO: Final = WireFormat(
    name="openai.audio",
    operation="generate_content",
    paths=(
        r"/deployments/(?P<model>[^/]+)/audio/(?:transcriptions|translations|speech)",
        r"/audio/(?:transcriptions|translations|speech)",
    ),
    asks=("file", "input", "messages"),
    meters={
        "input_tokens": "input_tokens | prompt_tokens",
        "output_tokens": "output_tokens | completion_tokens",
        "input_audio_tokens": "input_token_details.audio_tokens | prompt_tokens_details.audio_tokens",
        "output_audio_tokens": "output_token_details.audio_tokens | completion_tokens_details.audio_tokens",
        "audio_seconds": "seconds | prompt_audio_seconds",
    },
    harmless=words(
        """
        type input_token_details.text_tokens output_token_details.text_tokens cost cost_details service_tier
        prompt_tokens_details.text_tokens
        """
    ),
    stream_ends=frozenset({"transcript.text.done", "speech.audio.done"}),
    pieces=("delta", "audio"),
    rules=(rules.audio_beside_input, rules.nothing_used),
)
FORMATS: Final = (
    CHAT,
    GEMINI_CHAT,
    VERCEL_CHAT,
    COMPLETIONS,
    INVOCATIONS,
    RESPONSES,
    RUNS,
    EMBEDDINGS,
    IMAGES,
    AUDIO,
)
