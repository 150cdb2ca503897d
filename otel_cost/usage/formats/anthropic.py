"""Anthropic's formats: at Anthropic, and through Vertex AI, Bedrock and Foundry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_cost.usage.formats import rules
from otel_cost.usage.formats.wire_format import WireFormat, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

METERS: Final = {
    "input_tokens": "input_tokens + cache_read_input_tokens + cache_creation_input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_input_tokens",
    "cache_write_tokens": "cache_creation_input_tokens",
    "cache_write_5m_tokens": "cache_creation.ephemeral_5m_input_tokens",
    "cache_write_1h_tokens": "cache_creation.ephemeral_1h_input_tokens",
    "reasoning_tokens": "output_tokens_details.thinking_tokens",
    "web_searches": "server_tool_use.web_search_requests",
}
HARMLESS: Final = words("service_tier server_tool_use.web_fetch_requests inference_geo speed iterations")
RULES: Final = (rules.split_fits, rules.one_model_wrote, rules.nothing_used)
TERMS: Final = {"inference_geo": "inference_geo", "speed": "speed"}


def further_passes(usage: Mapping[str, Any]) -> Iterator[tuple[str | None, Mapping[str, Any]]]:
    """The passes that the top level leaves out, with the model of each where that is another one.

    The top level adds up the passes that wrote the message. Compactions and advice are charged on top of it, each
    at the prices of its own model.
    """
    iterations = usage.get("iterations")
    for iteration in iterations if isinstance(iterations, list) else ():
        if isinstance(iteration, dict) and iteration.get("type") not in rules.WRITES:
            model = iteration.get("model")
            yield model if isinstance(model, str) else None, iteration


MESSAGES: Final = WireFormat(
    name="anthropic.messages",
    operation="chat",
    paths=(
        r"/v1/messages",
        r"/publishers/anthropic/models/(?P<model>[^/:]+):(?:rawPredict|(?P<stream>streamRawPredict))",
    ),
    asks=("messages",),
    meters=METERS,
    harmless=HARMLESS,
    terms=TERMS,
    max_tokens=("max_tokens",),
    stream_roots=(("message",), ()),
    stream_ends=frozenset({"message_stop"}),
    ends_with=("delta.stop_reason",),  # beside the final usage; litellm reads no further
    pieces=("delta",),
    rules=RULES,
    passes=further_passes,
)
COMPLETE: Final = WireFormat(
    name="anthropic.complete",
    operation="text_completion",
    paths=(r"/v1/complete",),
    asks=("prompt",),
    meters=METERS,
    max_tokens=("max_tokens_to_sample",),
    pieces=("completion",),
)
FORMATS: Final = (MESSAGES, COMPLETE)
