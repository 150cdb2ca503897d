"""A compiled plan charges what genai-prices charges, for every model whose prices we take from there and any usage."""

from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_cost import pricing
from otel_cost.pricing.meters import METERS
from otel_cost.usage import Usage

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
SNAPSHOT = get_snapshot()
PRICE_KEYS = {meter.price_key for meter in METERS.values()} | {"requests_kcount"}
SPELLED = {"cache_read_audio_tokens": "cache_audio_read_tokens", "cache_read_image_tokens": "cache_image_read_tokens"}
SPELLED |= {"reasoning_tokens": "output_reasoning_tokens", "file_searches": "storage_searches"}
TIERS = [None, "batch", "flex", "priority"]


def calls() -> list[tuple[str, str, str | None]]:
    """Every model at every tier whose prices come from the table alone and are for units that we meter."""
    return [
        (provider.id, model.id, tier)
        for provider in SNAPSHOT.providers
        for model in provider.models
        for tier in TIERS
        if {key for key, price in model.get_prices(AT).__dict__.items() if price is not None} <= PRICE_KEYS
        and model.get_prices(AT).input_mtok is not None
        and model.get_prices(AT).output_mtok is not None
        and provider.find_model(model.id, all_providers=SNAPSHOT.providers) is model
        and (tier is None or model.price_variants)
        and is_published(provider.id, model.id, tier)
    ]


def is_published(provider: str, model: str, tier: str | None) -> bool:
    cost = pricing.price(provider=provider, model=model, usage=Usage(1, 1), service_tier=tier, at=AT)
    return cost.status == "known" and (cost.price_version or "").startswith("genai-prices/")


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Usage whose parts overlap: some of the audio and of the images was read from a cache."""

    def part(whole: int) -> int:
        return draw(st.integers(min_value=0, max_value=whole))

    text, audio, image = draw(st.integers(0, 300_000)), draw(st.integers(0, 9_000)), draw(st.integers(0, 9_000))
    read_audio, read_image, read_text = part(audio), part(image), part(text)
    written = part(text - read_text)
    hour = part(written)
    output, output_audio, output_image = (
        draw(st.integers(0, 9_000)),
        draw(st.integers(0, 900)),
        draw(st.integers(0, 900)),
    )
    return Usage(
        input_tokens=text + audio + image,
        output_tokens=output + output_audio + output_image,
        cache_read_tokens=read_text + read_audio + read_image,
        cache_write_tokens=written,
        cache_write_5m_tokens=written - hour,
        cache_write_1h_tokens=hour,
        reasoning_tokens=part(output),
        input_audio_tokens=audio,
        cache_read_audio_tokens=read_audio,
        output_audio_tokens=output_audio,
        input_image_tokens=image,
        cache_read_image_tokens=read_image,
        output_image_tokens=output_image,
    )


@settings(max_examples=600)
@given(call=st.sampled_from(calls()), usage=usages())
def test_a_plan_agrees_with_the_price_table(call: tuple[str, str, str | None], usage: Usage) -> None:
    provider, model, tier = call
    counts = {SPELLED.get(name, name): getattr(usage, name) for name in METERS}
    context = {"service_tier": tier, "processing": tier} if tier else None
    expected = genai_prices.calc_price(
        genai_prices.Usage(**counts, cache_audio_write_tokens=0, cache_image_write_tokens=0),
        model,
        provider_id=provider,
        genai_request_timestamp=AT,
        price_context=context,
    ).total_price
    cost = pricing.price(provider=provider, model=model, usage=usage, service_tier=tier, at=AT)
    assert cost.amount is not None
    assert abs(cost.amount - expected) <= Decimal("5E-13")  # our one rounding, at twelve decimals
