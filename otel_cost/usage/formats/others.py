"""The formats of everybody else."""

from __future__ import annotations

from typing import Final

from otel_cost.usage.formats import rules
from otel_cost.usage.formats.wire_format import WireFormat, words

_COHERE_METERS: Final = {
    "input_tokens": "billed_units.input_tokens",
    "output_tokens": "billed_units.output_tokens",
    "input_image_tokens": "billed_units.image_tokens",
    "rerank_searches": "billed_units.search_units",
}
_COHERE_HARMLESS: Final = words(
    """
    tokens.input_tokens tokens.output_tokens tokens.reasoning_tokens tokens.image_tokens cached_tokens
    api_version.version warnings api_version.is_experimental api_version.is_deprecated billed_units.images
    """
)
COHERE_CHAT: Final = WireFormat(
    name="cohere.chat",
    operation="chat",
    paths=(r"/v[12]/chat", r"/v1/generate", r"/v1/(?:summarize|classify)"),
    asks=("message", "messages", "prompt"),
    meters=_COHERE_METERS,
    usage_at=("meta", "usage"),
    harmless=_COHERE_HARMLESS,
    id_at=("id", "generation_id", "response_id"),
    max_tokens=("max_tokens",),
    choices=("num_generations",),
    stream_roots=(("response",), ("delta",), ()),
    stream_ends=frozenset({"message-end", "stream-end"}),
    ends_with=("is_finished",),
    pieces=("delta", "text"),
    rules=(rules.nothing_used,),
)
COHERE_EMBED: Final = WireFormat(
    name="cohere.embed",
    operation="embeddings",
    paths=(r"/v[12]/embed",),
    asks=("texts", "images", "inputs"),
    meters={
        **_COHERE_METERS,
        "input_tokens": "billed_units.input_tokens + billed_units.image_tokens",
    },
    usage_at=("meta", "usage"),
    harmless=_COHERE_HARMLESS,
    rules=(rules.nothing_used,),
)
RERANK: Final = WireFormat(
    name="rerank",
    operation="rerank",
    paths=(r"/rerank",),
    asks=("query",),
    meters={
        "input_tokens": "prompt_tokens | total_tokens | billed_units.input_tokens",
        "output_tokens": "completion_tokens",
        "rerank_searches": "billed_units.search_units | search_units",
    },
    usage_at=("meta", "usage"),
    harmless=_COHERE_HARMLESS,
    rules=(rules.nothing_used,),
)
OLLAMA: Final = WireFormat(
    name="ollama",
    operation="chat",
    paths=(r"/api/(?:chat|generate)",),
    asks=("messages", "prompt"),
    meters={"input_tokens": "prompt_eval_count", "output_tokens": "eval_count"},
    usage_at=("",),
    id_at=(),
    max_tokens=("options.num_predict",),
    ends_with=("done",),
    pieces=("message", "response"),
    provider="ollama",
)
OLLAMA_EMBED: Final = WireFormat(
    name="ollama.embed",
    operation="embeddings",
    paths=(r"/api/(?:embed|embeddings)",),
    asks=("input", "prompt"),
    meters={"input_tokens": "prompt_eval_count"},
    usage_at=("",),
    id_at=(),
    provider="ollama",
)
TGI: Final = WireFormat(
    name="huggingface.tgi",
    operation="text_completion",
    paths=(r"/generate(?P<stream>_stream)?", r"/models/(?P<model>[^:]+)", r"/pipeline/[^/]+/(?P<model>[^:]+)"),
    asks=("inputs",),
    meters={
        "input_tokens": "input_length | prompt_tokens",
        "output_tokens": "generated_tokens | completion_tokens",
    },
    usage_at=("details", "usage"),
    harmless=words("finish_reason seed best_of_sequences prefill tokens top_tokens"),
    max_tokens=("parameters.max_new_tokens",),
    ends_with=("generated_text",),
    pieces=("token", "generated_text"),
    only_at=frozenset({"huggingface"}),
)
WATSONX: Final = WireFormat(
    name="watsonx.generation",
    operation="text_completion",
    paths=(r"/(?:text/generation|generation/text|text/chat)(?P<stream>_stream)?",),
    asks=("input", "messages"),
    meters={
        "input_tokens": "input_token_count | prompt_tokens",
        "output_tokens": "generated_token_count | completion_tokens",
        "cache_read_tokens": "prompt_tokens_details.cached_tokens",
    },
    usage_at=("results[]", "usage"),
    harmless=words("prompt_tokens_details.text_tokens"),
    model_at=("model_id", "model"),
    max_tokens=("parameters.max_new_tokens", "max_tokens", "max_completion_tokens"),
    pieces=("results", "choices"),
    adds_up=True,
    rules=(rules.nothing_used,),
)
WATSONX_EMBED: Final = WireFormat(
    name="watsonx.embeddings",
    operation="embeddings",
    paths=(r"/text/embeddings",),
    asks=("inputs",),
    meters={"input_tokens": "input_token_count"},
    usage_at=("",),
    model_at=("model_id",),
    rules=(rules.nothing_used,),
)
MISTRAL_CONVERSATIONS: Final = WireFormat(
    name="mistral.conversations",
    operation="chat",
    paths=(r"/v1/conversations", r"/v1/conversations/(?P<conversation>[^/]+)(?:/restart)?"),
    asks=("inputs",),
    meters={
        "input_tokens": "prompt_tokens + connector_tokens",
        "output_tokens": "completion_tokens",
        "cache_read_tokens": "prompt_tokens_details.cached_tokens | num_cached_tokens",
        "web_searches": "connectors.web_search",
    },
    harmless=words("service_tier"),
    id_at=(),
    stream_ends=frozenset({"conversation.response.done"}),
    pieces=("content",),
    rules=(rules.nothing_used,),
    only_at=frozenset({"mistral_ai"}),
)
OCR: Final = WireFormat(
    name="mistral.ocr",
    operation="generate_content",
    paths=(r"/v1/ocr", r"/mistral/azure/ocr"),
    asks=("document",),
    meters={},
)
CLOUDFLARE: Final = WireFormat(
    name="cloudflare.run",
    operation="chat",
    paths=(r"/ai/run/(?P<model>@?[^:]+)", r"/workers-ai/(?P<model>@[^:]+)"),
    asks=("messages", "prompt", "text", "input"),
    meters={
        "input_tokens": "prompt_tokens",
        "output_tokens": "completion_tokens",
        "cache_read_tokens": "prompt_tokens_details.cached_tokens",
    },
    usage_at=("result.usage", "usage"),
    id_at=(),
    max_tokens=("max_tokens",),
    pieces=("response", "choices"),
    rules=(rules.nothing_used,),
)
REPLICATE: Final = WireFormat(
    name="replicate.predictions",
    operation="generate_content",
    paths=(r"/v1/predictions", r"/v1/models/(?P<model>[^/]+/[^/]+)/predictions"),
    retrievals=(r"^GET .*/v1/predictions/(?P<id>[^/]+)", r"^POST .*/v1/predictions/(?P<id>[^/]+)/cancel"),
    asks=("input",),
    meters={"input_tokens": "input_token_count", "output_tokens": "output_token_count"},
    usage_at=("metrics",),
    harmless=words("predict_time total_time time_to_first_token tokens_per_second"),
)
DEEPGRAM: Final = WireFormat(
    name="deepgram.listen",
    operation="generate_content",
    paths=(r"/v1/listen",),
    asks=(),
    meters={},
    model_at=(),
    id_at=("metadata.request_id",),
)
STT: Final = WireFormat(
    name="xai.stt",
    operation="generate_content",
    paths=(r"/v1/stt",),
    asks=("file",),
    meters={"audio_seconds": "seconds"},
    harmless=words("cost_in_usd_ticks type"),
)
FORMATS: Final = (
    COHERE_CHAT,
    COHERE_EMBED,
    RERANK,
    OLLAMA,
    OLLAMA_EMBED,
    WATSONX,
    WATSONX_EMBED,
    MISTRAL_CONVERSATIONS,
    OCR,
    CLOUDFLARE,
    REPLICATE,
    DEEPGRAM,
    STT,
    TGI,
)
