"""The examples run as their docstrings say. (examples/agent.py is what the demo runs: see test_demo.py.)"""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx2

from otel_cost_exporter.demo import stand_in


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
