"""What calls would have cost with other models, worked out by hand from published prices."""

from __future__ import annotations

import tomllib
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from otel_cost import Usage
from otel_cost.pricing.meters import METERS
from otel_cost_exporter.answers import tokenizers as module
from otel_cost_exporter.answers.tokenizers import SAME, Ratio, ratio, tokenizer_of, tokenizers
from otel_cost_exporter.answers.what_if import Alike, with_model

FACTS = Path(module.__file__).with_suffix(".toml")
HOUR = datetime(2026, 11, 1, 12)  # noqa: DTZ001 - times of the books have no zone


def calls(usage: Usage | None = None, number: int = 1, model: str | None = "gpt-4o-2024-08-06", **more: Any) -> Alike:
    terms = {"location": more["location"]} if "location" in more else {}
    return Alike(number, more.get("provider", "openai"), model, more.get("tier"), terms, HOUR, usage)


def usd(text: str) -> Decimal:
    return Decimal(text)


def test_with_the_same_tokenizer_it_is_one_figure() -> None:
    found = with_model([calls(Usage(1000, 200, cache_read_tokens=500), 3)], "gpt-4o-mini")
    cost = usd("0.0006975")  # 3 x (500 x 0.15 + 500 x 0.075 + 200 x 0.60) / 1e6
    assert found == {
        "model": "gpt-4o-mini",
        "provider": "openai",
        "low_usd": cost,
        "high_usd": cost,
        "priced_calls": 3,
        "unknown_calls": 0,
        "tokenizer": "o200k_base",
        "price_versions": ["genai-prices/0.2.3"],
        "doubts": [],
    }


def test_the_model_that_was_asked_costs_what_it_cost_however_its_name_is_dated() -> None:
    usage = Usage(1000, 200, reasoning_tokens=50)
    for name in ("gpt-4o", "gpt-4o-2024-08-06", "openai/gpt-4o"):
        found = with_model([calls(usage)], name)
        assert (found["low_usd"], found["high_usd"], found["doubts"]) == (usd("0.0045"), usd("0.0045"), [])


def test_where_a_call_was_served_counts_at_the_same_seller_only() -> None:
    """OpenAI asks a tenth more for gpt-5.4-mini in Europe: 1.1 x (1000 x 0.75 + 100 x 4.50) / 1e6."""
    usage = Usage(1000, 100)
    here = with_model([calls(usage, location="eu"), calls(usage)], "gpt-5.4-mini")
    assert (here["low_usd"], here["doubts"]) == (usd("0.00132") + usd("0.0012"), [])
    row: dict[str, Any] = {**dict.fromkeys(METERS), "input_tokens": 1000, "output_tokens": 100}
    row |= {"calls": 1, "model": "gpt-4o", "service_tier": None, "hour": HOUR}
    row |= {"provider": "OpenAI", "server": "eu.api.openai.com", "price_terms": None}
    assert with_model([Alike.of(row)], "gpt-5.4-mini")["low_usd"] == usd("0.00132")
    there = with_model([calls(usage, location="eu")], "openrouter/openai/gpt-5.4-mini")
    doubt = "1 call: were at terms (location=eu) that nobody knows of openrouter"
    assert doubt in there["doubts"]


def test_where_tokenizers_differ_it_is_a_range() -> None:
    # Of o200k_base and claude-4.7: 1.12 / 0.85 characters of Chinese a token at least, 4.21 / 2.20 of German at most.
    assert ratio("gpt-4o", "claude-opus-4-7") == Ratio(usd("1.31764705882"), usd("1.91363636364"))
    found = with_model([calls(Usage(1000, 200, cache_read_tokens=500), 3)], "claude-opus-4-7")
    # At 5, 0.5 and 25 USD a million: 659 + 658 of the cache and 263; 958 + 956 and 383.
    assert found["low_usd"] == 3 * (659 * usd("5") + 658 * usd("0.5") + 263 * usd("25")) / 1_000_000
    assert found["high_usd"] == 3 * (958 * usd("5") + 956 * usd("0.5") + 383 * usd("25")) / 1_000_000
    assert found["tokenizer"] == "claude-4.7"


def test_media_and_searches_are_no_text() -> None:
    usage = Usage(1000, 200, input_image_tokens=400, output_audio_tokens=200)
    found = with_model([calls(usage)], "claude-opus-4-7")
    # 400 tokens of pictures stay, 600 of text become 790 or 1149; all of the output is sound
    assert found["low_usd"] == (1190 * usd("5") + 200 * usd("25")) / 1_000_000
    assert found["high_usd"] == (1549 * usd("5") + 200 * usd("25")) / 1_000_000
    assert found["doubts"] == ["1 call: had pictures or sound, counted as the model did that was asked"]


def test_a_tokenizer_that_nobody_measured_may_be_like_any() -> None:
    owns, others = tokenizer_of("gpt-4o"), [one for one in tokenizers() if one.characters]
    assert owns is not None
    assert tokenizer_of("gemini-2.5-pro") is tokenizer_of("models/gemini-2.5-flash")
    assert tokenizer_of("grok-4") is None
    most = {text: max(one.characters[text] for one in others) for text in owns.characters}
    least = {text: min(one.characters[text] for one in others) for text in owns.characters}
    for unmeasured in ("gemini-2.5-pro", "grok-4"):
        found = ratio("gpt-4o", unmeasured)
        assert abs(found.low - min(owns.characters[text] / most[text] for text in most)) < usd("1e-9")
        assert abs(found.high - max(owns.characters[text] / least[text] for text in most)) < usd("1e-9")
        back = ratio(unmeasured, "gpt-4o")
        assert abs(back.low * found.high - 1) < usd("1e-9")
    assert ratio("gemini-2.5-pro", "gemini-2.5-flash") == SAME == ratio("grok-4", "grok-4")
    assert ratio("gemini-2.5-pro", "gemini-3.5-flash") != SAME
    found = with_model([calls(Usage(1000, 200))], "gemini-2.5-pro")["doubts"]
    assert found == ["how gemini-2.5-pro counts tokens was not measured: the range is that of all tokenizers that were"]


def test_calls_that_name_no_model_may_have_been_counted_in_any_way() -> None:
    found = with_model([calls(Usage(1000, 200), model=None)], "gpt-4o")
    assert found["low_usd"] < usd("0.0045") < found["high_usd"]


def test_what_is_not_known_is_said_and_is_in_no_sum() -> None:
    found = with_model([calls(Usage(1000, 200), 2), calls(None, 3)], "gpt-4o")
    assert (found["low_usd"], found["priced_calls"], found["unknown_calls"]) == (usd("0.009"), 2, 3)
    assert found["doubts"] == ["3 calls: no tokens are stated"]
    nobody = with_model([calls(Usage(1000, 200), 2), calls(None, 3)], "no-such-model")
    assert (nobody["low_usd"], nobody["high_usd"], nobody["provider"], nobody["unknown_calls"]) == (None, None, None, 5)
    assert nobody["doubts"][-1].startswith("nobody knows who sells 'no-such-model': write it behind its seller")
    unpriced = with_model([calls(Usage(1000, 200), 2)], "groq/no-such-model")
    assert (unpriced["low_usd"], unpriced["provider"], unpriced["model"]) == (None, "groq", "no-such-model")
    assert unpriced["doubts"] == ["2 calls: no price for model 'no-such-model' of 'groq'"]
    assert with_model([], "gpt-4o")["low_usd"] == 0


def test_meters_that_the_other_model_has_no_price_for_are_said() -> None:
    usage = Usage(1000, 200, cache_read_tokens=500, cache_write_tokens=100, reasoning_tokens=100, web_searches=1)
    found = with_model([calls(usage, 2)], "gpt-4")
    # 30 and 60 USD a million; between o200k_base and cl100k_base lie 1.0 for English and 3.63 / 2.02 for Russian
    assert found["low_usd"] == 2 * (1000 * usd("30") + 200 * usd("60")) / 1_000_000
    assert found["doubts"] == [
        "2 calls: no price for web searches, cache read tokens, cache write tokens",
        "2 calls: reasoned, and another model may do so more or less",
    ]


def test_a_row_that_states_no_whole_meter_says_nothing_of_its_tokens() -> None:
    row: dict[str, Any] = dict.fromkeys(METERS)
    row |= {
        "calls": 2,
        "provider": None,
        "model": "gpt-4o",
        "server": None,
        "price_terms": None,
        "service_tier": None,
        "hour": HOUR,
    }
    assert Alike.of(row | {"cache_read_tokens": 5}).usage is None
    assert Alike.of(row | {"input_tokens": 5}).usage == Usage(input_tokens=5)
    assert Alike.of(row | {"audio_seconds": Decimal("1.5")}).usage == Usage(audio_seconds=Decimal("1.5"))


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-5.2-2026-01-01", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("openai/o1", "o200k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-35-turbo", "cl100k_base"),
        ("us.anthropic.claude-opus-4-7-v1:0", "claude-4.7"),
        ("anthropic/claude-opus-4.8", "claude-4.7"),
        ("claude-sonnet-4-5@20250929", "claude-3"),
        ("claude-3-5-haiku-latest", "claude-3"),
        ("deepseek-chat", "deepseek"),
        ("Llama-3.3-70B-Instruct", "llama3"),
        ("qwen/qwen3-32b", "qwen2"),
        ("gpt-6-sol", None),
        ("claude-haiku-5-5", None),
    ],
)
def test_which_models_count_alike(model: str, name: str | None) -> None:
    found = tokenizer_of(model)
    assert (found.name if found is not None else None) == name


def test_every_fact_says_its_source_and_all_are_of_the_same_texts() -> None:
    texts = {frozenset(one.characters) for one in tokenizers() if one.characters}
    assert len(texts) == 1
    facts = tomllib.loads(FACTS.read_text())["tokenizer"]
    assert all(fact["source"].startswith("https://") for fact in facts)
