"""What the demo does where a part of it fails. The ledger service and the instrumented agent are real."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest

from otel_cost_exporter.demo import flow

if TYPE_CHECKING:
    from pathlib import Path


def use_agent(monkeypatch: pytest.MonkeyPatch, folder: Path, program: str) -> None:
    agent = folder / "agent.py"
    agent.write_text(program)
    monkeypatch.setattr(flow, "AGENT", agent)


def test_a_failing_agent_is_an_error_with_its_last_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    use_agent(monkeypatch, tmp_path, "print('[one]'); raise SystemExit('the key is wrong')")
    with pytest.raises(click.ClickException, match="the agent ended with status 1: the key is wrong"):
        flow.run(once=True, live=False, port=0)
    assert "  [one]" in capsys.readouterr().out.splitlines()


def test_an_agent_whose_calls_never_arrive_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_agent(monkeypatch, tmp_path, "")
    with pytest.raises(click.ClickException, match="no call of it reached the ledger"):
        flow.run(once=True, live=False, port=0)


@pytest.mark.parametrize(
    ("platform", "environ", "expected"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"BROWSER": "firefox"}, True),
        ("darwin", {}, True),
    ],
)
def test_a_browser_is_opened_only_where_it_has_a_window(
    monkeypatch: pytest.MonkeyPatch, platform: str, environ: dict[str, str], *, expected: bool
) -> None:
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(flow.sys, "platform", platform)
    assert flow._has_browser() is expected
