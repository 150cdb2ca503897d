"""``pip install otel-cost`` alone, from the built wheel into an environment of its own, beside nothing but an SDK."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_cost_exporter.demo import stand_in

pytestmark = pytest.mark.timeout(1800)  # the first run downloads what it needs
ABSENT = ("duckdb", "pyarrow", "streamlit", "fastapi", "grpc_health", "rich", "pandas")
APP = """
import openai
with openai.OpenAI() as client:
    client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "[stand-in input=1000,output=200]"}], max_tokens=200
    )
"""


@pytest.fixture(scope="module")
def programs(root: Path, need_program: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program folder of an environment with the wheel's base install and openai."""
    uv, folder = need_program("uv"), tmp_path_factory.mktemp("base")

    def run(*arguments: object) -> None:
        # Without network where an earlier run has downloaded what it takes.
        if subprocess.run([uv, "--offline", *arguments], cwd=root, capture_output=True, check=False).returncode:
            subprocess.run([uv, *arguments], cwd=root, check=True)

    constraints = folder / "constraints.txt"
    run("export", "-q", "--locked", "--all-extras", "--no-emit-project", "--no-hashes", "-o", constraints)
    run("build", "-q", "--wheel", "-o", folder)
    run("venv", "-q", "--python", sys.executable, folder / "env")
    (wheel,) = folder.glob("*.whl")
    run("pip", "install", "-q", "--python", folder / "env/bin/python", "-c", constraints, wheel, "openai")
    return folder / "env" / "bin"


def run(*command: object, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**clean, **environ},
    )


def test_it_brings_neither_ledger_nor_dashboard(programs: Path) -> None:
    program = f"import importlib.util as u; print([n for n in {ABSENT} if u.find_spec(n)])"
    assert run(programs / "python", "-c", program).stdout == "[]\n"


def test_a_command_that_needs_more_says_what_brings_it(programs: Path) -> None:
    for command, extra in (("serve", "ledger"), ("report", "ledger"), ("demo", "demo"), ("dashboard", "dashboard")):
        done = run(programs / "otel-cost", command)
        assert done.returncode == 1
        assert f"pip install 'otel-cost[{extra}]'" in done.stderr
        assert "Traceback" not in done.stderr
    assert "run" in run(programs / "otel-cost", "--help").stdout


def test_what_it_meters_waits_in_the_spool_for_a_ledger(programs: Path, bin_folder: Path, tmp_path: Path) -> None:
    with stand_in.running() as provider:
        done = run(
            programs / "otel-cost",
            *("run", "--run", "nightly-7", "--", programs / "python", "-c", APP),
            **provider.environ,
            OTEL_TRACES_EXPORTER="otel_cost",
            XDG_DATA_HOME=str(tmp_path),
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(list((tmp_path / "otel-cost" / "spool").iterdir())) == 1
    for _ in range(2):  # a second report finds nothing more to take in
        report = run(bin_folder / "otel-cost", "report", "nightly-7", "--json", XDG_DATA_HOME=str(tmp_path))
        total = json.loads(report.stdout)["total"]
        # gpt-4o: 1000 x 2.50 + 200 x 10, per million
        assert (total["calls"], total["cost_usd"], total["input_tokens"]) == (1, "0.004500", 1000)
