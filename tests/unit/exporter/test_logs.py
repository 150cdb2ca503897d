"""OTLP logs -> events of budgets and charges; all other logs are stepped over."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from exporter_building import NOON, attributes, naive
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from otel_cost import semconv
from otel_cost.budgets.events import KINDS
from otel_cost.pricing import sources
from otel_cost_exporter.decode import decode
from otel_cost_exporter.decode.logs import walk_logs
from otel_cost_exporter.errors import MalformedError
from otel_cost_exporter.writing.ledger import Ledger

TRACE, SPAN = (5).to_bytes(16, "big"), (6).to_bytes(8, "big")
GPU = {"otel_cost.charge.name": "gpu", "otel_cost.cost.amount": "0.12", "otel_cost.run": "r1"}
WARNED = {
    "otel_cost.budget.event.dimension": "run",
    "otel_cost.budget.event.id": "r1",
    "otel_cost.budget.event.unit": "USD",
    "otel_cost.budget.event.period": "day 2026-03-02 UTC",
    "otel_cost.budget.event.limit": "1.000000",
    "otel_cost.budget.event.spent": "0.800001",
    "otel_cost.budget.event.held": "0.000000",
    "otel_cost.budget.event.share": "0.8",
    "otel_cost.budget.event.call": "0.25",
    "otel_cost.budget.event.model": "gpt-4o",
}


def record(name: str, stated: dict[str, Any], *, time: int = NOON, **more: Any) -> LogRecord:
    return LogRecord(event_name=name, time_unix_nano=time, attributes=attributes(stated), **more)


def logs(*records: LogRecord, **resource: str) -> bytes:
    made_by = Resource(attributes=attributes({key.replace("__", "."): item for key, item in resource.items()}))
    scope = ScopeLogs(scope=InstrumentationScope(name="shop"), log_records=records)
    return ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(resource=made_by, scope_logs=[scope])]
    ).SerializeToString()


def charges(*records: LogRecord, **resource: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = decode([walk_logs(logs(*records, **resource))]).batch.calls.to_pylist()
    return found


def said(*records: LogRecord) -> str:
    """Why records of a request cannot stand in the books."""
    (receipt,) = decode([walk_logs(logs(*records))]).receipts
    return ", ".join(receipt.rejections)


def test_an_event_of_a_budget_stands_in_the_books_once(tmp_path: Path) -> None:
    told = record("otel_cost.budget.warned", WARNED, trace_id=TRACE, span_id=SPAN)
    told.body.string_value = "what somebody wrote"
    again = record("otel_cost.budget.warned", WARNED, trace_id=TRACE, span_id=SPAN, observed_time_unix_nano=NOON + 7)
    with Ledger(tmp_path / "books.duckdb") as ledger:
        for each in (told, again):
            ledger.add(walk_logs(logs(each, service__name="shop", deployment__environment__name="prod"))).result()
        with ledger.database.cursor() as cursor:
            rows = cursor.execute("SELECT * EXCLUDE (event_id, received_ts) FROM budget_events").fetchall()
            assert cursor.execute("SELECT count(*) FROM calls").fetchone() == (0,)
    assert rows == [
        (
            naive("2026-03-02T12:00:00"),
            *("warned", "run", "r1", "USD", "day 2026-03-02 UTC", "gpt-4o"),
            *(Decimal(1), Decimal("0.800001"), Decimal(0), Decimal("0.8"), Decimal("0.25")),
            *(UUID(int=5), 6, "shop", "prod"),
        )
    ]


def test_what_an_event_does_not_say_stays_open() -> None:
    least = {key: WARNED[key] for key in list(WARNED)[:3]}
    (event,) = walk_logs(logs(record("otel_cost.budget.stopped", least))).events
    stated = {name: value for name, value in event.items() if value is not None and name != "event_id"}
    assert stated == {"event_ts": NOON // 1000, "kind": "stopped", "dimension": "run", "id": "r1", "unit": "USD"}


def test_every_kind_of_event_that_applications_send_is_taken() -> None:
    assert {*semconv.BUDGET_EVENTS, "spent"} == set(KINDS)  # those go to callbacks alone
    told = [record(f"otel_cost.budget.{kind}", WARNED) for kind in KINDS]
    assert [event["kind"] for event in walk_logs(logs(*told)).events] == list(semconv.BUDGET_EVENTS)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"otel_cost.budget.event.unit": "EUR"}, "does not say whose budget it is, and in which unit"),
        ({"otel_cost.budget.event.dimension": "No Dimension"}, "does not say whose budget"),
        ({"otel_cost.budget.event.id": ""}, "does not say whose budget"),
        ({"otel_cost.budget.event.id": "i" * 513}, "otel_cost.budget.event.id is longer than 512"),
        ({"otel_cost.budget.event.spent": "much"}, "otel_cost.budget.event.spent is no amount"),
        ({"otel_cost.budget.event.held": "-1"}, "otel_cost.budget.event.held is no amount"),
        ({"otel_cost.budget.event.limit": "NaN"}, "otel_cost.budget.event.limit is no amount"),
        ({"otel_cost.budget.event.limit": "1e999999"}, "otel_cost.budget.event.limit is no amount"),
    ],
)
def test_an_event_that_cannot_be_is_refused_and_no_other(change: dict[str, str], reason: str) -> None:
    good, bad = record("otel_cost.budget.warned", WARNED), record("otel_cost.budget.warned", WARNED | change)
    parcel = walk_logs(logs(bad, good))
    assert len(parcel.events) == 1
    assert reason in said(bad, good)


def test_what_is_refused_stands_in_the_quarantine_with_its_reason(tmp_path: Path) -> None:
    event = record("otel_cost.budget.warned", WARNED | {"otel_cost.budget.event.unit": "EUR"}, trace_id=TRACE * 9)
    charge = record("otel_cost.charge", GPU | {"otel_cost.charge.units": "two"}, time=1, span_id=SPAN)
    with Ledger(tmp_path / "books.duckdb") as ledger:
        receipt = ledger.add(walk_logs(logs(event, charge, service__name="shop"))).result(60)
        with ledger.database.cursor() as cursor:
            rows = cursor.execute("SELECT * EXCLUDE (received_ts) FROM quarantine").fetchall()
    reasons = [
        "an event of a budget does not say whose budget it is, and in which unit",
        "otel_cost.charge.units is no number from 0 to 999999999999",
    ]
    assert rows == [
        (naive("2026-03-02T12:00:00"), TRACE.hex(), None, "shop", None, reasons[0]),
        (None, None, SPAN.hex(), "shop", None, reasons[1]),
    ]
    assert receipt.rejections == dict.fromkeys(reasons, 1)


@pytest.mark.parametrize("time", [0, 1, 2**63])
def test_an_event_of_no_time_is_refused(time: int) -> None:
    assert "the time of an event of a budget cannot be" in said(record("otel_cost.budget.warned", WARNED, time=time))


def test_a_charge_is_a_row_of_calls_with_its_cost_and_who_pays() -> None:
    (row,) = charges(record("otel_cost.charge", GPU, trace_id=TRACE, span_id=SPAN), service__name="render")
    assert (row["operation"], row["charge"], row["units"], row["run"]) == ("charge", "gpu", Decimal(1), "r1")
    assert (row["cost"], row["cost_status"], row["cost_source"]) == (Decimal("0.12"), "known", "local")
    assert (row["trace_id"], row["parent_span_id"], row["service"]) == (TRACE.hex(), 6, "render")
    assert row["start_ts"] == row["end_ts"] == naive("2026-03-02T12:00:00")


def test_a_charge_may_say_how_sure_its_cost_is() -> None:
    (row,) = charges(record("otel_cost.charge", GPU | {"otel_cost.cost.status": "estimated"}))
    assert (row["cost"], row["cost_status"]) == (Decimal("0.12"), "estimated")


def test_an_event_is_told_by_the_attribute_that_named_it_before_too() -> None:
    earlier = record("", GPU | {"event.name": "otel_cost.charge"})
    assert [row["charge"] for row in charges(earlier)] == ["gpu"]


@pytest.mark.parametrize(
    ("units", "counted"), [(2, "2"), (0.1, "0.1"), ("2.5", "2.5"), (None, "1"), ("1e-2000000000", "0")]
)
def test_units_are_counted_as_they_are_written(units: Any, counted: str) -> None:
    (row,) = charges(record("otel_cost.charge", GPU | {"otel_cost.charge.units": units}))
    assert row["units"] == Decimal(counted)


@pytest.fixture
def priced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prices by which a web search costs one cent."""
    file = tmp_path / "prices.toml"
    file.write_text('[[charge]]\nname = "web_search"\nusd_per_unit = 0.01\nfrom = 2026-03-01\n')
    monkeypatch.setenv("OTEL_COST_PRICES", str(file))
    monkeypatch.setattr(sources, "_sources", sources._Sources())


@pytest.mark.usefixtures("priced")
def test_a_charge_without_a_cost_is_priced_here_as_of_its_time() -> None:
    search = {"otel_cost.charge.name": "web_search", "otel_cost.charge.units": 3}
    before, after = (
        charges(record("otel_cost.charge", search, time=NOON - 86_400 * 10**9 * 7)),
        charges(record("otel_cost.charge", search)),
    )
    assert (after[0]["cost"], after[0]["cost_status"], after[0]["cost_source"]) == (Decimal("0.03"), "known", "ledger")
    assert after[0]["price_version"].startswith("file:prices.toml@")
    assert (before[0]["cost"], before[0]["cost_status"]) == (None, "unknown")
    assert before[0]["cost_reason"] == "no price for a unit of 'web_search'"


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        ({"otel_cost.charge.units": 2}, "a charge needs otel_cost.charge.name, of up to 512 characters"),
        ({"otel_cost.charge.name": "n" * 513}, "a charge needs otel_cost.charge.name"),
        (GPU | {"otel_cost.charge.units": "two"}, "otel_cost.charge.units is no number"),
        (GPU | {"otel_cost.charge.units": -2}, "otel_cost.charge.units is no number from 0"),
        (GPU | {"otel_cost.charge.units": float("inf")}, "otel_cost.charge.units is no number from 0"),
        ({"otel_cost.charge.name": "gpu", "otel_cost.charge.units": "NaN"}, "otel_cost.charge.units is no number"),
        (GPU | {"otel_cost.charge.units": "9e2000000000"}, "otel_cost.charge.units is no number from 0"),
        (GPU | {"otel_cost.cost.amount": "-0.12"}, "otel_cost.cost.amount is no amount"),
        (GPU | {"otel_cost.cost.amount": 0.12}, "otel_cost.cost.amount is neither text nor a whole number"),
        (GPU | {"otel_cost.cost.currency": "EUR"}, "otel_cost.cost.currency is not USD"),
    ],
)
def test_a_charge_that_cannot_be_is_refused_with_its_reason(stated: dict[str, Any], reason: str) -> None:
    bad = record("otel_cost.charge", stated)
    assert reason in said(bad)
    assert [row["charge"] for row in charges(bad, record("otel_cost.charge", GPU))] == ["gpu"]


@pytest.mark.parametrize("time", [0, 2**64 - 1])
def test_a_charge_of_no_time_is_refused(time: int) -> None:
    search = {"otel_cost.charge.name": "web_search"}
    assert "the start time is before" in said(record("otel_cost.charge", search, time=time))


def test_a_charge_that_is_sent_again_is_the_same_and_one_beside_it_is_another() -> None:
    request = (record("otel_cost.charge", GPU), record("otel_cost.charge", GPU))
    first, again = charges(*request), charges(*request)
    assert first == again
    assert len({row["span_id"] for row in first}) == 2
    reordered = record("otel_cost.charge", dict(reversed(GPU.items())), observed_time_unix_nano=NOON + 1)
    assert [row["span_id"] for row in charges(reordered)] == [first[0]["span_id"]]
    others = [
        charges(record("otel_cost.charge", GPU, time=NOON + 1)),
        charges(record("otel_cost.charge", GPU), service__name="another"),
        charges(record("otel_cost.charge", GPU), service__instance__id="pod-1"),
        charges(record("otel_cost.charge", GPU), host__name="pod-1"),
        charges(record("otel_cost.charge", GPU), k8s__pod__name="pod-1"),
        charges(record("otel_cost.charge", GPU, trace_id=TRACE)),
        charges(record("otel_cost.charge", GPU | {"log.record.uid": "01J"})),
    ]
    assert len({row["span_id"] for rows in (first, *others) for row in rows}) == 9


def test_other_logs_are_stepped_over() -> None:
    chatter = record("", {"otel_cost.run": "r1"})
    chatter.body.CopyFrom(AnyValue(string_value="otel_cost.charge"))
    other = record("otel_cost.budget.spent", WARNED)
    for body in (logs(chatter, other), logs(record("started", {"user": "ann"})), b""):
        parcel = walk_logs(body)
        assert (parcel.spans, parcel.events, parcel.size) == ([], [], 0)


@pytest.mark.parametrize("body", [b"garbage", b"\x0a\xff\xff\xff", logs(record("otel_cost.charge", GPU))[:-5]])
def test_other_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedError):
        walk_logs(body)


def test_what_waits_has_a_size() -> None:
    parcel = walk_logs(logs(record("otel_cost.charge", GPU), record("otel_cost.budget.warned", WARNED)))
    assert parcel.size > 2000
