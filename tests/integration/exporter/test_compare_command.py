"""`otel-cost compare` and `/v1/compare`: what a run would have cost with other models."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import requests
from exporter_building import DAY, NOON, call, refused, request, unknown

from .commanding import fill

if TYPE_CHECKING:
    from pathlib import Path

    from otel_cost_exporter.service import Service

    from .commanding import Run

RUN = {"otel_cost__run": "r1"}


def test_a_run_with_other_models(run: Run, ledger_file: Path) -> None:
    embeds = {"gen_ai__operation__name": "embeddings", "gen_ai__request__model": "text-embedding-3-small"}
    other = {"gen_ai__request__model": "o3", "gen_ai__usage__input_tokens": 10, "gen_ai__usage__output_tokens": ...}
    fill(
        ledger_file,
        call(1, **RUN),
        call(2, otel_cost__cost__status="estimated", **RUN),
        call(3, **embeds, **RUN),
        refused(4, **RUN),
        call(5, otel_cost__run="r2"),
        call(6, **other, otel_cost__cost__amount="0.1", **RUN),
    )
    found = json.loads(run("compare", "r1", "--model", "gpt-4o-mini", "--model", "claude-opus-4-7", "--json").output)
    mini, opus = found.pop("models")
    assert found == {
        "calls": 3,
        "cost_usd": "0.109000",
        "estimated_calls": 1,
        "unknown_calls": 0,
        "left_out_calls": 1,
        "answered_by": ["o3", "gpt-4o"],
        "complete_since": None,
    }
    # 2 x (1000 x 0.15 + 200 x 0.60) and 10 x 0.15, per million
    assert (mini["low_usd"], mini["high_usd"], mini["priced_calls"]) == ("0.0005415", "0.0005415", 3)
    # 2 x (1317 x 5 + 263 x 25) and 13 x 5; 2 x (1914 x 5 + 383 x 25) and 20 x 5, per million
    assert (opus["low_usd"], opus["high_usd"]) == ("0.026385", "0.038390")


def test_the_table_says_by_how_much_and_what_it_takes_for_granted(run: Run, ledger_file: Path) -> None:
    fill(ledger_file, call(1, **RUN), call(2, gen_ai__operation__name="embeddings", **RUN))
    shown = run("compare", "r1", "--model", "gpt-4o-mini", "--model", "claude-opus-4-7", "--model", "x").output
    assert [line.rstrip() for line in shown.splitlines() if set(line) != {"─"}] == [
        f"Run r1, ledger {ledger_file}",
        "",
        "model                       cost in USD          change",
        "as it was: gpt-4o              0.004500",
        "gpt-4o-mini                    0.000270            -94%",
        "claude-opus-4-7    0.013160 to 0.019145  +192% to +325%",
        "x                               unknown",
        "The other models are taken to answer as much, to think as much and to cache as much.",
        "1 call for embeddings are left out of all this.",
        "x: the cost of 1 call is unknown and in no sum.",
        "x: nobody knows who sells 'x': write it behind its seller, as in openrouter/x.",
    ]


def test_where_a_cost_is_unknown_nothing_is_compared(run: Run, ledger_file: Path) -> None:
    fill(ledger_file, unknown(1, **RUN))
    found = json.loads(run("compare", "r1", "--model", "gpt-4o-mini", "--json").output)
    assert (found["cost_usd"], found["unknown_calls"], found["models"][0]["low_usd"]) == (None, 1, "0.000270")
    shown = run("compare", "r1", "--model", "gpt-4o-mini").output
    assert "as it was: gpt-4o      unknown" in shown
    assert "change" not in shown
    assert "As it was, the cost of 1 call is unknown and in no sum." in shown


def test_what_cannot_be_compared_is_said(run: Run, service: Service) -> None:
    headers = {"content-type": "application/x-protobuf"}
    requests.post(f"{service.url}/v1/traces", request(call(1, **RUN)), headers=headers, timeout=30).raise_for_status()
    asked = f"{service.url}/v1/compare"
    assert requests.get(f"{asked}?run=r1&instead=gpt-4o-mini&instead=gpt-4o-mini", timeout=30).json()["models"][0][
        "low_usd"
    ] == ("0.000270")
    missing = requests.get(f"{asked}?run=r1", timeout=30)
    assert (missing.status_code, missing.json()) == (
        400,
        {"detail": "instead is missing: name another model, as in instead=gpt-4o-mini"},
    )
    assert requests.get(f"{asked}?run=r9&instead=gpt-4o", timeout=30).status_code == 404
    done = run("compare", "r9", "--model", "gpt-4o", "--url", service.url)
    assert (done.exit_code, done.output) == (1, "Error: none of the calls that are asked for is in the books\n")
    assert run("compare", "r1").exit_code == 2


def test_calls_that_were_pruned_are_said_to_be_left_out(run: Run, ledger_file: Path) -> None:
    fill(ledger_file, call(1, **RUN), call(2, start=NOON + DAY, **RUN))
    age = (datetime.now(UTC) - datetime(2026, 3, 3, tzinfo=UTC)).days
    assert run("ledger", "prune", "--calls", f"{age}d", "--apply").exit_code == 0
    shown = run("compare", "r1", "--model", "gpt-4o-mini").output
    assert "\nCalls before 2026-03-03T00:00:00Z are no longer kept, and in no figure here.\n" in shown
