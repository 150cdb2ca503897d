"""What has been spent, by stage, model, role and provider: the report of a budget or of a process.

pydantic is imported with the first report, not with `otel_cost`.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_serializer

from otel_cost import money
from otel_cost.budgets import tally
from otel_cost.budgets.config import BudgetStatus
from otel_cost.budgets.line import Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from otel_cost.budgets.tally import Of, Tally

Outcome = Literal["running", "completed", "budget_exceeded", "failed", "interrupted", "audited"]


class Sums(BaseModel):
    """What calls and charges come to. In JSON, amounts are texts that hold them exactly."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calls: int = Field(ge=0, description="How many calls to models.")
    input_tokens: int = Field(ge=0, description="Cached ones included.")
    output_tokens: int = Field(ge=0, description="Reasoning included.")
    cost_usd: Decimal = Field(description="US dollars, of those calls and charges whose cost is known or estimated.")
    known: int = Field(ge=0, description="How many calls and charges have a cost that is known.")
    estimated: int = Field(ge=0, description="How many have one that is estimated.")
    unknown: int = Field(ge=0, description="How many have one that nobody knows, so that cost_usd lacks it.")

    @field_serializer("cost_usd", when_used="json")
    def _exact(self, amount: Decimal) -> str:
        return money.text(amount)


class Part(Sums):
    """A stage, a model, a role or a provider."""

    name: str | None = Field(description="Its name; null for calls that have none.")


class Charged(BaseModel):
    """What something other than calls to models came to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="What was charged for, such as web_search.")
    charges: int = Field(ge=0, description="How often.")
    units: Decimal = Field(description="How much of it.")
    cost_usd: Decimal = Field(description="US dollars, of those charges whose cost is known.")
    unknown: int = Field(ge=0, description="How many charges have a cost that nobody knows, so that cost_usd lacks it.")

    @field_serializer("cost_usd", when_used="json")
    def _exact(self, amount: Decimal) -> str:
        return money.text(amount)

    @field_serializer("units", when_used="json")
    def _plain(self, units: Decimal) -> str:
        return f"{units:f}"


class CostReport(BaseModel):
    """What has been spent of a budget, or by a process: ``cost_report.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: Outcome = Field(
        description="How it came out: it is running still, it was completed, a budget stopped it (budget_exceeded), it "
        "failed in another way, the process was told to end amid it (interrupted); or the ledger has it, of all "
        "processes, and does not know (audited)."
    )
    refusal: str | None = Field(default=None, description="What the budget said that stopped it.")
    started: datetime = Field(description="When it began.")
    written: datetime = Field(description="When this was written.")
    budget: BudgetStatus | None = Field(
        default=None,
        description="The budget that this is the report of: its limit, what is spent of it, by other processes too, "
        "and what remains. Null in the report of a process.",
    )
    budgets: tuple[BudgetStatus, ...] = Field(default=(), description="The other budgets that were charged.")
    refused_calls: int = Field(ge=0, description="How many calls a budget refused.")
    total: Sums = Field(description="What this process has spent.")
    by_stage: tuple[Part, ...] = Field(description="The same by stage, the most expensive first.")
    by_model: tuple[Part, ...] = Field(description="By the model that answered.")
    by_role: tuple[Part, ...] = Field(description="By role.")
    by_provider: tuple[Part, ...] = Field(description="By provider.")
    charges: tuple[Charged, ...] = Field(default=(), description="What else was charged; it is part of total, too.")

    @classmethod
    def of(
        cls,
        kept: Tally,
        outcome: Outcome,
        started: datetime,
        *,
        budget: BudgetStatus | None = None,
        budgets: Iterable[BudgetStatus] = (),
        refusal: BaseException | None = None,
    ) -> CostReport:
        """The report of what the tally `kept` holds."""
        lines = tally.lines(kept)
        calls = [(of, line) for of, line in lines if of.charge is None]
        return cls(
            outcome=outcome,
            refusal=None if refusal is None else str(refusal),
            started=started,
            written=datetime.now(UTC),
            budget=budget,
            budgets=tuple(budgets),
            refused_calls=kept.refused,
            total=Sums(**_sums(_merged(line for _, line in lines))),
            by_stage=_parts(lines, lambda of: of.stage),
            by_model=_parts(calls, lambda of: of.model),
            by_role=_parts(lines, lambda of: of.role),
            by_provider=_parts(calls, lambda of: of.provider),
            charges=_charges(lines),
        )

    def write(self, path: Path) -> None:
        """Write it to the file `path`, which holds the whole of it or what was there before.

        Raises:
            OSError: it cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            new.write_text(self.model_dump_json(indent=2) + "\n", "utf-8")
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)


def _parts(lines: Iterable[tuple[Of, Line]], name_of: Callable[[Of], str | None]) -> tuple[Part, ...]:
    found = _by(lines, name_of)
    return tuple(Part(name=name, **_sums(line)) for name, line in found)


def _charges(lines: Iterable[tuple[Of, Line]]) -> tuple[Charged, ...]:
    found = _by(((of, line) for of, line in lines if of.charge is not None), lambda of: of.charge)
    return tuple(
        Charged(name=name or "", charges=line.charges, units=line.units, cost_usd=line.cost, unknown=line.unknown)
        for name, line in found
    )


def _by(lines: Iterable[tuple[Of, Line]], name_of: Callable[[Of], str | None]) -> list[tuple[str | None, Line]]:
    """The sums by name, the most expensive first."""
    groups: defaultdict[str | None, list[Line]] = defaultdict(list)
    for of, line in lines:
        groups[name_of(of)].append(line)
    found = [(name, _merged(group)) for name, group in groups.items()]
    return sorted(found, key=lambda part: (-part[1].cost, part[0] or ""))


def _merged(lines: Iterable[Line]) -> Line:
    total = Line()
    for line in lines:
        total.merge(line)
    return total


def _sums(line: Line) -> dict[str, Any]:
    return {
        "calls": line.calls,
        "input_tokens": line.input_tokens,
        "output_tokens": line.output_tokens,
        "cost_usd": line.cost,
        "known": line.known,
        "estimated": line.estimated,
        "unknown": line.unknown,
    }
