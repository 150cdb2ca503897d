"""What the commands that ask the books have in common: their options, their errors, and which books it is."""

from __future__ import annotations

import json
import sys
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import click

from otel_cost import settings
from otel_cost_exporter.answers.question import FILTERS, askable
from otel_cost_exporter.errors import LedgerError, NotInBooksError, QuestionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from otel_cost_exporter.books import Books

    Command = Callable[..., None]
    Document = dict[str, Any]

_TIMES: Final = ("since", "until", "tz")
FILE: Final = click.Path(dir_okay=False, path_type=Path)
FOLDER: Final = click.Path(file_okay=False, path_type=Path)


class _UrlType(click.ParamType[str]):
    name = "url"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return str(settings.URL.read(value))  # one reading for the option and the variable
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


def asking(command: Command) -> Command:
    """The options that say which books are asked."""
    for option in (
        click.option(
            "--url",
            type=_UrlType(),
            help=f"Ask this ledger service. Default where one has the file: {settings.URL.name}.",
        ),
        click.option("--ledger", type=FILE, help=f"Ask this DuckDB file. Default: {settings.LEDGER.name}."),
    ):
        command = option(command)
    return command


def as_json(command: Command) -> Command:
    """The option ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(command)


def filtering(command: Command) -> Command:
    """The options that say which calls are asked for."""
    for name in reversed(FILTERS):
        command = click.option(f"--{name}", f"filter_{name}", multiple=True, metavar="ID", help=f"Only this {name}.")(
            command
        )
    where = click.option("--where", multiple=True, metavar="NAME=ID", help="Only this id of a dimension of your own.")
    return within(where(command))


def within(command: Command) -> Command:
    """The options that say of which time calls are asked for."""
    for option in (
        click.option("--tz", metavar="ZONE", help="By whose clocks days and hours begin, such as Europe/Berlin."),
        click.option("--until", help="Only calls before then."),
        click.option("--since", help="Only calls from then on: 24h, 7d, 2026-11, 2026-11-22, 2026-11-22T15:00:00Z."),
    ):
        command = option(command)
    return command


def asked_for(options: Mapping[str, Any], books: Books) -> list[tuple[str, str]]:
    """The parameters that the options of `filtering` stand for.

    Raises:
        click.UsageError: one of ``--where`` is none.
    """
    found = [(name, wanted) for name in FILTERS for wanted in options[f"filter_{name}"]]
    owners = [_equation(text) for text in options["where"]]
    _check_dimensions(owners, books)
    return times(options) + found + owners


def times(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The parameters that the options of `within` stand for."""
    return [(name, options[name]) for name in _TIMES if options[name]]


def say_unknown(books: Books, parameters: Sequence[tuple[str, str]]) -> None:
    """Say which ids that are filtered by no call in the books has: they are mistyped, or spent nothing so far."""
    for name, wanted in parameters:
        if name not in _TIMES and not books.ask("summary", [("by", name), (name, wanted)])["rows"]:
            click.echo(f"No call in the books has {name}={wanted}.", err=True)


def _equation(text: str) -> tuple[str, str]:
    name, equals, wanted = text.partition("=")
    if not equals:
        raise click.UsageError(f"--where {text}: write it like --where tenant=acme")
    return name, wanted


def _check_dimensions(owners: Sequence[tuple[str, str]], books: Books) -> None:
    """Refuse what the books would refuse in the words of their HTTP API, and what there would be no dimension."""
    own = askable(books.ask("dimensions")["dimensions"]) if owners else ()
    for name, wanted in owners:
        if name not in {*FILTERS, *own}:
            raise click.UsageError(
                f"--where {name}={wanted}: no call in the books has a dimension {name!r}; "
                f"of your own they have {', '.join(own) or 'none'}"
            )


@contextmanager
def the_books(ledger: Path | None, url: str | None, *, drained: bool = False) -> Iterator[tuple[Books, str]]:
    """The books to ask, and where they are; an error of theirs reaches the user as one line.

    Args:
        ledger: the file that the user named.
        url: the service that the user named.
        drained: whether what waits in the spool has been taken in; else it is said.
    """
    from otel_cost_exporter.books import not_counted, open_books  # noqa: PLC0415 - DuckDB; see the package

    require_one(ledger, url)
    with errors_as_lines(), open_books(ledger, url) as (books, place):
        yield books, place
        if not drained and ledger is None and (line := not_counted(books)):
            click.echo(line, err=True)


@contextmanager
def errors_as_lines() -> Iterator[None]:
    """An error of the ledger reaches the user as one line."""
    try:
        yield
    except (LedgerError, NotInBooksError) as error:
        raise click.ClickException(str(error)) from None
    except QuestionError as error:
        raise click.UsageError(str(error)) from None


def require_one(ledger: Path | None, url: str | None) -> None:
    """Refuse two books at once."""
    if ledger is not None and url is not None:
        raise click.UsageError("--ledger and --url name different books: give one of them")


@contextmanager
def written(path: Path | None) -> Iterator[IO[bytes]]:
    """What becomes the file `path` once it is whole; standard output where that is None."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    new = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with new.open("wb") as file:
            yield file
        new.replace(path)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        new.unlink(missing_ok=True)


def print_json(document: Document) -> None:
    """Print `document` for a program."""
    click.echo(json.dumps(document, indent=2))
