"""Who answers at which host, and in which format at which path."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import msgspec

from otel_cost.usage.formats import FORMATS
from otel_cost.usage.formats.wire_format import words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_cost.usage.formats import WireFormat

PROVIDERS: Final[Mapping[str, str]] = {
    "ai-gateway.helicone.ai": "helicone",
    "ai-gateway.vercel.sh": "vercel",
    "ai.mongodb.com": "voyage",
    "aiplatform.*.rep.googleapis.com": "gcp.vertex_ai",
    "*-aiplatform.googleapis.com": "gcp.vertex_ai",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "anthropic.helicone.ai": "anthropic",
    "api-inference.huggingface.co": "huggingface",
    "api-inference.together.ai": "together",
    "api.ai21.com": "ai21",
    "api.anthropic.com": "anthropic",
    "api.arcee.ai": "arcee",
    "api.avian.io": "avian",
    "api.cerebras.ai": "cerebras",
    "api.cloudflare.com": "cloudflare",
    "*.api.cohere.ai": "cohere",
    "api.cohere.ai": "cohere",
    "*.api.cohere.com": "cohere",
    "api.cohere.com": "cohere",
    "api.cursor.com": "cursor",
    "*.api.deepgram.com": "deepgram",
    "api.deepgram.com": "deepgram",
    "api.deepinfra.com": "deepinfra",
    "api.deepseek.com": "deepseek",
    "api.doubleword.ai": "doubleword",
    "api.fireworks.ai": "fireworks",
    "api.githubcopilot.com": "github-copilot",
    "api.groq.com": "groq",
    "api.hyperbolic.xyz": "hyperbolic",
    "api.inceptionlabs.ai": "inception",
    "api.jina.ai": "jina",
    "api.llama.com": "meta",
    "api.meta.ai": "meta",
    "api.minimax.chat": "minimax",
    "api.minimax.io": "minimax",
    "api.minimaxi.com": "minimax",
    "api.mistral.ai": "mistral_ai",
    "api.moonshot.ai": "moonshot",
    "api.moonshot.cn": "moonshot",
    "api.novita.ai": "novita",
    "*.api.openai.com": "openai",
    "api.openai.com": "openai",
    "api.openrouter.ai": "openrouter",
    "api.perplexity.ai": "perplexity",
    "api.portkey.ai": "portkey",
    "api.quicksilverpro.io": "quicksilverpro",
    "api.replicate.com": "replicate",
    "api.sambanova.ai": "sambanova",
    "api.siliconflow.cn": "siliconflow",
    "api.siliconflow.com": "siliconflow",
    "api.studio.nebius.ai": "nebius",
    "api.studio.nebius.com": "nebius",
    "api.together.ai": "together",
    "api.together.xyz": "together",
    "api.tokenfactory.nebius.com": "nebius",
    "api.typesafe.ai": "typesafe",
    "api.upstage.ai": "upstage",
    "api.voyageai.com": "voyage",
    "api.writer.com": "writer",
    "*.api.x.ai": "x_ai",
    "api.x.ai": "x_ai",
    "api.z.ai": "zai",
    "*.azuredatabricks.net": "databricks",
    "bedrock*.amazonaws.com": "aws.bedrock",
    "bedrock*.amazonaws.com.cn": "aws.bedrock",
    "bedrock*.api.aws": "aws.bedrock",
    "*.bedrock*.vpce.amazonaws.com": "aws.bedrock",
    "*.cloud.databricks.com": "databricks",
    "codestral.mistral.ai": "mistral_ai",
    "*.cognitiveservices.azure.com": "azure.ai.openai",
    "dashscope-intl.aliyuncs.com": "dashscope",
    "dashscope-us.aliyuncs.com": "dashscope",
    "dashscope.aliyuncs.com": "dashscope",
    "*.endpoints.huggingface.cloud": "huggingface",
    "gateway.helicone.ai": "helicone",
    "*.gcp.databricks.com": "databricks",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "inference.baseten.co": "baseten",
    "*.inference.heroku.com": "heroku",
    "inference.heroku.com": "heroku",
    "*.inference.ml.azure.com": "azure.ai.inference",
    "integrate.api.nvidia.com": "nvidia",
    "*.ml.cloud.ibm.com": "ibm.watsonx.ai",
    "*.models.ai.azure.com": "azure.ai.inference",
    "models.github.ai": "github",
    "models.inference.ai.azure.com": "github",
    "oai.endpoints.kepler.ai.cloud.ovh.net": "ovhcloud",
    "oai.helicone.ai": "openai",
    "ollama.com": "ollama",
    "open.bigmodel.cn": "zhipuai",
    "*.openai.azure.cn": "azure.ai.openai",
    "*.openai.azure.com": "azure.ai.openai",
    "*.openai.azure.us": "azure.ai.openai",
    "openrouter.ai": "openrouter",
    "*.replicate.net": "replicate",
    "router.huggingface.co": "huggingface",
    "*.services.ai.azure.com": "azure.ai.inference",
    "stream.replicate.com": "replicate",
}
"""Host -> provider, where nothing else is said. Other hosts are named in `OTEL_COST_ENDPOINTS`. A ``*`` stands for what
names a region or a customer."""
_KNOWN: Final = frozenset(PROVIDERS.values())
_WILDCARDS: Final = tuple((host, name) for host, name in PROVIDERS.items() if "*" in host)

_GATEWAYS: Final[Mapping[str, re.Pattern[str]]] = {
    "gateway.ai.cloudflare.com": re.compile(r"/v1/[^/]+/[^/]+/([^/]+)/"),
    "gateway.pydantic.dev": re.compile(r"/proxy/([^/]+)/"),
    "gateway-us.pydantic.dev": re.compile(r"/proxy/([^/]+)/"),
    "gateway-eu.pydantic.dev": re.compile(r"/proxy/([^/]+)/"),
}
"""Gateways that pass a request on to the provider that its path names, at that provider's prices."""
_NAMED_BY_GATEWAYS: Final[Mapping[str, str]] = {
    "anthropic": "anthropic",
    "aws-bedrock": "aws.bedrock",
    "azure-openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "cerebras-ai": "cerebras",
    "cohere": "cohere",
    "converse": "aws.bedrock",
    "deepseek": "deepseek",
    "gemini": "gcp.gemini",
    "google-ai-studio": "gcp.gemini",
    "google-vertex": "gcp.vertex_ai",
    "google-vertex-ai": "gcp.vertex_ai",
    "grok": "x_ai",
    "groq": "groq",
    "mistral": "mistral_ai",
    "openai": "openai",
    "openai-chat": "openai",
    "openai-responses": "openai",
    "openrouter": "openrouter",
    "perplexity-ai": "perplexity",
    "workers-ai": "cloudflare",
}
_BEHIND_HUGGINGFACE: Final = re.compile(r"/(?!v1/|hf-inference/|models/)([^/]+)/")
_DIALECTS: Final[Mapping[tuple[str, str], str]] = {
    ("gcp.gemini", "openai.chat"): "gemini.chat",
    ("gcp.vertex_ai", "openai.chat"): "gemini.chat",
    ("vercel", "openai.chat"): "vercel.chat",
    ("writer", "cohere.chat"): "openai.chat",
}
"""Providers that speak a format in a way of their own."""

_HUGGINGFACE_SELLERS: Final = words(
    "cerebras fireworks-ai groq hyperbolic nebius novita nscale ovhcloud publicai sambanova together"
)
TAKES_INCLUDE_USAGE: Final = frozenset(
    {"openai", "azure.ai.openai", "azure.ai.inference", "deepseek", "huggingface", "ollama"}
) | {f"huggingface_{seller}" for seller in _HUGGINGFACE_SELLERS}
"""Providers that take ``stream_options.include_usage`` in a request, and need it. Of the others some refuse it, and
most state the usage of every stream anyway."""

STATES_COST: Final = frozenset({"openrouter", "perplexity", "vercel", "x_ai"})
"""Providers whose responses state what they charge, in US dollars."""


class Endpoint(msgspec.Struct, frozen=True):
    """What is behind a path.

    Attributes:
        wire_format: the format spoken there.
        model: the model that the path names.
        stream: whether it is the path of answers that stream.
        retrieves: the id of the response that is stated there again.
    """

    wire_format: WireFormat
    model: str | None
    stream: bool
    retrieves: str | None


@lru_cache(maxsize=1024)
def provider_of(host: str) -> str | None:
    """The provider at `host`; None where nobody knows it. What is behind a gateway its path tells."""
    found = PROVIDERS.get(host) or next((name for pattern, name in _WILDCARDS if fnmatchcase(host, pattern)), None)
    return found or (_GATEWAY if host in _GATEWAYS else None)


_GATEWAY: Final = "gateway"


def provider_at(host: str, path: str) -> str | None:
    """The provider at `path` of `host`."""
    provider = provider_of(host)
    if provider == _GATEWAY:
        named = _GATEWAYS[host].match(path)
        return _NAMED_BY_GATEWAYS.get(named[1]) if named else None
    if host == "router.huggingface.co" and (behind := _BEHIND_HUGGINGFACE.match(path)):
        return f"huggingface_{behind[1]}"
    if provider == "azure.ai.inference" and path.lstrip("/").startswith("openai/"):
        return "azure.ai.openai"
    return provider


def seller_of(provider: str | None, model: str | None) -> str | None:
    """The provider whose prices hold, where the name of the model says who serves it behind Hugging Face's router."""
    seller = model.rpartition(":")[2] if provider == "huggingface" and model is not None else ""
    return f"huggingface_{seller}" if seller in _HUGGINGFACE_SELLERS else provider


# Compiled with the first request and not at the start, of which they would be a twentieth of what we add.
def _patterns(lines: Mapping[WireFormat, tuple[str, ...]]) -> tuple[tuple[WireFormat, re.Pattern[str]], ...]:
    return tuple((wire_format, re.compile(f"{line}/?$")) for wire_format, found in lines.items() for line in found)


@lru_cache(maxsize=1)
def _retrievals() -> tuple[tuple[WireFormat, re.Pattern[str]], ...]:
    return _patterns({wire_format: wire_format.retrievals for wire_format in FORMATS.values()})


@lru_cache(maxsize=1)
def _calls() -> tuple[tuple[WireFormat, re.Pattern[str]], ...]:
    return _patterns({wire_format: wire_format.paths for wire_format in FORMATS.values()})


_LAST_WORDS: Final = tuple(
    words(
        """
        completions responses compact messages embeddings edits generations variations transcriptions translations
        speech complete redict ontent ontents interactions converse converse-stream invoke invoke-with-response-stream
        text runs invocations chat generate summarize classify embed rerank text_stream chat_stream generation
        generation_stream generate_stream conversations ocr predictions listen stt
        """
    )
)


def may_be_call(path: str) -> bool:
    """Whether a path ends as those of calls to a model do: a quick look that tells most others from them."""
    return path.endswith(_LAST_WORDS)


@lru_cache(maxsize=1024)
def endpoint_at(method: str, path: str, provider: str | None) -> Endpoint | None:
    """What is behind ``method path`` of a provider; None where that is no endpoint of a model."""
    line = f"{method} {path}"
    for wire_format, pattern in (*_retrievals(), *(_calls() if method == "POST" else ())):
        elsewhere = wire_format.only_at and provider in _KNOWN - wire_format.only_at
        if not elsewhere and (found := pattern.search(line)):
            names = found.groupdict()
            spoken = _DIALECTS.get((provider or "", wire_format.name), wire_format.name)
            model, stream = _model(names.get("model")), bool(names.get("stream"))
            return Endpoint(FORMATS[spoken], model, stream, names.get("id"))
    return None


def _model(named: str | None) -> str | None:
    """The model that a path names, as the provider does elsewhere; of an ARN the resource."""
    if named is None:
        return None
    name = unquote(named)
    return name.rpartition("/")[2] if name.startswith("arn:") and "application-" not in name else name
