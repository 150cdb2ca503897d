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

from otel_cost import attribution, semconv, signing
from otel_cost.budgets.context import limit_and_window

_INSTRUMENT = "opentelemetry-instrument"
_LONGEST_BAGGAGE = 8192
"""Characters that OpenTelemetry takes of a baggage header."""


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--budget", metavar="LIMIT", help="What the run may spend: 0.05 (USD) or 20000tok (tokens); 5/day by window."
)
@click.option("--run", "run_id", metavar="ID", help="The run's id. Made up where it is not given.")
@click.option("--set", "dimensions", metavar="DIMENSION=ID", multiple=True, help="Who pays, e.g. --set project=atlas.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(budget: str | None, run_id: str | None, dimensions: tuple[str, ...], command: tuple[str, ...]) -> None:
    """Run COMMAND under opentelemetry-instrument. Its calls are attributed and bounded.

    \b
    otel-cost run --budget 0.05 -- python app.py
    """  # noqa: D301 - click reads the \b
    try:
        paying = _paying(run_id, dimensions)
        members = {semconv.dimension_key(name): id_ for name, id_ in paying.items()}
        if budget is not None:
            members[semconv.budget_key("run")] = _no_wider(budget)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    _start(command, {**os.environ, "BAGGAGE": _baggage(members)})


def _paying(run_id: str | None, dimensions: tuple[str, ...]) -> dict[str, str]:
    """Dimension -> id: who pays.

    Raises:
        ValueError: what cannot be carried, or is said twice.
    """
    found: dict[str, str] = {}
    for item in (*([f"run={run_id}"] if run_id is not None else []), *dimensions):
        dimension, equals, id_ = item.partition("=")
        if not equals:
            raise ValueError(f"--set {item}: write DIMENSION=ID, as in --set project=atlas")
        if found.setdefault(dimension, id_) != id_:
            raise ValueError(f"{dimension} is given twice: {found[dimension]!r} and {id_!r}")
        semconv.check_id(semconv.check_dimension(dimension), id_)
    return {"run": _made_up_id(), **found}


def _made_up_id() -> str:
    return f"run-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:4]}"


def _no_wider(asked: str) -> str:
    """The budget `asked` for; or the one around it, which this command was given in BAGGAGE, where that is tighter.

    Raises:
        ValueError: they have no unit or window in common, or one cannot be read.
    """
    limit, window = limit_and_window(asked)
    text = attribution.process_members().get(semconv.budget_key("run"))
    if text is None:
        return limit.text + window.text
    try:
        around, window_around = limit_and_window(signing.limit_of(text))
    except ValueError as error:
        raise ValueError(f"the budget in BAGGAGE: {error}") from None
    if around.in_tokens != limit.in_tokens or window_around != window:
        shown = around.text + window_around.text
        raise ValueError(f"BAGGAGE sets a budget of {shown} around this one: give --budget in the same unit and window")
    if around.amount < limit.amount:
        click.echo(f"BAGGAGE sets a budget of {around.text} around this one: it holds, not {limit.text}", err=True)
    return min(limit, around, key=lambda one: one.amount).text + window.text


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
        why = "it would be too long" if len(header) > _LONGEST_BAGGAGE else "an id has no ; and no space around it"
        raise click.UsageError(f"baggage cannot carry {', '.join(lost)}: {why}")
    return header


def _start(command: tuple[str, ...], environ: dict[str, str]) -> None:
    beside = Path(sys.executable).with_name(_INSTRUMENT)
    instrument = str(beside) if beside.exists() else shutil.which(_INSTRUMENT)
    if instrument is None:
        raise click.ClickException(f"{_INSTRUMENT} is not on the path: pip install opentelemetry-instrumentation")
    if command[0].startswith("-"):
        raise click.NoSuchOption(command[0], possibilities=["--budget", "--run", "--set"])
    if shutil.which(command[0]) is None:
        what = "is not executable" if Path(command[0]).exists() else "is not there"
        raise click.ClickException(f"the program {command[0]!r} {what}")
    arguments = command if Path(command[0]).name == _INSTRUMENT else (instrument, *command)
    sys.stdout.flush()
    os.execve(arguments[0] if Path(arguments[0]).is_absolute() else instrument, arguments, environ)  # noqa: S606 - that is what it is for
