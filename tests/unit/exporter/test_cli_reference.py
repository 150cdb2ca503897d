"""docs/reference/cli.md has every command with its options, and none that is not there."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from otel_cost_exporter.answers.question import FILTERS

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
COMMANDS = {each.name: each.load() for each in entry_points(group="otel_cost.commands")}
SHARED = {"--ledger", "--url", "--json"} | {f"--{name}" for name in FILTERS}
"""What several commands have: the page says it once, and of filters a few for all."""


def section(name: str) -> str:
    [found] = re.findall(rf"^## `otel-cost {name}\b[^\n]*\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def options(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield from (name for name in (*parameter.opts, *parameter.secondary_opts) if name.startswith("--"))
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        yield from options(below)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_has_the_command_with_its_options(name: str) -> None:
    command, said = COMMANDS[name], section(name)
    if isinstance(command, click.Group):
        assert [below for below in command.commands if not re.search(rf"`{below}\b", said)] == []
    own = set(options(command)) - SHARED
    if name == "export":
        own -= set(options(COMMANDS["summary"]))
        assert "the filters of\n`summary`" in said
    elsewhere = {"--for"} if name == "budget" else set()  # of `sign`, which has a page of its own
    assert {option for option in own if option not in said} <= elsewhere


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_has_no_option_that_is_not_there(name: str) -> None:
    said = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", section(name)))
    others = {"--traces_exporter"}  # of opentelemetry-instrument
    assert said - others <= set(options(COMMANDS[name])) | SHARED
