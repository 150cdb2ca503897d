"""Where the money goes, at a glance: ``/v1/cost-dashboard``."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from otel_cost import money
from otel_cost_exporter.answers.adding import ADDENDS, added
from otel_cost_exporter.answers.counting import OF_ALL, counted, first, sums
from otel_cost_exporter.answers.projects import change
from otel_cost_exporter.answers.question import TIME_BUCKETS
from otel_cost_exporter.answers.rows import Rows
from otel_cost_exporter.errors import QuestionError
from otel_cost_exporter.file import statements

if TYPE_CHECKING:
    import duckdb

    from otel_cost_exporter.answers.question import Question

    Document = dict[str, Any]

_USUAL_DAYS: Final = 7
_USUAL_SPENDER: Final = "project"
_MOST_SPENDERS: Final = 10
_LIVE_MINUTES: Final = 5
_LONGEST_CALL: Final = timedelta(days=1)


def cost_dashboard(cursor: duckdb.DuckDBPyConnection, asked: Question) -> Document:
    """The last days up to now, today included, and as many before; who spends, and what is being spent right now."""
    if len(asked.by) > 1:
        raise QuestionError("by is given more than once, the spenders are of one kind")
    if set(asked.by) & set(TIME_BUCKETS):
        raise QuestionError(f"by={asked.by[0]!r} spends nothing, by can be a dimension, model, provider, ...")
    days, now = asked.days or _USUAL_DAYS, datetime.now(UTC).replace(tzinfo=None)
    period = replace(asked, by=(), since=_days_before(now, asked, days - 1, whole=True))
    past = replace(
        period, since=_days_before(now, asked, 2 * days - 1, whole=True), until=_days_before(now, asked, days)
    )
    by = asked.by[0] if asked.by else _USUAL_SPENDER
    keys = ("day", by) if by in OF_ALL else ("day",)
    what = counted(cursor, period, keys)
    found = sums(cursor, what, keys, also=ADDENDS)
    if by in OF_ALL:
        top = added(found, (by,))[:_MOST_SPENDERS]
    else:
        top = first(cursor, counted(cursor, period, (by,)), by, _MOST_SPENDERS, over={})
    before_what = counted(cursor, past)
    [total], [before] = added(found, ()), sums(cursor, before_what, ())
    return {
        "days": days,
        "tz": str(asked.tz),
        "since": period.since,
        "until": now,
        "total": total,
        "before": before,
        "change": change(total["cost_usd"], before["cost_usd"]),
        "coverage": _coverage(total),
        "live": _live(cursor, asked, now),
        "by": by,
        "top": top,
        "by_day": added(found, ("day",)),
        "complete_since": before_what.complete_since or what.complete_since,
    }


def _days_before(now: datetime, asked: Question, days: int, *, whole: bool = False) -> datetime:
    """The same time `days` before, by the clocks of the zone; with `whole` the beginning of that day."""
    local = now.replace(tzinfo=UTC).astimezone(asked.tz) - timedelta(days=days)
    if whole:
        local = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return local.astimezone(UTC).replace(tzinfo=None)


def _coverage(total: Document) -> Document:
    cost = total["cost_usd"] or Decimal(0)
    return {
        "known_calls": total["calls"] - total["estimated_calls"] - total["unknown_calls"],
        "known_cost_usd": cost - total["estimated_cost_usd"],
        **{name: total[name] for name in ("estimated_calls", "estimated_cost_usd", "unknown_calls")},
        **{name: total[name] for name in ("unknown_input_tokens", "unknown_output_tokens")},
    }


def _live(cursor: duckdb.DuckDBPyConnection, asked: Question, now: datetime) -> Document:
    """What calls cost that ended within the last minutes; no call takes a day."""
    rows = Rows.of(cursor, replace(asked, since=now - _LONGEST_CALL, until=None))
    query = statements.query("live", where=rows.where)
    ended = {"ended_since": now - timedelta(minutes=_LIVE_MINUTES), "ended_until": now}
    found = statements.rows(cursor.execute(query, rows.parameters | ended))[0]
    cost = found["cost_usd"]
    hourly = None if cost is None else money.usd(cost * 60 / _LIVE_MINUTES)
    return {"minutes": _LIVE_MINUTES, **found, "usd_per_hour": hourly}
