"""From when the books are kept, and what that means for an answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Self

from otel_cost_exporter.errors import QuestionError
from otel_cost_exporter.file import statements

if TYPE_CHECKING:
    import duckdb

START: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - times of the books have no zone; no call is older
END: Final = datetime(9999, 1, 1)  # noqa: DTZ001 - likewise


@dataclass(frozen=True, slots=True)
class Kept:
    """From when calls and their sums are kept; `START` where none were ever pruned. Both begin with a day."""

    calls: datetime
    sums: datetime

    @classmethod
    def read(cls, cursor: duckdb.DuckDBPyConnection) -> Self:
        """What the books say."""
        found = dict(cursor.execute(statements.load("queries/kept")).fetchall())
        return cls(found.get("calls", START), found.get("rollups", START))

    def of_rows(self, since: datetime) -> datetime | None:
        """From when on an answer from rows is complete, where they were asked for `since` then; None: it is whole."""
        return self.calls if since < self.calls else None

    def of_sums(self, since: datetime, hours_from: datetime, hours_until: datetime, until: datetime) -> datetime | None:
        """The same of an answer from sums of whole hours, and from rows at its edges.

        Raises:
            QuestionError: it ends amid an hour whose rows have been pruned, so that nobody can tell.
        """
        if hours_until < until and hours_until < self.calls:
            raise QuestionError(
                f"until={until.isoformat()}Z is amid an hour whose calls have been pruned (calls are kept from "
                f"{self.calls.isoformat()}Z on): ask until a whole hour"
            )
        complete = max(self.sums, hours_from if since < min(hours_from, self.calls) else START)
        return complete if since < complete else None
