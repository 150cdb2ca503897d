import subprocess
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


def test_an_unknown_command_is_named() -> None:
    result = CliRunner().invoke(cli.main, ["sreve"])
    assert result.exit_code == 2
    assert "sreve" in result.output


def test_a_command_whose_packages_lack_says_which_extra_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking(monkeypatch, "duckdb")
    result = CliRunner().invoke(cli.main, ["serve", "--ledger", "x"])
    assert result.exit_code == 1
    assert "pip install 'otel-cost[ledger]'" in result.output
    assert "Needs: pip install 'otel-cost[ledger]'" in CliRunner().invoke(cli.main, ["--help"]).output


def test_another_missing_module_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking(monkeypatch, "somebody_elses")
    with pytest.raises(ModuleNotFoundError):
        cli.main.get_command(click.Context(cli.main), "serve")


def lacking(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Have every command need a package that is not there, whatever other tests have imported."""

    def load(_: object) -> object:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    (serve,) = cli.entry_points(group="otel_cost.commands", name="serve")
    monkeypatch.setattr(type(serve), "load", load)
