"""What happened to budgets: `/v1/budgets/events`, the same on the file, and `otel-cost budget events`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests
from exporter_building import NOON, SECOND, call, request

from otel_cost_exporter.books import ServiceBooks

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from otel_cost_exporter.service import Service

R1 = {"dimension": "run", "id": "r1", "unit": "USD", "limit": "0.05"}
DAY = {"dimension": "project", "id": "p", "unit": "tokens", "period": "day 2026-03-02 UTC", "limit": "20000"}
ACME = {"dimension": "tenant", "id": "acme", "unit": "USD", "limit": "1"}


def event(second: int, kind: str, **fields: str) -> dict[str, Any]:
    stated = {f"otel_cost.budget.event.{name}": text for name, text in fields.items()}
    return {
        "eventName": f"otel_cost.budget.{kind}",
        "timeUnixNano": str(NOON + second * SECOND),
        "traceId": f"{second:032x}",
        "spanId": f"{second:016x}",
        "attributes": [{"key": name, "value": {"stringValue": text}} for name, text in stated.items()],
    }


@pytest.fixture
def told(service: Service) -> Service:
    """Books that were told what happened to three budgets."""
    records = [
        event(1, "warned", **R1, spent="0.04", held="0", share="0.8"),
        event(2, "exceeded", **R1, spent="0.0481", held="0.001", call="0.004", model="gpt-4o"),
        event(3, "exceeded", **DAY, spent="19900", held="0", call="1200", model="gpt-4o-mini"),
        event(4, "paused", **ACME),
    ]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    body = {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]}
    requests.post(f"{service.url}/v1/logs", json=body, timeout=10).raise_for_status()
    calls, kind = request(call(1, otel_cost__tenant="acme")), {"content-type": "application/x-protobuf"}
    requests.post(f"{service.url}/v1/traces", calls, headers=kind, timeout=10).raise_for_status()
    return service


def test_who_hit_which_limit_and_when(told: Service) -> None:
    found = ServiceBooks(told.url).ask("budgets/events", [("run", "r1")])
    assert found["next"] is None
    exceeded, warned = found["events"]
    assert exceeded == {
        "at": "2026-03-02T12:00:02Z",
        "kind": "exceeded",
        "dimension": "run",
        "id": "r1",
        "unit": "USD",
        "period": "",
        "limit": "0.050000",
        "spent": "0.048100",
        "held": "0.001000",
        "share": None,
        "call": "0.004000",
        "model": "gpt-4o",
        "service": "shop",
        "environment": None,
        "trace_id": f"{2:032x}",
        "span_id": f"{2:016x}",
    }
    assert (warned["kind"], warned["share"], warned["call"]) == ("warned", "0.8", None)
    [day] = told.reader.ask("budgets/events", [("project", "p")])["events"]
    assert (day["limit"], day["spent"], day["call"], day["period"]) == ("20000", "19900", "1200", DAY["period"])


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ([], [4, 3, 2, 1]),
        ([("sort", "oldest")], [1, 2, 3, 4]),
        ([("run", "r1"), ("project", "p")], [3, 2, 1]),
        ([("tenant", "acme")], [4]),
        ([("model", "gpt-4o"), ("model", "gpt-4o-mini")], [3, 2]),
        ([("run", "r1"), ("model", "gpt-4o")], [2]),
        ([("service", "shop"), ("run", "r2")], []),
        ([("since", "2026-03-02T12:00:02Z"), ("until", "2026-03-02T12:00:04Z")], [3, 2]),
    ],
)
def test_events_are_asked_for_by_budget_time_and_who_told(
    told: Service, asked: list[tuple[str, str]], seconds: list[int]
) -> None:
    for books in (told.reader, ServiceBooks(told.url)):
        assert [int(row["span_id"], 16) for row in books.ask("budgets/events", asked)["events"]] == seconds


@pytest.mark.parametrize("sort", ["newest", "oldest"])
def test_events_come_by_pages(told: Service, sort: str) -> None:
    found, cursor = [], None
    for _ in range(4):
        page = told.reader.ask(
            "budgets/events", [("limit", "1"), ("sort", sort), *([("cursor", cursor)] if cursor else [])]
        )
        found += page["events"]
        cursor = page["next"]
    assert cursor is None
    assert sorted(row["span_id"] for row in found) == [f"{second:016x}" for second in range(1, 5)]


def test_what_no_event_says_is_no_filter(told: Service) -> None:
    answer = requests.get(f"{told.url}/v1/budgets/events?outcome=ok", timeout=10)
    assert (answer.status_code, "parameter 'outcome' is unknown" in answer.json()["detail"]) == (400, True)


def test_the_command(told: Service, run: Callable[..., Result]) -> None:
    asked, asks = ("budget", "events", "--url", told.url), ", a call of gpt-4o-mini asks 1200"
    assert run(*asked).output.splitlines() == [
        "2026-03-02T12:00:04Z  paused      tenant acme: unknown of 1.000000 USD spent",
        "2026-03-02T12:00:03Z  exceeded    project p, day 2026-03-02 UTC: 19900 of 20000 tokens spent" + asks,
        "2026-03-02T12:00:02Z  exceeded    run r1: 0.048100 of 0.050000 USD spent, a call of gpt-4o asks 0.004000",
        "2026-03-02T12:00:01Z  warned      run r1: 0.040000 of 0.050000 USD spent (80%)",
    ]
    found = run(*asked, "run", "r1", "--limit", "1")
    assert found.stdout.count("\n") == 1
    assert found.stderr == "There are earlier ones: --limit, or --until 2026-03-02T12:00:02Z\n"
    document = json.loads(run(*asked, "project", "p", "--json").output)
    assert document == told.reader.ask("budgets/events", [("project", "p")])
    nothing = run(*asked, "--since", "1h")
    assert nothing.stdout == "Nothing has happened to budgets that the ledger was told of.\n"
    assert "--logs_exporter otlp" in nothing.stderr


def test_what_the_command_cannot_ask_is_said(told: Service, run: Callable[..., Result]) -> None:
    assert "which run? Name its id as well" in run("budget", "events", "run").output
    assert "is reserved" in run("budget", "events", "cost", "x").output
    assert "since='soon' is no time" in run("budget", "events", "--url", told.url, "--since", "soon").output
    gone = run("budget", "events")
    assert (gone.exit_code, "no ledger service answers at http://127.0.0.1:9" in gone.output) == (1, True)
