"""Every meter is charged once, whatever parts overlap. Costs are published prices times counts, written out."""

from datetime import UTC, datetime
from decimal import Decimal, getcontext, localcontext

import pytest

from otel_cost import pricing
from otel_cost.pricing.plan import lay_out
from otel_cost.usage import Usage

AT = datetime(2026, 11, 1, tzinfo=UTC)


def price(provider: str, model: str, usage: Usage, tier: str | None = None, **terms: str) -> pricing.Cost:
    return pricing.price(provider=provider, model=model, usage=usage, service_tier=tier, at=AT, terms=terms)


@pytest.mark.parametrize(
    ("provider", "model", "usage", "expected"),
    [
        # gpt-realtime: text 4, cached 0.40, audio 32, cached audio 0.40, output 16, audio output 64.
        # 850 input: 400 text + 250 cached text + 100 cached audio + 100 audio more
        (
            "openai",
            "gpt-realtime",
            Usage(850, 500, 350, input_audio_tokens=200, cache_read_audio_tokens=100, output_audio_tokens=300),
            400 * Decimal("4E-6")
            + 250 * Decimal("0.4E-6")
            + 100 * Decimal("0.4E-6")
            + 100 * Decimal("32E-6")
            + 200 * Decimal("16E-6")
            + 300 * Decimal("64E-6"),
        ),
        # gpt-image-1: text 5, image input 10, image output 40
        (
            "openai",
            "gpt-image-1",
            Usage(373, 1056, input_image_tokens=323, output_image_tokens=1056),
            50 * Decimal("5E-6") + 323 * Decimal("10E-6") + 1056 * Decimal("40E-6"),
        ),
        # gemini-2.5-flash-lite: text 0.10, audio 0.30, output 0.40
        (
            "google",
            "gemini-2.5-flash-lite",
            Usage(3300, 200, input_audio_tokens=3200),
            100 * Decimal("0.1E-6") + 3200 * Decimal("0.3E-6") + 200 * Decimal("0.4E-6"),
        ),
        # Live API, native audio: text 0.50, audio and video 3, output 2, audio output 12
        (
            "google",
            "gemini-live-2.5-flash-native-audio",
            Usage(1000, 100, input_audio_tokens=300, input_video_tokens=500, output_audio_tokens=100),
            200 * Decimal("0.5E-6") + 800 * Decimal("3E-6") + 100 * Decimal("12E-6"),
        ),
        # whisper-1: 0.006 a minute
        ("openai", "whisper-1", Usage(audio_seconds=90), Decimal("0.009")),
        ("openai", "whisper-1", Usage(audio_seconds=Decimal("1.5")), Decimal("0.00015")),
        # Groq's whisper-large-v3: 0.111 an hour, ten seconds at least
        ("groq", "whisper-large-v3", Usage(audio_seconds=4), Decimal("0.111") / 360),
        # gpt-5: 10 for 1,000 web searches, 2.50 for 1,000 file searches
        ("openai", "gpt-5", Usage(0, 0, web_searches=2, file_searches=3), Decimal("0.0275")),
        # Cohere: 2 for 1,000 rerank searches
        ("cohere", "rerank-v3.5", Usage(rerank_searches=3), Decimal("0.006")),
        # Perplexity: tokens 1 and 1, and 5 for 1,000 requests
        ("perplexity", "sonar", Usage(14, 251), Decimal("0.005265")),
        # Voyage: a rerank by its tokens, 0.05
        ("voyage", "rerank-2.5", Usage(1_000_000), Decimal("0.05")),
    ],
)
def test_a_meter_has_its_price(provider: str, model: str, usage: Usage, expected: Decimal) -> None:
    cost = price(provider, model, usage)
    assert cost.amount is not None
    assert abs(cost.amount - expected) <= Decimal("5E-13")
    assert (cost.status, cost.reason) == ("known", None)


def test_what_was_heard_is_charged_by_its_tokens_or_by_its_time() -> None:
    # gpt-4o-transcribe is charged by tokens, text 2.50 and output 10; that the time is stated too raises no doubt.
    heard = price("openai", "gpt-4o-transcribe", Usage(10, 90, audio_seconds=6))
    assert (heard.amount, heard.status) == (Decimal("0.000925"), "known")
    # whisper-1 is charged by time alone.
    timed = price("openai", "whisper-1", Usage(10, 90, audio_seconds=60))
    assert (timed.amount, timed.status) == (Decimal("0.006"), "known")
    unheard = price("openai", "gpt-4o", Usage(audio_seconds=6))
    assert (unheard.amount, unheard.status) == (None, "unknown")


def test_what_two_prices_share_without_one_of_its_own_is_estimated_and_taken_out_once() -> None:
    plan = lay_out(
        {
            "input_tokens": ((0, Decimal(1)),),
            "cache_read_tokens": ((0, Decimal("0.1")),),
            "input_audio_tokens": ((0, Decimal(10)),),
        }
    )
    # 100 input: 50 text, 20 cached text, 20 audio, 10 audio that was cached
    usage = Usage(100, 0, 30, input_audio_tokens=30, cache_read_audio_tokens=10)
    amount, doubts = plan.cost(usage)
    assert amount == 50 * 1 + 20 * Decimal("0.1") + 20 * 10 + 10 * Decimal("0.1")
    assert doubts == ["cache read audio tokens"]
    assert plan.cost(Usage(100, 0, 30, input_audio_tokens=30)) == (40 + 3 + 300, [])


def test_the_arithmetic_of_the_application_changes_no_cost() -> None:
    with localcontext() as context:
        context.prec = 3
        assert getcontext().prec == 3
        assert price("openai", "gpt-4o", Usage(1_234_567, 89)).amount == Decimal("3.0873075")


@pytest.mark.parametrize(
    ("provider", "model", "tier", "usage", "expected"),
    [
        # gpt-5 by the Batch API: input 0.625, cached 0.0625, output 5
        ("openai", "gpt-5", "batch", Usage(20_000, 1_500, 4_096), "0.017696"),
        # and gpt-5.5 beyond 272,000 tokens: input 5, output 22.50
        ("openai", "gpt-5.5", "batch", Usage(300_000, 4_000), "1.59"),
        ("openai", "text-embedding-3-large", "batch", Usage(100_000), "0.0065"),
        # gpt-4o, priority: input 4.25, cached 2.125, output 17
        ("openai", "gpt-4o", "priority", Usage(20_000, 1_500, 4_096), "0.101796"),
        ("openai", "gpt-4o", "default", Usage(1000, 200), "0.0045"),
        ("anthropic", "claude-opus-4-8", "batch", Usage(5_000, 800), "0.0225"),
        ("anthropic", "claude-opus-4-8", "standard", Usage(5_000, 800), "0.045"),
        # gemini-2.5-pro, priority: 2.25 and 18, beyond 200,000 tokens 4.50 and 27; flex 0.625 and 5
        ("google", "gemini-2.5-pro", "priority", Usage(20_000, 1_500), "0.072"),
        ("google", "gemini-2.5-pro", "ON_DEMAND_PRIORITY", Usage(300_000, 4_000), "1.458"),
        ("google", "gemini-2.5-pro", "flex", Usage(20_000, 1_500), "0.02"),
        # and its cached input keeps its price: 1,000 x 0.625 + 1,000 x 0.125
        ("google", "gemini-2.5-pro", "flex", Usage(2_000, 0, 1_000), "0.00075"),
        ("google", "gemini-2.5-pro", "flex", Usage(300_000, 0, 100_000), "0.275"),
        ("google", "gemini-2.5-pro", "ON_DEMAND", Usage(1_000), "0.00125"),
        # Nova Pro: 0.80 and 3.20; priority 1.75 times of it, flex and batch half of it
        ("bedrock", "amazon.nova-pro-v1:0", "priority", Usage(20_000, 1_500), "0.0364"),
        ("bedrock", "amazon.nova-pro-v1:0", "flex", Usage(20_000, 1_500), "0.0104"),
        ("bedrock", "amazon.nova-micro-v1:0", "batch", Usage(20_000, 1_500), "0.000455"),
        ("azure", "gpt-4.1", "batch", Usage(1_000, 100), "0.0014"),
        ("groq", "openai/gpt-oss-20b", "flex", Usage(1_234, 567), "0.00026265"),
    ],
)
def test_a_service_tier_has_its_own_prices(provider: str, model: str, tier: str, usage: Usage, expected: str) -> None:
    cost = price(provider, model, usage, tier)
    assert (cost.amount, cost.status) == (Decimal(expected), "known")


def test_the_terms_of_a_call_change_its_price() -> None:
    usage = Usage(14_000, 900, 10_000)
    # Claude Sonnet 4.6: 3, cached 0.30, output 15; 1.1 times of all of it where inference stays in the US
    assert price("anthropic", "claude-sonnet-4-6", usage).amount == Decimal("0.0285")
    assert price("anthropic", "claude-sonnet-4-6", usage, inference_geo="global").amount == Decimal("0.0285")
    inside = price("anthropic", "claude-sonnet-4-6", usage, inference_geo="us")
    assert (inside.amount, inside.status) == (Decimal("0.03135"), "known")
    # by the Batch API too: half of that
    assert price("anthropic", "claude-sonnet-4-6", usage, "batch", inference_geo="us").amount == Decimal("0.015675")
    # but not of a search: 3 x 0.01
    searched = price("anthropic", "claude-sonnet-4-6", Usage(0, 0, web_searches=3), inference_geo="us")
    assert searched.amount == Decimal("0.03")
    # Claude Opus 5.5 in fast mode: 8 and 40 instead of 4 and 20
    fast = price("anthropic", "claude-opus-5-5", Usage(4_000, 900), speed="fast")
    assert (fast.amount, fast.status) == (Decimal("0.068"), "known")
    # Perplexity charges more for a request with a larger search context: 12 for 1,000 of them
    assert price("perplexity", "sonar", Usage(), search_context_size="high").amount == Decimal("0.012")


def test_terms_without_a_price_make_the_cost_an_estimate() -> None:
    cost = price("anthropic", "claude-haiku-4-5", Usage(1_000), speed="fast")
    assert (cost.amount, cost.status) == (Decimal("0.001"), "estimated")
    assert cost.reason == "no price for speed 'fast'"


@pytest.mark.parametrize(
    ("model", "at", "expected"),
    [
        # deepseek-v4-pro, 1,000 input and 1,000 output: 0.66 and 1.98 off-peak, twice that at peak
        ("deepseek-v4-pro", datetime(2026, 11, 18, 2, 30, tzinfo=UTC), "0.00528"),  # a Wednesday's peak
        ("deepseek-v4-pro", datetime(2026, 11, 18, 12, tzinfo=UTC), "0.00264"),
        ("deepseek-v4-pro", datetime(2026, 11, 22, 2, 30, tzinfo=UTC), "0.00264"),  # a Sunday
        ("deepseek-v4-pro", datetime(2026, 10, 1, 2, 30, tzinfo=UTC), "0.00264"),  # a public holiday
        (
            "deepseek-v4-pro",
            datetime(2026, 8, 3, 2, 30, tzinfo=UTC),
            "0.001305",
        ),  # before there was a peak: 0.435, 0.87
        ("deepseek-chat", datetime(2025, 12, 1, tzinfo=UTC), "0.0007"),  # 0.28 and 0.42
    ],
)
def test_prices_by_the_hour_and_the_day(model: str, at: datetime, expected: str) -> None:
    cost = pricing.price(provider="deepseek", model=model, usage=Usage(1_000, 1_000), at=at)
    assert (cost.amount, cost.status) == (Decimal(expected), "known")


def test_a_moment_without_a_zone_is_in_utc() -> None:
    peak = datetime(2026, 11, 18, 2, 30)  # noqa: DTZ001 - the case
    assert pricing.price(provider="deepseek", model="deepseek-v4-pro", usage=Usage(1_000), at=peak).amount == Decimal(
        "0.00132"
    )
