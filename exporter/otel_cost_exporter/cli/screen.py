"""What ``otel-cost top`` shows: a screen of what is being spent, whatever its size."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from rich.cells import cell_len
from rich.console import Group
from rich.table import Table
from rich.text import Text

from otel_cost_exporter.cli.tables import calls_of, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    Document = dict[str, Any]

_LINES_AROUND: Final = 3
"""Of a table: the empty one before it, its title and its headers."""
_NARROW: Final = 72
"""Columns below which tokens are left out."""
_MOST_SPENDERS: Final = 10
_MOST_BUDGETS: Final = 8
_BAR: Final = 20
_GAP: Final = 2
_LEAST_NAME: Final = 6
_FIGURES: Final = frozenset({"calls", "input", "output", "tokens"})
"""Headers of columns whose digits stand below each other."""
_CLOCK: Final = slice(11, 19)
"""The time of day in a time."""


def of(found: Document, width: int, height: int) -> RenderableType:
    """The screen, of `width` columns and `height` lines; what has no room is left out from below."""
    top: list[RenderableType] = [_head(found, width), *(_line(text, width) for text in figures(found))]
    if "failure" in found:
        top.append(Text(printable(found["failure"]), style="bold red", no_wrap=True, overflow="ellipsis"))
    left = height - len(top)
    budgets = [row for row in found["budgets"] if row["limit_usd"] is not None or row["limit_tokens"] is not None]
    for title, headers, rows, most in (
        (f"By {found['dashboard']['by']} today", *_spenders(found, width), _MOST_SPENDERS),
        ("Budgets", *_budgets(budgets, width), _MOST_BUDGETS),
        ("Last calls", *_calls(found["calls"], width), height),
    ):
        count = min(len(rows), most, left - _LINES_AROUND)
        if count > 0:
            top += [Text(), Text(title, style="bold"), _table(headers, rows[:count], width)]
            left -= count + _LINES_AROUND
    return Group(*top)


def figures(found: Document) -> Iterator[str]:
    """What is being spent, what was spent today, and who spent most, a line each."""
    dashboard = found["dashboard"]
    live, total = dashboard["live"], dashboard["total"]
    rate = "unknown" if live["usd_per_hour"] is None else live["usd_per_hour"]
    yield f"now {rate} USD/h, {calls_of(live['calls'])} in {live['minutes']} minutes{_unknown(live['unknown_calls'])}"
    change = f", {dashboard['change']:+.0%} against yesterday" if dashboard["change"] is not None else ""
    spent = "unknown" if total["cost_usd"] is None else total["cost_usd"]
    yield f"today {spent} USD, {calls_of(total['calls'])}{_unknown(total['unknown_calls'])}{change}"
    if dashboard["top"]:
        first = dashboard["top"][0]
        cost = "unknown" if first["cost_usd"] is None else f"{first['cost_usd']} USD"
        yield f"most by {dashboard['by']} {_name(first[dashboard['by']])}: {cost}"


def _unknown(calls: int) -> str:
    return f" ({calls:,} without a price)" if calls else ""


def _head(found: Document, width: int) -> RenderableType:
    return _line(f"otel-cost top  {found['at']}  {found['place']}  Ctrl-C ends", width, "reverse")


def _line(text: str, width: int, style: str = "") -> Text:
    line = Text(printable(text), style=style, no_wrap=True, overflow="ellipsis")
    line.truncate(width, overflow="ellipsis", pad=style == "reverse")
    return line


def _spenders(found: Document, width: int) -> tuple[list[str], list[list[str]]]:
    dashboard = found["dashboard"]
    names = ["calls", *(("input_tokens", "output_tokens") if width >= _NARROW else ())]
    rows = [
        [_name(row[dashboard["by"]]), *(f"{row[name]:,}" for name in names), row["cost_usd"] or "unknown"]
        for row in dashboard["top"]
    ]
    return [dashboard["by"], *(name.removesuffix("_tokens") for name in names), "cost in USD"], rows


def _budgets(budgets: Sequence[Document], width: int) -> tuple[list[str], list[list[str]]]:
    wide = width >= _NARROW
    rows = []
    for row in budgets:
        in_tokens = row["limit_usd"] is None
        limit, spent = (row[f"{name}_{'tokens' if in_tokens else 'usd'}"] for name in ("limit", "spent"))
        share = Decimal(spent or 0) / Decimal(limit) if Decimal(limit) else Decimal(1)
        bar = ["█" * round(min(share, Decimal(1)) * _BAR)] if wide else []
        said = f"{spent or 'unknown'} of {limit} {'tokens' if in_tokens else 'USD'}"
        rows.append([f"{row['dimension']} {_name(row['id'])}", *bar, f"{share:.0%}", said])
    return ["budget", *([""] if wide else []), "used", "spent"], rows


def _calls(calls: Sequence[Document], width: int) -> tuple[list[str], list[list[str]]]:
    wide = width >= _NARROW
    rows = []
    for row in calls:
        whose = " ".join(_name(row[name]) for name in ("run", "stage") if row[name] is not None)
        what = row["response_model"] or row["request_model"] or row["charge"] or ""
        tokens = (row["input_tokens"] or 0) + (row["output_tokens"] or 0)
        more = [row["start"][_CLOCK], printable(what), f"{tokens:,}"] if wide else []
        rows.append([whose or _name(None), *more, row["outcome"], row["cost_usd"] or "unknown"])
    return ["for", *(["began", "model", "tokens"] if wide else []), "outcome", "cost in USD"], rows


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Table:
    """A table whose first column gives way."""
    wanted = [max(cell_len(row[at]) for row in (headers, *rows)) for at in range(len(headers))]
    room = width - sum(wanted[1:]) - _GAP * (len(headers) - 1)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    table.add_column(headers[0], no_wrap=True, overflow="ellipsis", width=max(min(wanted[0], room), _LEAST_NAME))
    for at, header in enumerate(headers[1:], 1):
        to_the_right = header in _FIGURES or at == len(headers) - 1
        table.add_column(header, no_wrap=True, justify="right" if to_the_right else "left", width=wanted[at])
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _name(value: str | None) -> str:
    return "(none)" if value is None else printable(value)
