"""``otel-cost report``: what a run cost, or what every run did."""

from __future__ import annotations

from contextlib import contextmanager, redirect_stdout
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import click

from otel_cost import settings
from otel_cost_exporter.cli import tables
from otel_cost_exporter.cli.asking import (
    FILE,
    FOLDER,
    as_json,
    asking,
    errors_as_lines,
    print_json,
    require_one,
    the_books,
    times,
    within,
    written,
)
from otel_cost_exporter.errors import NotInBooksError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from otel_cost_exporter.books import Books

    Document = dict[str, Any]

_RUNS: Final = 50
"""How many runs are listed, where it is not said."""
_SECTIONS: Final = {
    "stages": ("stage", "model"),
    "by_model": ("model",),
    "by_role": ("role",),
    "by_scene": ("scene",),
}
"""What a report shows of a run, and by what each is grouped. What says nothing is left out."""


@click.command()
@click.argument("run", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "json", "cost-report"]),
    default="table",
    show_default=True,
    help="cost-report is the JSON of the report that the application writes itself (cost_report.json).",
)
@click.option("--limit", type=click.IntRange(1, 1000), help=f"Only so many runs, the dearest. Default: {_RUNS}.")
@click.option(
    "--output", "-o", type=FILE, help="The file to write, as a whole or not at all. Default: standard output."
)
@click.option("--spool", type=FOLDER, help=f"The folder that is drained first. Default: {settings.SPOOL.name}.")
@within
@asking
@as_json
def report(
    run: str | None,
    form: str,
    *,
    limit: int | None,
    output: Path | None,
    spool: Path | None,
    ledger: Path | None,
    url: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """What RUN cost, by stage, model, role and scene. Without RUN, what every run cost. Drains the spool first."""
    from otel_cost_exporter.books import drain_spool  # noqa: PLC0415 - DuckDB; see the package

    form = "json" if as_json else form
    if run is None and form == "cost-report":
        raise click.UsageError("--format cost-report is of one run: otel-cost report RUN --format cost-report")
    if run is not None and (limit or options["since"] or options["until"]):
        raise click.UsageError("--limit, --since and --until are of the list of runs: a run is reported whole")
    require_one(ledger, url)
    with errors_as_lines():
        for line in drain_spool(spool, ledger, url):
            click.echo(line, err=True)
    with the_books(ledger, url, drained=True) as (books, place):
        asked = times(options)
        if run is None:
            document = books.ask("summary", [("by", "run"), ("limit", str(limit or _RUNS)), *asked])
        else:
            document = _of_run(books, run, asked)
        with _printed(output):
            if form == "cost-report":
                from otel_cost_exporter.cli import cost_report  # noqa: PLC0415 - likewise

                click.echo(cost_report.of_run(books, document).model_dump_json(indent=2))
            elif form == "json":
                print_json(document)
            elif form == "markdown":
                click.echo(_markdown(document), nl=False)
            else:
                _show(document, place)


@contextmanager
def _printed(path: Path | None) -> Iterator[None]:
    """What is printed becomes the file `path`."""
    if path is None:
        yield
        return
    with written(path) as file, TextIOWrapper(file, "utf-8") as text, redirect_stdout(text):
        yield


def _of_run(books: Books, run: str, asked: Sequence[tuple[str, str]]) -> Document:
    try:
        return books.ask(f"runs/{quote(run, safe='')}", asked)
    except NotInBooksError as error:
        raise click.ClickException(f"{error}; otel-cost report lists the runs") from None


def _show(document: Document, place: str) -> None:
    console, left_out = tables.console(), dict[str, None]()
    tables.show_title(console, f"{_title(document)}, {place}")
    for line in _told(document):
        tables.show_line(console, line)
    for by, rows in _sections(document):
        left_out |= dict.fromkeys(tables.show(console, by, rows, document["total"]))
    tables.show_notes(console, document["total"], list(left_out), document)


def _markdown(document: Document) -> str:
    lines = [f"# {tables.in_markdown(_title(document))}", *map(tables.in_markdown, _told(document))]
    for by, rows in _sections(document):
        lines += [tables.markdown(by, rows, document["total"])]
    lines += map(tables.in_markdown, tables.notes(document["total"], document))
    return "\n\n".join(lines) + "\n"


def _title(document: Document) -> str:
    return f"Run {document['run']}" if "run" in document else "Runs"


def _told(document: Document) -> Iterator[str]:
    """What is known of the run beside its figures."""
    if "run" not in document:
        return
    paid = f", for {', '.join(document['projects'])}" if document["projects"] else ""
    yield f"Calls from {document['first_call']} to {document['last_call']}{paid}."
    if document["limit_usd"] is not None:
        yield f"Of a budget of {document['limit_usd']} USD, {document['remaining_usd']} USD are left."
    if document["limit_tokens"] is not None:
        yield f"Of a budget of {document['limit_tokens']:,} tokens, {document['remaining_tokens']:,} are left."


def _sections(document: Document) -> Iterator[tuple[Sequence[str], list[Document]]]:
    """What the report is made up of: rows, and by what."""
    if "run" not in document:
        yield ("run",), document["rows"]
        return
    stages = any(row["stage"] is not None for row in document["stages"])
    for name, by in _SECTIONS.items():
        says = any(row[by[0]] is not None for row in document[name])
        if name == "by_model" or (says if name != "stages" else stages):
            yield by, document[name]
