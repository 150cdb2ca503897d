"""The rows of calls that a question is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from otel_cost_exporter.answers.kept import END, START, Kept
from otel_cost_exporter.answers.question import FACETS, GROUPINGS
from otel_cost_exporter.file import statements

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    import duckdb

    from otel_cost_exporter.answers.question import Question


class Bound:
    """Values that a query compares with: each stands in the SQL as a parameter.

    Attributes:
        parameters: the values by their names.
    """

    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}

    def one(self, value: object) -> str:
        """The SQL of `value`."""
        name = f"bound_{len(self.parameters)}"
        self.parameters[name] = value
        return f"${name}"

    def all(self, values: Iterable[object]) -> str:
        """The SQL of a list of `values`."""
        return ", ".join(map(self.one, values))


class Rows(Bound):
    """Conditions on the rows of ``facts``.

    Attributes:
        where: the SQL of what they must meet, each condition with its AND.
        complete_since: from when on the books have all that was asked for; None where they have all of it.
    """

    def __init__(self, asked: Question) -> None:
        super().__init__()
        self.where = ""
        self.complete_since: datetime | None = None
        self._asked = asked

    @classmethod
    def of(cls, cursor: duckdb.DuckDBPyConnection, asked: Question) -> Self:
        """Those that `asked` is about."""
        rows = cls(asked)
        rows._restrict(cursor)
        return rows

    def _restrict(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Let only those through that the question is about. Times come first, so that most rows are never read."""
        since = self._asked.since or START
        for name, wanted in self._asked.filters.items():
            if name not in FACETS:
                since = max(since, self._extent(cursor, name, wanted) or since)
        self.complete_since = Kept.read(cursor).of_rows(since)
        for name, operator in (("since", ">="), ("until", "<")):
            if (moment := getattr(self._asked, name)) is not None:
                self._require(f"start_ts {operator} {self.one(moment)}")
        for name, wanted in self._asked.filters.items():
            self._require(f"{self.column(name)} IN ({self.all(wanted)})")

    def column(self, name: str) -> str:
        """The column of ``facts``; the name of a user's own dimension came from outside, so it is never in the SQL."""
        return f'"{name}"' if name in GROUPINGS else f"extra[{self.one(name)}]"

    def _extent(self, cursor: duckdb.DuckDBPyConnection, name: str, ids: tuple[str, ...]) -> datetime | None:
        """Look only at the time in which `ids` have calls, as their sums tell; it begins when is returned."""
        times = {"since": self._asked.since or START, "until": self._asked.until or END}
        asked = {"dimension": name, "ids": list(ids), **times}
        first: datetime | None
        first, last = cursor.execute(statements.load("queries/extent"), asked).fetchall()[0]
        if first is None:
            self._require("false")
        else:
            self._require(f"start_ts BETWEEN {self.one(first)} AND {self.one(last)}")
        return first

    def _require(self, condition: str) -> None:
        self.where += f" AND {condition}"
