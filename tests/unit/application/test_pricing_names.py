"""A provider and a model are known by every name in use, and by no other."""

import time
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices.data_snapshot import get_snapshot

from otel_cost import pricing
from otel_cost.pricing import names
from otel_cost.usage import Usage

AT = datetime(2026, 11, 1, tzinfo=UTC)


def price(provider: str, model: str) -> pricing.Cost:
    return pricing.price(provider=provider, model=model, usage=Usage(1_000_000, 0), at=AT)


@pytest.mark.parametrize(
    ("name", "known_as"),
    [
        # the OpenTelemetry conventions
        ("openai", "openai"),
        ("anthropic", "anthropic"),
        ("aws.bedrock", "aws"),
        ("azure.ai.openai", "azure"),
        ("azure.ai.inference", "azure"),
        ("gcp.gemini", "google"),
        ("gcp.vertex_ai", "google"),
        ("gcp.gen_ai", "google"),
        ("mistral_ai", "mistral"),
        ("x_ai", "x-ai"),
        ("moonshot_ai", "moonshotai"),
        ("ibm.watsonx.ai", "ibm-watsonx"),
        ("cohere", "cohere"),
        ("deepseek", "deepseek"),
        ("groq", "groq"),
        ("perplexity", "perplexity"),
        # what SDKs, frameworks and people write
        ("xai", "x-ai"),
        ("google", "google"),
        ("bedrock", "aws"),
        ("Bedrock_Converse", "aws"),
        ("azure", "azure"),
        ("moonshot", "moonshotai"),
        ("z.ai", "zai"),
        ("voyage", "voyageai"),
        ("fireworks_ai", "fireworks"),
        ("together_ai", "together"),
        ("vertex", "google"),
        ("google_genai", "google"),
        ("huggingface_groq", "huggingface_groq"),
        (" Mistral AI ", "mistral"),
    ],
)
def test_a_provider_by_its_names(name: str, known_as: str) -> None:
    assert names.provider_id(name) == known_as


@pytest.mark.parametrize(
    "rest", ["1" * 47 + "x", "-v1:000" * 6 + "x", "-2026-01-01" * 4 + "x", "-" * 100_000, "1" * 100_000]
)
def test_no_name_takes_long_to_look_at(rest: str) -> None:
    began = time.process_time()
    assert not names.is_version(rest)
    assert not names.is_speaker(f"{rest}!")
    assert price("anthropic", f"claude-opus-4-1{rest}").status == "unknown"
    assert time.process_time() - began < 10  # trying every way to take it apart would take years


def test_every_alias_leads_to_a_provider_with_prices_or_to_none() -> None:
    listed = {provider.id for provider in get_snapshot().providers}
    without_prices = {"huggingface", "ibm-watsonx", "vercel"}
    assert set(names._ALIASES) - listed == without_prices


@pytest.mark.parametrize(
    ("provider", "model", "per_million"),
    [
        # Claude Sonnet 4.5 on Bedrock: 3 everywhere, 3.30 where it stays in a region
        ("bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", "6"),
        ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "6.6"),
        ("bedrock", "anthropic.claude-3-haiku-20240307-v1:0", "0.25"),
        ("bedrock", "eu.amazon.nova-pro-v1:0", "1.05"),
        ("bedrock", "us-gov.anthropic.claude-opus-5", "6"),
        ("bedrock", "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0", "0.8"),
        ("bedrock", "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0", "0.06"),
        ("openai", "gpt-5-mini-2025-08-07", "0.25"),
        ("openai", "openai/gpt-4o-mini", "0.15"),
        ("openai", "GPT-4o-mini", "0.15"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc123", "0.3"),
        ("openai", "ft:gpt-4.1-2025-04-14:acme:router:xyz", "3"),
        ("anthropic", "claude-opus-4-1-20250805", "15"),
        ("google", "models/gemini-2.5-flash", "0.3"),
        ("google", "gemini-2.0-flash-001", "0.1"),
        ("google", "publishers/google/models/gemini-2.5-flash", "0.3"),
        ("google", "projects/p/locations/global/publishers/google/models/gemini-2.5-flash", "0.3"),
        ("google", "claude-haiku-4-5@20251001", "1"),
        ("azure", "gpt-4o-2024-11-20", "2.5"),
        ("openrouter", "openai/gpt-5.4-nano-20260317", "0.2"),
        ("openrouter", "nobody/heard-of:free", "0"),
        ("huggingface", "openai/gpt-oss-20b:groq", "0.1"),
        ("huggingface_groq", "openai/gpt-oss-20b:groq", "0.1"),
        ("vercel-gateway", "anthropic/claude-opus-5", "5"),
        ("fireworks", "accounts/fireworks/models/gpt-oss-20b", "0.07"),
        ("x_ai", "grok-3-latest", "3"),
        ("openai", "omni-moderation-latest", "0"),
    ],
)
def test_a_model_by_its_names(provider: str, model: str, per_million: str) -> None:
    cost = price(provider, model)
    assert (cost.amount, cost.status) == (Decimal(per_million), "known")


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-5-superduper"),
        ("openai", "gpt-5-nano-ultra"),
        ("openai", "gpt-4o-audio-preview-deluxe"),
        ("openai", "gpt-3.5-turbo-instruct-next"),
        ("openai", "content-moderation-writer"),
        ("anthropic", "claude-opus-4-1-thinking-machine"),
        ("anthropic", "claude-haiku-4-5-mini"),
        ("google", "gemini-2.5-pro-computer"),
        ("google", "gemini-2.0-flash-0x"),
        ("anthropic", "claude-opus-4-10"),
        ("google", "gemini-3.6-flash-cyber"),
        ("google", "tunedModels/gemini-2.5-flash-of-mine"),
        ("google", "my-claude-haiku-4-5"),
        ("azure", "o4-mini-of-ours"),
        ("azure", "my-deployment"),
        ("bedrock", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3"),
        ("bedrock", "amazon.nova-pro-max-v1:0"),
        ("moonshot", "kimi-k2.5-vision-pro"),
        ("huggingface", "openai/gpt-oss-20b"),
        ("huggingface", "openai/gpt-oss-20b:nobody"),
        ("openai-compatible-local", "gpt-4o"),
        ("my-anthropic", "claude-opus-5"),
        ("openai", ""),
    ],
)
def test_no_neighbours_price_stands_in(provider: str, model: str) -> None:
    cost = price(provider, model)
    assert (cost.amount, cost.status) == (None, "unknown")


def test_a_version_of_a_day_that_is_not_listed_is_an_estimate() -> None:
    cost = price("openai", "gpt-4o-mini-tts-2031-01-31")
    assert (cost.amount, cost.status) == (Decimal("0.6"), "estimated")
    assert cost.reason == "no price for this version of the model"


def test_what_a_model_costs_in_another_region_is_an_estimate_where_that_is_not_listed() -> None:
    cost = price("bedrock", "eu.meta.llama3-1-70b-instruct-v1:0")
    assert (cost.status, cost.reason) == ("estimated", "no price for the model in this region")
    assert price("bedrock", "us.meta.llama3-1-70b-instruct-v1:0").status == "known"


def test_what_another_seller_charges_for_a_model_is_an_estimate_unless_both_charge_the_same() -> None:
    # Azure charges OpenAI's prices for OpenAI's models, and its own for DeepSeek's.
    assert price("azure", "gpt-5.4").status == "known"
    cost = price("azure", "deepseek-v3.2")
    assert (cost.status, cost.reason) == ("estimated", "no price for this seller of the model")
