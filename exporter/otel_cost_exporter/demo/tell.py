"""What the demo tells a person: its progress, and a table of who spent what."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLAIN_WIDTH: Final = 160
_WIDE: Final = 100
"""Columns from which on there is room for tokens beside whole names."""
_MODEL_WIDTH: Final = 22
"""Columns in which the models of the sample agent stand whole."""
BY: Final = ("project", "run", "stage", "role", "model")


class Teller:
    """Speaks to a terminal with colours and a spinner, and to anything else in plain lines.

    Attributes:
        console: where it speaks.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        if not self.console.is_terminal:
            self.console = Console(file=self.console.file, width=_PLAIN_WIDTH)

    def say(self, text: str = "", style: str | None = None) -> None:
        """One line, as it is."""
        self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Show that `text` is being done while the block runs."""
        if not self.console.is_terminal:
            self.say(text)
            yield
            return
        with self.console.status(text):
            yield
        self.say(f"✓ {text}", style="green")

    def spent(self, summary: dict[str, Any], budgets: dict[str, Any]) -> None:
        """The table of who spent what, and a line for each budget."""
        table = Table(title="What was spent, and by whom", box=box.SIMPLE_HEAD, title_justify="left")
        table.pad_edge, table.collapse_padding = False, True
        for heading in ("Project / run", "Stage / role"):
            table.add_column(heading, overflow="fold")
        table.add_column("Model", overflow="fold", min_width=_MODEL_WIDTH)
        has_room = self.console.width >= _WIDE
        for heading in _headings(has_tokens=has_room):
            table.add_column(heading, justify="right", no_wrap=True)  # a figure is whole, however narrow the terminal
        for row in summary["rows"]:
            project, run, stage, role, model = (row[key] or "-" for key in BY)
            table.add_row(f"{project} / {run}", f"{stage} / {role}", model, *_figures(row, has_tokens=has_room))
        table.add_section()
        table.add_row("Total", "", "", *_figures(summary["total"], has_tokens=has_room), style="bold")
        self.console.print(table)
        for budget in budgets["budgets"]:
            self.say(_budget(budget), style="yellow" if budget["refused_calls"] else None)


def _headings(*, has_tokens: bool) -> tuple[str, ...]:
    return ("Calls", *(("Tokens\nin", "Tokens\nout") if has_tokens else ()), "Cost\nUSD", "Refused")


def _figures(row: dict[str, Any], *, has_tokens: bool) -> list[str]:
    tokens = (f"{row[key]:,}" for key in (("input_tokens", "output_tokens") if has_tokens else ()))
    cost = row["cost_usd"] if row["cost_usd"] is not None else "unknown"
    return [f"{row['calls']:,}", *tokens, cost, f"{row['refused_calls']:,}" if row["refused_calls"] else ""]


def _budget(budget: dict[str, Any]) -> str:
    if budget["limit_usd"] is not None:
        used = f"{budget['spent_usd']} of {budget['limit_usd']} USD"
    else:
        used = f"{budget['spent_tokens']:,} of {budget['limit_tokens']:,} tokens"
    refused = budget["refused_calls"]
    calls = f"{refused} {'call was' if refused == 1 else 'calls were'} refused" if refused else "no call was refused"
    return f"Budget of {budget['dimension']} {budget['id']}: {used} spent, {calls}."
