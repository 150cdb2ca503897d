"""Costs worked out by hand from the published prices (openai.com, anthropic.com; US dollars per million tokens)."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from otel_cost import pricing
from otel_cost.pricing import prices
from otel_cost.usage import Usage

AT = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("provider", "model", "usage", "expected"),
    [
        # gpt-4o: input 2.50, cached input 1.25, output 10
        ("openai", "gpt-4o", Usage(1000, 200), "0.0045"),
        ("openai", "gpt-4o", Usage(1000, 200, cache_read_tokens=600), "0.00375"),
        ("openai", "gpt-4o-2024-08-06", Usage(1, 0), "0.0000025"),
        # gpt-4o-mini: input 0.15, cached input 0.075, output 0.60
        ("openai", "gpt-4o-mini", Usage(1, 1, cache_read_tokens=1), "0.000000675"),
        # reasoning is output: charged once
        ("openai", "gpt-4o", Usage(0, 200, reasoning_tokens=150), "0.002"),
        # text-embedding-3-small: input 0.02
        ("openai", "text-embedding-3-small", Usage(1_000_001), "0.02000002"),
        # Claude Sonnet 4.5: input 3, output 15, cache read 0.30, cache write 3.75 (5 minutes) and 6 (1 hour)
        ("anthropic", "claude-sonnet-4-5", Usage(1000, 100), "0.0045"),
        ("anthropic", "claude-sonnet-4-5-20250929", Usage(810, 40, 500, 300, 300, 0), "0.001905"),
        ("anthropic", "claude-sonnet-4-5", Usage(810, 40, 500, 300, 100, 200), "0.002355"),
        # web search: 10 for 1,000 searches
        ("anthropic", "claude-sonnet-4-5", Usage(0, 0, web_searches=3), "0.03"),
    ],
)
def test_a_cost_is_the_published_price_times_tokens(provider: str, model: str, usage: Usage, expected: str) -> None:
    cost = pricing.price(provider=provider, model=model, usage=usage, at=AT)
    assert cost.amount == Decimal(expected)
    assert (cost.status, cost.source, cost.reason) == ("known", "local", None)
    assert cost.price_version is not None
    assert cost.price_version.startswith("genai-prices/")


def test_a_long_input_is_charged_by_its_tier() -> None:
    # Claude Sonnet 4.5 beyond 200,000 input tokens: input 6, output 22.50 for all tokens
    cost = pricing.price(provider="anthropic", model="claude-sonnet-4-5", usage=Usage(200_001, 1000), at=AT)
    assert cost.amount == Decimal("1.222506")


def test_a_long_input_in_a_batch_is_half_of_one_on_demand() -> None:
    # Claude Sonnet 4.5 on Bedrock in a region beyond 200,000 input tokens: half of 6.60 and of 24.75
    model, usage = "us.anthropic.claude-sonnet-4-5-20250929-v1:0", Usage(300_000, 1000)
    cost = pricing.price(provider="bedrock", model=model, usage=usage, service_tier="batch", at=AT)
    assert cost.amount == Decimal("1.002375")


def test_a_service_tier_has_its_own_price() -> None:
    # gpt-5: input 1.25, output 10; flex is half
    usage = Usage(1000, 100)
    standard = pricing.price(provider="openai", model="gpt-5", usage=usage, service_tier="default", at=AT)
    flex = pricing.price(provider="openai", model="gpt-5", usage=usage, service_tier="flex", at=AT)
    assert (standard.amount, flex.amount) == (Decimal("0.00225"), Decimal("0.001125"))
    assert (standard.status, flex.status) == ("known", "known")


def test_a_tier_without_a_price_is_estimated_at_the_standard_one() -> None:
    cost = pricing.price(provider="openai", model="gpt-4o", usage=Usage(1000), service_tier="golden", at=AT)
    assert (cost.amount, cost.status) == (Decimal("0.0025"), "estimated")
    assert cost.reason == "no price for service tier 'golden'"


@pytest.mark.parametrize(("provider", "model"), [("openai", "gpt-none"), ("nobody", "gpt-4o")])
def test_a_model_without_a_price_is_unknown_and_not_zero(provider: str, model: str) -> None:
    for _ in range(2):  # the second time from memory
        cost = pricing.price(provider=provider, model=model, usage=Usage(10, 10))
        assert (cost.amount, cost.status, cost.source) == (None, "unknown", None)
        assert cost.reason == f"no price for model {model!r} of {provider!r}"


def test_a_meter_without_a_price_makes_the_cost_a_lower_bound() -> None:
    cost = pricing.price(provider="openai", model="text-embedding-3-small", usage=Usage(1000, 5), at=AT)
    assert (cost.amount, cost.status, cost.reason) == (Decimal("0.00002"), "estimated", "no price for output tokens")
    only = pricing.price(provider="openai", model="text-embedding-3-small", usage=Usage(0, 5), at=AT)
    assert (only.amount, only.status) == (None, "unknown")


@pytest.mark.parametrize(
    ("provider", "model", "usage", "expected", "what"),
    [
        # Claude Sonnet 4 at Vertex AI: cache write 3.75 for five minutes; nothing is published for an hour
        (
            "vertex",
            "claude-sonnet-4@20250514",
            Usage(100, cache_write_tokens=100, cache_write_1h_tokens=100),
            "0.000375",
            "cache write 1h tokens",
        ),
        # Llama 3.3 at Together: 0.88
        (
            "together",
            "meta-llama/Llama-3.3-70B-Instruct-Turbo",
            Usage(1000, cache_read_tokens=900),
            "0.00088",
            "cache read tokens",
        ),
    ],
    ids=["an hour", "a read"],
)
def test_what_is_cached_and_has_no_price_of_its_own_is_an_estimate(
    provider: str, model: str, usage: Usage, expected: str, what: str
) -> None:
    cost = pricing.price(provider=provider, model=model, usage=usage, at=AT)
    assert (cost.amount, cost.status, cost.reason) == (Decimal(expected), "estimated", f"no price for {what}")


def test_what_is_cached_of_a_model_that_costs_nothing_costs_nothing() -> None:
    usage = Usage(1000, cache_read_tokens=900)
    cost = pricing.price(provider="openrouter", model="nobody/heard-of:free", usage=usage, at=AT)
    assert (cost.amount, cost.status) == (0, "known")


def test_more_cached_than_input_is_doubted() -> None:
    cost = pricing.price(provider="openai", model="gpt-4o", usage=Usage(100, 0, cache_read_tokens=200), at=AT)
    assert (cost.amount, cost.status) == (Decimal("0.00025"), "estimated")
    assert cost.reason == "no price for input tokens fewer than their parts"


def test_prices_that_change_within_a_day_are_looked_up_each_time() -> None:
    peak = pricing.price(
        provider="deepseek", model="deepseek-chat", usage=Usage(10**6), at=datetime(2025, 3, 1, 10, tzinfo=UTC)
    )
    night = pricing.price(
        provider="deepseek", model="deepseek-chat", usage=Usage(10**6), at=datetime(2025, 3, 1, 17, tzinfo=UTC)
    )
    # Published for 2025: input 0.27, and 0.135 from 16:30 to 00:30 UTC
    assert (peak.amount, night.amount) == (Decimal("0.27"), Decimal("0.135"))


def test_a_part_is_taken_out_of_the_nearest_meter_that_has_a_price() -> None:
    # OpenAI publishes no price for writing to its cache: what is written is charged as input.
    usage = Usage(1000, 0, cache_write_tokens=300, cache_write_1h_tokens=300)
    assert pricing.price(provider="openai", model="gpt-4o", usage=usage, at=AT).amount == Decimal("0.0025")


def test_memory_for_plans_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "_MOST_PLANS", 2)
    monkeypatch.setattr(prices, "_plans", {})
    for model in ("gpt-4o", "gpt-4o-mini", "gpt-5"):
        pricing.price(provider="openai", model=model, usage=Usage(1))
    assert len(prices._plans) == 1


def test_an_unknown_cost_stays_unknown_when_doubted() -> None:
    unknown = pricing.Cost.unknown("no price")
    assert unknown.estimated("cut") is unknown


def test_prices_load_off_the_start_up_path_and_in_the_background() -> None:
    program = """
import sys, threading
import otel_cost, otel_cost.bootstrap
from otel_cost import pricing
otel_cost.bootstrap.start()
started, start = [], threading.Thread.start
threading.Thread.start = lambda thread: (started.append(thread), start(thread))
late = {"genai_prices", "otel_cost.pricing.catalogue", "otel_cost.pricing.tables", "otel_cost.pricing.draft"}
assert not late & set(sys.modules)
assert not pricing.are_loaded()
pricing.load_in_background()
pricing.load_in_background()
assert [thread.name for thread in started] == ["otel-cost-prices"]
started[0].join()
assert pricing.are_loaded()
"""
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "OTEL_TRACES_EXPORTER": "none"})


@pytest.mark.parametrize("seconds", [0, 0.02, 0.05, 0.1, 0.2, 0.4])
def test_a_child_that_is_forked_while_prices_load_has_them_all_the_same(seconds: float) -> None:
    program = f"""
import os, signal, threading, time
from otel_cost import pricing
from otel_cost.usage import Usage
pricing.load_in_background()
time.sleep({seconds})
child = os.fork()
if child == 0:
    signal.alarm(50)
    pricing.load_in_background()
    for thread in threading.enumerate():
        if thread.name == "otel-cost-prices":
            thread.join()
    cost = pricing.price(provider="openai", model="gpt-4o", usage=Usage(4))
    os._exit(0 if str(cost.amount) == "0.000010000000" else 1)
_, status = os.waitpid(child, 0)
raise SystemExit(os.waitstatus_to_exitcode(status))
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=100)
