"""``otel-cost export``: all calls that are asked for, for other programs. However many they are, few are in memory."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from otel_cost_exporter.cli.asking import FILE, asked_for, asking, filtering, say_unknown, the_books, written

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "json", "parquet", "focus"]),
    default="csv",
    show_default=True,
    help="json is an object a line; focus is CSV in the columns of FOCUS, a row for each meter of a call.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--output", "-o", type=FILE, help="The file to write, as a whole or not at all. Default: standard output."
)
@filtering
@asking
def export(
    form: str, *, as_json: bool, output: Path | None, ledger: Path | None, url: str | None, **options: Any
) -> None:
    """All calls, a row each, as CSV, JSON or Parquet. Or what was paid, as FOCUS; filters may be repeated."""
    from otel_cost_exporter.cli.formats import WRITE  # noqa: PLC0415 - Arrow; see the package

    form = "json" if as_json else form
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise click.UsageError("Parquet is no text: write it to a file, as in --output calls.parquet")
    with the_books(ledger, url) as (books, _):
        wanted = asked_for(options, books)
        view = [("view", "focus")] if form == "focus" else []
        with books.export([*wanted, *view]) as batches, written(output) as file:
            WRITE[form](batches, file)
        say_unknown(books, wanted)
        unknown = books.ask("summary", wanted)["total"]["unknown_calls"] if view else 0
    if unknown:
        click.echo(
            f"{unknown:,} of the calls and charges are left out: nobody knows their cost, and FOCUS has no word for "
            "that. They are in the other formats, with cost_status unknown.",
            err=True,
        )
