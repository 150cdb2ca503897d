"""The report of a run as the application writes it itself, ``cost_report.json``: here as the ledger has it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from otel_cost.budgets.config import BudgetStatus
from otel_cost.budgets.limit import Limit
from otel_cost.budgets.line import Line
from otel_cost.budgets.report import CostReport
from otel_cost.budgets.rule import PLAIN, Key
from otel_cost.budgets.tally import Of, Tally
from otel_cost.budgets.tree import Standing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_cost_exporter.books import Books

    Document = dict[str, Any]

_BY: Final = ("stage", "role", "model", "provider", "charge")
_PAGE: Final = "1000"


def of_run(books: Books, run: Document) -> CostReport:
    """The report of `run`, the answer of ``runs/{id}``."""
    kept = Tally()
    kept.refused = run["total"]["refused_calls"]
    rows = books.ask("summary", [*(("by", name) for name in _BY), ("run", run["run"])])["rows"]
    for row in rows:
        if row["charge"] is None and row["calls"]:
            kept.lines[Of(**{name: row[name] for name in _BY})] = _line(row)
    for name in dict.fromkeys(row["charge"] for row in rows if row["charge"] is not None):
        for charge in _charges(books, run["run"], name):
            of = Of(charge["stage"], charge["role"], charge=name)
            _add(kept.lines.setdefault(of, Line()), charge)
    return CostReport.of(kept, "audited", datetime.fromisoformat(run["first_call"]), budget=_budget(run))


def _line(row: Document) -> Line:
    line = Line()
    line.calls, line.input_tokens, line.output_tokens = (
        row[name] for name in ("calls", "input_tokens", "output_tokens")
    )
    line.cost = Decimal(row["cost_usd"] or 0)
    line.estimated, line.unknown = row["estimated_calls"], row["unknown_calls"]
    line.known = line.calls - line.estimated - line.unknown
    return line


def _charges(books: Books, run: str, name: str) -> Iterator[Document]:
    """Each charge of `name`, page by page."""
    parameters = [("run", run), ("charge", name), ("limit", _PAGE)]
    page = books.ask("calls", parameters)
    yield from page["calls"]
    while page["next"] is not None:
        page = books.ask("calls", [*parameters, ("cursor", page["next"])])
        yield from page["calls"]


def _add(line: Line, charge: Document) -> None:
    line.charges += 1
    line.units += Decimal(charge["units"] or 0)
    line.cost += Decimal(charge["cost_usd"] or 0)
    status = charge["cost_status"]
    setattr(line, status, getattr(line, status) + 1)


def _budget(run: Document) -> BudgetStatus | None:
    """The budget that holds for the life of the run; in US dollars, where it has one in tokens too."""
    total = run["total"]
    if run["limit_usd"] is not None:
        limit, spent = Limit.of_usd(run["limit_usd"]), Decimal(total["cost_usd"] or 0)
    elif run["limit_tokens"] is not None:
        limit, spent = Limit.of_tokens(run["limit_tokens"]), total["input_tokens"] + total["output_tokens"]
    else:
        return None
    key = Key("run", run["run"], limit.unit)
    return BudgetStatus.of(Standing(key, limit, spent, 0, 0, total["calls"], None), PLAIN)
