"""``otel-cost ledger``: check, prune, price anew and back up the books, and what could not be taken into them."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from otel_cost import settings
from otel_cost_exporter.answers.words import rows_of
from otel_cost_exporter.cli import tables
from otel_cost_exporter.cli.asking import FILE, as_json, asking, errors_as_lines, print_json, require_one, the_books

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_cost_exporter.keeping.anywhere import Keeping

    Document = dict[str, Any]

_DIFFERENT = 1
"""The exit status where the books are not what they should be."""


@click.group()
def ledger() -> None:
    """Keep the books: check, prune, price anew, back up. On the file, or through the service that has it."""


@ledger.command()
@click.option("--repair", is_flag=True, help="Make sums anew that are wrong.")
@asking
@as_json
def check(ledger: Path | None, url: str | None, *, repair: bool, as_json: bool) -> None:
    """Prove that all sums are those of the calls, to the last digit. Exits with 1 where one is not."""
    with _keeping(ledger, url, changes=repair) as (keeping, place):
        found = keeping.check(repair=repair)
    if as_json:
        print_json(found)
    else:
        _show_check(found, place)
    if found["different_figures"] and not found["repaired"]:
        raise click.exceptions.Exit(_DIFFERENT)


def _show_check(found: Document, place: str) -> None:
    console = tables.console()
    calls = rows_of(found["calls"])
    since = "" if found["since"] is None else f" since {found['since']}; those before were pruned"
    tables.show_line(console, f"{place}: {calls}{since}")
    if not found["different_figures"]:
        tables.show_line(console, "All sums by hour and day are what they are sums of.")
        return
    headers = ("when", "of", "model", "figure", "should be", "is")
    tables.show_choices(console, headers, [_difference(each) for each in found["differences"]])
    left = found["different_figures"] - len(found["differences"])
    if left:
        tables.show_line(console, f"and {left:,} more figures")
    tables.show_line(
        console, "The sums were made anew." if found["repaired"] else "otel-cost ledger check --repair makes them anew."
    )


def _difference(each: Document) -> tuple[str, ...]:
    payer = f"{each['dimension']} {each['id']}" if each["dimension"] else "all calls"
    model = f"{each['model'] or '(none)'}, {each['cost_status']}"
    owed, held = ("nothing" if each[name] is None else each[name] for name in ("owed", "held"))
    return f"{each['span']} {each['since']}", payer, model, each["figure"], owed, held


@ledger.command()
@click.option("--calls", help=f"How long to keep calls: 90d, 13w, forever. Default: {settings.KEEP_CALLS.name}.")
@click.option("--rollups", help=f"How long to keep their sums. Default: {settings.KEEP_ROLLUPS.name}.")
@click.option("--apply", is_flag=True, help="Delete them.")
@asking
@as_json
def prune(
    calls: str | None, rollups: str | None, ledger: Path | None, url: str | None, *, apply: bool, as_json: bool
) -> None:
    """Which calls, events and sums are older than they are kept. With --apply, they are deleted.

    A service deletes them once a day.
    """
    with _keeping(ledger, url, changes=apply) as (keeping, place):
        found = keeping.prune(calls, rollups, apply=apply)
    if as_json:
        print_json(found)
        return
    console = tables.console()
    counts = f"{rows_of(found['calls'])}, {found['events']:,} events of budgets and {found['sums']:,} sums"
    tables.show_line(console, f"{place}: {counts} {'deleted' if apply else 'are older than they are kept'}")
    for what, since in (("Calls", found["calls_since"]), ("Sums", found["sums_since"])):
        if since is not None:
            tables.show_line(console, f"{what} before {since} {'are' if apply else 'would be'} gone.")
    if not apply and any(found[name] for name in ("calls", "events", "sums")):
        tables.show_line(console, "Nothing was deleted: --apply deletes them.")


@ledger.command()
@click.option("--since", required=True, help="Only calls from then on: 24h, 7d, 2026-11-22, 2026-11-22T15:00:00Z.")
@click.option("--until", help="Only calls before then.")
@click.option("--prices", type=FILE, help="A price file that takes the place of the one the books are kept with.")
@click.option("--apply", is_flag=True, help="Give the calls these costs. What they had before is kept.")
@asking
@as_json
def reprice(
    since: str,
    until: str | None,
    prices: Path | None,
    ledger: Path | None,
    url: str | None,
    *,
    apply: bool,
    as_json: bool,
) -> None:
    """What calls would cost with the prices of today. Each as of its own time; with --apply, they do."""
    text = None if prices is None else _text(prices)
    from otel_cost_exporter.keeping.anywhere import Asked  # noqa: PLC0415 - DuckDB; see the package

    asked = Asked(since, until, text, "prices.toml" if prices is None else prices.name)
    with _keeping(ledger, url, changes=apply) as (keeping, place):
        found = keeping.reprice(asked, apply=apply)
    if as_json:
        print_json(found)
        return
    console = tables.console()
    tables.show_title(console, place)
    headers = ("provider", "model", "calls", "changed", "cost before", "cost after")
    rows = [_repriced(each["provider"] or "(none)", each["model"] or "(none)", each) for each in found["models"]]
    tables.show_choices(console, headers, [*rows, _repriced("total", "", found["total"])])
    for line in _notes(found, applied=apply):
        tables.show_line(console, line)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path} cannot be read: {error}") from None


def _repriced(provider: str, model: str, each: Document) -> tuple[str, ...]:
    costs = (each[name] or "unknown" for name in ("before_usd", "after_usd"))
    return (provider, model, f"{each['calls']:,}", f"{each['changed_calls']:,}", *costs)


def _notes(found: Document, *, applied: bool) -> Iterator[str]:
    total, stated = found["total"], found["stated_calls"]
    if total["newly_priced_calls"]:
        yield f"{tables.calls_of(total['newly_priced_calls'])} had no price before."
    if total["unknown_calls"]:
        yield f"{tables.calls_of(total['unknown_calls'])}: still no price."
    if stated:
        yield f"{tables.calls_of(stated)} beside these: left as it was, for the provider stated the cost."
    if found["price_versions"]:
        yield f"Prices: {', '.join(found['price_versions'])}."
    if applied:
        yield "The calls cost that now; what they cost before stands in the table former_costs."
    elif total["changed_calls"]:
        yield "Nothing was changed: --apply gives the calls these costs."


@ledger.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@asking
@as_json
def backup(file: Path, ledger: Path | None, url: str | None, *, as_json: bool) -> None:
    """Copy the books to FILE as they stand at one moment. Also while they are written."""
    with _keeping(ledger, url, changes=False) as (keeping, place):
        found = keeping.backup(file.absolute())
    if as_json:
        print_json(found)
    else:
        tables.show_line(tables.console(), f"{place}: copied to {found['file']}, {found['bytes']:,} bytes")


@ledger.command()
@click.option("--since", help="Only what came from then on: 24h, 7d, 2026-11-22, 2026-11-22T15:00:00Z.")
@click.option("--until", help="Only what came before then.")
@click.option("--limit", help="How many lines at most: 100 unless you say otherwise, 1000 at most.")
@asking
@as_json
def quarantine(ledger: Path | None, url: str | None, *, as_json: bool, **asked: str | None) -> None:
    """What came and cannot stand in the books. The reason, whose it is and how often, what came last first."""
    with the_books(ledger, url, drained=True) as (books, place):
        found = books.ask("quarantine", [(name, text) for name, text in asked.items() if text is not None])
    if as_json:
        print_json(found)
        return
    console, rows = tables.console(), found["quarantine"]
    tables.show_line(console, place)
    for row in rows:
        whose = row["service"] or "(no service)"
        tables.show_line(console, f"{row['last_received']}  {row['count']:,}x  {whose}: {row['reason']}")
    if not rows:
        tables.show_line(console, "All that came stands in the books.")
    elif found["next"]:
        tables.show_line(console, f"There are earlier ones: --limit, or --until {rows[-1]['last_received']}")


@contextmanager
def _keeping(ledger: Path | None, url: str | None, *, changes: bool) -> Iterator[tuple[Keeping, str]]:
    from otel_cost_exporter.keeping.anywhere import open_keeping  # noqa: PLC0415 - likewise

    require_one(ledger, url)
    with errors_as_lines(), open_keeping(ledger, url, changes=changes) as found:
        yield found
