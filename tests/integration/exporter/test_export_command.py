"""`otel-cost export`: all calls for other programs, from the file and from a service alike."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
from decimal import Decimal
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pytest
import requests
from exporter_building import call, refused, request, unknown
from pyarrow import parquet

from .commanding import fill

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otel_cost_exporter.service import Service

    from .commanding import Run

    Export = Callable[..., str]

CALLS = (
    call(1, otel_cost__run="r1", otel_cost__tenant="acme, inc", gen_ai__response__model='m"1'),
    unknown(2, otel_cost__run="r1"),
    refused(3, otel_cost__run="r2"),
)


@pytest.fixture(params=["file", "service"])
def exported(request: pytest.FixtureRequest, run: Run, ledger_file: Path) -> Export:
    """Export the calls, from one of the two."""
    where = ["--ledger", str(ledger_file)]
    if request.param == "service":
        service: Service = request.getfixturevalue("service")
        where = ["--url", service.url]
        send(service)
    else:
        fill(ledger_file, *CALLS)

    def export(*arguments: str) -> str:
        done = run("export", *where, *arguments)
        assert done.exit_code == 0, done.output
        return done.stdout

    return export


def send(service: Service) -> None:
    headers = {"content-type": "application/x-protobuf"}
    requests.post(f"{service.url}/v1/traces", request(*CALLS), headers=headers, timeout=30).raise_for_status()


def test_csv_has_a_row_for_each_call(exported: Export) -> None:
    rows = list(csv.DictReader(io.StringIO(exported())))
    assert len(rows) == 3
    first, second, third = sorted(rows, key=lambda row: row["span_id"])
    assert (first["run"], first["cost_usd"], first["response_model"]) == ("r1", "0.004500", 'm"1')
    assert json.loads(first["extra"]) == {"tenant": "acme, inc"}
    assert (second["cost_usd"], second["cost_status"]) == ("", "unknown")
    assert (third["outcome"], third["start"]) == ("refused", "2026-03-02T12:00:00Z")
    assert [row["run"] for row in csv.DictReader(io.StringIO(exported("--where", "tenant=acme, inc")))] == ["r1"]


def test_json_has_an_object_a_line_as_the_api_answers_calls(exported: Export) -> None:
    for asked in (("--format", "json"), ("--json",)):
        rows = [json.loads(line) for line in exported(*asked, "--run", "r1").splitlines()]
        assert sorted((row["span_id"], row["cost_usd"]) for row in rows) == [
            ("0000000000000001", "0.004500"),
            ("0000000000000002", None),
        ]
    with_run = {row["span_id"]: row for row in rows}
    first = with_run["0000000000000001"]
    assert first["lines"] == [
        {"meter": "input_tokens", "quantity": "1000", "cost": "0.002500"},
        {"meter": "output_tokens", "quantity": "200", "cost": "0.002000"},
    ]
    assert first["extra"] == {"tenant": "acme, inc"}


def test_parquet_keeps_money_exact(exported: Export, tmp_path: Path) -> None:
    path = tmp_path / "calls.parquet"
    assert exported("--format", "parquet", "--output", str(path)) == ""
    found = duckdb.read_parquet(str(path)).aggregate("count(*), sum(cost_usd)").fetchall()
    assert found == [(3, Decimal("0.004500000000"))]
    times = {field.type for field in parquet.read_schema(path) if pa.types.is_timestamp(field.type)}
    assert times == {pa.timestamp("us", "UTC")}


def test_focus_has_a_row_for_each_meter(exported: Export) -> None:
    rows = list(csv.DictReader(io.StringIO(exported("--format", "focus", "--run", "r1"))))
    assert [(row["SkuMeter"], row["BilledCost"], row["BillingCurrency"]) for row in rows] == [
        ("input tokens", "0.002500", "USD"),
        ("output tokens", "0.002000", "USD"),
    ]
    assert json.loads(rows[0]["Tags"]) == {"run": "r1", "tenant": "acme, inc"}


def test_without_a_call_there_are_the_names_of_the_columns(exported: Export) -> None:
    assert exported("--run", "r9").startswith("start,end,trace_id,span_id,")
    assert exported("--run", "r9", "--format", "focus").startswith("BilledCost,BillingAccountId,")
    assert exported("--run", "r9", "--json") == ""


def test_focus_says_how_many_it_has_no_word_for(run: Run, ledger_file: Path) -> None:
    fill(ledger_file, *CALLS)
    done = run("export", "--format", "focus")
    assert len(done.stdout.splitlines()) == 3
    assert done.stderr == (
        "1 of the calls and charges are left out: nobody knows their cost, and FOCUS has no word for that. They are in "
        "the other formats, with cost_status unknown.\n"
    )
    assert run("export").stderr == run("export", "--format", "focus", "--run", "r2").stderr == ""


@pytest.mark.parametrize("command", [("summary",), ("export",)])
def test_an_id_that_no_call_has_is_said(run: Run, ledger_file: Path, command: tuple[str, ...]) -> None:
    fill(ledger_file, *CALLS)
    done = run(*command, "--run", "r1", "--run", "r9", "--model", "gtp-4o", "--where", "tenant=x", "--since", "2026-01")
    assert done.exit_code == 0
    assert done.stderr.splitlines() == [
        "No call in the books has run=r9.",
        "No call in the books has model=gtp-4o.",
        "No call in the books has tenant=x.",
    ]
    assert run(*command, "--run", "r1", "--until", "24h").stderr == ""


def test_what_is_asked_for_wrongly_is_named(run: Run, ledger_file: Path) -> None:
    fill(ledger_file, *CALLS)
    assert "since='x' is no time" in run("export", "--since", "x").output
    assert run("export", "--format", "xml").exit_code == 2


def test_a_file_is_written_whole_or_not_at_all(run: Run, ledger_file: Path, tmp_path: Path) -> None:
    fill(ledger_file, *CALLS)
    path = tmp_path / "calls.csv"
    path.write_text("what was there")
    assert run("export", "--since", "x", "--output", str(path)).exit_code == 2
    assert path.read_text() == "what was there"
    assert run("export", "--output", str(path)).exit_code == 0
    assert path.read_text().startswith("start,")
    missing = run("export", "--output", str(tmp_path / "no" / "such" / "file"))
    assert (missing.exit_code, missing.output) == (
        1,
        f"Error: {tmp_path / 'no' / 'such' / 'file'} cannot be written: No such file or directory\n",
    )
    assert not [found for found in tmp_path.iterdir() if found.name.startswith(".calls")]


def test_parquet_is_not_written_to_a_terminal(ledger_file: Path, bin_folder: Path) -> None:
    fill(ledger_file, *CALLS)
    ours, theirs = os.openpty()
    command = [bin_folder / "otel-cost", "export", "--format", "parquet", "--ledger", ledger_file]
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 2
    assert "write it to a file, as in --output calls.parquet" in done.stderr
