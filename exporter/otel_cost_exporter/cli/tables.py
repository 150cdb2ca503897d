"""What commands print for people. Money is exact; unknown is said, and is not zero."""

from __future__ import annotations

import re
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from otel_cost_exporter.answers.words import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Figures = Mapping[str, Any]

_ALWAYS: Final = {"calls": "calls", "input_tokens": "input", "output_tokens": "output"}
_WHERE_ANY: Final = {
    "failed_calls": "failed",
    "cut_calls": "cut off",
    "refused_calls": "refused",
    "unknown_calls": "no price",
}
"""Figures that have a column only where some call has them."""
_FIRST_TO_GO: Final = (
    {"input_tokens", "output_tokens"},
    {"cut_calls"},
    {"failed_calls"},
    {"refused_calls"},
    {"unknown_calls"},
    {"calls"},
)
"""What a narrow terminal does without, the least important first. The cost stays."""
_COST: Final = "cost in USD"
_GAP: Final = 2
_WHOLE_LABEL: Final = 36
"""Columns that a label keeps as long as there is a figure to leave out for it: a UUID stands whole."""
_LEAST_LABEL: Final = 8
"""Columns that a label keeps in the narrowest terminal: a table too wide can be read, one without labels cannot."""
_ENDLESS: Final = 1_000_000
_MARKS: Final = re.compile(r"[\\`*_{}\[\]<>#|~]")
"""What means something in Markdown."""


def console() -> Console:
    """Where commands print: as wide as the terminal, and without a limit where a program reads it line by line."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _ENDLESS)


def show(console: Console, by: Sequence[str], rows: Sequence[Figures], total: Figures) -> tuple[str, ...]:
    """Print `rows` as a table that fits the terminal, closed by `total`.

    Args:
        console: where to print.
        by: the keys of the rows that are no figures, in the order of their columns.
        rows: figures, each with its keys.
        total: the figures of all.

    Returns:
        The headers of the figures that found no room.
    """
    columns = _columns(total)
    labels = {name: [_key(row[name]) for row in rows] for name in by} or {"": []}
    wanted = [max(cell_len(text) for text in ("total", name, *map(str, texts))) for name, texts in labels.items()]
    for fitting in _fewer_and_fewer(columns):
        room = console.width - _width_of_figures((*rows, total), fitting) - _GAP * len(labels)
        if room >= sum(min(width, _WHOLE_LABEL) for width in wanted):
            break
    widths = _shares(wanted, room)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for name, width in zip(labels, widths, strict=True):
        table.add_column(name, overflow="fold", width=width)
    for header in (*fitting.values(), _COST):
        table.add_column(header, justify="right", no_wrap=True)
    for row, *texts in zip(rows, *labels.values(), strict=bool(by)):
        table.add_row(*texts, *_figures(row, fitting))
    table.add_section()
    table.add_row("total", *[""] * (len(labels) - 1), *_figures(total, fitting), style="bold")
    _print(console, table, console.width + sum(widths) - room)
    return tuple(header for name, header in columns.items() if name not in fitting)


def _columns(total: Figures) -> dict[str, str]:
    """The figures that a table has, beside the cost."""
    return _ALWAYS | {name: header for name, header in _WHERE_ANY.items() if total[name]}


def _fewer_and_fewer(columns: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """All `columns`, and then always fewer of them."""
    left = dict(columns)
    yield left
    for names in _FIRST_TO_GO:
        if not names.isdisjoint(left):
            left = {name: header for name, header in left.items() if name not in names}
            yield left


def _width_of_figures(rows: Sequence[Figures], columns: Mapping[str, str]) -> int:
    """What `columns` and the cost take, with the gaps between them."""
    headers = [*columns.values(), _COST]
    cells = zip(headers, *(_figures(row, columns) for row in rows), strict=True)
    return sum(max(map(len, column)) for column in cells) + _GAP * (len(headers) - 1)


def _shares(wanted: Sequence[int], room: int) -> list[int]:
    """What each label gets of `room`, of the `wanted` widths: the widest gives first, and each keeps a least width."""
    widths = list(wanted)
    while sum(widths) > room and max(widths) > _LEAST_LABEL:
        widths[widths.index(max(widths))] -= 1
    return widths


def _print(console: Console, table: Table, width: int) -> None:
    """Print `table`, which takes `width`: a terminal that is narrower wraps it, and cuts nothing off."""
    console.print()
    real = console.width
    console.width = max(width, real)
    console.print(table)
    console.width = real


def show_title(console: Console, title: str) -> None:
    """Print what the tables below it tell."""
    console.print(Text(printable(title), style="bold"), soft_wrap=True)  # a path in it can be copied whole


def show_line(console: Console, line: str) -> None:
    """Print a line beside the tables."""
    console.print(Text(printable(line)))


def show_notes(console: Console, total: Figures, left_out: Sequence[str], document: Figures) -> None:
    """Print what a reader of `total` must know: what is not shown, and its `notes`.

    Args:
        console: where to print.
        total: the figures of all.
        left_out: the headers of the figures that found no room in the tables.
        document: the answer that it is in.
    """
    if left_out:
        show_line(console, f"Left out for want of room: {', '.join(left_out)}. A wider terminal or --json shows them.")
    for line in notes(total, document):
        show_line(console, line)


def notes(total: Figures, document: Figures) -> Iterator[str]:
    """What of `total` is estimated, what has no price, and what of the `document` that it is in is not there."""
    if more := document.get("more_rows"):
        yield f"{more:,} more rows are left out by --limit; the total is of all."
    if (since := document.get("complete_since")) is not None:
        whole = "stages" in document  # the total and the models of which come from sums, which outlive their calls
        rest = "the total and the models are of all, the other tables" if whole else "the figures are"
        yield f"What was before {since} is no longer kept{' call by call' if whole else ''}: {rest} of what came since."
    if total["estimated_calls"]:
        yield f"Of this {total['estimated_cost_usd']} USD, for {rows_of(total['estimated_calls'])}, are estimated."
    if total["unknown_calls"]:
        tokens = f"{total['unknown_input_tokens']:,} input and {total['unknown_output_tokens']:,} output tokens"
        yield f"The cost of {rows_of(total['unknown_calls'])} is unknown and in no sum: {tokens} have no price."
    if Decimal(total["waste_usd"]):
        yield f"Attempts that broke off may have cost about {total['waste_usd']} USD beside this."
    if total["unknown_waste_calls"]:
        calls = calls_of(total["unknown_waste_calls"])
        yield f"{calls} had attempts that broke off; what they may have cost is unknown."


def markdown(by: Sequence[str], rows: Sequence[Figures], total: Figures) -> str:
    """`rows` as a table in Markdown, closed by `total`."""
    columns = _columns(total)
    headers = [*by, *columns.values(), _COST]
    lines = [headers, ["---"] * len(by) + ["---:"] * (len(headers) - len(by))]
    lines += [[*(in_markdown(str(_key(row[name]))) for name in by), *_figures(row, columns)] for row in rows]
    lines += [["total", *[""] * (len(by) - 1), *_figures(total, columns)]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def in_markdown(text: str) -> str:
    """`text` so that Markdown shows it as it is."""
    return _MARKS.sub(r"\\\g<0>", printable(text))


def show_choices(console: Console, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print `rows` of texts. The last column goes where it says nothing or has no room; then the first gives way."""
    wanted = [max(cell_len(row[at]) for row in (headers, *rows)) for at in range(len(headers))]
    if not any(row[-1] for row in rows) or sum(wanted) + _GAP * (len(wanted) - 1) > console.width:
        headers, rows, wanted = headers[:-1], [row[:-1] for row in rows], wanted[:-1]
    room = console.width - sum(wanted[1:]) - _GAP * (len(headers) - 1)
    (width,) = _shares(wanted[:1], room)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    table.add_column(headers[0], overflow="fold", width=width)
    for header in headers[1:]:
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    _print(console, table, console.width + width - room)


def printable(text: str) -> str:
    """`text` without what could steer a terminal: ids come from outside."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def calls_of(number: int) -> str:
    """How many calls, in words."""
    return "1 call" if number == 1 else f"{number:,} calls"


def _key(value: str | None) -> Text:
    return Text("(none)", style="dim") if value is None else Text(printable(value))


def _figures(figures: Figures, columns: Mapping[str, str]) -> list[str]:
    cost = figures["cost_usd"]
    return [*(f"{figures[name]:,}" for name in columns), "unknown" if cost is None else cost]
