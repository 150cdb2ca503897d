"""What many calls cost: published prices times their tokens, worked out together where that can be."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from exporter_building import naive

from otel_cost.pricing import prices
from otel_cost_exporter.decode import costing, product
from otel_cost_exporter.decode.batch import CALLS
from otel_cost_exporter.decode.product import Product

NOON = naive("2026-03-02T12:00:00")
MANY = 50


def call(**more: Any) -> dict[str, Any]:
    """A call to gpt-4o of 1000 input and 200 output tokens, not priced yet: 0.0045 US dollars."""
    usual = {
        "start_ts": NOON,
        "trace_id": "0" * 32,
        "span_id": 1,
        "provider": "openai",
        "request_model": "gpt-4o",
        "input_tokens": 1000,
        "output_tokens": 200,
        "outcome": "ok",
        "metered": False,
    }
    return usual | more


def settled(*calls: dict[str, Any]) -> list[dict[str, Any]]:
    table = costing.settle(pa.Table.from_pylist(list(calls), schema=CALLS))
    table.validate(full=True)
    found: list[dict[str, Any]] = table.to_pylist()
    return found


@pytest.fixture
def priced_singly(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """When the calls were that were priced by themselves."""
    asked: list[datetime] = []
    price = prices.price_by_first

    def noting(*args: Any, **kwargs: Any) -> Any:
        asked.append(kwargs["at"])
        return price(*args, **kwargs)

    monkeypatch.setattr(prices, "price_by_first", noting)
    return asked


def test_no_calls_are_no_work() -> None:
    assert costing.settle(CALLS.empty_table()).num_rows == 0


def test_calls_of_one_model_and_day_are_multiplied_out_together(priced_singly: list[datetime]) -> None:
    rows = settled(*(call(input_tokens=1000 + number, cache_read_tokens=600) for number in range(MANY)))
    # per million: 2.50 for what was not cached, 1.25 for what was, 10 out
    costs = [
        Decimal(400 + number) * Decimal("2.5e-6") + Decimal("0.00075") + Decimal("0.002") for number in range(MANY)
    ]
    assert [row["cost"] for row in rows] == costs
    assert {(row["cost_status"], row["cost_source"], row["cost_reason"]) for row in rows} == {("known", "ledger", None)}
    assert rows[7]["lines"] == [
        {"meter": "input_tokens", "quantity": Decimal(407), "cost": Decimal("0.0010175")},
        {"meter": "cache_read_tokens", "quantity": Decimal(600), "cost": Decimal("0.00075")},
        {"meter": "output_tokens", "quantity": Decimal(200), "cost": Decimal("0.002")},
    ]
    assert len(priced_singly) == 1


def test_the_price_of_a_long_input_is_that_of_its_length(priced_singly: list[datetime]) -> None:
    # gemini-2.5-pro, per million: 1.25 in and 10 out, above 200,000 tokens of input 2.50 and 15
    gemini = call(provider="google", request_model="gemini-2.5-pro")
    rows = settled(*(gemini | {"input_tokens": count} for count in (200_000, 200_001) * MANY))
    assert {row["cost"] for row in rows[::2]} == {Decimal("0.252")}
    assert {row["cost"] for row in rows[1::2]} == {Decimal("0.5030025")}
    assert len(priced_singly) == 1


def test_calls_of_an_unknown_model_are_unknown_together(priced_singly: list[datetime]) -> None:
    rows = settled(*[call(request_model="no-such-model")] * MANY)
    assert {(row["cost"], row["cost_status"], row["cost_reason"]) for row in rows} == {
        (None, "unknown", "no price for model 'no-such-model' of 'openai'")
    }
    assert [row["lines"] for row in rows] == [None] * MANY
    assert len(priced_singly) == 1


def test_a_request_that_costs_by_itself_is_a_line(priced_singly: list[datetime]) -> None:
    # sonar: 0.005 a request, 1 in and 1 out per million
    rows = settled(*[call(provider="perplexity", request_model="sonar")] * MANY)
    assert {row["cost"] for row in rows} == {Decimal("0.0062")}
    lines = {line["meter"]: (line["quantity"], line["cost"]) for line in rows[0]["lines"]}
    assert lines["requests"] == (1, Decimal("0.005"))
    assert len(priced_singly) == 1


def test_where_prices_change_within_the_day_each_call_is_priced_by_itself(priced_singly: list[datetime]) -> None:
    # deepseek-chat until September 2025: half the price from 16:30 to 00:30 UTC
    deepseek = call(provider="deepseek", request_model="deepseek-chat")
    times = [naive("2025-08-01T12:00:00"), naive("2025-08-01T17:00:00")] * MANY
    rows = settled(*(deepseek | {"start_ts": time} for time in times))
    assert {row["cost"] for row in rows[::2]} == {Decimal("0.00049")}
    assert {row["cost"] for row in rows[1::2]} == {Decimal("0.000245")}
    assert len(priced_singly) == 2 * MANY


def test_what_is_not_plain_is_priced_by_itself_and_leaves_the_others_alone(priced_singly: list[datetime]) -> None:
    odd = [
        call(input_tokens=100, cache_read_tokens=600),  # fewer than were cached
        call(audio_seconds=Decimal("61.5")),  # gpt-4o has no price for that, and its tokens are priced
        call(input_tokens=10**12 - 1),
    ]
    rows = settled(*[call()] * MANY, *odd)
    assert {row["cost"] for row in rows[:MANY]} == {Decimal("0.0045")}
    assert [row["cost_status"] for row in rows[MANY:]] == ["estimated", "known", "unknown"]
    assert rows[-1]["cost_reason"] == "it would cost a million US dollars or more"
    assert len(priced_singly) == 1 + len(odd)


def test_where_both_ways_would_differ_the_one_by_one_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*args: Any) -> Product:
        found = right(*args)
        return Product(found.is_plain, found.total + 1, found.parts)

    right = Product.of
    monkeypatch.setattr(Product, "of", wrong)
    assert {row["cost"] for row in settled(*[call()] * MANY)} == {Decimal("0.0045")}


def test_kinds_of_calls_are_told_apart_however_many_there_could_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costing, "_MOST_CODES", 2)
    kinds = [call(), call(request_model="o3-mini"), call(provider=None), call(start_ts=naive("2026-03-03"))]
    rows = settled(*kinds * MANY)
    # o3-mini: 1.10 and 4.40 per million
    assert [row["cost"] for row in rows[:4]] == [Decimal("0.0045"), Decimal("0.00198"), None, Decimal("0.0045")]
    assert all(row == rows[number % len(kinds)] for number, row in enumerate(rows))


def test_products_that_might_be_too_large_are_worked_out_one_by_one(
    monkeypatch: pytest.MonkeyPatch, priced_singly: list[datetime]
) -> None:
    monkeypatch.setattr(product, "_MOST_PICO", 10**9)
    assert {row["cost"] for row in settled(*[call()] * MANY)} == {Decimal("0.0045")}
    assert len(priced_singly) == MANY


def test_sound_is_charged_by_time_and_its_lines_add_up_to_the_rounded_cost() -> None:
    # whisper-1: 0.006 a minute, 0.0001 a second
    whisper = call(request_model="whisper-1", input_tokens=None, output_tokens=None)
    (row,) = settled(whisper | {"audio_seconds": Decimal("61.5")})
    assert (row["cost"], row["cost_status"]) == (Decimal("0.00615"), "known")
    assert row["lines"] == [{"meter": "audio_seconds", "quantity": Decimal("61.5"), "cost": Decimal("0.00615")}]


def test_a_doubt_about_the_usage_makes_an_estimate_of_a_known_cost_only() -> None:
    doubted = call(cost_reason="who knows")
    rows = settled(*[doubted] * MANY, doubted | {"request_model": "no-such-model"}, call(cost_reason=None))
    assert {(row["cost_status"], row["cost_reason"]) for row in rows[:MANY]} == {("estimated", "who knows")}
    assert rows[MANY]["cost_reason"] == "no price for model 'no-such-model' of 'openai'"
    assert (rows[-1]["cost_status"], rows[-1]["cost_reason"]) == ("known", None)


@pytest.mark.parametrize("nameless", [{"provider": None}, {"request_model": None}])
@pytest.mark.parametrize("count", [1, MANY])
def test_without_a_provider_and_a_model_the_cost_is_unknown(nameless: dict[str, None], count: int) -> None:
    rows = settled(*[call(**nameless)] * count)
    assert {row["cost_reason"] for row in rows} == {"the span names no provider and model"}


SAID = {"cost_status": "known", "cost_source": "local", "price_version": "its own", "metered": True}


@pytest.mark.parametrize("count", [1, MANY])
def test_a_cost_that_the_application_said_has_lines_if_they_come_to_the_same(count: int) -> None:
    rows = settled(*[call(cost=Decimal("0.0045"), **SAID), call(cost=Decimal("0.0046"), **SAID)] * count)
    assert {(row["cost_source"], row["price_version"]) for row in rows} == {("local", "its own")}
    assert [row["cost"] for row in rows[:2]] == [Decimal("0.0045"), Decimal("0.0046")]
    assert [line["cost"] for line in rows[0]["lines"]] == [Decimal("0.0025"), Decimal("0.002")]
    assert {row["lines"] is None for row in rows[1::2]} == {True}


def test_lines_are_those_of_the_model_that_was_charged() -> None:
    # o3-mini 1.10 and 4.40 per million: 0.00198. Some are charged as asked, and others as answered
    both = call(request_model="gpt-4o", response_model="o3-mini")
    rows = settled(*[both | SAID | {"cost": Decimal("0.0045")}, both | SAID | {"cost": Decimal("0.00198")}] * MANY)
    assert {sum(line["cost"] for line in row["lines"]) for row in rows[::2]} == {Decimal("0.0045")}
    assert {sum(line["cost"] for line in row["lines"]) for row in rows[1::2]} == {Decimal("0.00198")}


def test_what_cost_nothing_and_used_nothing_has_no_lines_rather_than_unknown_ones() -> None:
    refused = call(input_tokens=None, output_tokens=None, cost=Decimal(0), outcome="refused", **SAID)
    unknown = call(cost=None, **(SAID | {"cost_status": "unknown"}))
    charge = call(provider=None, request_model=None, cost=Decimal("0.12"), charge="gpu", **SAID)
    assert [row["lines"] for row in settled(refused, unknown, charge)] == [[], None, None]
