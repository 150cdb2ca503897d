"""What came and cannot stand in the books: `/v1/quarantine`, the same on the file, and the command."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import requests
from exporter_building import DAY, NOON, SECOND, call, request

from otel_cost_exporter.books import ServiceBooks

from .commanding import fill

if TYPE_CHECKING:
    from pathlib import Path

    from otel_cost_exporter.service import Service

    from .commanding import Run

NEGATIVE = "gen_ai.usage.input_tokens is negative or beyond 999999999999"
NAMELESS = "a charge needs otel_cost.charge.name, of up to 512 characters"


def send(service: Service, *spans: Any) -> None:
    headers = {"content-type": "application/x-protobuf"}
    body = request(*spans, service__name="shop")
    requests.post(f"{service.url}/v1/traces", body, headers=headers, timeout=10).raise_for_status()


def charge(service: Service, name: str | None = None) -> None:
    attributes = [] if name is None else [{"key": "otel_cost.charge.name", "value": {"stringValue": name}}]
    record = {"eventName": "otel_cost.charge", "timeUnixNano": str(NOON), "attributes": attributes}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "till"}}]}
    body = {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]}
    requests.post(f"{service.url}/v1/logs", json=body, timeout=10).raise_for_status()


@pytest.fixture
def refusing(service: Service) -> Service:
    """Books that could not take two calls of the shop, and then a charge of the till."""
    for number in (1, 2):
        send(service, call(number, start=NOON + number * SECOND, gen_ai__usage__input_tokens=-5), call(number + 10))
    charge(service)
    return service


def test_what_cannot_stand_in_the_books_is_told_by_reason_and_service(refusing: Service) -> None:
    found = ServiceBooks(refusing.url).ask("quarantine")
    assert found == refusing.reader.ask("quarantine")
    assert found["next"] is None
    nameless, negative = found["quarantine"]
    assert [nameless[name] for name in ("reason", "service", "count", "model")] == [NAMELESS, "till", 1, None]
    assert nameless["last_received"] > negative["last_received"] > negative["first_received"]
    times = {"first_received": negative["first_received"], "last_received": negative["last_received"]}
    assert negative == {
        "reason": NEGATIVE,
        "service": "shop",
        "count": 2,
        **times,
        "start": "2026-03-02T12:00:02Z",
        "model": "gpt-4o",
        "trace_id": f"{2:032x}",
        "span_id": f"{2:016x}",
    }
    only = refusing.reader.ask("quarantine", [("until", nameless["last_received"]), ("tz", "Europe/Berlin")])
    [row] = only["quarantine"]
    assert (row["reason"], row["start"]) == (NEGATIVE, "2026-03-02T13:00:02+01:00")
    assert refusing.reader.ask("quarantine", [("since", "9999-12-31T23:59:59Z")])["quarantine"] == []


@pytest.mark.parametrize("sort", ["newest", "oldest"])
def test_it_comes_by_pages(refusing: Service, sort: str) -> None:
    reasons, place = [], [("sort", sort)]
    for _ in range(2):
        page = refusing.reader.ask("quarantine", [("limit", "1"), ("sort", sort), *place[1:]])
        reasons += [row["reason"] for row in page["quarantine"]]
        place[1:] = [("cursor", page["next"])]
    assert page["next"] is None
    assert reasons == ([NAMELESS, NEGATIVE] if sort == "newest" else [NEGATIVE, NAMELESS])


def test_the_command_prints_a_line_for_each(refusing: Service, run: Run) -> None:
    done = run("ledger", "quarantine", "--url", refusing.url)
    lines = done.output.splitlines()
    assert (done.exit_code, lines[0]) == (0, f"service {refusing.url}")
    assert [line.split("  ", 1)[1] for line in lines[1:]] == [f"1x  till: {NAMELESS}", f"2x  shop: {NEGATIVE}"]
    one = run("ledger", "quarantine", "--limit", "1", "--url", refusing.url)
    assert "There are earlier ones: --limit, or --until" in one.output
    found = json.loads(run("ledger", "quarantine", "--since", "1h", "--url", refusing.url, "--json").stdout)
    assert [row["count"] for row in found["quarantine"]] == [1, 2]
    assert "limit='0' is no whole number" in run("ledger", "quarantine", "--limit", "0", "--url", refusing.url).output


def test_the_command_reads_a_file_and_says_where_nothing_is(run: Run, ledger_file: Path) -> None:
    fill(ledger_file, call(1))
    done = run("ledger", "quarantine")
    assert done.output.splitlines() == [f"ledger {ledger_file}", "All that came stands in the books."]


def test_a_service_without_a_name_and_one_that_would_steer_a_terminal_are_told(service: Service, run: Run) -> None:
    headers = {"content-type": "application/x-protobuf"}
    for resource in ({}, {"service__name": "\x1b[2Jshop"}):
        body = request(call(1, gen_ai__usage__input_tokens=-5), **resource)
        requests.post(f"{service.url}/v1/traces", body, headers=headers, timeout=10).raise_for_status()
    lines = run("ledger", "quarantine", "--url", service.url).output.splitlines()
    assert [line.split("  ", 1)[1] for line in lines[1:]] == [
        f"1x  \N{REPLACEMENT CHARACTER}[2Jshop: {NEGATIVE}",
        f"1x  (no service): {NEGATIVE}",
    ]


def test_the_log_names_the_service_once_for_each_reason(refusing: Service, caplog: pytest.LogCaptureFixture) -> None:
    charge(refusing)
    charge(refusing, "web_search")
    end = "otel-cost ledger quarantine lists them. Said once"
    assert [record.getMessage() for record in (*caplog.get_records("setup"), *caplog.records)] == [
        f"A call of 'shop' is not in the books: {NEGATIVE}. {end}",
        f"A call of 'till' is not in the books: {NAMELESS}. {end}",
    ]


def test_a_call_that_comes_later_than_calls_are_kept_is_counted_logged_and_listed(
    service: Service, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    send(service, call(1))
    age = (datetime.now(UTC) - datetime(2026, 3, 3, tzinfo=UTC)).days
    assert run("ledger", "prune", "--calls", f"{age}d", "--apply", "--url", service.url).exit_code == 0
    send(service, call(2), call(3, start=NOON + DAY))
    reason = "the call is older than calls are kept"
    [row] = service.reader.ask("quarantine")["quarantine"]
    told = [row[name] for name in ("reason", "service", "count", "start", "span_id")]
    assert told == [reason, "shop", 1, "2026-03-02T12:00:00Z", f"{2:016x}"]
    assert requests.get(f"{service.url}/healthz", timeout=10).json()["rejected_calls"] == 1
    assert [record.getMessage().partition(". ")[0] for record in caplog.records] == [
        f"A call of 'shop' is not in the books: {reason}"
    ]
