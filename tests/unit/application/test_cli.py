import importlib
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
    def lacks(name: str, package: str | None = None) -> object:
        if name == "otel_cost_exporter.commands":
            raise ModuleNotFoundError("No module named 'duckdb'", name="duckdb")
        return real(name, package)

    real = importlib.import_module
    monkeypatch.setattr("importlib.metadata.import_module", lacks)
    result = CliRunner().invoke(cli.main, ["serve", "--ledger", "x"])
    assert result.exit_code == 1
    assert "pip install 'otel-cost[ledger]'" in result.output
    assert "Needs: pip install 'otel-cost[ledger]'" in CliRunner().invoke(cli.main, ["--help"]).output


def test_another_missing_module_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(name: str, _: str | None = None) -> object:
        raise ModuleNotFoundError(f"No module named {name!r}", name="somebody_elses")

    monkeypatch.setattr("importlib.metadata.import_module", lacks)
    with pytest.raises(ModuleNotFoundError):
        cli.main.get_command(click.Context(cli.main), "serve")
