"""``otel-cost top``: what is being spent right now, by whom, and how budgets stand."""

from __future__ import annotations

import json
import signal
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.live import Live

from otel_cost_exporter.answers.question import FILTERS
from otel_cost_exporter.cli import screen
from otel_cost_exporter.cli.asking import as_json, asking, the_books

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Document = dict[str, Any]
    Look = Callable[[], Document]

_MOST_CALLS: Final = "50"
_MOST_BUDGETS: Final = 50


@click.command()
@click.option(
    "--by",
    default="project",
    show_default=True,
    metavar="WHAT",
    help=f"Who spends: {', '.join(FILTERS)}, or a dimension of your own.",
)
@click.option("--tz", metavar="ZONE", default="UTC", show_default=True, help="By whose clocks today began.")
@click.option("--every", type=click.FloatRange(min=0.1), default=2.0, show_default=True, help="Seconds between looks.")
@click.option("--times", type=click.IntRange(min=1), help="End after so many looks.")
@asking
@as_json
def top(
    by: str, tz: str, *, every: float, times: int | None, ledger: Path | None, url: str | None, as_json: bool
) -> None:
    """What is being spent right now, until Ctrl-C. Where it does not print to a terminal, a line for each look."""

    def look() -> Document:
        with the_books(ledger, url, drained=True) as (
            books,
            place,
        ):  # anew each time: a file that is held open is locked
            return {
                "at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
                "place": place,
                "dashboard": books.ask("cost-dashboard", [("days", "1"), ("by", by), ("tz", tz)]),
                "budgets": books.budgets(_MOST_BUDGETS),
                "calls": books.ask("calls", [("limit", _MOST_CALLS), ("tz", tz)])["calls"],
            }

    if as_json or not sys.stdout.isatty():
        show = _as_json if as_json else _as_line
        with _until_told():
            for found in _looks(look, every, times):
                click.echo(show(found))
        return
    first = look()  # an error at the start is said where it can be read
    console = Console(highlight=False)
    with _until_told(), Live(console=console, screen=True, auto_refresh=False) as live:
        for found in _looks(_lasting(look, first), every, times):
            live.update(screen.of(found, *console.size), refresh=True)


def _looks(look: Look, every: float, times: int | None) -> Iterator[Document]:
    """A look every so many seconds."""
    count = 0
    while True:
        yield look()
        count += 1
        if count == times:
            return
        time.sleep(every)


def _lasting(look: Look, first: Document) -> Look:
    """`look`, begun with `first`; where the books cannot be asked for a while, it says so beside what was last seen."""
    seen: list[Document] = []

    def next_look() -> Document:
        if not seen:
            seen.append(first)
            return first
        try:
            seen[0] = look()
        except click.ClickException as error:
            return seen[0] | {"failure": error.message}
        return seen[0]

    return next_look


@contextmanager
def _until_told() -> Iterator[None]:
    """Until Ctrl-C or SIGTERM, either of which is a proper end: the terminal is left as it was."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)


def _as_json(found: Document) -> str:
    return json.dumps(found)


def _as_line(found: Document) -> str:
    return f"{found['at']}  {'  '.join(screen.figures(found))}"
