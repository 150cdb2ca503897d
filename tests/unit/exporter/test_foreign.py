"""Spans of applications that otel-cost does not run in: in every dialect a row, priced here, or none."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from exporter_building import DAY, NOON, SECOND, attributes, call, naive, request, span
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from otel_cost import dialects, semconv
from otel_cost_exporter.decode import careful, costing, decode
from otel_cost_exporter.decode.batch import CALLS
from otel_cost_exporter.decode.call_row import RejectedError
from otel_cost_exporter.decode.lean import LeanSpan
from otel_cost_exporter.decode.parcel import Source
from otel_cost_exporter.decode.walk import walk
from otel_cost_exporter.keeping.reprice import Repricing, difference
from otel_cost_exporter.writing.ledger import Ledger

VECTORS = json.loads((Path(__file__).parents[3] / "docs/reference/span-dialects.json").read_text())["vectors"]
METERS = [name for name in semconv.USAGE_ATTRIBUTES if name != "audio_seconds"]
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 200,
}
TODAY = time.time_ns()
COST = Decimal("0.0045")  # 1000 x 2.50 + 200 x 10, per million


def told(stated: dict[str, Any], *, start: int = NOON, number: int = 1, error: bool = False) -> Span:
    made = span(number, start=start)
    made.attributes.extend(attributes(stated))
    if error:
        made.status.code = Status.STATUS_CODE_ERROR
    return made


def read(one: Span, source: Source = Source(scope="somebody")) -> dict[str, Any] | None:  # noqa: B008 - it is frozen
    """The row of a span as the receiver hands it on, priced."""
    lean = LeanSpan.FromString(one.SerializeToString())
    row = careful.row(lean, source, TODAY)
    assert row == careful.row(one, source, TODAY)
    if row is None:
        return None
    (priced,) = costing.settle(pa.Table.from_pylist([row], schema=CALLS)).to_pylist()
    found: dict[str, Any] = priced
    return found


def row_of(stated: dict[str, Any], *, scope: str = "somebody", **more: Any) -> dict[str, Any]:
    row = read(told(stated, **more), Source(scope=scope))
    assert row is not None
    return row


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_span_of_every_dialect_is_read_and_priced(vector: dict[str, Any]) -> None:
    one = told(vector["attributes"], start=TODAY)
    row = read(one, Source(scope=vector["scope"]))
    if not vector["is_call"]:
        assert row is None
        return
    assert row is not None
    used = {name: row[name] for name in METERS if row[name]}
    assert used == {name: count for name, count in vector["usage"].items() if count}
    assert (row["cost_status"], row["cost_reason"]) == (vector["status"], vector.get("reason"))
    assert row["cost"] == (Decimal(vector["cost_usd"]) if "cost_usd" in vector else None)
    assert row["cost_source"] == ("ledger" if "cost_usd" in vector else None)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_no_call_is_stepped_over_for_its_bytes(vector: dict[str, Any]) -> None:
    assert len(walk(request(told(vector["attributes"]))).spans) >= vector["is_call"]


@pytest.mark.parametrize("dialect", [dialects.GENAI, *dialects.DIALECTS], ids=lambda dialect: dialect.name)
def test_a_span_with_the_attributes_of_one_dialect_alone_gets_into_the_books(dialect: dialects.Dialect) -> None:
    stated = {
        dialect.kind[0]: min(dialect.calls),
        dialect.provider[0]: "openai",
        dialect.request_model[0]: "gpt-4o",
        dialect.meters["input_tokens"][0]: 1000,
        dialect.meters["output_tokens"][0]: 200,
    }
    one = told(folded(stated, dialect.within))
    body = ExportTraceServiceRequest.FromString(request(one, service__name="shop"))
    body.resource_spans[0].scope_spans[0].scope.name = "".join(dialect.scopes[:1]) or "somebody"
    (row,) = decode([walk(body.SerializeToString())]).batch.calls.to_pylist()
    assert (row["provider"], row["request_model"], row["cost"]) == ("openai", "gpt-4o", COST)


def folded(stated: dict[str, Any], within: Iterable[str]) -> dict[str, Any]:
    """`stated`, with figures that belong into an attribute's JSON put there."""
    found: dict[str, Any] = {}
    for name, value in stated.items():
        holder = next((each for each in within if name.startswith(f"{each}.")), None)
        if holder is None:
            found[name] = value
        else:
            found[holder] = json.dumps({**json.loads(found.get(holder, "{}")), name.removeprefix(f"{holder}."): value})
    return found


def test_a_row_says_all_that_the_span_does() -> None:
    stated = CHAT | {
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.usage.cache_read.input_tokens": 600,
        "gen_ai.input.messages": "a secret",
        "openai.response.service_tier": "default",
        "server.address": "api.openai.com",
        "otel_cost.run": "r1",
        "otel_cost.tenant": "acme",
    }
    one = told(stated)
    one.parent_span_id = (9).to_bytes(8, "big")
    row = read(one, Source(service="shop", environment="prod", scope="somebody"))
    assert row is not None
    assert {name: value for name, value in row.items() if value is not None} == {
        "start_ts": naive("2026-03-02T12:00:00"),
        "end_ts": naive("2026-03-02T12:00:01"),
        "trace_id": UUID(int=1).hex,
        "span_id": 1,
        "parent_span_id": 9,
        "scope": "somebody",
        "service": "shop",
        "environment": "prod",
        "server": "api.openai.com",
        "provider": "openai",
        "operation": "chat",
        "request_model": "gpt-4o",
        "response_model": "gpt-4o-2024-08-06",
        "response_id": "chatcmpl-1",
        "input_tokens": 1000,
        "output_tokens": 200,
        "cache_read_tokens": 600,
        "cost": Decimal("0.00375"),  # 400 x 2.50 + 600 x 1.25 + 200 x 10, per million
        "cost_status": "known",
        "cost_source": "ledger",
        "price_version": row["price_version"],
        "lines": [
            {"meter": "input_tokens", "quantity": Decimal(400), "cost": Decimal("0.001")},
            {"meter": "cache_read_tokens", "quantity": Decimal(600), "cost": Decimal("0.00075")},
            {"meter": "output_tokens", "quantity": Decimal(200), "cost": Decimal("0.002")},
        ],
        "outcome": "ok",
        "metered": False,
        "run": "r1",
        "extra": [("tenant", "acme")],
    }


def test_a_span_of_a_process_that_meters_itself_is_no_call_unless_it_has_its_cost() -> None:
    metered = Source(metered=True, scope="somebody")
    assert read(told(CHAT), metered) is None
    assert read(call(), metered) is not None


def test_the_price_is_that_of_the_time_of_the_call() -> None:
    # deepseek-chat: 0.27 in and 1.10 out at 12:00 UTC of 2025-08-01, half of that from 16:30 to 00:30
    deepseek = CHAT | {"gen_ai.provider.name": "deepseek", "gen_ai.request.model": "deepseek-chat"}
    noon = NOON - 213 * DAY
    evening = noon + 5 * 3600 * SECOND
    costs = [row_of(deepseek, start=start)["cost"] for start in (noon, evening)]
    assert costs == [Decimal("0.00049"), Decimal("0.000245")]


def test_where_the_call_went_is_part_of_its_price() -> None:
    # gpt-5.4-mini: 0.75 and 4.50, so 1,000 and 200 are 0.00165; 1.1 times that at a host of OpenAI's data residency
    here = CHAT | {"gen_ai.request.model": "gpt-5.4-mini", "server.address": "eu.api.openai.com"}
    assert row_of(here)["cost"] == Decimal("0.001815")


def test_a_model_without_a_price_is_unknown_with_its_reason_and_its_tokens() -> None:
    row = row_of(CHAT | {"gen_ai.request.model": "no-such-model"})
    assert (row["cost"], row["cost_status"], row["input_tokens"], row["output_tokens"]) == (None, "unknown", 1000, 200)
    assert row["cost_reason"] == "no price for model 'no-such-model' of 'openai'"


def test_a_call_that_states_no_usage_is_unknown_and_not_zero() -> None:
    silent = {key: value for key, value in CHAT.items() if "usage" not in key}
    row = row_of(silent)
    assert (row["cost"], row["cost_status"], row["cost_reason"]) == (None, "unknown", "the span states no usage")
    assert (row["input_tokens"], row["output_tokens"]) == (None, None)


@pytest.mark.parametrize(
    ("error", "cost", "status"),
    [
        ("429", 0, "known"),
        ("openai.RateLimitError", 0, "known"),
        ("ReadTimeout", None, "unknown"),
        ("200", None, "unknown"),
        (None, None, "unknown"),
    ],
)
def test_a_failed_call_costs_nothing_where_the_provider_refused_it(
    error: str | None, cost: int | None, status: str
) -> None:
    silent = {key: value for key, value in CHAT.items() if "usage" not in key}
    row = row_of(silent | ({} if error is None else {"error.type": error}), error=True)
    assert (row["outcome"], row["error_type"], row["cost"], row["cost_status"]) == ("error", error, cost, status)


def test_a_failed_call_that_states_usage_costs_what_that_does() -> None:
    row = row_of(CHAT | {"error.type": "APIConnectionError"}, error=True)
    assert (row["outcome"], row["error_type"], row["cost"]) == ("error", "APIConnectionError", COST)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"gen_ai.usage.input_tokens": -1}, "gen_ai.usage.input_tokens is negative or not finite"),
        ({"gen_ai.usage.output_tokens": float("nan")}, "gen_ai.usage.output_tokens is negative or not finite"),
        ({"gen_ai.usage.output_tokens": float("inf")}, "gen_ai.usage.output_tokens is negative or not finite"),
        ({"gen_ai.usage.total_tokens": -1200}, "gen_ai.usage.total_tokens is negative or not finite"),
        ({"gen_ai.usage.input_tokens": 10**12}, "input tokens are beyond 999999999999"),
        ({"gen_ai.request.model": "m" * 1_000_000}, "the request model is longer than 512 characters"),
        ({"gen_ai.response.id": "r" * 513}, "the response id is longer than 512 characters"),
        ({"otel_cost.run": "r" * 513}, "otel_cost.run is longer than 512 characters"),
    ],
)
def test_a_figure_that_cannot_be_is_the_reason_to_refuse_the_call(bad: dict[str, Any], reason: str) -> None:
    with pytest.raises(RejectedError, match=reason):
        read(told(CHAT | bad))


@pytest.mark.parametrize("start", [0, TODAY + DAY], ids=["none", "tomorrow"])
def test_a_call_of_no_time_is_refused(start: int) -> None:
    with pytest.raises(RejectedError, match="before the year 2000 or in the future"):
        read(told(CHAT, start=start))


def test_what_is_of_no_use_does_no_harm() -> None:
    odd = {"gen_ai.input.messages": ["a", "b"], "empty": None, "server.address": "h" * 1000, "error.type": ""}
    row = row_of(CHAT | odd)
    assert (row["cost"], row["server"], row["error_type"]) == (COST, None, None)


def test_json_nested_beyond_reason_says_nothing() -> None:
    deep = "[" * 100_000
    langfuse = {"langfuse.observation.type": "generation", "langfuse.observation.usage_details": deep}
    assert row_of(langfuse)["cost_reason"] == "the span states no usage"


def test_where_the_call_went_is_in_the_books_so_that_it_can_be_priced_anew(tmp_path: Path) -> None:
    here = CHAT | {"gen_ai.request.model": "gpt-5.4-mini", "server.address": "eu.api.openai.com"}
    with Ledger(tmp_path / "books.duckdb") as ledger:
        ledger.add(walk(request(told(here)))).result(60)
        with ledger.database.cursor() as cursor:
            assert cursor.execute("SELECT server, cost FROM calls").fetchall() == [
                ("eu.api.openai.com", Decimal("0.001815"))
            ]
        anew = difference(ledger.database, Repricing(naive("2026-03-01"), naive("2026-04-01")))
    assert anew["total"]["changed_calls"] == 0
