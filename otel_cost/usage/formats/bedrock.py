"""The formats of Amazon Bedrock: its own, and the models' own inside its invocations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_cost.usage.formats import rules
from otel_cost.usage.formats.anthropic import HARMLESS, RULES, TERMS, further_passes
from otel_cost.usage.formats.wire_format import WireFormat, words

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEADERS: Final = {
    "x-amzn-bedrock-input-token-count": "inputTokenCount",
    "x-amzn-bedrock-output-token-count": "outputTokenCount",
    "x-amzn-bedrock-cache-read-input-token-count": "cacheReadInputTokenCount",
    "x-amzn-bedrock-cache-write-input-token-count": "cacheWriteInputTokenCount",
    "x-amzn-bedrock-performanceconfig-latency": "latency",
}
_LATENCY: Final = {"latency": "latency"}
_MAX_TOKENS: Final = (
    "inferenceConfig.maxTokens",
    "max_tokens",
    "max_completion_tokens",
    "max_tokens_to_sample",
    "textGenerationConfig.maxTokenCount",
    "max_gen_len",
    "inferenceConfig.max_new_tokens",
    "maxTokens",
)
_READ: Final = "cache_read_input_tokens | cacheReadInputTokens | cacheReadInputTokenCount"
_WRITTEN: Final = "cache_creation_input_tokens | cacheWriteInputTokens | cacheWriteInputTokenCount"


def _guardrail(response: Mapping[str, Any]) -> Mapping[str, Any]:
    """A guardrail is charged by the text that it looked at, whatever it then did."""
    trace = response.get("trace")
    looked = "amazon-bedrock-guardrailAction" in response or (isinstance(trace, dict) and trace.get("guardrail"))
    looked = looked or response.get("stopReason") == "guardrail_intervened"
    return {"guardrail": 1} if looked else {}


CONVERSE: Final = WireFormat(
    name="bedrock.converse",
    operation="chat",
    paths=(r"/model/(?P<model>.+)/converse(?P<stream>-stream)?",),
    asks=("messages", "system", "promptVariables"),
    meters={
        "input_tokens": f"inputTokens | inputTokenCount + {_READ} + {_WRITTEN}",
        "output_tokens": "outputTokens | outputTokenCount",
        "cache_read_tokens": _READ,
        "cache_write_tokens": _WRITTEN,
        "cache_write_5m_tokens": "cacheDetails[5m].inputTokens",
        "cache_write_1h_tokens": "cacheDetails[1h].inputTokens",
    },
    usage_at=("usage", "performanceConfig"),
    charged_beside=("guardrailConfig",),
    model_at=(),
    id_at=(),
    tier_at=("serviceTier.type",),
    terms=_LATENCY,
    max_tokens=_MAX_TOKENS,
    stream_ends=frozenset({"metadata"}),
    pieces=("delta",),
    headers=_HEADERS,
    rules=(rules.nothing_used,),
    tools=_guardrail,
)
INVOKE: Final = WireFormat(
    name="bedrock.invoke",
    operation="chat",
    paths=(r"/model/(?P<model>.+)/invoke(?P<stream>-with-response-stream)?",),
    asks=("messages", "prompt", "inputText", "texts", "message", "schemaVersion"),
    meters={
        "input_tokens": "input_tokens | prompt_tokens | inputTokens | inputTextTokenCount | prompt_token_count"
        f" | inputTokenCount + {_READ} + {_WRITTEN}",
        "output_tokens": "output_tokens | completion_tokens | outputTokens | totalOutputTextTokenCount"
        " | generation_token_count | tokenCount | outputTokenCount",
        "cache_read_tokens": f"{_READ} | prompt_tokens_details.cached_tokens",
        "cache_write_tokens": _WRITTEN,
        "cache_write_5m_tokens": "cache_creation.ephemeral_5m_input_tokens | cacheDetails[5m].inputTokens",
        "cache_write_1h_tokens": "cache_creation.ephemeral_1h_input_tokens | cacheDetails[1h].inputTokens",
        "reasoning_tokens": "output_tokens_details.thinking_tokens | completion_tokens_details.reasoning_tokens",
        "web_searches": "server_tool_use.web_search_requests",
    },
    usage_at=("", "results[]", "amazon-bedrock-invocationMetrics", "usage"),
    harmless=HARMLESS | words("invocationLatency firstByteLatency index"),
    id_at=("id",),
    tier_at=("serviceTier.type", "service_tier", "usage.service_tier"),
    terms={**TERMS, **_LATENCY},
    max_tokens=_MAX_TOKENS,
    stream_roots=(("message",), ()),
    stream_ends=frozenset({"message_stop"}),
    ends_with=("amazon-bedrock-invocationMetrics",),
    pieces=("delta", "choices", "generation", "outputText", "completion", "outputs", "text"),
    headers=_HEADERS,
    rules=(rules.bedrock_agrees, *RULES),
    tools=_guardrail,
    passes=further_passes,
    priced_as_asked=True,
)
AGENT: Final = WireFormat(
    name="bedrock.agent",
    operation="invoke_agent",
    paths=(r"/agents/[^/]+/agentAliases/[^/]+/sessions/[^/]+/text",),
    asks=("inputText",),
    meters={},
    model_at=(),
    id_at=(),
)
FORMATS: Final = (CONVERSE, INVOKE, AGENT)
