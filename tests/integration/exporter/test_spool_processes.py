"""Applications that know no server: many processes leave segments, one ledger takes them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION = """
import os, sys
from opentelemetry import trace
for n in range(20):
    attributes = {"otel_cost.cost.status": "known", "otel_cost.cost.amount": "0.0045", "otel_cost.run": sys.argv[1]}
    with trace.get_tracer("app").start_as_current_span("agent"):
        trace.get_tracer("app").start_span("chat", attributes=attributes).end()
"""


def test_many_processes_leave_segments_and_a_report_takes_them_all(
    tmp_path: Path, bin_folder: Path, spool_folder: Path, ledger_file: Path
) -> None:
    """Three runs of twenty calls at 0.0045 USD: 0.09 a run, 0.27 in all."""
    application = tmp_path / "app.py"
    application.write_text(APPLICATION)
    environ = {
        "PATH": str(bin_folder),
        "HOME": str(tmp_path),
        "OTEL_COST_SPOOL": str(spool_folder),
        "OTEL_COST_LEDGER": str(ledger_file),
        "OTEL_TRACES_EXPORTER": "otel_cost",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8",
    }
    instrument = [bin_folder / "opentelemetry-instrument", sys.executable, application]
    running = [subprocess.Popen([*instrument, f"run-{n}"], env=environ, cwd=tmp_path) for n in range(3)]
    assert [process.wait(240) for process in running] == [0, 0, 0]
    assert len(list(spool_folder.iterdir())) >= 3
    command = [bin_folder / "otel-cost", "report", "--json"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=240)
    report = json.loads(done.stdout)
    assert [(row["run"], row["calls"], row["cost_usd"]) for row in report["rows"]] == [
        (f"run-{n}", 20, "0.090000") for n in range(3)
    ]
    assert report["total"]["cost_usd"] == "0.270000"
    assert list(spool_folder.iterdir()) == []
