"""OTLP bytes -> rows of calls, and what is wrong with the others."""

from __future__ import annotations

import math
import time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from exporter_building import DAY, NOON, SECOND, at, call, naive, refused, request, span, unknown
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_cost.semconv import DIMENSIONS
from otel_cost_exporter.decode import decode
from otel_cost_exporter.errors import MalformedError


def rows(body: bytes) -> list[dict[str, Any]]:
    batch = decode(body).batch
    assert batch is not None
    found: list[dict[str, Any]] = batch.calls.to_pylist()
    return found


def test_a_call_becomes_a_row_with_all_that_it_states() -> None:
    shipped = {f"otel_cost__{name}": f"the {name}" for name in DIMENSIONS}
    stated = call(
        7,
        start=NOON + 1500,
        end=NOON + 2 * SECOND,
        gen_ai__response__model="gpt-4o-2024-08-06",
        gen_ai__response__id="chatcmpl-1",
        gen_ai__usage__cache_read__input_tokens=400,
        gen_ai__usage__cache_write__input_tokens=30,
        gen_ai__usage__reasoning__output_tokens=50,
        otel_cost__cost__status="estimated",
        otel_cost__cost__source="local",
        otel_cost__cost__price_version="2026-03-01",
        otel_cost__cost__reason="the stream ended early",
        otel_cost__call__outcome="cut",
        otel_cost__call__attempts=2,
        otel_cost__call__failures=["429 rate_limit_exceeded", "ReadTimeout"],
        otel_cost__waste__amount="0.0021",
        otel_cost__waste__status="estimated",
        error__type="ReadTimeout",
        otel_cost__tenant="acme",
        **shipped,
    )
    (row,) = rows(request(stated, service__name="shop", deployment__environment__name="prod"))
    assert row == {
        "start_ts": naive("2026-03-02T12:00:00.000001"),
        "end_ts": naive("2026-03-02T12:00:02"),
        "trace_id": UUID(int=7).hex,
        "span_id": 7,
        "provider": "openai",
        "operation": "chat",
        "request_model": "gpt-4o",
        "response_model": "gpt-4o-2024-08-06",
        "response_id": "chatcmpl-1",
        "input_tokens": 1000,
        "output_tokens": 200,
        "cache_read_tokens": 400,
        "cache_write_tokens": 30,
        "reasoning_tokens": 50,
        "cost": Decimal("0.004500000000"),
        "cost_status": "estimated",
        "cost_source": "local",
        "price_version": "2026-03-01",
        "cost_reason": "the stream ended early",
        "outcome": "cut",
        "attempts": 2,
        "error_type": "ReadTimeout",
        "service": "shop",
        "environment": "prod",
        "extra": [("tenant", "acme")],
        "failures": ["429 rate_limit_exceeded", "ReadTimeout"],
        "waste": Decimal("0.002100000000"),
        "waste_status": "estimated",
        **{name: f"the {name}" for name in DIMENSIONS},
    }


def test_what_is_not_stated_stays_open_and_is_not_zero() -> None:
    (row,) = rows(request(span(1, otel_cost__cost__status="unknown", gen_ai__usage__input_tokens=None)))
    assert row["cost"] is None
    assert row["input_tokens"] is None
    assert row["run"] is None
    assert row["extra"] == []
    assert row["outcome"] == "ok"


def test_a_refused_call_costs_nothing() -> None:
    (row,) = rows(request(refused()))
    assert (row["outcome"], row["cost"], row["input_tokens"]) == ("refused", Decimal(0), None)


def test_an_amount_beside_the_status_unknown_is_passed_over() -> None:
    (row,) = rows(request(call(otel_cost__cost__status="unknown", otel_cost__cost__amount="12")))
    assert row["cost"] is None


@pytest.mark.parametrize(
    ("end", "kept"), [(0, None), (NOON - 1, None), (2**64 - 1, None), (NOON, at("2026-03-02T12:00:00"))]
)
def test_an_end_that_cannot_be_is_left_open(end: int, kept: int | None) -> None:
    (row,) = rows(request(call(end=end)))
    assert row["end_ts"] == (None if kept is None else naive("2026-03-02T12:00:00"))


@pytest.mark.parametrize(("sent", "stored"), [(42, "42"), (True, "true"), ("", None), (None, None)])
def test_ids_may_arrive_as_something_else_than_text(sent: Any, stored: str | None) -> None:
    (row,) = rows(request(call(otel_cost__task=sent)))
    assert row["task"] == stored


def test_counts_may_arrive_as_whole_doubles() -> None:
    (row,) = rows(request(call(gen_ai__usage__input_tokens=12.0)))
    assert row["input_tokens"] == 12


def test_notes_are_cut_to_what_a_person_reads() -> None:
    (row,) = rows(request(call(otel_cost__cost__reason="x" * 10_000)))
    assert row["cost_reason"] == "x" * 500


def test_spans_that_are_no_calls_are_skipped() -> None:
    other = span(2, gen_ai__operation__name="invoke_agent", gen_ai__usage__input_tokens=1000)
    assert [row["span_id"] for row in rows(request(other, call(1)))] == [1]
    alone = decode(request(other))
    assert (alone.batch, alone.rejected, alone.message) == (None, 0, "")
    assert decode(b"").batch is None


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (call(gen_ai__usage__input_tokens=-5), "gen_ai.usage.input_tokens is negative"),
        (call(gen_ai__usage__output_tokens=2**62), "gen_ai.usage.output_tokens is negative or beyond"),
        (call(gen_ai__usage__output_tokens="200"), "gen_ai.usage.output_tokens is no whole number"),
        (call(gen_ai__usage__output_tokens=1.5), "gen_ai.usage.output_tokens is no whole number"),
        (call(gen_ai__usage__output_tokens=math.nan), "gen_ai.usage.output_tokens is no whole number"),
        (call(otel_cost__call__attempts=-1), "otel_cost.call.attempts is negative"),
        (call(otel_cost__cost__status="guessed"), "otel_cost.cost.status is none of estimated, known, unknown"),
        (call(otel_cost__call__outcome="lost"), "otel_cost.call.outcome is none of"),
        (call(otel_cost__cost__currency="EUR"), "otel_cost.cost.currency is not USD"),
        (call(otel_cost__cost__amount=...), "otel_cost.cost.amount is no amount"),
        (call(otel_cost__waste__status="known"), "otel_cost.waste.status is none of estimated, unknown"),
        (call(otel_cost__waste__status="estimated"), "otel_cost.waste.amount is no amount"),
        (call(otel_cost__cost__amount="NaN"), "otel_cost.cost.amount is no amount"),
        (call(otel_cost__cost__amount="Infinity"), "otel_cost.cost.amount is no amount"),
        (call(otel_cost__cost__amount="free"), "otel_cost.cost.amount is no amount"),
        (call(otel_cost__cost__amount="-0.01"), "otel_cost.cost.amount is no amount"),
        (call(otel_cost__cost__amount="1000000"), "otel_cost.cost.amount is no amount"),
        (call(otel_cost__cost__amount="1e999999"), "otel_cost.cost.amount is no amount"),
        (call(otel_cost__cost__amount="1" * 100), "otel_cost.cost.amount is no amount"),
        (call(otel_cost__cost__amount=0.5), "otel_cost.cost.amount is neither text nor a whole number"),
        (call(otel_cost__run=["a", "b"]), "otel_cost.run is neither text nor a whole number"),
        (call(gen_ai__request__model="m" * 1_000_000), "gen_ai.request.model is longer than 512"),
        (call(otel_cost__tenant="t" * 513), "otel_cost.tenant is longer than 512"),
        (call(**{f"otel_cost__own_{n}": "x" for n in range(33)}), "more than 32 dimensions"),
        (call(start=0), "the start time is before the year 2000"),
        (call(start=2**64 - 1, end=NOON), "or in the future"),
        (call(start=time.time_ns() + 2 * DAY), "or in the future"),
        (call(0x1), None),
    ],
)
def test_a_bad_figure_rejects_its_call_and_no_other(bad: Any, reason: str | None) -> None:
    decoded = decode(request(bad, call(2)))
    assert decoded.batch is not None
    if reason is None:
        assert (decoded.rejected, decoded.message, decoded.batch.calls.num_rows) == (0, "", 2)
    else:
        assert (decoded.rejected, decoded.batch.calls["span_id"].to_pylist()) == (1, [2])
        assert reason in decoded.message


@pytest.mark.parametrize("field", ["trace_id", "span_id"])
def test_a_call_needs_whole_ids(field: str) -> None:
    bad = call()
    setattr(bad, field, b"short")
    decoded = decode(request(bad))
    assert (decoded.batch, decoded.rejected) == (None, 1)
    assert "a trace id needs 16 bytes and a span id 8" in decoded.message


def test_the_message_says_how_often_and_is_short() -> None:
    bad = [call(n, otel_cost__cost__currency="EUR") for n in range(1, 4)]
    bad += [call(n, **{f"otel_cost__own_{n}": "x" * 600}) for n in range(4, 11)]
    decoded = decode(request(*bad))
    assert decoded.rejected == 10
    assert decoded.message.startswith("rejected: otel_cost.cost.currency is not USD (3x). ")
    assert decoded.message.endswith("And 3 more kinds. ")


def test_a_hostile_name_of_an_attribute_is_no_dimension() -> None:
    (row,) = rows(request(call(**{"otel_cost__x'] drop table": "1", "otel_cost__Tenant": "2"})))
    assert row["extra"] == []


@pytest.mark.parametrize("body", [b"garbage", b"\x0a\xff\xff\xff", request(call())[:-5]])
def test_other_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedError, match="not an OTLP ExportTraceServiceRequest"):
        decode(body)


def test_limits_name_the_id_that_carries_them() -> None:
    stated = call(
        otel_cost__run="r1",
        otel_cost__budget__run="0.05",
        otel_cost__tenant="acme",
        otel_cost__budget__tenant="20000tok",
    )
    decoded = decode(request(stated))
    assert decoded.message == ""
    assert decoded.batch is not None
    assert decoded.batch.limits.to_pylist() == [
        {
            "dimension": "run",
            "id": "r1",
            "limit_usd": Decimal("0.05"),
            "limit_tokens": None,
            "seen_ts": naive("2026-03-02T12:00:00"),
        },
        {
            "dimension": "tenant",
            "id": "acme",
            "limit_usd": None,
            "limit_tokens": 20000,
            "seen_ts": naive("2026-03-02T12:00:00"),
        },
    ]


@pytest.mark.parametrize(
    ("limit", "line"),
    [
        ("much", "'much' is passed over: it is no limit"),
        ("-1", "it is no limit"),
        ("-5tok", "it is no limit"),
        ("tok", "it is no limit"),
        ("²tok", "it is no limit"),
        ("9" * 30 + "tok", "it is no limit"),
    ],
)
def test_a_bad_limit_costs_no_call_but_a_line(limit: str, line: str) -> None:
    decoded = decode(request(call(otel_cost__run="r1", otel_cost__budget__run=limit)))
    assert decoded.rejected == 0
    assert decoded.batch is not None
    assert (decoded.batch.calls.num_rows, decoded.batch.limits.num_rows) == (1, 0)
    assert decoded.message.startswith("warning: otel_cost.budget.run=")
    assert line in decoded.message


def test_a_limit_without_its_id_is_said() -> None:
    assert "the call has no otel_cost.run" in decode(request(unknown(otel_cost__budget__run="1"))).message


def test_spans_of_many_resources_keep_their_own() -> None:
    both = ExportTraceServiceRequest.FromString(request(call(1), service__name="a"))
    both.MergeFromString(request(call(2), service__name="b"))
    assert [row["service"] for row in rows(both.SerializeToString())] == ["a", "b"]
