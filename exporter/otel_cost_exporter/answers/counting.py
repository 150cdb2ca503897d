"""What a question counts: the sums of hours and days where they can tell, else the rows of the calls themselves.

The sums stand in the books by one dimension at a time, so they answer whatever names at most one dimension beside the
project. Both give the same figures; a property test holds that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, Final

from otel_cost_exporter.answers import zones
from otel_cost_exporter.answers.kept import END, START, Kept
from otel_cost_exporter.answers.question import FACETS, FIGURES, TIME_BUCKETS
from otel_cost_exporter.answers.rows import Rows
from otel_cost_exporter.file import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    import duckdb

    from otel_cost_exporter.answers.question import Question

    Row = dict[str, Any]

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
OF_ALL: Final = frozenset({"project", *FACETS})
"""What the sums of every dimension can be grouped and filtered by."""
_DEAREST: Final = "cost_usd DESC NULLS LAST, calls DESC"
_SPARE: Final = 10
"""Rows that are looked at beyond those that are wanted, as some may have been paid for and count nothing."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What is counted: the SQL that stands in front of ``sums.sql``.

    Attributes:
        sql: selects the columns of `columns`, and the figures.
        where: what is filtered by, in terms of these columns.
        parameters: what both compare with.
        columns: the column of whatever is grouped or filtered by.
        complete_since: from when on the books have what was asked for; None where they have all of it.
    """

    sql: str
    where: str
    parameters: Row
    columns: dict[str, str]
    complete_since: datetime | None

    def only(self, condition: str) -> Counted:
        """The same, of what meets `condition`."""
        return replace(self, where=f"{self.where} AND {condition}")


def counted(
    cursor: duckdb.DuckDBPyConnection,
    asked: Question,
    keys: Sequence[str] = (),
    *,
    by_rows: bool = False,
    named: bool = False,
) -> Counted:
    """What `asked` counts, to be grouped by what it asks for, and by `keys`.

    Args:
        cursor: within a transaction, where several answers must tell of the same moment.
        asked: the question.
        keys: what is grouped by beside.
        by_rows: counts rows in any case.
        named: leaves out what names no id of the dimension that is grouped by.
    """
    names = list(dict.fromkeys((*asked.by, *keys, *asked.filters)))
    buckets = [name for name in names if name in TIME_BUCKETS]
    names = [name for name in names if name not in TIME_BUCKETS]
    columns = {name: f"key_{number}" for number, name in enumerate(names)}
    plan = None if by_rows else _Plan.of(asked, names, buckets)
    found = _rows(cursor, asked, columns) if plan is None else _sums(cursor, asked, columns, plan, named=named)
    found.columns.update({name: zones.bucket(name, asked, found.parameters) for name in buckets})
    return found


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which sums answer a question: whole days and hours between times, and rows at the edges."""

    dimension: str
    since: datetime
    hours_from: datetime
    days_from: datetime
    days_until: datetime
    hours_until: datetime
    until: datetime

    @property
    def sums(self) -> list[tuple[str, str]]:
        """Which sums there are to be counted, and the condition on hours before and behind the days."""
        has = {
            ("days", ""): self.days_from < self.days_until,
            ("hours", " AND hour >= $hours_from AND hour < $days_from"): self.hours_from < self.days_from,
            ("hours", " AND hour >= $days_until AND hour < $hours_until"): self.days_until < self.hours_until,
            ("fresh", ""): True,
        }
        return [each for each in has if has[each]]

    @property
    def edges(self) -> list[str]:
        """The conditions on rows that are to be counted."""
        has = {
            " AND start_ts >= $since AND start_ts < $hours_from": self.since < self.hours_from,
            " AND start_ts >= $hours_until AND start_ts < $until": self.hours_until < self.until,
        }
        return [condition for condition in has if has[condition]]

    @property
    def times(self) -> Row:
        """The parameters of all these."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def of(cls, asked: Question, names: Sequence[str], buckets: Sequence[str]) -> _Plan | None:
        """The plan; None where no sums can tell."""
        dimensions = [name for name in names if name not in OF_ALL]
        since, until = min(asked.since or START, END), asked.until or END
        hours_from, hours_until = _up(since, _HOUR), _down(until, _HOUR)
        if len(dimensions) > 1 or hours_from >= hours_until or not zones.has_whole_hours(asked):
            return None
        days_from, days_until = _up(hours_from, _DAY), _down(hours_until, _DAY)
        by_hours = "hour" in buckets or (buckets and asked.tz is not UTC)
        if by_hours or days_from >= days_until:
            days_from = days_until = hours_from
        return cls(next(iter(dimensions), ""), since, hours_from, days_from, days_until, hours_until, until)


def _down(moment: datetime, unit: timedelta) -> datetime:
    return moment - (moment - START) % unit


def _up(moment: datetime, unit: timedelta) -> datetime:
    return moment + (START - moment) % unit


def _rows(cursor: duckdb.DuckDBPyConnection, asked: Question, columns: dict[str, str]) -> Counted:
    rows = Rows.of(cursor, asked)
    query = statements.query("counted_rows", keys=_keys(columns, rows.column), where=rows.where)
    return Counted(query, "", rows.parameters, columns, rows.complete_since)


def _sums(
    cursor: duckdb.DuckDBPyConnection, asked: Question, columns: dict[str, str], plan: _Plan, *, named: bool
) -> Counted:
    rows = Rows(asked)
    keys = _keys(columns, lambda name: f'"{name}"' if name in OF_ALL else "id")
    pieces = [statements.query(f"counted_{name}", keys=keys, then=condition) for name, condition in plan.sums]
    where = "".join(f" AND {columns[name]} IN ({rows.all(wanted)})" for name, wanted in asked.filters.items())
    if not named and plan.dimension in columns and plan.dimension not in asked.filters:
        both = _with_all(pieces, columns[plan.dimension])
        unnamed = statements.query("unnamed", sums=both, where=where)
        if statements.ask(cursor, unnamed, rows.parameters | plan.times).fetchall() != [(0,)]:
            pieces.append(statements.query("counted_unnamed", sums=both))
    for condition in plan.edges:
        keys = _keys(columns, rows.column)
        pieces.append(statements.query("counted_rows", keys=keys, where=condition))
    since = Kept.read(cursor).of_sums(plan.since, plan.hours_from, plan.hours_until, plan.until)
    return Counted("\nUNION ALL\n".join(pieces), where, rows.parameters | plan.times, columns, since)


def _with_all(pieces: Sequence[str], key: str) -> str:
    """The sums of all calls, and of those that name an id of a dimension, from `pieces`, whose ids are in `key`."""
    named = [
        piece.replace(f"id AS {key},", f"NULL AS {key},").replace("SELECT\n", "SELECT dimension,\n") for piece in pieces
    ]
    # One after the other: DuckDB compares with one value as it reads, and with one of two values afterwards.
    every = [piece.replace("dimension = $dimension", "dimension = ''") for piece in named]
    return "\nUNION ALL\n".join(every + named)


def _keys(columns: dict[str, str], column: Callable[[str], str]) -> str:
    return "".join(f"{column(name)} AS {key}, " for name, key in columns.items())


def sums(
    cursor: duckdb.DuckDBPyConnection,
    what: Counted,
    by: Sequence[str],
    *,
    also: Mapping[str, str] | None = None,
    groups: str = "",
    **pieces: str,
) -> list[Row]:
    """The figures of `what`, grouped `by` names.

    Args:
        cursor: of the same transaction as `what`.
        what: what is counted.
        by: what it was counted for; see `counted`.
        also: the SQL of further columns, by their names.
        groups: what is really grouped by, where it is not all of them.
        pieces: what goes to other markers of ``sums.sql``.
    """
    also = also or {}
    found = statements.ask(cursor, _query(what, by, also, groups, **pieces), what.parameters).fetchall()
    return [dict(zip((*by, *FIGURES, *also), row, strict=True)) for row in found]


def sections(
    cursor: duckdb.DuckDBPyConnection, what: Counted, by: Mapping[str, Sequence[str]], most: Mapping[str, int]
) -> tuple[dict[str, list[Row]], dict[str, int]]:
    """The figures of `what` by several groupings, from one look at it, and how many rows each has in all.

    Args:
        cursor: of the same transaction as `what`.
        what: what is counted.
        by: what each section is grouped by; `what` was counted for all of them.
        most: of which sections only so many rows are wanted, the dearest.
    """
    names = list(dict.fromkeys(name for keys in by.values() for name in keys))
    sets = ", ".join(f"({', '.join(what.columns[name] for name in keys)})" for keys in by.values())
    grouping = f"GROUPING({', '.join(what.columns[name] for name in names)})"
    kind = {"left_out": grouping, "row_total": f"count(*) OVER (PARTITION BY {grouping})"}
    order = ", ".join((_DEAREST, *(f"by_{number}" for number in range(len(names)))))
    beyond = " OR ".join(
        f"left_out = {_left_out(names, by[section])}"
        f" AND row_number() OVER (PARTITION BY {grouping} ORDER BY {order}) > {limit}"
        for section, limit in most.items()
    )
    qualify = f" QUALIFY NOT ({beyond})" if beyond else ""
    rows = sums(cursor, what, names, also=kind, groups=f"GROUPING SETS ({sets})", having=qualify)
    found: dict[str, list[Row]] = {section: [] for section in by}
    counts = dict.fromkeys(by, 0)
    kinds = {_left_out(names, keys): section for section, keys in by.items()}
    for row in rows:
        section = kinds[row.pop("left_out")]
        counts[section] = row.pop("row_total")
        missing = set(names) - set(by[section])
        found[section].append({name: value for name, value in row.items() if name not in missing})
    return found, counts


def _left_out(names: Sequence[str], keys: Sequence[str]) -> int:
    """What GROUPING says of what is grouped by `keys`: a bit for each name, set where it is not among them."""
    return sum(1 << (len(names) - 1 - number) for number, name in enumerate(names) if name not in keys)


def first(
    cursor: duckdb.DuckDBPyConnection,
    what: Counted,
    by: str,
    limit: int,
    *,
    also: Mapping[str, str] | None = None,
    over: Mapping[str, str],
    order: str = "",
    having: str = "",
) -> list[Row]:
    """The first rows of what `sums` would find. Of the others only what decides about that is worked out.

    Args:
        cursor: of the same transaction as `what`.
        what: what is counted.
        by: what is grouped by.
        limit: how many rows.
        also: the SQL of further columns, by their names.
        over: the SQL of columns that are worked out from all rows.
        order: what is ordered by, in full; the dearest come first where it is not said.
        having: what a row must meet.
    """
    also = also or {}
    if by in OF_ALL:  # of which there are few
        return sums(cursor, what, (by,), also={**also, **over}, order=order, having=having, limit=f"LIMIT {limit}")
    if not order and not having and (found := _dearest(cursor, what, by, limit, also=also, over=over)) is not None:
        return found
    needed = {name: column for name, column in also.items() if name in order}
    ids = _leading(cursor, what, by, {**over, **needed}, order=order, having=having, limit=f"LIMIT {limit}")
    theirs = _of_ids(what, by, ids)
    if "first_call" in needed and ids:  # what began before need not be looked at
        theirs = theirs.only("first_ts >= $first_call")
        theirs.parameters["first_call"] = min(found["first_call"] for found in ids.values())
    rows = {row[by]: row for row in sums(cursor, theirs, (by,), also=also)}
    return [rows[each] | found for each, found in ids.items()]


def _dearest(
    cursor: duckdb.DuckDBPyConnection,
    what: Counted,
    by: str,
    limit: int,
    *,
    also: Mapping[str, str],
    over: Mapping[str, str],
) -> list[Row] | None:
    """The first rows by cost, from those of which most was paid: that is known sooner. None: that does not tell them.

    What a row has cost is what was paid, nothing, or unknown.
    """
    most = limit + _SPARE
    paid = {**over, "paid": "sum(cost)"}
    ids = _leading(cursor, what, by, paid, order="paid DESC NULLS LAST", limit=f"LIMIT {most}")
    bound = max([each.pop("paid") or 0 for each in ids.values()][most - 1 :], default=None)
    found = sums(cursor, _of_ids(what, by, ids), (by,), also=also)[:limit]
    if bound is not None and (found[-1]["cost_usd"] is None or found[-1]["cost_usd"] <= bound):
        return None
    return [row | ids[row[by]] for row in found]


def _leading(
    cursor: duckdb.DuckDBPyConnection, what: Counted, by: str, columns: Mapping[str, str], **pieces: str
) -> dict[str | None, Row]:
    """What comes first, in its order, with `columns`."""
    query = _query(what, (by,), columns, **pieces)
    leading = statements.query("leading", also=", ".join(("", *columns)), sums=query.rstrip().rstrip(";"))
    found = statements.ask(cursor, leading, what.parameters).fetchall()
    return {row[0]: dict(zip(columns, row[1:], strict=True)) for row in found}


def _of_ids(what: Counted, by: str, ids: Collection[str | None]) -> Counted:
    """The same, of `ids` alone."""
    key = what.columns[by]
    # One list, and not a parameter for each: DuckDB plans that sooner.
    conditions = [f"{key} IN (SELECT unnest($first_ids))", *([f"{key} IS NULL"] if None in ids else [])]
    named = [each for each in ids if each is not None]
    return replace(what.only(f"({' OR '.join(conditions)})"), parameters={**what.parameters, "first_ids": named})


def _query(what: Counted, by: Sequence[str], also: Mapping[str, str], groups: str = "", **pieces: str) -> str:
    keys = {name: f"by_{number}" for number, name in enumerate(by)}
    # What was taken back, by a price that changed or a call that is another's, may leave a group of no rows.
    named = "AND sum(row_count) > 0" if by else ""
    query = statements.query(
        "sums",
        counted=what.sql,
        keys="".join(f"{what.columns[name]} AS {key}, " for name, key in keys.items()),
        also="".join(f", {column} AS {name}" for name, column in also.items()),
        where=what.where,
        order=pieces.pop("order", "") or ", ".join((*_in_time(by), _DEAREST, *keys.values())),
        having=named + pieces.pop("having", ""),
        **pieces,
    )
    return query.replace("GROUP BY ALL", f"GROUP BY {groups or ', '.join(keys.values()) or 'ALL'}")


def _in_time(by: Sequence[str]) -> list[str]:
    """What an order begins with where hours or days are among what is grouped by."""
    return [f"by_{number}" for number, name in enumerate(by) if name in TIME_BUCKETS]


def spent(cursor: duckdb.DuckDBPyConnection, what: Counted) -> Row:
    """What `what` has spent, as budgets count it."""
    query = statements.query("spent", counted=what.sql, where=what.where)
    return statements.rows(statements.ask(cursor, query, what.parameters))[0]
