"""``otel-cost summary``: what was spent, by whatever is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from otel_cost_exporter.answers.question import GROUPINGS
from otel_cost_exporter.cli import tables
from otel_cost_exporter.cli.asking import as_json, asked_for, asking, filtering, print_json, say_unknown, the_books

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.option(
    "--by",
    multiple=True,
    metavar="WHAT",
    help=f"Group by: {', '.join(GROUPINGS)}, or a dimension of your own. May be repeated.",
)
@click.option("--limit", type=click.IntRange(1, 1000), help="Only so many rows, the dearest.")
@filtering
@asking
@as_json
def summary(
    by: tuple[str, ...], limit: int | None, ledger: Path | None, url: str | None, *, as_json: bool, **options: Any
) -> None:
    """What was spent, by whatever you ask; filters may be repeated."""
    with the_books(ledger, url) as (books, place):
        wanted = asked_for(options, books)
        parameters = [*(("by", name) for name in by), *wanted]
        parameters += [("limit", str(limit))] if limit is not None else []
        document = books.ask("summary", parameters)
        say_unknown(books, wanted)
    if as_json:
        print_json(document)
        return
    console = tables.console()
    tables.show_title(console, place)
    left_out = tables.show(console, list(dict.fromkeys(by)), document["rows"], document["total"])
    tables.show_notes(console, document["total"], left_out, document)
