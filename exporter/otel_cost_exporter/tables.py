"""What commands print for people. Money is exact; unknown is said, and is not zero."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    Figures = Mapping[str, Any]

_ALWAYS: Final = {"calls": "calls", "input_tokens": "input", "output_tokens": "output"}
_WHERE_ANY: Final = {
    "failed_calls": "failed",
    "cut_calls": "cut off",
    "refused_calls": "refused",
    "unknown_calls": "no price",
}
"""Figures that have a column only where some call has them."""


def show(console: Console, by: Sequence[str], rows: Sequence[Figures], total: Figures) -> None:
    """Print `rows` as a table that fits the terminal, closed by `total`.

    Args:
        console: where to print.
        by: the keys of the rows that are no figures, in the order of their columns.
        rows: figures, each with its keys.
        total: the figures of all.
    """
    columns = _ALWAYS | {name: header for name, header in _WHERE_ANY.items() if total[name]}
    table = Table(box=box.SIMPLE_HEAD)
    for name in by or [""]:
        table.add_column(name, overflow="fold")
    for header in columns.values():
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("cost in USD", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(_key(row[name]) for name in by), *_figures(row, columns))
    table.add_section()
    table.add_row("total", *[""] * (len(by) - 1), *_figures(total, columns), style="bold")
    console.print(table)


def show_title(console: Console, title: str) -> None:
    """Print what the tables below it tell."""
    console.print(Text(_printable(title), style="bold"))


def show_notes(console: Console, total: Figures) -> None:
    """Print what a reader of `total` must know: how much of it is estimated, and what has no price."""
    if total["estimated_calls"]:
        calls = _calls(total["estimated_calls"])
        console.print(Text(f"Of this {total['estimated_cost_usd']} USD, for {calls}, are estimated."))
    if total["unknown_calls"]:
        calls = _calls(total["unknown_calls"])
        console.print(
            Text(
                f"The cost of {calls} is unknown and in no sum: {total['unknown_input_tokens']:,} input and "
                f"{total['unknown_output_tokens']:,} output tokens have no price."
            )
        )


def _printable(text: str) -> str:
    """`text` without what could steer a terminal: ids come from outside."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _calls(number: int) -> str:
    return "1 call" if number == 1 else f"{number:,} calls"


def _key(value: str | None) -> Text:
    return Text("(none)", style="dim") if value is None else Text(_printable(value))


def _figures(figures: Figures, columns: Mapping[str, str]) -> list[str]:
    cost = figures["cost_usd"]
    return [*(f"{figures[name]:,}" for name in columns), "unknown" if cost is None else cost]
