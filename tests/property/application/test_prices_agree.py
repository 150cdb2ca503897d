"""A compiled plan charges what genai-prices charges, for every model that it knows and any usage."""

from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_cost import pricing
from otel_cost.usage import Usage

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
SNAPSHOT = get_snapshot()
MODELS = [
    (provider.id, model.id)
    for provider in SNAPSHOT.providers
    for model in provider.models
    # A model that charges by other units (seconds, pages, characters) has no price for tokens; some ids are patterns.
    if model.get_prices(AT).input_mtok is not None
    and model.get_prices(AT).output_mtok is not None
    and provider.find_model(model.id, all_providers=SNAPSHOT.providers) is not None
]


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    total = draw(st.integers(min_value=0, max_value=400_000))
    read = draw(st.integers(min_value=0, max_value=total))
    written = draw(st.integers(min_value=0, max_value=total - read))
    hour = draw(st.integers(min_value=0, max_value=written))
    output = draw(st.integers(min_value=0, max_value=50_000))
    reasoning = draw(st.integers(min_value=0, max_value=output))
    return Usage(total, output, read, written, written - hour, hour, reasoning)


@settings(max_examples=400, deadline=None)
@given(model=st.sampled_from(MODELS), usage=usages())
def test_a_plan_agrees_with_the_price_table(model: tuple[str, str], usage: Usage) -> None:
    provider_id, model_id = model
    expected = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            cache_write_5m_tokens=usage.cache_write_5m_tokens,
            cache_write_1h_tokens=usage.cache_write_1h_tokens,
            output_reasoning_tokens=usage.reasoning_tokens,
        ),
        model_id,
        provider_id=provider_id,
        genai_request_timestamp=AT,
    ).total_price
    cost = pricing.price(provider=provider_id, model=model_id, usage=usage, at=AT)
    assert cost.amount is not None
    assert abs(cost.amount - expected) <= Decimal("5E-13")  # our one rounding, at twelve decimals
    assert cost.status == "known"
