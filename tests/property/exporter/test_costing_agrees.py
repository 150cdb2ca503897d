"""What many calls cost, worked out together, is what `otel_cost.pricing` says of each, to the last digit."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_cost import pricing
from otel_cost.usage import Usage
from otel_cost.usage.location import terms_at
from otel_cost_exporter.decode import costing
from otel_cost_exporter.decode.batch import CALLS

START = datetime(2026, 2, 27, 15, 58, tzinfo=UTC)
MODELS = [
    ("openai", "gpt-4o"),
    ("openai", "gpt-4o-audio-preview"),
    ("openai", "gpt-5.4-mini"),
    ("openai", "whisper-1"),
    ("anthropic", "claude-sonnet-4-5"),
    ("google", "gemini-2.5-pro"),
    ("gcp.vertex_ai", "gemini-2.5-flash"),
    ("perplexity", "sonar-pro"),
    ("deepseek", "deepseek-chat"),
    ("cohere", "rerank-v3.5"),
    ("openai", "no-such-model"),
]
TIERS = [None, "batch", "flex", "priority", "no-such-tier"]
SERVERS = [None, "api.openai.com", "eu.api.openai.com", "europe-west1-aiplatform.googleapis.com"]
COUNTS = st.one_of(
    st.just(0), st.integers(0, 5000), st.integers(199_990, 200_010), st.sampled_from([10**7, 10**7 + 1, 10**12 - 1])
)

OFF = st.sampled_from([Decimal(0), Decimal("1e-12")])


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Mostly plain; else anything, contradictions among it."""
    counts = {"input_tokens": draw(COUNTS), "output_tokens": draw(COUNTS)}
    others = [field.name for field in fields(Usage) if field.name not in {*counts, "audio_seconds"}]
    for name in draw(st.lists(st.sampled_from(others), max_size=3)):
        counts[name] = draw(COUNTS)
    seconds = draw(st.sampled_from([0, 0, 0, 0, 3, Decimal("61.5")]))
    return Usage(**counts, audio_seconds=seconds)


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    provider, model = draw(st.sampled_from(MODELS))
    usage = draw(usages())
    return {
        "start_ts": START + timedelta(minutes=draw(st.sampled_from([0, 1, 60 * 9, 60 * 24 * 3]))),
        "provider": draw(st.sampled_from([provider, provider, provider, None])),
        "request_model": draw(st.sampled_from([model, model, "no-such-model", None])),
        "response_model": draw(st.sampled_from([model, None, None, "no-such-model"])),
        "service_tier": draw(st.sampled_from(TIERS)),
        "server": draw(st.sampled_from(SERVERS)),
        "usage": usage,
        "cost_reason": draw(st.sampled_from([None, None, "a doubt"])),
    }


def settled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    plain = {"span_id": 1, "trace_id": "0" * 32, "outcome": "ok", "metered": False}
    stated = [plain | {field.name: getattr(row["usage"], field.name) for field in fields(Usage)} | row for row in rows]
    naive = [row | {"start_ts": row["start_ts"].replace(tzinfo=None)} for row in stated]
    found: list[dict[str, Any]] = costing.settle(pa.Table.from_pylist(naive, schema=CALLS)).to_pylist()
    return found


def cost_of(row: dict[str, Any]) -> pricing.Cost:
    models = (row["response_model"], row["request_model"])
    if row["provider"] is None or models == (None, None):
        return pricing.Cost.unknown("the span names no provider and model")
    cost = pricing.price_by_first(
        models,
        provider=row["provider"],
        usage=row["usage"],
        service_tier=row["service_tier"],
        at=row["start_ts"],
        terms=terms_at(row["server"] or "", "/"),
    )
    if cost.amount is not None and cost.amount >= 1_000_000:
        return pricing.Cost.unknown("it would cost a million US dollars or more")
    return cost.estimated(row["cost_reason"]) if row["cost_reason"] else cost


@settings(deadline=None, max_examples=60)
@given(st.lists(calls(), min_size=1, max_size=4), st.lists(usages(), min_size=1, max_size=12))
def test_together_as_one_by_one(kinds: list[dict[str, Any]], used: list[Usage]) -> None:
    rows = [kind | {"usage": usage} for usage in used for kind in kinds]
    for row, found in zip(rows, settled(rows), strict=True):
        cost = cost_of(row)
        assert (found["cost"], found["cost_status"], found["cost_reason"], found["price_version"]) == (
            cost.amount,
            cost.status,
            cost.reason,
            cost.price_version,
        )
        assert found["cost_source"] == (None if cost.amount is None else "ledger")
        if cost.amount is None:
            assert found["lines"] is None
        else:
            assert sum((line["cost"] for line in found["lines"]), Decimal(0)) == cost.amount


@settings(deadline=None, max_examples=40)
@given(st.lists(calls(), min_size=1, max_size=3), st.lists(usages(), min_size=1, max_size=12), OFF)
def test_what_the_application_said_stays_and_has_lines_where_they_come_to_the_same(
    kinds: list[dict[str, Any]], used: list[Usage], off: Decimal
) -> None:
    rows = []
    for row in (kind | {"usage": usage} for usage in used for kind in kinds):
        cost = cost_of(row)
        amount = None if cost.amount is None else cost.amount + off
        said = {"cost": amount, "cost_status": cost.status, "cost_source": "local", "price_version": "its own"}
        rows.append(row | said)
    for row, found in zip(rows, settled(rows), strict=True):
        stated = ("cost", "cost_status", "cost_source", "price_version", "cost_reason")
        assert {name: found[name] for name in stated} == {name: row[name] for name in stated}
        if row["cost"] is None or off:
            assert found["lines"] is None or sum(line["cost"] for line in found["lines"]) == row["cost"]
        else:
            assert sum((line["cost"] for line in found["lines"]), Decimal(0)) == row["cost"]
