"""Processes that share budgets through a real ledger service, and one that waits until somebody raises its budget."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import requests

from otel_cost_exporter.demo import stand_in
from otel_cost_exporter.demo.stand_in import StandIn

START = Callable[[], AbstractContextManager]

CALLS = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
import openai, otel_cost

def calls(count):
    with openai.OpenAI() as client, ThreadPoolExecutor(5) as pool:
        def call(_):
            try:
                client.chat.completions.create(
                    model="gpt-4o", max_tokens=100,
                    messages=[{"role": "user", "content": "[stand-in input=10,output=100]"}])
            except otel_cost.BudgetExceededError:
                return 0
            return 1
        with otel_cost.budget("run", "r1", limit_usd="0.0107", sizing="strict"):
            return sum(pool.map(call, range(count)))

if __name__ == "__main__":
    way = sys.argv[1]
    if way == "alone":
        print(calls(25))
    else:
        context = multiprocessing.get_context(way)
        sent = calls(1) if way == "fork" else 0  # so that children inherit connections, and no thread of theirs
        with ProcessPoolExecutor(4, mp_context=context) as pool:
            print(sent + sum(pool.map(calls, [25] * 4)))
"""
"""A call costs 10 x 2.50 + 100 x 10 USD a million = 0.001025 USD, so ten fit, and an eleventh never."""


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with stand_in.running() as running:
        yield running


def environ(bin_folder: Path, tmp_path: Path, provider: StandIn, **more: str) -> dict[str, str]:
    return {
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": os.environ["OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"],
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        **provider.environ,
        **more,
    }


def write(tmp_path: Path, program: str) -> Path:
    path = tmp_path / "app.py"
    path.write_text(program)
    return path


@pytest.mark.parametrize(("way", "programs"), [("alone", 4), ("fork", 1), ("spawn", 1)])
def test_four_processes_send_what_fits_together(  # noqa: PLR0917 - fixtures
    tmp_path: Path, bin_folder: Path, provider: StandIn, serving: START, way: str, programs: int
) -> None:
    application = write(tmp_path, CALLS)
    with serving() as service:
        settings = environ(bin_folder, tmp_path, provider, OTEL_COST_BUDGET_STORE="service", OTEL_COST_URL=service.url)
        command = [bin_folder / "opentelemetry-instrument", sys.executable, application, way]
        running = [subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True) for _ in range(programs)]
        sent = sum(int(process.communicate(timeout=100)[0]) for process in running)
        (budget,) = requests.get(f"{service.url}/v1/budgets/run/r1", timeout=10).json()["budgets"]
    assert [process.returncode for process in running] == [0] * programs
    assert (sent, len(provider.requests)) == (10, 10)
    assert (budget["spent"], budget["held"], budget["under_way"]) == ("0.010250", "0.000000", 0)


WAITS = """
import openai, otel_cost
with openai.OpenAI() as client, otel_cost.budget("run", "r1", limit_usd="0.003", sizing="strict", on_exceed="pause"):
    for number in range(4):
        client.chat.completions.create(
            model="gpt-4o", max_tokens=100, messages=[{"role": "user", "content": "[stand-in input=10,output=100]"}])
        print("sent", number + 1, flush=True)
"""
"""Two calls of 0.001025 USD fit, and the third waits."""


def told(bin_folder: Path, service: Any, *arguments: str) -> list[dict[str, Any]]:
    """`otel-cost budget` in a process of its own."""
    command = [bin_folder / "otel-cost", "budget", *arguments, "--json"]
    settings = {**os.environ, "OTEL_COST_URL": service.url}
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=True, timeout=60)
    budgets: list[dict[str, Any]] = json.loads(done.stdout)["budgets"]
    return budgets


@pytest.mark.parametrize("store", ["memory", "service"])
@pytest.mark.parametrize("decision", ["raise", "stop"])
def test_a_process_that_waits_goes_on_or_ends_as_somebody_decides(  # noqa: PLR0917 - fixtures
    tmp_path: Path, bin_folder: Path, provider: StandIn, serving: START, store: str, decision: str
) -> None:
    application = write(tmp_path, WAITS)
    with serving() as service:
        settings = environ(bin_folder, tmp_path, provider, OTEL_COST_BUDGET_STORE=store, OTEL_COST_URL=service.url)
        command = [bin_folder / "opentelemetry-instrument", sys.executable, application]
        with subprocess.Popen(
            command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                assert [process.stdout.readline() for _ in range(2)] == ["sent 1\n", "sent 2\n"]
                line = next(line for line in process.stderr if "has a call to 'gpt-4o' wait" in line)
                assert "`otel-cost budget raise run r1 --to LIMIT` lets it go on" in line
                while not any(row["state"] == "paused" for row in told(bin_folder, service, "list")):
                    pass
                if decision == "raise":
                    told(bin_folder, service, "raise", "run", "r1", "--to", "8")
                else:
                    told(bin_folder, service, "stop", "run", "r1", "--reason", "enough")
                out, err = process.communicate(timeout=60)
            finally:
                process.kill()
    if decision == "raise":
        assert (process.returncode, out, len(provider.requests)) == (0, "sent 3\nsent 4\n", 4)
    else:
        assert (process.returncode, out, len(provider.requests)) == (1, "", 2)
        assert "BudgetExceededError: budget of run 'r1' refused a call to 'gpt-4o': stopped by " in err
        assert ": enough" in err


RESUMES = """
import sys
import openai, otel_cost
with openai.OpenAI() as client, otel_cost.budget("run", "r1", limit_usd="0.0036", sizing="strict"):
    for number in range(int(sys.argv[1])):
        client.chat.completions.create(
            model="gpt-4o", max_tokens=100, messages=[{"role": "user", "content": "[stand-in input=10,output=100]"}])
"""
"""Three calls of 0.001025 USD fit: two in one process, and one in the next."""


@pytest.mark.parametrize("store", ["memory", "service"])
def test_a_run_that_is_resumed_goes_on_from_what_was_spent(  # noqa: PLR0917 - fixtures
    tmp_path: Path, bin_folder: Path, provider: StandIn, serving: START, spool_folder: Path, store: str
) -> None:
    application = write(tmp_path, RESUMES)
    more = {"OTEL_COST_BUDGET_STORE": store, "OTEL_COST_SPOOL": str(spool_folder), "OTEL_TRACES_EXPORTER": "otel_cost"}

    def run(service: Any, count: int) -> subprocess.CompletedProcess[str]:
        settings = environ(bin_folder, tmp_path, provider, **more, OTEL_COST_URL=service.url)
        command = [bin_folder / "opentelemetry-instrument", sys.executable, application, str(count)]
        return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=60, check=False)

    def spent(service: Any) -> list[str]:
        answer = requests.get(f"{service.url}/v1/budgets", timeout=10).json()
        return [row["spent"] for row in answer["budgets"]]

    with serving() as service:
        assert run(service, 2).returncode == 0
        while spent(service) != ["0.002050"]:  # the spool is drained every second
            pass
    with serving() as service:
        assert spent(service) == ["0.002050"]  # and it has answered once, which takes longer the first time
        done = run(service, 2)
        assert "0.003075 USD spent" in done.stderr
    assert len(provider.requests) == 3
