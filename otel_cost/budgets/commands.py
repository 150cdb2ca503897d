"""``otel-cost budget``: how budgets stand, and what a person decides about them."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Protocol, get_args
from urllib.parse import urlencode

import click

from otel_cost import access, money, semconv, settings
from otel_cost.budgets import chosen
from otel_cost.budgets.limit import Limit
from otel_cost.budgets.outage import StoreGoneError
from otel_cost.budgets.pick import pick
from otel_cost.budgets.rule import PLAIN, Key
from otel_cost.budgets.service import RefusedError, Service, ServiceServer, path_of, who
from otel_cost.budgets.window import Span, is_over
from otel_cost.budgets.written_commands import check, sign

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from otel_cost.budgets.shared import Server

    Row = dict[str, Any]

_TOKEN: Final = f"; set {settings.BUDGET_TOKEN.name}, or to look only, {settings.READ_TOKEN.name}"


class Keeper(Protocol):
    """Whatever keeps the accounts that a person asks about."""

    def rows(self) -> list[Row]:
        """How each account stands, as ``GET /v1/budgets`` tells it."""

    def put_limit(self, dimension: str, id: str, limit: Limit, window: str | None) -> None:  # noqa: A002 - what it is
        """Put `limit` in the place of the one that calls bring."""

    def stop(self, dimension: str, id: str, reason: str) -> None:  # noqa: A002 - what it is
        """Let nothing through any more."""

    def resume(self, dimension: str, id: str) -> None:  # noqa: A002 - what it is
        """Lift a stop."""


def _service(url: str) -> Service:
    """The service at `url`; whoever may only look shows the token for that."""
    may_change = access.tokens(settings.BUDGET_TOKEN)
    return Service(url, token=settings.BUDGET_TOKEN if may_change else settings.READ_TOKEN)


class _InService:
    """Budgets that the ledger service keeps, or whose processes ask it."""

    def __init__(self, url: str) -> None:
        self._service = _service(url)
        self.close = self._service.close

    def rows(self) -> list[Row]:
        found: list[Row] = self._service.ask("GET", "/v1/budgets")["budgets"]
        return found

    def put_limit(self, dimension: str, id: str, limit: Limit, window: str | None) -> None:  # noqa: A002 - what it is
        body = {"limit": limit.text, "by": who(), "window": window}
        self._service.ask("PUT", f"{path_of(dimension, id)}/limit", body)

    def stop(self, dimension: str, id: str, reason: str) -> None:  # noqa: A002 - what it is
        self._service.ask("POST", f"{path_of(dimension, id)}/stop", {"reason": reason, "by": who()})

    def resume(self, dimension: str, id: str) -> None:  # noqa: A002 - what it is
        self._service.ask("POST", f"{path_of(dimension, id)}/resume", {"by": who()})


class _InServer:
    """Budgets in Redis."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.close = server.close

    def rows(self) -> list[Row]:
        from otel_cost.budgets.config import BudgetStatus  # noqa: PLC0415 - only here

        now = datetime.now(UTC)
        standings = (each for each in self._server.standings() if not is_over(each.key.period, now))
        return [BudgetStatus.of(each, PLAIN).model_dump(mode="json") for each in standings]

    def put_limit(self, dimension: str, id: str, limit: Limit, window: str | None) -> None:  # noqa: A002 - what it is
        known = [each.key for each in self._server.standings()]
        try:
            key = pick(known, Key(dimension, id, limit.unit), window, datetime.now(UTC))
        except ValueError as error:
            raise click.ClickException(str(error)) from None
        self._server.put_limit(key, limit)

    def stop(self, dimension: str, id: str, reason: str) -> None:  # noqa: A002 - what it is
        said = f"stopped by {who()}: {reason}" if reason else f"stopped by {who()}"
        for key in self._keys(dimension, id):
            self._server.stop(key, said)

    def resume(self, dimension: str, id: str) -> None:  # noqa: A002 - what it is
        for key in self._keys(dimension, id):
            self._server.resume(key)

    def _keys(self, dimension: str, id: str) -> list[Key]:  # noqa: A002 - what it is
        found = [each.key for each in self._server.standings() if each.key[:2] == (dimension, id)]
        if not found:
            raise click.ClickException(_unknown(dimension, id))
        return found


def _unknown(dimension: str, id: str) -> str:  # noqa: A002 - what it is
    return f"no budget of {dimension} {id!r} is known: no call has brought one so far"


@contextmanager
def _keeper(url: str | None) -> Iterator[Keeper]:
    """Whatever keeps the accounts: the service at `url`, or what the settings say.

    Raises:
        click.ClickException: nothing answers there; where it looked, and what to do.
    """
    name = url or settings.get(settings.BUDGET_STORE)
    try:
        server = chosen.server(name)
    except ValueError as error:
        raise click.ClickException(f"{settings.BUDGET_STORE.name}={name}: {error}") from None
    is_service = server is None or isinstance(server, ServiceServer)
    where = settings.get(settings.URL) if server is None else server.where
    with (
        _errors_as_lines(where, is_service=is_service),
        closing(_InService(where) if server is None or is_service else _InServer(server)) as keeper,
    ):
        yield keeper


@contextmanager
def _errors_as_lines(where: str, *, is_service: bool) -> Iterator[None]:
    try:
        yield
    except RefusedError as error:
        raise click.ClickException(f"{error}{_TOKEN if error.wants_token else ''}") from None
    except StoreGoneError as error:
        what_to_do = (
            "start one with otel-cost serve, or name it with --url or OTEL_COST_URL"
            if is_service
            else f"is Redis running, and is {settings.BUDGET_STORE.name} right?"
        )
        kind = "ledger service" if is_service else "budget store"
        raise click.ClickException(f"no {kind} answers at {where} ({error}); {what_to_do}") from None


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every command here."""
    url = click.option(
        "--url", help=f"Ask this ledger service. Default: {settings.BUDGET_STORE.name}, then OTEL_COST_URL."
    )
    as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    return url(as_json(command))


_dimension = click.argument("dimension", callback=lambda _, __, value: _checked(value))
_id = click.argument("id")


def _checked(name: str) -> str:
    try:
        return semconv.check_dimension(name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.group()
def budget() -> None:
    """How budgets stand; raise, stop and resume them."""


for command in (check, sign):
    budget.add_command(command)


@budget.command("list")
@click.option("--dimension", help="Only budgets of this dimension.")
@_options
def list_(dimension: str | None, url: str | None, *, as_json: bool) -> None:
    """List budgets, the most used first."""
    with _keeper(url) as keeper:
        rows = [row for row in keeper.rows() if dimension in {None, row["dimension"]}]
    if as_json:
        click.echo(_json(rows))
    elif rows:
        _print_table(rows)
    else:
        click.echo("No call has brought a budget so far.")


@budget.command()
@_dimension
@_id
@_options
def show(dimension: str, id: str, url: str | None, *, as_json: bool) -> None:  # noqa: A002 - what it is
    """Show how the budgets of ID stand."""
    with _keeper(url) as keeper:
        _show(keeper, dimension, id, as_json=as_json)


@budget.command("raise")
@_dimension
@_id
@click.option("--to", "to", required=True, metavar="LIMIT", help="The new limit: 8 (USD) or 20000tok (tokens).")
@click.option(
    "--window", type=click.Choice(get_args(Span)), help="Which budget, where the id has several in that unit."
)
@_options
def raise_(dimension: str, id: str, to: str, window: str | None, url: str | None, *, as_json: bool) -> None:  # noqa: A002 - what it is
    """Put another limit in the place of whatever calls bring. Calls that wait for it go on."""
    try:
        limit = Limit.parse(to)
    except ValueError as error:
        raise click.UsageError(f"--to {to}: {error}") from None
    with _keeper(url) as keeper:
        is_new = not _rows_of(keeper, dimension, id)
        keeper.put_limit(dimension, id, limit, window)
        _show(keeper, dimension, id, as_json=as_json)
    if is_new:
        click.echo(f"{_unknown(dimension, id)}. This limit holds from the first", err=True)


@budget.command()
@_dimension
@_id
@click.option("--reason", default="", help="Told to whoever is refused.")
@_options
def stop(dimension: str, id: str, reason: str, url: str | None, *, as_json: bool) -> None:  # noqa: A002 - what it is
    """Let no call under a budget of ID through any more. Calls that wait are refused."""
    with _keeper(url) as keeper:
        is_new = not _rows_of(keeper, dimension, id)
        keeper.stop(dimension, id, reason)
        _show(keeper, dimension, id, as_json=as_json)
    if is_new:
        click.echo(
            f"{_unknown(dimension, id)}. The stop holds for calls under a budget of this id; calls under none go on",
            err=True,
        )


@budget.command()
@_dimension
@_id
@_options
def resume(dimension: str, id: str, url: str | None, *, as_json: bool) -> None:  # noqa: A002 - what it is
    """Lift a stop."""
    with _keeper(url) as keeper:
        was_known = _rows_of(keeper, dimension, id)
        keeper.resume(dimension, id)
        if was_known and not _rows_of(keeper, dimension, id):  # nothing but the stop was known of it
            told = f"{dimension} {_printable(id)} is no longer stopped; no call has brought a budget of it so far"
            click.echo(_json([]) if as_json else told)
        else:
            _show(keeper, dimension, id, as_json=as_json)


@budget.command()
@click.argument("dimension", required=False)
@click.argument("id", required=False)
@click.option("--since", help="Only from then on: 24h, 7d, 2026-11-22, 2026-11-22T15:00:00Z.")
@click.option("--until", help="Only before then.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="Only so many, the latest.")
@click.option("--url", help="Ask this ledger service. Default: OTEL_COST_URL.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def events(url: str | None, *, as_json: bool, **asked: Any) -> None:
    """What happened to budgets, or to those of ID. Who reached or exceeded which limit, and when; the latest first."""
    where = url or settings.get(settings.URL)
    dimension, id = asked.pop("dimension"), asked.pop("id")  # noqa: A001 - what it is
    if dimension and id is None:
        raise click.UsageError(f"which {dimension}? Name its id as well: otel-cost budget events {dimension} ID")
    asked |= {_checked(dimension): id} if dimension else {}
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    with _errors_as_lines(where, is_service=True), closing(_service(where)) as service:
        found = service.ask("GET", f"/v1/budgets/events?{query}")
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for row in found["events"]:
        click.echo(_told(row))
    if not found["events"]:
        click.echo("Nothing has happened to budgets that the ledger was told of.")
        click.echo("Applications tell it where they run with --logs_exporter otlp, or otel_cost.", err=True)
    elif found["next"]:
        click.echo(f"There are earlier ones: --limit, or --until {found['events'][-1]['at']}", err=True)


def _told(row: Row) -> str:
    """An event in one line."""
    share = f" ({Decimal(row['share']):.0%})" if row["share"] else ""
    asks = f", a call of {_printable(row['model'] or 'no model')} asks {row['call']}" if row["call"] else ""
    whose = f"{row['dimension']} {_printable(row['id'])}{_period(row)}"
    spent, limit = (row[name] or "unknown" for name in ("spent", "limit"))
    return f"{row['at']}  {row['kind']:<10}  {whose}: {spent} of {limit} {row['unit']} spent{share}{asks}"


# --- what is printed -----------------------------------------------------------------------------------------------
def _show(keeper: Keeper, dimension: str, id: str, *, as_json: bool) -> None:  # noqa: A002 - what it is
    rows = _rows_of(keeper, dimension, id)
    if not rows:
        raise click.ClickException(_unknown(dimension, id))
    if as_json:
        click.echo(_json(rows))
        return
    for row in rows:
        for name, text in _facts(row).items():
            click.echo(f"{name:<10} {text}")


def _rows_of(keeper: Keeper, dimension: str, id: str) -> list[Row]:  # noqa: A002 - what it is
    return [row for row in keeper.rows() if (row["dimension"], row["id"]) == (dimension, id)]


def _facts(row: Row) -> dict[str, str]:
    unit = row["unit"]
    found = {
        "budget": f"{row['dimension']} {_printable(row['id'])}{_period(row)}",
        "state": _state(row),
        "limit": f"{row['limit']} {unit}{_by(row.get('limit_put'))}",
        "spent": f"{row['spent']} {unit} by {_calls(row['calls'])}",
        "held": f"{row['held']} {unit} by {_calls(row['under_way'])} under way",
        "remaining": f"{row['remaining']} {unit}",
    }
    return found if row["under_way"] else {name: text for name, text in found.items() if name != "held"}


def _state(row: Row) -> str:
    reason = _printable(row["reason"] or "")
    return reason if reason.startswith(row["state"]) else ", ".join(filter(None, (row["state"], reason)))


def _by(given: Row | None) -> str:
    return f", put by {_printable(given['by'])} at {given['at'][:19]}Z" if given else ""


def _calls(number: int) -> str:
    return "1 call" if number == 1 else f"{number:,} calls"


def _period(row: Row) -> str:
    return f", {_printable(row['period'])}" if row["period"] else ""


def _json(rows: list[Row]) -> str:
    return json.dumps({"budgets": rows}, indent=2)


def _print_table(rows: Sequence[Row]) -> None:
    """A line for each budget, as wide as the terminal at most: the id gives way."""
    cells = [("budget", "limit", "spent", "held", "used", "state"), *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    others = sum(widths[1:]) + 2 * (len(widths) - 1)
    room = max(12, shutil.get_terminal_size().columns - others) if sys.stdout.isatty() else widths[0]
    for first, *middle, state in cells:
        figures = "  ".join(f"{text:>{width}}" for text, width in zip(middle, widths[1:-1], strict=True))
        lines = [first[at : at + room] for at in range(0, len(first), room)]
        click.echo(f"{lines[0]:<{min(room, widths[0])}}  {figures}  {state}")
        for line in lines[1:]:
            click.echo(line)


def _cells(row: Row) -> tuple[str, ...]:
    limit, spent = Decimal(row["limit"]), Decimal(row["spent"])
    used = f"{spent / limit:.0%}" if limit else "100%"
    in_usd = row["unit"] == money.CURRENCY
    amounts = (_short(row[name]) if in_usd else f"{row[name]} tok" for name in ("limit", "spent", "held"))
    window = "" if row["window"] == "life" else f" ({row['window']})"
    return (f"{row['dimension']} {_printable(row['id'])}{window}", *amounts, used, row["state"])


def _short(amount: str) -> str:
    """To a cent's hundredth; `show` and ``--json`` are exact."""
    return f"{Decimal(amount):.4f} USD"


def _printable(text: str) -> str:
    """`text` without what could steer a terminal: ids come from outside."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
