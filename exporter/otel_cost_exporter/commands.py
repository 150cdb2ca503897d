"""The commands of the ledger: ``otel-cost serve``, ``summary`` and ``report``."""

from __future__ import annotations

import json
import logging
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from otel_cost import settings
from otel_cost_exporter import service, tables
from otel_cost_exporter.address import Address
from otel_cost_exporter.books import drain_spool, not_counted, open_books
from otel_cost_exporter.errors import LedgerError, QuestionError
from otel_cost_exporter.question import FILTERS, GROUPINGS, askable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from otel_cost_exporter.books import Books

    Document = dict[str, Any]

_SECTIONS: Final = ("stage", "model", "role")
"""By what ``otel-cost report RUN`` breaks a run down."""


class _AddressType(click.ParamType[Address]):
    name = "host:port"

    def convert(self, value: str | Address, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        try:
            return value if isinstance(value, Address) else Address.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _UrlType(click.ParamType[str]):
    name = "url"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return str(settings.URL.read(value))  # one reading for the option and the variable
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


_LOOK_EVERY_SECONDS: Final = 0.2
_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_FOLDER: Final = click.Path(file_okay=False, path_type=Path)


@contextmanager
def _errors_as_lines() -> Iterator[None]:
    """An error of the ledger reaches the user as one line."""
    try:
        yield
    except LedgerError as error:
        raise click.ClickException(str(error)) from None
    except QuestionError as error:
        raise click.UsageError(str(error)) from None


@click.command()
@click.option("--ledger", type=_FILE, help=f"The DuckDB file. Default: {settings.LEDGER.name}.")
@click.option(
    "--grpc", type=_AddressType(), default=str(service.GRPC), show_default=True, help="Where OTLP/gRPC comes."
)
@click.option(
    "--http",
    type=_AddressType(),
    default=str(service.HTTP),
    show_default=True,
    help="Where OTLP/HTTP and questions come.",
)
@click.option("--spool", type=_FOLDER, help=f"The folder that is drained. Default: {settings.SPOOL.name}.")
def serve(ledger: Path | None, grpc: Address, http: Address, spool: Path | None) -> None:
    """Run the ledger service until it is told to stop. Port 0 takes a free port."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    options = service.Options(
        ledger=ledger or settings.get(settings.LEDGER),
        spool=spool or settings.get(settings.SPOOL),
        grpc=grpc,
        http=http,
    )
    told: list[int] = []  # and not an event: a handler that comes amid its wait could wait for its lock for ever
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: told.append(number))
    with _errors_as_lines(), service.Service(options) as running:
        _say_where(running, options)
        while not told:
            time.sleep(_LOOK_EVERY_SECONDS)
    click.echo("Stopped. Everything that was acknowledged is in the ledger.")


def _say_where(running: service.Service, options: service.Options) -> None:
    click.echo(f"Ledger     {running.ledger.path} ({running.reader.calls():,} calls)")
    click.echo(f"OTLP/gRPC  {running.grpc}")
    click.echo(f"OTLP/HTTP  {running.url}/v1/traces")
    click.echo(f"Questions  {running.url}/v1/summary")
    click.echo(f"Spool      {options.spool}")
    for address in (running.grpc, running.http):
        if not address.is_loopback:
            click.echo(
                f"WARNING: {address} can be reached from other machines, and whoever reaches it can read and write "
                f"the books. Listen on 127.0.0.1, or put something in front that checks who comes",
                err=True,
            )


def _asking(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that asks the books."""
    for option in (
        click.option(
            "--url",
            type=_UrlType(),
            help=f"Ask this ledger service. Default where one has the file: {settings.URL.name}.",
        ),
        click.option("--ledger", type=_FILE, help=f"Ask this DuckDB file. Default: {settings.LEDGER.name}."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table."),
    ):
        command = option(command)
    return command


def _filtering(command: Callable[..., None]) -> Callable[..., None]:
    """An option for each filter."""
    for name in reversed(FILTERS):
        command = click.option(f"--{name}", f"filter_{name}", multiple=True, metavar="ID", help=f"Only this {name}.")(
            command
        )
    return command


@click.command()
@click.option(
    "--by",
    multiple=True,
    metavar="WHAT",
    help=f"Group by: {', '.join(GROUPINGS)}, or a dimension of your own. May be repeated.",
)
@click.option("--since", help="Only calls from then on: 24h, 7d, 2026-11-22, 2026-11-22T15:00:00Z.")
@click.option("--until", help="Only calls before then.")
@click.option("--where", multiple=True, metavar="NAME=ID", help="Only this id of a dimension of your own.")
@_filtering
@_asking
def summary(
    by: tuple[str, ...],
    where: tuple[str, ...],
    ledger: Path | None,
    url: str | None,
    *,
    as_json: bool,
    **options: Any,
) -> None:
    """What was spent, by whatever you ask; filters may be repeated."""
    parameters = [("by", name) for name in by]
    parameters += [(name, options[name]) for name in ("since", "until") if options[name]]
    parameters += [(name, wanted) for name in FILTERS for wanted in options[f"filter_{name}"]]
    _require_one(ledger, url)
    owners = [_equation(text) for text in where]
    with _errors_as_lines(), open_books(ledger, url) as (books, place):
        _check_dimensions(owners, books)
        document = books.summary(parameters + owners)
        if ledger is None and (line := not_counted(books)):
            click.echo(line, err=True)
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    console = tables.console()
    tables.show_title(console, place)
    left_out = tables.show(console, list(dict.fromkeys(by)), document["rows"], document["total"])
    tables.show_notes(console, document["total"], left_out)


def _equation(text: str) -> tuple[str, str]:
    name, equals, wanted = text.partition("=")
    if not equals:
        raise click.UsageError(f"--where {text}: write it like --where tenant=acme")
    return name, wanted


def _check_dimensions(owners: Sequence[tuple[str, str]], books: Books) -> None:
    """Refuse what the books would refuse in the words of their HTTP API, and what there would be no dimension."""
    own = askable(books.dimensions()) if owners else ()
    for name, wanted in owners:
        if name not in {*FILTERS, *own}:
            raise click.UsageError(
                f"--where {name}={wanted}: no call in the books has a dimension {name!r}; "
                f"of your own they have {', '.join(own) or 'none'}"
            )


def _require_one(ledger: Path | None, url: str | None) -> None:
    if ledger is not None and url is not None:
        raise click.UsageError("--ledger and --url name different books: give one of them")


@click.command()
@click.argument("run", required=False)
@click.option("--spool", type=_FOLDER, help=f"The folder that is drained first. Default: {settings.SPOOL.name}.")
@_asking
def report(run: str | None, spool: Path | None, ledger: Path | None, url: str | None, *, as_json: bool) -> None:
    """What RUN cost, by stage, model and role; without RUN, what every run cost. Drains the spool first."""
    _require_one(ledger, url)
    with _errors_as_lines():
        for line in drain_spool(spool, ledger, url):
            click.echo(line, err=True)
        with open_books(ledger, url) as (books, place):
            document = books.summary([("by", "run")]) if run is None else _run_report(books, run)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        _print_report(document, place)


def _run_report(books: Books, run: str) -> Document:
    answers = {name: books.summary([("by", name), ("run", run)]) for name in _SECTIONS}
    total = answers["stage"]["total"]
    if not total["calls"] and not total["refused_calls"]:
        raise click.ClickException(f"no call of run {run!r} is in the books; otel-cost report lists the runs")
    return {"run": run, "total": total, **{f"by_{name}": answers[name]["rows"] for name in _SECTIONS}}


def _print_report(document: Document, place: str) -> None:
    console, left_out = tables.console(), dict[str, None]()
    run = document.get("run")
    tables.show_title(console, f"Runs, {place}" if run is None else f"Run {run}, {place}")
    sections = {"run": "rows"} if run is None else {name: f"by_{name}" for name in _SECTIONS}
    for name, rows in sections.items():
        left_out |= dict.fromkeys(tables.show(console, [name], document[rows], document["total"]))
    tables.show_notes(console, document["total"], list(left_out))
