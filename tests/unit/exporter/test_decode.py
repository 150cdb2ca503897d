"""OTLP bytes -> rows of calls, and what is wrong with the others: whether spans are read together or one by one."""

from __future__ import annotations

import math
import time
from collections import Counter
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from exporter_building import DAY, NOON, SECOND, at, attributes, call, naive, refused, request, span, unknown
from google.protobuf.wrappers_pb2 import BytesValue
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue

from otel_cost.semconv import DIMENSIONS
from otel_cost_exporter.decode import columns, decode
from otel_cost_exporter.decode.batch import CALLS, Batch
from otel_cost_exporter.decode.parcel import Parcel, Receipt, Source
from otel_cost_exporter.decode.walk import walk


@pytest.fixture(params=["together", "one by one"], autouse=True)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "FEWEST_TOGETHER", 1 if request.param == "together" else 10**9)


def decoded(body: bytes) -> tuple[Batch, Receipt]:
    found = decode([walk(body)])
    (receipt,) = found.receipts
    return found.batch, receipt


def field(tag: int, content: bytes) -> bytes:
    """A field of a message with its tag and its length."""
    return bytes([tag]) + BytesValue(value=content).SerializeToString()[1:]


def reason_of(receipt: Receipt) -> str:
    (reason,) = receipt.rejections
    return reason


def rows(body: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = decoded(body)[0].calls.to_pylist()
    return sorted(found, key=lambda row: int(row["span_id"]))


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
        otel_cost__call__service_tier="flex",
        otel_cost__usage__web_searches=2,
        otel_cost__usage__audio_seconds="1.5",
        error__type="ReadTimeout",
        server__address="api.openai.com",
        otel_cost__tenant="acme",
        **shipped,
    )
    stated.parent_span_id = bytes(7) + bytes([9])
    (row,) = rows(request(stated, service__name="shop", deployment__environment__name="prod"))
    not_stated = {name for name in CALLS.names if row[name] is None}
    assert {name: value for name, value in row.items() if value is not None} == {
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
        "metered": True,
        "parent_span_id": 9,
        "server": "api.openai.com",
        "service_tier": "flex",
        "web_searches": 2,
        "audio_seconds": Decimal("1.500000"),
        "failures": ["429 rate_limit_exceeded", "ReadTimeout"],
        "waste": Decimal("0.002100000000"),
        "waste_status": "estimated",
        **{name: f"the {name}" for name in DIMENSIONS},
    }
    assert not_stated == {
        *("scope", "lines", "charge", "units", "input_audio_tokens", "cache_read_audio_tokens", "output_audio_tokens"),
        *("input_image_tokens", "cache_read_image_tokens", "output_image_tokens", "input_video_tokens"),
        *("cache_write_5m_tokens", "cache_write_1h_tokens", "file_searches", "rerank_searches"),
        "price_terms",
    }


CHARGE = {
    "gen_ai__operation__name": "charge",
    "otel_cost__charge__name": "web_search",
    "otel_cost__cost__status": "known",
    "otel_cost__cost__amount": "0.02",
}


def test_a_charge_is_a_row_that_names_what_was_charged() -> None:
    (row,) = rows(request(span(1, **CHARGE, otel_cost__charge__units="2.5")))
    assert (row["operation"], row["charge"], row["units"], row["cost"]) == (
        "charge",
        "web_search",
        Decimal("2.500000"),
        Decimal("0.02"),
    )
    (row,) = rows(request(span(1, **CHARGE)))
    assert (row["charge"], row["units"]) == ("web_search", None)


@pytest.mark.parametrize("units", ["two", "-1", "NaN", "1000000000000"])
def test_units_that_cannot_be_are_rejected(units: str) -> None:
    _, receipt = decoded(request(span(1, **CHARGE, otel_cost__charge__units=units)))
    assert "otel_cost.charge.units is no number from 0" in reason_of(receipt)


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
    batch, receipt = decoded(request(other))
    assert (batch.calls.num_rows, batch.quarantine.num_rows, batch.dimensions) == (0, 0, frozenset())
    assert receipt == Receipt(Counter(), Counter())
    assert decode([]).receipts == []


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
    batch, receipt = decoded(request(bad, call(2), service__name="shop"))
    if reason is None:
        assert (receipt, batch.calls.num_rows, batch.quarantine.num_rows) == (Receipt(Counter(), Counter()), 2, 0)
    else:
        assert batch.calls["span_id"].to_pylist() == [2]
        assert reason in reason_of(receipt)
        (row,) = batch.quarantine.to_pylist()
        assert (row["span_id"], row["service"], row["reason"]) == (f"{1:016x}", "shop", reason_of(receipt))


def test_the_quarantine_says_which_call_it_was_and_nothing_of_its_content() -> None:
    bad = call(3, gen_ai__usage__input_tokens=-5, gen_ai__response__model="m" * 200, gen_ai__prompt="secret")
    batch, _ = decoded(request(bad, service__name="shop"))
    assert batch.quarantine.to_pylist() == [
        {
            "start_ts": naive("2026-03-02T12:00:00"),
            "trace_id": f"{3:032x}",
            "span_id": f"{3:016x}",
            "service": "shop",
            "model": "m" * 100,
            "reason": "gen_ai.usage.input_tokens is negative or beyond 999999999999",
        }
    ]


@pytest.mark.parametrize("field", ["trace_id", "span_id"])
def test_a_call_needs_whole_ids(field: str) -> None:
    bad = call()
    setattr(bad, field, b"short")
    batch, receipt = decoded(request(bad))
    assert batch.calls.num_rows == 0
    assert reason_of(receipt) == "a trace id needs 16 bytes and a span id 8"


def test_a_parent_may_be_missing_and_is_none_if_it_is_no_span_id() -> None:
    child, odd = call(1), call(2)
    child.parent_span_id, odd.parent_span_id = b"\xff" * 8, b"no id"
    assert [row["parent_span_id"] for row in rows(request(child, odd, call(3)))] == [2**64 - 1, None, None]


def test_bytes_that_are_no_span_are_told_of_and_spoil_nothing() -> None:
    whole = [call(number).SerializeToString() for number in range(1, 8)]
    torn = whole[3][:-9]
    odd = Parcel([*whole[:3], torn], [Source("shop")] * 4)
    other = Parcel(whole[4:], [Source("till")] * 3)
    found = decode([odd, other])
    assert sorted(found.batch.calls["span_id"].to_pylist()) == [1, 2, 3, 5, 6, 7]
    assert [receipt.rejections for receipt in found.receipts] == [{"a span cannot be parsed": 1}, {}]
    (row,) = found.batch.quarantine.to_pylist()
    assert row == dict.fromkeys(row) | {"service": "shop", "reason": "a span cannot be parsed"}


def test_a_value_that_is_no_text_in_utf_8_is_told_of() -> None:
    message = call(1, otel_cost__run="~~~~").SerializeToString().replace(b"~~~~", b"~\xff\xfe~")
    good = call(2, otel_cost__run="r").SerializeToString()
    found = decode([Parcel([good, message, good], [Source()] * 3)])
    assert found.batch.calls["span_id"].to_pylist() == [2, 2]
    assert found.receipts[0].rejections == {"a span cannot be parsed": 1}


def test_what_stands_beside_the_attributes_is_not_looked_at() -> None:
    strange = call(1)
    strange.events.add(name="x" * 100)
    message = strange.SerializeToString().replace(b"x" * 100, b"\xff" * 100)
    (run,) = decode([Parcel([message], [Source()])]).batch.calls["span_id"].to_pylist()
    assert run == 1


def test_spans_without_attributes_are_no_calls() -> None:
    marked = span(1, llm__request__type="rerank").SerializeToString()
    found = decode([Parcel([b"", marked, b"\x4a\x00"], [Source()] * 3), Parcel([b""], [Source(metered=True)])])
    assert (found.batch.calls.num_rows, found.batch.quarantine.num_rows) == (0, 0)


@pytest.mark.parametrize("scope", ["", "litellm", "openinference.instrumentation.openai"])
def test_a_call_of_any_scope_is_priced(scope: str) -> None:
    plain = {"gen_ai__operation__name": "chat", "openinference__span__kind": "LLM", "gen_ai__system": "openai"}
    models = {"gen_ai__request__model": "gpt-4o", "llm__model_name": "gpt-4o", "llm__provider": "openai"}
    counts = {"gen_ai__usage__input_tokens": 1000, "gen_ai__usage__output_tokens": 200}
    same = {"llm__token_count__prompt": 1000, "llm__token_count__completion": 200}
    told = span(1, **plain, **models, **counts, **same)
    (row,) = decode([Parcel([told.SerializeToString()], [Source(scope=scope)])]).batch.calls.to_pylist()
    assert row["cost"] == Decimal("0.0045")  # 2.50 and 10 USD a million
    assert (row["metered"], row["scope"], row["cost_source"]) == (False, scope or None, "ledger")


def test_depth_is_no_matter() -> None:
    deep = AnyValue(string_value="bottom").SerializeToString()
    for _ in range(300):
        for tag in (0x12, 0x0A, 0x32, 0x0A, 0x2A):  # a value in a pair in a list of pairs in an array
            deep = field(tag, deep)
    strange = call(1).SerializeToString() + field(0x4A, field(0x0A, b"app.tree") + field(0x12, deep))
    assert decode([Parcel([strange], [Source()])]).batch.calls["span_id"].to_pylist() == [1]


def test_thousands_of_attributes_are_no_matter() -> None:
    many = {f"app__attribute_{number}": "x" for number in range(5000)}
    assert [row["span_id"] for row in rows(request(call(1, **many), call(2)))] == [1, 2]


@pytest.mark.parametrize("odd", [AnyValue(bytes_value=b"1"), AnyValue(array_value=ArrayValue()), AnyValue()], ids=str)
def test_what_is_no_plain_value_tells_no_dialect(odd: AnyValue) -> None:
    plain = call(1, otel_cost__cost__status=..., otel_cost__cost__amount=..., otel_cost__call__outcome=...)
    plain.attributes.add(key="llm.token_count.prompt", value=odd)
    (row,) = rows(request(plain))
    assert (row["input_tokens"], row["cost"]) == (1000, Decimal("0.0045"))


def test_a_resource_may_say_who_pays_and_a_span_says_it_better() -> None:
    body = request(
        *(
            call(1),
            call(2, otel_cost__project="own", otel_cost__tenant="other"),
            call(3, otel_cost__budget__project="9"),
        ),
        otel_cost__project="search",
        otel_cost__tenant="acme",
        otel_cost__version="0.1.0",
        otel_cost__cost__centre="none",
    )
    assert [(row["project"], row["extra"]) for row in rows(body)] == [
        ("search", [("tenant", "acme")]),
        ("own", [("tenant", "other")]),
        ("search", [("tenant", "acme")]),
    ]
    batch, _ = decoded(body)
    assert batch.dimensions == {"project", "tenant"}
    (limit,) = batch.limits.to_pylist()
    assert (limit["dimension"], limit["id"], limit["limit_usd"]) == ("project", "search", Decimal(9))


def test_what_a_resource_says_of_who_pays_is_read_as_on_a_span() -> None:
    made = ExportTraceServiceRequest.FromString(request(call(1), otel_cost__project="p"))
    made.resource_spans[0].resource.attributes[0].value.int_value = 7
    (row,) = rows(made.SerializeToString())
    assert row["project"] == "7"
    assert reason_of(decoded(request(call(1), otel_cost__project="p" * 513))[1]) == (
        "otel_cost.project is longer than 512 characters"
    )
    (row,) = rows(request(call(1), **{f"otel_cost__a{number}": "x" * 100 for number in range(30)}))
    assert row["extra"] == []  # beyond reason, and every span would say it again


def test_of_an_attribute_that_comes_twice_the_last_one_holds() -> None:
    twice = call(1, otel_cost__run="first")
    twice.attributes.extend(attributes({"otel_cost.run": "last"}))
    assert [(row["span_id"], row["run"]) for row in rows(request(twice, call(2, otel_cost__run="r")))] == [
        (1, "last"),
        (2, "r"),
    ]


def test_receipts_say_how_often() -> None:
    bad = [call(n, otel_cost__cost__currency="EUR") for n in range(1, 4)]
    first, second = decode([walk(request(*bad, call(4))), walk(request(call(5), bad[0]))]).receipts
    assert first.rejections == {"otel_cost.cost.currency is not USD": 3}
    assert second.rejections == {"otel_cost.cost.currency is not USD": 1}


def test_a_hostile_name_of_an_attribute_is_no_dimension() -> None:
    (row,) = rows(request(call(**{"otel_cost__x'] drop table": "1", "otel_cost__Tenant": "2"})))
    assert row["extra"] == []


def test_the_dimensions_that_calls_name_are_told() -> None:
    batch, _ = decoded(request(call(1, otel_cost__run="r", otel_cost__tenant="acme"), call(2, otel_cost__run="")))
    assert batch.dimensions == {"run", "tenant"}
    bad = call(1, otel_cost__run="r", otel_cost__tenant="acme", gen_ai__usage__input_tokens=-1)
    assert decoded(request(bad))[0].dimensions == set()


def test_limits_name_the_id_that_carries_them() -> None:
    stated = call(
        otel_cost__run="r1",
        otel_cost__budget__run="0.05",
        otel_cost__tenant="acme",
        otel_cost__budget__tenant="20000tok",
    )
    batch, receipt = decoded(request(stated))
    assert not receipt.warnings
    assert sorted(batch.limits.to_pylist(), key=str) == [
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


@pytest.mark.parametrize("limit", ["much", "-1", "-5tok", "tok", "²tok", "9" * 30 + "tok", "", 5, "sk-a-secret"])
def test_a_bad_limit_costs_no_call_but_a_line(limit: Any) -> None:
    batch, receipt = decoded(request(call(otel_cost__run="r1", otel_cost__budget__run=limit)))
    assert not receipt.rejections
    assert (batch.calls.num_rows, batch.limits.num_rows) == (1, 0)
    # The value is not repeated: it may be a secret.
    assert receipt.warnings == {"otel_cost.budget.run is passed over: write it like 0.05, or like 20000tok": 1}


def test_a_limit_without_its_id_is_said() -> None:
    _, receipt = decoded(request(unknown(otel_cost__budget__run="1")))
    assert receipt.warnings == {"otel_cost.budget.run is passed over: the call has no otel_cost.run": 1}


def test_the_limit_of_a_call_that_is_rejected_counts_for_nothing() -> None:
    bad = call(1, otel_cost__run="r1", otel_cost__budget__run="1", gen_ai__usage__input_tokens=-1)
    assert decoded(request(bad))[0].limits.num_rows == 0


def test_spans_of_many_resources_keep_their_own() -> None:
    both = ExportTraceServiceRequest.FromString(request(call(1), service__name="a"))
    both.MergeFromString(request(call(2), service__name="b"))
    assert [row["service"] for row in rows(both.SerializeToString())] == ["a", "b"]


def test_the_events_of_parcels_are_handed_on() -> None:
    event = {"kind": "stopped"}
    assert decode([Parcel(events=[event]), Parcel()]).batch.events == [event]
