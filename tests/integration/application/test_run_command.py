"""``otel-cost run``: a budget from the command line around a program that knows nothing of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from otel_cost import run as run_module
from otel_cost.cli import main
from otel_cost_exporter.demo.stand_in import StandIn

PROGRAM = """
import openai
with openai.OpenAI() as client:
    for number in range(9):
        client.chat.completions.create(
            model="gpt-4o", max_tokens=100, messages=[{"role": "user", "content": "[stand-in input=10,output=100]"}]
        )
        print(number, flush=True)
"""


def run(bin_folder: Path, *arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [bin_folder / "otel-cost", "run", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "OTEL_TRACES_EXPORTER": "none", **environ},
    )


@pytest.mark.parametrize("instrument", [False, True])
def test_a_run_stops_at_its_budget(instrument: bool, bin_folder: Path, provider: StandIn) -> None:  # noqa: FBT001 - a parameter of the test
    before = [bin_folder / "opentelemetry-instrument"] if instrument else []
    done = run(
        bin_folder, "--budget", "0.003", "--run", "r1", "--", *before, sys.executable, "-c", PROGRAM, **provider.environ
    )
    # 10 x 2.50 + 100 x 10 per million is 0.001025 a call: the third does not fit
    assert done.stdout.split() == ["0", "1"]
    assert len(provider.requests) == 2
    last = done.stderr.strip().splitlines()[-1]
    assert done.stderr.count("refused a call to 'gpt-4o'") == 1  # nobody has set up logging: the error says it
    assert last.startswith(
        "otel_cost.errors.BudgetExceededError: budget of run 'r1' (0.003000 USD) refused a call to 'gpt-4o': "
        "0.002050 USD spent, and this call would cost about 0.001"
    )
    assert done.returncode == 1


def test_it_says_who_pays_and_keeps_what_was_there(bin_folder: Path) -> None:
    show = "import os; print(os.environ['BAGGAGE'])"
    done = run(
        bin_folder,
        "--set",
        "project=atlas one",
        "--run",
        "r1",
        sys.executable,
        "-c",
        show,
        BAGGAGE="user=ann,otel_cost.run=outer",
    )
    assert done.stdout.strip() == "otel_cost.run=r1,otel_cost.project=atlas%20one,user=ann"
    made_up = run(bin_folder, sys.executable, "-c", show, BAGGAGE="").stdout.strip()
    assert made_up.startswith("otel_cost.run=run-20")


def test_the_programs_own_exit_status_and_options_are_its_own(bin_folder: Path) -> None:
    done = run(bin_folder, "--", sys.executable, "-c", "import sys; print(sys.argv[1:]); sys.exit(7)", "--budget", "-x")
    assert (done.returncode, done.stdout.strip()) == (7, "['--budget', '-x']")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--budget", "lots", "x"], "'lots' is not an amount of money"),
        (["--set", "project", "x"], "write DIMENSION=ID, as in --set project=atlas"),
        (["--set", "Project=a", "x"], "'Project' is no dimension"),
        (["--run", "", "x"], "Missing argument"),
        ([], "Missing argument"),
        (["--budgt", "1", "true"], "No such option"),
        (["--budget", "20000tokens", "x"], "or like 20000tok for tokens"),
        (["--budget", "-1", "x"], "must not be negative"),
        (["no-such-program-here"], "the program 'no-such-program-here' is not there"),
        (["--run", "a;", "x"], "baggage cannot carry otel_cost.run: an id has no ; and no space around it"),
        (["--set", "project= a", "x"], "baggage cannot carry otel_cost.project"),
        (["--run", "r1", "--set", "run=r2", "x"], "run is given twice: 'r1' and 'r2'"),
        (["--set", "project=a", "--set", "project=b", "x"], "project is given twice: 'a' and 'b'"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(main, ["run", *arguments])
    assert result.exit_code != 0
    if arguments[:2] != ["--run", ""]:
        assert message in result.output


def test_a_program_that_cannot_be_executed_is_named(bin_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("print('never')")
    done = run(bin_folder, tmp_path / "app.py")
    assert done.stderr == f"Error: the program '{tmp_path}/app.py' is not executable\n"


def test_a_budget_that_would_not_arrive_is_refused() -> None:
    long = [argument for name in "abcdefg" for argument in ("--set", f"{name}={'é' * 250}")]
    result = CliRunner().invoke(main, ["run", *long, "--budget", "1", "true"])
    assert result.exit_code == 2
    assert "it would be too long" in result.output


@pytest.mark.parametrize(
    ("around", "given", "holds"),
    [
        ("0.001", "5", "0.001"),
        ("5", "0.001", "0.001"),
        ("200tok", "3000tok", "200tok"),
        ("1", "1.00", "1"),
        ("9/day", "0.001/day", "0.001/day"),
    ],
)
def test_a_run_inside_a_run_has_the_tighter_budget(around: str, given: str, holds: str, bin_folder: Path) -> None:
    show = "import os; print(os.environ['BAGGAGE'])"
    baggage = f"otel_cost.run=outer,otel_cost.budget.run={around}"
    done = run(bin_folder, "--run", "r1", "--budget", given, "--", sys.executable, "-c", show, BAGGAGE=baggage)
    assert done.stdout.strip() == f"otel_cost.run=r1,otel_cost.budget.run={holds}"
    said = f"BAGGAGE sets a budget of {around} around this one: it holds, not {given}\n"
    assert (said in done.stderr) == (holds != given and around == holds and given != "1.00")


@pytest.mark.parametrize(
    ("around", "said"),
    [
        ("200tok", "give --budget in the same unit"),
        (
            "5/day/Europe/Berlin",
            "BAGGAGE sets a budget of 5/day/Europe/Berlin around this one: give --budget in the same",
        ),
        ("lots", "the budget in BAGGAGE: 'lots' is not"),
    ],
)
def test_a_run_inside_a_run_whose_budgets_cannot_be_compared_does_not_start(
    around: str, said: str, bin_folder: Path
) -> None:
    done = run(bin_folder, "--budget", "5", "true", BAGGAGE=f"otel_cost.run=outer,otel_cost.budget.run={around}")
    assert done.returncode == 2
    assert said in done.stderr


def test_what_follows_the_program_is_its_own(bin_folder: Path) -> None:
    program = [sys.executable, "-c", "import os, sys; print(sys.argv[1:], os.environ['BAGGAGE'])"]
    done = run(bin_folder, "--run", "r1", *program, "--run", "mine", "--budget", "5", "--set", "x=y", BAGGAGE="")
    assert done.stdout.strip() == "['--run', 'mine', '--budget', '5', '--set', 'x=y'] otel_cost.run=r1"


def test_a_missing_instrument_says_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module.sys, "executable", "/nowhere/python")
    monkeypatch.setattr(run_module.shutil, "which", lambda _: None)
    result = CliRunner().invoke(main, ["run", "x"])
    assert "opentelemetry-instrument is not on the path" in result.output
