"""``otel-cost compare``: what a run would have cost with other models."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from otel_cost_exporter.cli import tables
from otel_cost_exporter.cli.asking import as_json, asking, print_json, the_books

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Document = dict[str, Any]


@click.command()
@click.argument("run")
@click.option(
    "--model",
    "models",
    multiple=True,
    required=True,
    metavar="MODEL",
    help="Another model, behind its seller where that is not its maker: groq/llama-3.3-70b-versatile. May be repeated.",
)
@asking
@as_json
def compare(run: str, models: tuple[str, ...], ledger: Path | None, url: str | None, *, as_json: bool) -> None:
    """What RUN would have cost with other models. From its own tokens: a range where they count otherwise."""
    with the_books(ledger, url) as (books, place):
        document = books.ask("compare", [("run", run), *(("instead", name) for name in models)])
    if as_json:
        print_json(document)
        return
    console = tables.console()
    tables.show_title(console, f"Run {run}, {place}")
    rows = [_row(document, model) for model in document["models"]]
    tables.show_choices(console, ("model", "cost in USD", "change"), [_own(document), *rows])
    for line in _notes(document):
        tables.show_line(console, line)


def _own(document: Document) -> tuple[str, str, str]:
    return f"as it was: {', '.join(document['answered_by'])}", document["cost_usd"] or "unknown", ""


def _row(document: Document, model: Document) -> tuple[str, str, str]:
    low, high = model["low_usd"], model["high_usd"]
    cost = "unknown" if low is None else low if low == high else f"{low} to {high}"
    return model["model"], cost, _change(document, model)


def _change(document: Document, model: Document) -> str:
    """By how much it is more or less, where both have the cost of all calls."""
    own = Decimal(document["cost_usd"] or 0)
    if not own or document["unknown_calls"] or model["unknown_calls"]:
        return ""
    low, high = (f"{(Decimal(model[name]) / own - 1) * 100:+.0f}%" for name in ("low_usd", "high_usd"))
    return low if low == high else f"{low} to {high}"


def _notes(document: Document) -> Iterator[str]:
    yield "The other models are taken to answer as much, to think as much and to cache as much."
    if (since := document["complete_since"]) is not None:
        yield f"Calls before {since} are no longer kept, and in no figure here."
    if document["unknown_calls"]:
        yield f"As it was, the cost of {tables.calls_of(document['unknown_calls'])} is unknown and in no sum."
    if document["left_out_calls"]:
        yield f"{tables.calls_of(document['left_out_calls'])} for embeddings are left out of all this."
    for model in document["models"]:
        if model["unknown_calls"]:
            yield f"{model['model']}: the cost of {tables.calls_of(model['unknown_calls'])} is unknown and in no sum."
        for doubt in model["doubts"]:
            yield f"{model['model']}: {doubt}."
