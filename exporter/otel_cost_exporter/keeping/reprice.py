"""What calls in the books would cost with other prices, and pricing them anew.

Each call is priced as of its own time, from its own tokens. Left as they are: calls whose provider stated the cost, and
those that have no price now. What a call had cost before is kept in the table ``former_costs``.
"""

from __future__ import annotations

from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from otel_cost import money, pricing
from otel_cost.pricing import sources, tables, terms
from otel_cost.pricing.meters import METERS, title
from otel_cost_exporter.decode import costing
from otel_cost_exporter.decode.batch import CALLS, LINES, MONEY
from otel_cost_exporter.errors import QuestionError
from otel_cost_exporter.file import statements
from otel_cost_exporter.writing import rollups

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    import duckdb

    from otel_cost.pricing.tables import Table
    from otel_cost_exporter.file.database import Database
    from otel_cost_exporter.writing.ledger import Ledger
    from otel_cost_exporter.writing.rollups import Part

_CALLS_AT_ONCE: Final = 50_000
_HOUR: Final = timedelta(hours=1)
_LARGEST_FILE: Final = 512 * 1024
_LONGEST_LINE: Final = 2000
_NO_PRICE: Final = "no price for "
_AWAITED: Final = "the prices that "
_CUT: Final = "the response was cut: about what it had used by then"
_TITLES: Final = frozenset(map(title, METERS))
_COSTS: Final = ("cost", "cost_status", "cost_source", "price_version", "cost_reason", "lines")
_OPEN: Final = [CALLS.field(name) for name in _COSTS]
_FIGURES: Final = ("calls", "changed_calls", "newly_priced_calls", "unknown_calls")
_SUMS: Final = ("before_usd", "after_usd")


@dataclass(frozen=True, slots=True)
class Repricing:
    """Which calls are priced anew, and by what.

    Attributes:
        since: the earliest start, UTC without a zone.
        until: the start from which calls are left, likewise.
        table: prices that take the place of the user's own; None for those of this process.
    """

    since: datetime
    until: datetime
    table: Table | None = None

    def prices(self) -> AbstractContextManager[None]:
        """Within it, its prices hold."""
        return nullcontext() if self.table is None else sources.using(self.table)

    def within(self, part: Part) -> dict[str, datetime]:
        """The time that it has in common with `part`, as parameters of a query."""
        return {"since": max(self.since, part.since), "until": min(self.until, part.until)}


def read_prices(text: str, name: str) -> Table:
    """The prices in `text`, the content of the price file `name`.

    Raises:
        QuestionError: something in it cannot be read: whoever prices history anew wants all of it, or nothing.
    """
    if len(text) > _LARGEST_FILE:
        raise QuestionError(f"prices: {name} has more than {_LARGEST_FILE:,} characters")
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > _LONGEST_LINE:  # TOML takes a time for a name of many dots that grows with their square
            raise QuestionError(f"prices: {name}:{number}: a line of more than {_LONGEST_LINE:,} characters")
    table = tables.read(text, name, f"file:{name}")
    if table.problems:
        raise QuestionError(f"prices: {'; '.join(table.problems)}")
    if table.is_empty:
        raise QuestionError(f"prices: {name} has no price in it")
    return table


def difference(database: Database, asked: Repricing) -> dict[str, Any]:
    """What the calls that are `asked` for cost, and what they would cost, by model."""
    found = _Found()
    with closing(database.cursor()) as cursor:
        cursor.begin()
        for part in _parts(cursor, asked):
            found.add(_priced(cursor, asked, part))
        found.stated_calls = _stated(cursor, asked)
        cursor.rollback()
    return found.document


def apply(ledger: Ledger, asked: Repricing) -> dict[str, Any]:
    """Price the calls that are `asked` for anew: a few hours at a time, each with its sums in one transaction.

    Returns:
        What `difference` does, and when that was, which is how ``former_costs`` knows them.
    """
    now = datetime.now(UTC).replace(tzinfo=None)
    found = _Found()
    with closing(ledger.database.cursor()) as cursor:
        parts = list(_parts(cursor, asked))
        found.stated_calls = _stated(cursor, asked)
    for part in parts:
        found.add(ledger.do(partial(_reprice, asked, part, now)).result())
    return {**found.document, "repriced_at": f"{now.isoformat()}Z"}


def _parts(cursor: duckdb.DuckDBPyConnection, asked: Repricing) -> Iterator[Part]:
    """The time that is asked for, in whole hours, as far as there are calls."""
    query = statements.load("queries/busy_hours").replace("/* hours */", "AND hour >= $since AND hour < $until")
    start = asked.since.replace(minute=0, second=0, microsecond=0)
    hours = cursor.execute(query, {"since": start, "until": asked.until}).fetchall()
    return rollups.parts(((hour, calls) for hour, calls in hours if calls), _HOUR, _CALLS_AT_ONCE)


def _stated(cursor: duckdb.DuckDBPyConnection, asked: Repricing) -> int:
    query = statements.load("queries/stated").replace("/* then */", "AND start_ts >= $since AND start_ts < $until")
    (number,) = cursor.execute(query, {"since": asked.since, "until": asked.until}).fetchall()[0]
    return int(number)


def _reprice(asked: Repricing, part: Part, now: datetime, cursor: duckdb.DuckDBPyConnection) -> pa.Table:
    """Price the calls of `part` anew, and make its sums anew, within a transaction."""
    priced = _priced(cursor, asked, part)
    changed = priced.filter(priced["changed"])
    if changed.num_rows:
        cursor.register("repriced", changed.select(("row", *_COSTS)))
        within = asked.within(part)
        cursor.execute(statements.load("writes/former_costs"), {**within, "repriced_ts": now})
        cursor.execute(statements.load("writes/repriced"), within)
        cursor.unregister("repriced")
        rollups.rebuild_hours(part, cursor)
    return priced


def _priced(cursor: duckdb.DuckDBPyConnection, asked: Repricing, part: Part) -> pa.Table:
    """The calls of `part` that can be priced, with their costs by the prices that are asked for, and which changed."""
    query = statements.load("queries/repricing").replace("/* then */", "AND start_ts >= $since AND start_ts < $until")
    calls = cursor.sql(query, params=asked.within(part)).to_arrow_table()
    for field in _OPEN:
        calls = calls.append_column(field, pa.nulls(calls.num_rows, field.type))
    calls = _with(calls, "cost_reason", pa.array(map(_doubt, *_lists(calls)), pa.string()))
    with asked.prices():
        is_charge = calls["charge"].is_valid()
        charges = _price_charges(calls.filter(is_charge))
        priced = pa.concat_tables([costing.settle(calls.filter(pc.invert(is_charge))), charges])
    has_price = priced["cost"].is_valid()
    same = pc.and_(
        pc.equal(priced["cost"], priced["former_cost"]).fill_null(fill_value=False),
        pc.equal(priced["cost_status"], priced["former_status"]),
    )
    return priced.append_column("changed", pc.and_(has_price, pc.invert(same)))


def _lists(calls: pa.Table) -> Iterator[list[Any]]:
    names = ("former_status", "former_reason", "outcome", "service_tier", "price_terms")
    return (calls[name].to_pylist() for name in names)


def _doubt(status: str, reason: str | None, outcome: str, tier: str | None, stated: str | None) -> str | None:
    """Why a call's cost is in doubt whatever its prices are; None where prices can take the doubt away."""
    if status != "estimated" or reason is None:
        return None
    if reason.startswith(_NO_PRICE):
        lacking = reason.removeprefix(_NO_PRICE).split(", ")
        stands_here = _TITLES | terms.of_text(stated or "").keys() | ({"service tier"} if tier else set())
        if not all(what.partition(" '")[0] in stands_here for what in lacking):
            return reason
    elif not reason.startswith(_AWAITED):
        return reason
    return _CUT if outcome == "cut" else None


def _price_charges(charges: pa.Table) -> pa.Table:
    """`charges`, which are no calls to models, each with its cost."""
    asked = zip(*(charges[name].to_pylist() for name in ("charge", "units", "start_ts")), strict=True)
    costs = [pricing.price_units(name, units or Decimal(0), start) for name, units, start in asked]
    columns = {
        "cost": pa.array([cost.amount for cost in costs], MONEY),
        "cost_status": pa.array([cost.status for cost in costs], pa.string()),
        "cost_source": pa.array([cost.source and "ledger" for cost in costs], pa.string()),
        "price_version": pa.array([cost.price_version for cost in costs], pa.string()),
        "cost_reason": pa.array([cost.reason for cost in costs], pa.string()),
        "lines": pa.nulls(len(costs), LINES),
    }
    for name, column in columns.items():
        charges = _with(charges, name, column)
    return charges


def _with(calls: pa.Table, name: str, column: pa.Array) -> pa.Table:
    place = calls.schema.get_field_index(name)
    return calls.set_column(place, calls.schema.field(place), column)


class _Found:
    """What pricing anew comes to, by model."""

    def __init__(self) -> None:
        self.stated_calls = 0
        self._by_model: dict[tuple[str, str], dict[str, Any]] = {}
        self._versions: set[str] = set()

    def add(self, priced: pa.Table) -> None:
        """Take in calls as `_priced` tells of them."""
        changed = priced["changed"]
        self._versions.update(pc.unique(priced["price_version"].filter(changed)).to_pylist())
        figures = pa.table(
            {
                "provider": priced["provider"].fill_null(""),
                "model": pc.coalesce(
                    priced["charge"], priced["response_model"], priced["request_model"], pa.scalar("")
                ),
                "calls": pa.repeat(1, priced.num_rows),
                "changed_calls": changed.cast(pa.int64()),
                "newly_priced_calls": pc.and_(changed, priced["former_cost"].is_null()).cast(pa.int64()),
                "unknown_calls": pc.and_(priced["former_cost"].is_null(), priced["cost"].is_null()).cast(pa.int64()),
                "before_usd": priced["former_cost"],
                "after_usd": pc.if_else(changed, priced["cost"], priced["former_cost"]),
            }
        )
        names = (*_FIGURES, *_SUMS)
        grouped = figures.group_by(["provider", "model"]).aggregate([(name, "sum") for name in names])
        for row in grouped.to_pylist():
            model = self._by_model.setdefault((row["provider"], row["model"]), dict.fromkeys(names))
            for name in names:
                model[name] = _plus(model[name], row[f"{name}_sum"])

    @property
    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        rows = [
            {"provider": provider or None, "model": model or None, **_in_words(figures)}
            for (provider, model), figures in sorted(self._by_model.items(), key=_most_changed_first)
        ]
        total: dict[str, Any] = {**dict.fromkeys(_FIGURES, 0), **dict.fromkeys(_SUMS)}
        for figures in self._by_model.values():
            total = {name: _plus(total[name], figures[name]) for name in total}
        return {
            "models": rows,
            "total": _in_words(total),
            "stated_calls": self.stated_calls,
            "price_versions": sorted(self._versions),
        }


def _plus(one: Any, other: Any) -> Any:
    """The sum of what is known of both; None where nothing is."""
    return other if one is None else one if other is None else one + other


def _in_words(figures: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: figures[name] for name in _FIGURES},
        **{name: None if figures[name] is None else money.text(figures[name]) for name in _SUMS},
    }


def _most_changed_first(item: tuple[tuple[str, str], dict[str, Any]]) -> tuple[Decimal, tuple[str, str]]:
    names, figures = item
    return -abs((figures["after_usd"] or Decimal(0)) - (figures["before_usd"] or Decimal(0))), names
