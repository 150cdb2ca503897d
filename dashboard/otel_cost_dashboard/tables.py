"""Tables that people, screen readers and tests can read: real HTML tables, figures aligned to the right.

Streamlit reads every cell as Markdown, so whatever comes from the books is written as plain text first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import pandas as pd
import streamlit as st

from otel_cost_dashboard import format as fmt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pandas.io.formats.style_render import CSSDict

MOST_ROWS: Final = 200
"""Longer tables are cut there, and say so: a browser renders thousands of Markdown cells slowly."""
_TRACK: Final = "#8A8F981F"
_SCROLL_FROM_ROWS: Final = 14
_SCROLL_HEIGHT_PIXELS: Final = 560
_PUNCTUATION: Final = re.compile(r"([!-/:-@\[-`{-~])")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, its cells as plain text, and how it looks.

    Attributes:
        title: the heading.
        cells: the text of each row.
        words: whether it holds words, which stand on the left, rather than figures, which stand on the right.
        muted: whether it stays in the background.
        fills: per row, how much of the cell a bar fills (0 to 1), and in which colour.
    """

    title: str
    cells: Sequence[str]
    words: bool = False
    muted: bool = False
    fills: Sequence[tuple[float, str]] | None = None


def plain(text: str) -> str:
    r"""`text` as Markdown that shows exactly `text`.

    >>> plain("$1 *b*")
    '\\$1 \\*b\\*'
    """
    return _PUNCTUATION.sub(r"\\\1", text)


def code(text: str) -> str:
    """`text` as Markdown that shows exactly `text` as code: no part of it becomes a link.

    >>> code("a`b")
    '`` a`b ``'
    """
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def show(columns: Sequence[Column], *, alt: str, more: int = 0) -> None:
    """Draw a table. `alt` names it for screen readers; `more` rows there are that were not asked for."""
    rows = len(columns[0].cells) + more
    frame = pd.DataFrame({column.title: [plain(cell) for cell in column.cells[:MOST_ROWS]] for column in columns})
    styles = pd.DataFrame({column.title: _styles(column) for column in columns})
    height: Literal["content"] | int = _SCROLL_HEIGHT_PIXELS if rows > _SCROLL_FROM_ROWS else "content"
    styler = frame.style.apply(lambda _: styles, axis=None)
    styler.set_table_styles([_heading(number, column) for number, column in enumerate(columns)])
    st.table(styler, border="horizontal", hide_index=True, height=height, alt=alt)
    if rows > MOST_ROWS:
        st.caption(f"The first {MOST_ROWS} of {fmt.count(rows)}. Narrow the filters to see the rest.")


def _styles(column: Column) -> list[str]:
    """The CSS of each cell of `column`."""
    style = _alignment(column)
    if not column.words:
        style += "; font-variant-numeric: tabular-nums; white-space: nowrap"
    if column.muted:
        style += "; opacity: 0.6"
    number = min(len(column.cells), MOST_ROWS)
    if column.fills is None:
        return [style] * number
    return [f"{style}; {_bar(share, colour)}" for share, colour in column.fills[:number]]


def _heading(number: int, column: Column) -> CSSDict:
    return {"selector": f"th.col{number}", "props": _alignment(column)}


def _alignment(column: Column) -> str:
    # Streamlit aligns cells by their type, in a style of their own; every cell here is text.
    return f"text-align: {'left' if column.words else 'right'} !important"


def _bar(share: float, colour: str) -> str:
    """A bar behind the figure, on a faint track; both let the background through, so that they suit any theme."""
    end = f"{min(max(share, 0.0), 1.0):.1%}"
    gradient = f"linear-gradient(90deg, {colour}66 {end}, {_TRACK} {end})"
    return f"min-width: 9rem; background: {gradient} center / calc(100% - 0.5rem) 1.3rem no-repeat"
