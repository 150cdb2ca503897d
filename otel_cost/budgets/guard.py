"""What `otel_cost.budget(...)` returns: a block that a budget bounds, and its account, in the block and after it."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from otel_cost import attribution, safety, settings
from otel_cost.budgets import controls, tally
from otel_cost.budgets.chosen import store
from otel_cost.budgets.context import budgets_in, say_that_nothing_enforces, scope_of
from otel_cost.budgets.patience import paused
from otel_cost.budgets.rule import PLAIN
from otel_cost.budgets.tally import PROCESS, Account
from otel_cost.budgets.tree import Standing
from otel_cost.decorating import Block
from otel_cost.errors import BudgetExceededError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from decimal import Decimal
    from os import PathLike

    from otel_cost.budgets.config import BudgetStatus
    from otel_cost.budgets.report import CostReport, Outcome
    from otel_cost.budgets.rule import At, Budget, Key, OnExceed, OnUnknown, Policy, Sizing
    from otel_cost.budgets.window import Span

_started: Final = datetime.now(UTC)
_open: set[Guard] = set()


class Guard(Block):
    """A block that a budget bounds: ``with`` or ``async with``, or a decorator, and its account.

    Attributes:
        refusal: the error that has left the block, because a budget refused a call or a stage; None where none has.
    """

    def __init__(self, budget: Budget, on_exhausted: Callable[[Guard], object] | None, report: Path | None) -> None:
        super().__init__()
        self._budget, self._on_exhausted, self._path = budget, on_exhausted, report
        self._key: Key | None = None  # the one that is kept when the block has ended
        self._tally = tally.tally(Account.of(budget.key()))
        self._outcome: Outcome = "running"
        self._began = datetime.now(UTC)
        self.refusal: BudgetExceededError | None = None

    def again(self) -> Self:
        """See `Block`."""
        return type(self)(self._budget, self._on_exhausted, self._path)

    def step(self) -> AbstractContextManager[Any]:
        """See `Block`."""
        return scope_of(self._budget)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Once it ends: save the user's checkpoint where a refusal leaves, and write the report in any case."""
        self._began = datetime.now(UTC)
        _open.add(self)
        try:
            yield
        except BaseException as error:
            self.refusal = _refusal_in(error)
            if self.refusal is not None:
                self._end("budget_exceeded")
                self._save()
            else:
                self._end("completed" if isinstance(error, GeneratorExit) else "failed")
            raise
        else:
            self._end("completed")
        finally:
            _open.discard(self)
            self.write()

    def status(self) -> BudgetStatus:
        """How the budget stands."""
        return _status(self._budget.policy, _standings([(self._account(), self._budget)])[0])

    def report(self) -> CostReport:
        """What this process has spent of the budget, by stage, model, role and provider."""
        from otel_cost.budgets.report import CostReport  # noqa: PLC0415 - needs what few processes need

        self._account()
        return CostReport.of(self._tally, self._outcome, self._began, budget=self.status(), refusal=self.refusal)

    def write(self, outcome: Outcome | None = None) -> None:
        """Write the report to the file that was named for it, if any."""
        if self._path is None:
            return
        with safety.guard(f"writing the report {self._path}"):
            report = self.report()
            (report if outcome is None else report.model_copy(update={"outcome": outcome})).write(self._path)

    def _account(self) -> Key:
        """Its account: of the window that it is, or was when the block ended."""
        if self._key is not None:
            return self._key
        key = self._budget.key()
        self._tally = tally.tally(Account.of(key))
        return key

    def _end(self, outcome: Outcome) -> None:
        self._key, self._outcome = self._account(), outcome

    def _save(self) -> None:
        if self._on_exhausted is not None:
            with self.step():
                try:
                    self._on_exhausted(self)
                except Exception as error:  # noqa: BLE001 - the refusal leaves whatever comes of it
                    safety.report("saving a checkpoint (on_exhausted)", error)


def _refusal_in(error: BaseException) -> BudgetExceededError | None:
    """The refusal that `error` is; or is among those of a group of tasks."""
    if isinstance(error, BudgetExceededError):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next((found for one in error.exceptions if (found := _refusal_in(one)) is not None), None)
    return None


def budget(
    dimension: str,
    id: str,  # noqa: A002 - what it is
    *,
    limit_usd: Decimal | int | str | None = None,
    limit_tokens: int | None = None,
    window: Span | None = None,
    timezone: str | None = None,
    on_exceed: OnExceed | None = None,
    at: At | None = None,
    sizing: Sizing | None = None,
    safety_factor: Decimal | float | str | None = None,
    on_unknown: OnUnknown | None = None,
    unknown_rate_usd_per_million: Decimal | int | str | None = None,
    warn_at: Iterable[Decimal | float | str] | None = None,
    pause_seconds: float | None = None,
    on_exhausted: Callable[[Guard], object] | None = None,
    report: str | PathLike[str] | None = None,
) -> Guard:
    """Bound what the calls inside a ``with`` block or a decorated function may spend, and attribute them to `id`.

    The bound is the id's, not the block's: whatever is spent for the same `dimension` and `id` counts.

    >>> with budget("run", "nightly-7", limit_usd="0.50", report="cost_report.json") as guard:
    ...     ...
    >>> guard.status().remaining

    Args:
        dimension: any dimension, such as ``run``.
        id: the id within it.
        limit_usd: US dollars, as a decimal text, `Decimal` or whole number; or
        limit_tokens: tokens, input and output together. Exactly one of the two.
        window: ``hour``, ``day``, ``week`` or ``month``: the limit is for each of them; else for the id's life.
        timezone: by whose clocks they begin, such as ``Europe/Berlin``.
        on_exceed: what becomes of a call that does not fit: ``raise``, ``warn``, ``pause`` or ``downgrade``.
        at: where it is stopped: before any ``call``, or before the next ``stage`` begins.
        sizing: how much a call holds before it leaves: ``expected``, ``strict`` or ``safety_factor``.
        safety_factor: how many times the spent must stay below the limit.
        on_unknown: what becomes of a call without a known price: ``refuse``, ``allow`` or ``rate``.
        unknown_rate_usd_per_million: that rate.
        warn_at: shares of the limit, such as 0.8, at which an event says so.
        pause_seconds: how long a call waits for a person.
        on_exhausted: called once with the guard when a refusal leaves the block, before it does: to save what there is.
        report: the file that `Guard.report` is written to when the block ends, however it does.

    Raises:
        ValueError: what cannot be, and what to write instead.
        BudgetExceededError: inside the block, by the call that would break it.
    """
    from otel_cost.budgets.config import budget_of  # noqa: PLC0415 - needs what few processes need

    found = budget_of(
        dimension,
        id,
        limit_usd=limit_usd,
        limit_tokens=limit_tokens,
        window=window,
        timezone=timezone,
        on_exceed=on_exceed,
        at=at,
        sizing=sizing,
        safety_factor=safety_factor,
        on_unknown=on_unknown,
        unknown_rate_usd_per_million=unknown_rate_usd_per_million,
        warn_at=None if warn_at is None else warn_at if isinstance(warn_at, float | str) else tuple(warn_at),
        pause_seconds=pause_seconds,
    )
    say_that_nothing_enforces()
    return Guard(found, on_exhausted, None if report is None else Path(report))


def status() -> list[BudgetStatus]:
    """How the budgets stand that hold here: of code around it, of baggage, file and process."""
    budgets = budgets_in(attribution.members())
    standings = _standings([(budget.key(), budget) for budget in budgets])
    return [_status(budget.policy, standing) for budget, standing in zip(budgets, standings, strict=True)]


def _standings(asked: list[tuple[Key, Budget]]) -> list[Standing]:
    """How accounts stand; one that no call was charged to has its whole limit left."""
    controls.hear(budget for _, budget in asked)
    known = {found.key: found for found in store().standings([key for key, _ in asked])} if asked else {}
    return [known.get(key) or Standing(key, budget.limit, 0, 0, 0, 0, None) for key, budget in asked]


def _status(policy: Policy, standing: Standing) -> BudgetStatus:
    from otel_cost.budgets.config import BudgetStatus  # noqa: PLC0415 - needs what few processes need

    found = BudgetStatus.of(standing, policy, paused=standing.key in paused())
    refused_at = tally.tally(Account.of(standing.key)).refused_at.get(standing.key.unit)
    if refused_at == standing.limit.amount and found.state in ("open", "warned"):
        return found.model_copy(update={"state": "exhausted"})  # what is left is less than a call needs
    return found


def watch_process() -> None:
    """Add up what this process spends, where somebody wants a report of it."""
    if settings.get(settings.REPORT) is not None:
        tally.watch_process()


def write_reports() -> None:
    """The process ends: write the reports of blocks that are open, and that of the process."""
    for guard in tuple(_open):
        guard.write("interrupted")
    path = settings.get(settings.REPORT)
    if path is None:
        return
    with safety.guard(f"writing the report {path}"):
        from otel_cost.budgets.report import CostReport  # noqa: PLC0415 - needs what few processes need

        ours = tally.accounts()
        statuses = [_status(PLAIN, found) for found in store().standings() if Account.of(found.key) in ours]
        CostReport.of(tally.tally(PROCESS), "completed", _started, budgets=statuses).write(path)


safety.after_fork_in_child(_open.clear)
