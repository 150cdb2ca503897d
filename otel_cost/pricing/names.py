"""Whose prices, and which model's: every spelling in use of a provider, and what stands around a model's name.

A model's name is taken apart by rule: where it was called from, which version of it. What is then not in the table is
not known; no neighbour's price stands in for it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# The price table's name of a provider, and its others: those of the OpenTelemetry conventions and of SDKs, frameworks
# and gateways. Lower case, _ as -.
_ALIASES: Final[dict[str, str]] = {
    "anthropic": "claude",
    "aws": "aws.bedrock bedrock amazon amazon-bedrock bedrock-converse bedrock-mantle aws-bedrock",
    "azure": "azure.ai.openai azure.ai.inference az.ai.openai az.ai.inference azure-openai azure-ai azure-foundry",
    "cerebras": "cerebras-ai",
    "cloudflare": "workers-ai cloudflare-workers-ai",
    "cohere": "cohere-ai cohere-chat",
    "deepseek": "deepseek-ai",
    "fireworks": "fireworks-ai",
    "github-copilot": "copilot github.copilot",
    "google": "gcp.gemini gcp.vertex-ai gcp.gen-ai gcp gemini vertex vertex-ai vertexai google-gla google-vertex "
    "google-genai google-vertexai google-ai google-ai-studio google-genai-ai vertex-ai-beta "
    "gcp.vertex.agent",
    "huggingface": "hf hugging-face huggingface-hub",
    "ibm-watsonx": "ibm.watsonx.ai watsonx watsonx.ai ibm",
    "minimax": "minimaxi",
    "mistral": "mistral-ai mistralai",
    "moonshotai": "moonshot-ai moonshot kimi",
    "openai": "open-ai",
    "openrouter": "open-router",
    "perplexity": "perplexity-ai pplx",
    "together": "together-ai togetherai",
    "vercel": "vercel-ai-gateway vercel-gateway ai-gateway gateway",
    "voyageai": "voyage voyage-ai",
    "x-ai": "xai",
    "zai": "z-ai z.ai zai-org",
    "zhipuai": "zhipu bigmodel",
}
_PROVIDERS: Final = {alias: name for name, aliases in _ALIASES.items() for alias in (name, *aliases.split())}

_VERSION = r"""(?:
    \d{4}-\d{2}-\d{2} | \d{2}-\d{2}(?:-\d{4})? | \d{2}-\d{4} | \d{3,8}   # a date, whole or in part, or 001
    | v\d+ | latest | preview | beta | exp | experimental | default
    | [0-9a-f]{32}                                                       # a fine-tuned deployment of Azure's
)"""
_VERSIONS: Final = re.compile(rf"(?:[-@:._/]?{_VERSION})?(?:[-@._/]{_VERSION} | :\d+k?)*", re.VERBOSE)  # v1:0:200k
_LONGEST_VERSION: Final = 48
_SPEAKERS: Final = re.compile(r"(?:[a-z0-9-]+[./:])*")
_ABROAD: Final = re.compile(r"(?:us-gov|eu|apac|jp|au|ca|sa|mx|me|il|in|uk|za)\.")
_SNAPSHOT: Final = re.compile(r"[-@](?:20\d{2}-\d{2}-\d{2}|20\d{6})$")
_COMPACT_DATE: Final = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])([0-2]\d|3[01])(?=$|[-:])")
_TIERS: Final = {
    "": None,
    "auto": None,
    "default": None,
    "standard": None,
    "standard_only": None,
    "on_demand": None,
    "on_demand_priority": "priority",
    "on_demand_flex": "flex",
    "batches": "batch",
}


def provider_id(name: str) -> str:
    """The price table's name of the provider `name`."""
    plain = name.strip().lower()
    dashed = plain.replace("_", "-").replace(" ", "-")
    return _PROVIDERS.get(dashed, plain if plain.startswith("huggingface_") else dashed)


def provider_names() -> Iterator[str]:
    """Every spelling of a provider that is another than its name in the price table, and those names."""
    yield from _PROVIDERS


def tier_id(name: str | None) -> str | None:
    """A service tier by its one name; None is the standard one."""
    plain = (name or "").strip().lower().replace("-", "_")
    return _TIERS.get(plain, plain)


def spellings(provider: str, model: str) -> Iterator[tuple[str, str]]:
    """The provider and the model to look for, as a call names them, most literal first."""
    plain = model.strip().lower()
    yield provider, plain
    if provider == "huggingface":  # org/model:provider, and the prices are those of who runs it
        name, colon, runs = plain.rpartition(":")
        if colon:
            yield f"huggingface_{runs}", name
        return
    if provider == f"huggingface_{plain.rpartition(':')[2]}":  # whose the model says that it is to be
        yield provider, plain.rpartition(":")[0]
        return
    if provider == "vercel":  # its gateway charges what the vendor does
        vendor, _, name = plain.partition("/")
        yield provider_id(vendor), name
        return
    if plain.startswith("arn:"):  # …:foundation-model/anthropic.claude-…, …:inference-profile/us.anthropic.claude-…
        plain = plain.rpartition("/")[2]
        yield provider, plain
    if provider == "google" and "tunedmodels/" not in plain:  # models/…, projects/…/publishers/google/models/…
        plain = plain.rpartition("models/")[2]
        yield provider, plain
    first, slash, rest = plain.partition("/")
    if slash and provider != "openrouter" and provider_id(first) == provider:  # openai/gpt-…, as gateways write it
        yield provider, rest
        plain = rest
    if plain.startswith("ft:"):  # ft:<model>:<organisation>:<name>:<id>
        plain = ":".join(plain.split(":", 2)[:2])
        yield provider, plain
    if (dashed := _COMPACT_DATE.sub(r"-\1-\2-\3", plain)) != plain:
        yield provider, dashed


def without_date(model: str) -> str | None:
    """The name of which `model` is a dated snapshot; None where it is none."""
    shorter = _SNAPSHOT.sub("", model.strip().lower())
    return shorter if shorter != model.strip().lower() else None


def is_abroad(model: str) -> bool:
    """Whether a model of Bedrock's is served in a region whose prices may be others than those of the US."""
    return _ABROAD.match(model) is not None


def is_version(rest: str) -> bool:
    """Whether what follows a model's name only says which version of it."""
    return len(rest) <= _LONGEST_VERSION and _VERSIONS.fullmatch(rest) is not None


def is_speaker(before: str) -> bool:
    """Whether what stands before a model's name only says whose it is, or where: ``us.anthropic.``, ``models/``."""
    return _SPEAKERS.fullmatch(before) is not None
