import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from otel_cost import cli


def test_every_command_is_there_and_has_help() -> None:
    names = entry_points(group="otel_cost.commands").names
    assert {"run", "prices", "serve", "summary", "report", "dashboard", "demo"} <= names
    for name in names:
        result = CliRunner().invoke(cli.main, [name, "--help"])
        assert result.exit_code == 0, result.output
        assert "Usage:" in result.output


def test_the_program_runs(bin_folder: Path) -> None:
    done = subprocess.run([bin_folder / "otel-cost", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("otel-cost, version ")


@pytest.mark.parametrize("group", [(), ("budget",), ("ledger",), ("prices",)], ids=" ".join)
def test_the_line_about_a_command_is_whole_in_a_terminal_of_80_columns(group: tuple[str, ...]) -> None:
    _, commands = CliRunner().invoke(cli.main, [*group, "--help"], terminal_width=80).output.split("Commands:")
    assert "..." not in commands


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("sreve", "No such command 'sreve'. Did you mean serve?"),
        ("xyzzy", "No such command 'xyzzy'.\n"),
    ],
)
def test_an_unknown_command_is_named_with_those_that_it_may_mean(typed: str, said: str) -> None:
    result = CliRunner().invoke(cli.main, [typed])
    assert result.exit_code == 2
    assert said in result.output


def test_a_command_whose_packages_lack_says_which_extra_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking(monkeypatch, "duckdb")
    result = CliRunner().invoke(cli.main, ["serve", "--ledger", "x"])
    assert result.exit_code == 1
    assert "pip install 'otel-cost[ledger]'" in result.output
    assert "Needs: pip install 'otel-cost[ledger]'" in CliRunner().invoke(cli.main, ["--help"]).output


def test_a_command_that_imports_what_it_needs_only_when_it_runs_says_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def late() -> None:
        raise ModuleNotFoundError("No module named 'duckdb'", name="duckdb")

    (serve,) = cli.entry_points(group="otel_cost.commands", name="serve")
    monkeypatch.setattr(type(serve), "load", lambda _: late)
    result = CliRunner().invoke(cli.main, ["serve"])
    said = "Error: 'otel-cost serve' needs more packages: pip install 'otel-cost[ledger]'\n"
    assert (result.exit_code, result.output) == (1, said)


def test_another_missing_module_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking(monkeypatch, "somebody_elses")
    with pytest.raises(ModuleNotFoundError):
        cli.main.get_command(click.Context(cli.main), "serve")


def test_help_does_not_import_what_only_commands_need() -> None:
    heavy = ["duckdb", "pyarrow", "fastapi", "grpc", "streamlit"]
    program = f"""
import sys
from otel_cost.cli import main
main(["--help"], standalone_mode=False)
print([name for name in {heavy} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def lacking(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Have every command need a package that is not there, whatever other tests have imported."""

    def load(_: object) -> object:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    (serve,) = cli.entry_points(group="otel_cost.commands", name="serve")
    monkeypatch.setattr(type(serve), "load", load)
