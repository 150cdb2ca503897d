"""The ``demo`` command before it starts anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.testing import CliRunner

from otel_cost_exporter.demo import command

if TYPE_CHECKING:
    import pytest


def test_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name in {"openai", "streamlit"} else object())
    result = CliRunner().invoke(command.demo, ["--once"])
    assert result.exit_code == 1
    assert result.output == "Error: the demo needs openai, streamlit: pip install 'otel-cost[demo]'\n"


def test_its_help_says_that_nothing_is_charged() -> None:
    text = " ".join(CliRunner().invoke(command.demo, ["--help"]).output.split())
    assert "No vendor is called and nothing is charged, unless --live says so." in text
    assert "This spends real money." in text
