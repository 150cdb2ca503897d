"""The examples run as their docstrings say. (examples/agent.py is what the demo runs: see test_demo.py.)"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx2

from otel_cost_exporter.access.address import Address
from otel_cost_exporter.demo import stand_in
from otel_cost_exporter.service import Options, Service


def test_a_service_answers_402_where_a_requests_budget_ends(root: Path, bin_folder: Path, port: int) -> None:
    with stand_in.running() as provider:
        service = subprocess.Popen(
            [bin_folder / "opentelemetry-instrument", sys.executable, root / "examples/service.py", str(port)],
            env={**os.environ, **provider.environ, "OTEL_TRACES_EXPORTER": "none"},
        )
        try:
            refused = ask(port, 50, baggage="otel_cost.run=r1,otel_cost.budget.run=0.01")
            sent = len(provider.requests)
            answered = ask(port, 2)
        finally:
            service.terminate()
            service.wait(120)
    assert refused.status_code == 402
    assert refused.json()["budget"] == "run r1"
    assert refused.json()["detail"].startswith("budget of run 'r1' (0.010000 USD) refused a call to 'gpt-4o': ")
    assert 1 < sent < 50
    assert (answered.status_code, answered.json()) == (200, {"answered": 2})


def test_a_report_is_written_with_the_strongest_model_that_the_budget_has_room_for(
    root: Path, bin_folder: Path
) -> None:
    with stand_in.running() as provider:
        written = subprocess.run(
            [bin_folder / "opentelemetry-instrument", sys.executable, root / "examples/choose.py"],
            env={
                **os.environ,
                **provider.environ,
                "OTEL_TRACES_EXPORTER": "none",
                "OTEL_COST_BUDGETS": str(root / "examples/profiles.toml"),
            },
            capture_output=True,
            text=True,
            check=True,
        )
    first, *sections = written.stdout.splitlines()
    assert first == "with gpt-4o alone about 0.0255 USD"  # 12 x (50 x 2.50 + 200 x 10) / 1e6
    models = [line.rpartition(" ")[2] for line in sections]
    # A section by gpt-4o costs a little over 0.002 USD, so that five of them leave less than half of 0.02.
    assert models == ["gpt-4o"] * 5 + ["gpt-4o-mini"] * 7


def test_a_book_is_never_left_in_the_midst_of_a_chapter_and_is_finished_with_the_next_budget(
    root: Path, bin_folder: Path, tmp_path: Path
) -> None:
    def write(limit: str) -> list[str]:
        written = subprocess.run(
            [
                bin_folder / "opentelemetry-instrument",
                sys.executable,
                root / "examples/checkpoint.py",
                "book.json",
                limit,
            ],
            env={**os.environ, **provider.environ, "OTEL_TRACES_EXPORTER": "none"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        return written.stdout.splitlines()

    # A chapter is 0.0005 + (100 x 2.50 + 150 x 10 + 200 x 2.50 + 50 x 10) / 1e6 = 0.00325: the fourth passes 0.01.
    with stand_in.running() as provider:
        lines = write("0.01")
        assert lines[-2:] == [
            "saved 4 of 6 chapters; 0.0130 USD spent",
            "budget of run 'book' (0.010000 USD) refused stage 'chapter': 0.013000 USD spent, which leaves nothing",
        ]
        assert sum("has spent 0.000500 USD" in line for line in lines) == 4
        report = json.loads((tmp_path / "cost_report.json").read_text())
        assert (report["outcome"], report["budget"]["state"]) == ("budget_exceeded", "exhausted")
        assert (report["total"]["calls"], report["total"]["cost_usd"]) == (8, "0.013000")
        assert [(role["name"], role["cost_usd"]) for role in report["by_role"]] == [
            ("writer", "0.007000"),
            ("critic", "0.004000"),
            (None, "0.002000"),
        ]
        assert write("1")[-1] == "the book is finished"
    assert len(json.loads((tmp_path / "book.json").read_text())) == 6


def test_a_report_carries_what_its_sections_cost_and_the_ledger_says_the_same(
    root: Path, bin_folder: Path, tmp_path: Path
) -> None:
    free = Address("127.0.0.1", 0)
    example = [sys.executable, root / "examples/artifact.py"]
    with stand_in.running() as provider, Service(Options(tmp_path / "books.duckdb", grpc=free, http=free)) as ledger:
        environ = {
            **os.environ,
            **provider.environ,
            "OTEL_COST_URL": ledger.url,
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": ledger.url,
        }
        write = [bin_folder / "opentelemetry-instrument", *example, "write", "report.json"]
        written = subprocess.run(write, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True)
        said = json.loads((tmp_path / "report.json").read_text())
        audit = [*example, "audit", "report.json"]
        audited = subprocess.run(audit, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True)
        heard = json.loads((tmp_path / "report.json").read_text())
    # A section: (200 x 0.15 + 50 x 0.60) / 1e6 by gpt-4o-mini, (300 x 2.50 + 400 x 10) / 1e6 by gpt-4o: 0.00481
    assert (json.loads(written.stdout), json.loads(audited.stdout)) == (said["cost"], heard["cost"])
    assert (heard["cost"]["calls"], heard["cost"]["cost_usd"]) == (6, "0.014430")
    for before, after in zip((*said["sections"], said), (*heard["sections"], heard), strict=True):
        assert (before["cost"]["audited"], after["cost"]["audited"]) == (False, True)
        assert before["cost"] == {**after["cost"], "audited": False, "at": before["cost"]["at"]}
    assert [part["cost"]["cost_usd"] for part in heard["sections"]] == ["0.004810"] * 3
    assert heard["sections"][0]["cost"]["dimensions"] == {"run": "report", "stage": "sources"}
    assert heard["cost"]["models"] == ["gpt-4o", "gpt-4o-mini"]


def ask(port: int, questions: int, **headers: str) -> httpx2.Response:
    """Ask the service, once it is up."""
    deadline = time.monotonic() + 120
    while True:
        try:
            url = f"http://127.0.0.1:{port}/answer"
            return httpx2.get(url, params={"questions": questions}, headers=headers, timeout=120)
        except httpx2.ConnectError:
            assert time.monotonic() < deadline, "the service did not start"
            time.sleep(0.1)
