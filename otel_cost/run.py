"""``otel-cost run``: start a program with a budget and attribution around everything that it does."""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import click

from otel_cost import attribution, semconv
from otel_cost.budgets.limit import Limit

_INSTRUMENT = "opentelemetry-instrument"


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--budget", metavar="LIMIT", help="What the run may spend: 0.05 (USD) or 20000tok (tokens).")
@click.option("--run", "run_id", metavar="ID", help="The run's id. Made up where it is not given.")
@click.option("--set", "dimensions", metavar="DIMENSION=ID", multiple=True, help="Who pays, e.g. --set project=atlas.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(budget: str | None, run_id: str | None, dimensions: tuple[str, ...], command: tuple[str, ...]) -> None:
    """Run COMMAND under opentelemetry-instrument, its calls attributed and bounded.

    \b
    otel-cost run --budget 0.05 -- python app.py
    """  # noqa: D301 - click reads the \b
    members = {semconv.dimension_key("run"): run_id or _made_up_id()}
    try:
        attribution.check_id("run", members[semconv.dimension_key("run")])
        if budget is not None:
            members[semconv.budget_key("run")] = Limit.parse(budget).text
        members.update(_attributed(item) for item in dimensions)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    _start(command, {**os.environ, "BAGGAGE": _baggage(members)})


def _made_up_id() -> str:
    return f"run-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:4]}"


def _attributed(item: str) -> tuple[str, str]:
    dimension, equals, identity = item.partition("=")
    if not equals:
        raise ValueError(f"--set {item}: write DIMENSION=ID, as in --set project=atlas")
    name = attribution.check_dimension(dimension)
    return semconv.dimension_key(name), attribution.check_id(name, identity)


def _baggage(members: dict[str, str]) -> str:
    """The members as OpenTelemetry hands baggage to a child process: ours first, since what is too much is dropped.

    Raises:
        click.UsageError: they would not arrive.
    """
    inherited = [item.strip() for item in os.environ.get("BAGGAGE", "").split(",")]
    others = [item for item in inherited if item and item.partition("=")[0].strip() not in members]
    header = ",".join([*(f"{key}={quote(value)}" for key, value in members.items()), *others])
    arrived = attribution.members_of(header)
    if lost := [key for key, value in members.items() if arrived.get(key) != value]:
        raise click.UsageError(f"baggage is too long to carry {', '.join(lost)}: BAGGAGE has {len(header)} characters")
    return header


def _start(command: tuple[str, ...], environ: dict[str, str]) -> None:
    beside = Path(sys.executable).with_name(_INSTRUMENT)
    instrument = str(beside) if beside.exists() else shutil.which(_INSTRUMENT)
    if instrument is None:
        raise click.ClickException(f"{_INSTRUMENT} is not on the path: pip install opentelemetry-instrumentation")
    if command[0].startswith("-"):
        raise click.NoSuchOption(command[0], possibilities=["--budget", "--run", "--set"])
    if shutil.which(command[0]) is None:
        raise click.ClickException(f"there is no program {command[0]!r} to run")
    arguments = command if Path(command[0]).name == _INSTRUMENT else (instrument, *command)
    sys.stdout.flush()
    os.execve(arguments[0] if Path(arguments[0]).is_absolute() else instrument, arguments, environ)  # noqa: S606 - that is what it is for
