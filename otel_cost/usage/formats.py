"""The table of wire formats: which endpoint speaks which, and which field of a response is which meter.

A field is the path to it from the root of the usage. Several paths for one meter are added up: Anthropic states input
without what was read from or written to its cache, so those are added to make input tokens include them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WireFormat:
    """One wire format.

    Attributes:
        name: as `OTEL_COST_ENDPOINTS` spells it, such as ``openai.chat``.
        operation: value of ``gen_ai.operation.name``.
        path: how the path of its endpoint ends.
        meters: for each field of `Usage`, the paths below the response's ``usage`` that are added up for it.
        asks: the field of a request that carries the prompt. With a model beside it, it tells a call to a model from
            another request to a like path of a host that nobody named.
        harmless: other figures and texts that a usage states, which change no price, by their path and, for texts,
            value. What is neither a meter nor harmless makes the cost an estimate.
        max_tokens: fields of the request that bound the output, the first that is there holds.
        stream_roots: where a stream's event holds what a whole response has at its root; ``()``: the event is it.
        stream_ends: values of an event's ``type`` after which a stream is complete. A ``[DONE]`` line
            and a chunk of usage without choices always end one.
        usage_on_request: whether a stream states its usage only where ``stream_options.include_usage`` asks for it.
    """

    name: str
    operation: str
    path: str
    asks: str
    meters: Mapping[str, tuple[Path, ...]]
    harmless: frozenset[str]
    max_tokens: tuple[str, ...] = ()
    stream_roots: tuple[Path, ...] = ((),)
    stream_ends: frozenset[str] = frozenset()
    usage_on_request: bool = False


_OPENAI_CHAT: Final = WireFormat(
    name="openai.chat",
    operation="chat",
    path="/chat/completions",
    asks="messages",
    meters={
        "input_tokens": (("prompt_tokens",),),
        "output_tokens": (("completion_tokens",),),
        "cache_read_tokens": (("prompt_tokens_details", "cached_tokens"),),
        "cache_write_tokens": (("prompt_tokens_details", "cache_write_tokens"),),
        "reasoning_tokens": (("completion_tokens_details", "reasoning_tokens"),),
    },
    harmless=frozenset(
        {
            "total_tokens",
            "prompt_tokens_details.text_tokens",
            "completion_tokens_details.text_tokens",
            "completion_tokens_details.accepted_prediction_tokens",
            "completion_tokens_details.rejected_prediction_tokens",
        }
    ),
    max_tokens=("max_completion_tokens", "max_tokens"),
    usage_on_request=True,
)
_OPENAI_RESPONSES: Final = WireFormat(
    name="openai.responses",
    operation="chat",
    path="/responses",
    asks="input",
    meters={
        "input_tokens": (("input_tokens",),),
        "output_tokens": (("output_tokens",),),
        "cache_read_tokens": (("input_tokens_details", "cached_tokens"),),
        "cache_write_tokens": (("input_tokens_details", "cache_write_tokens"),),
        "reasoning_tokens": (("output_tokens_details", "reasoning_tokens"),),
    },
    harmless=frozenset({"total_tokens", "input_tokens_details.text_tokens", "output_tokens_details.text_tokens"}),
    max_tokens=("max_output_tokens",),
    stream_roots=(("response",),),
    stream_ends=frozenset({"response.completed", "response.incomplete", "response.failed"}),
)
_OPENAI_EMBEDDINGS: Final = WireFormat(
    name="openai.embeddings",
    operation="embeddings",
    path="/embeddings",
    asks="input",
    meters={"input_tokens": (("prompt_tokens",),)},
    harmless=frozenset({"total_tokens", "prompt_tokens_details.text_tokens"}),
)
_ANTHROPIC_MESSAGES: Final = WireFormat(
    name="anthropic.messages",
    operation="chat",
    path="/v1/messages",
    asks="messages",
    meters={
        "input_tokens": (("input_tokens",), ("cache_read_input_tokens",), ("cache_creation_input_tokens",)),
        "output_tokens": (("output_tokens",),),
        "cache_read_tokens": (("cache_read_input_tokens",),),
        "cache_write_tokens": (("cache_creation_input_tokens",),),
        "cache_write_5m_tokens": (("cache_creation", "ephemeral_5m_input_tokens"),),
        "cache_write_1h_tokens": (("cache_creation", "ephemeral_1h_input_tokens"),),
        "reasoning_tokens": (("output_tokens_details", "thinking_tokens"),),
        "web_searches": (("server_tool_use", "web_search_requests"),),
    },
    harmless=frozenset(
        {
            "service_tier",
            "speed=standard",
            "inference_geo=global",
            "inference_geo=not_available",
            "server_tool_use.web_fetch_requests",
        }
    ),
    max_tokens=("max_tokens",),
    stream_roots=(("message",), ()),
    stream_ends=frozenset({"message_stop"}),
)

FORMATS: Final[Mapping[str, WireFormat]] = {
    wire_format.name: wire_format
    for wire_format in (_OPENAI_CHAT, _OPENAI_RESPONSES, _OPENAI_EMBEDDINGS, _ANTHROPIC_MESSAGES)
}

PROVIDERS: Final[Mapping[str, str]] = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
}
"""Host -> provider, where nothing else is said. Other hosts are named in `OTEL_COST_ENDPOINTS`."""

TAKES_INCLUDE_USAGE: Final = frozenset({"openai", "azure", "deepseek", "huggingface", "ollama"})
"""Providers that take ``stream_options.include_usage`` in a request, and need it. Of the others some refuse it, and
most state the usage of every stream anyway."""
