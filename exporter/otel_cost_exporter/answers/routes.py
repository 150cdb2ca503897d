"""Every question that the books answer, by its path: the same on a file and over HTTP."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from otel_cost_exporter.answers import books, events, shapes, summary, whole
from otel_cost_exporter.answers.calls import calls
from otel_cost_exporter.answers.compare import compare
from otel_cost_exporter.answers.dashboard import cost_dashboard
from otel_cost_exporter.answers.estimate import estimate
from otel_cost_exporter.answers.projects import project
from otel_cost_exporter.answers.quarantine import quarantine
from otel_cost_exporter.answers.question import FILTERS, SUMMARY
from otel_cost_exporter.answers.runs import runs
from otel_cost_exporter.errors import NotInBooksError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Route:
    """One question.

    Attributes:
        path: below ``/v1/``; may end in ``{id}``.
        answer: makes the answer, from a cursor within a transaction, the question, and the id, if there is one.
        shape: what the answer is.
        takes: the names of its parameters.
        filters: what it may be filtered by, and by the user's own dimensions then.
        table: the list in the answer that is its table, as CSV and Arrow.
    """

    path: str
    answer: Callable[..., dict[str, Any]]
    shape: type[BaseModel]
    takes: frozenset[str] = frozenset()
    filters: tuple[str, ...] = ()
    table: str | None = None

    @property
    def pattern(self) -> str:
        """A pattern of the paths that are this question, with a group for the id."""
        return re.escape(self.path).replace(r"\{id\}", "(.+)") + r"\Z"


_TIME: Final = frozenset({"since", "until", "tz"})
_PAGE: Final = frozenset({"limit", "cursor", "sort"})

ROUTES: Final = (
    Route("summary", summary.summary, shapes.Summary, SUMMARY, filters=FILTERS, table="rows"),
    Route("estimate", estimate, shapes.CallEstimate, _TIME, filters=FILTERS),
    Route("runs/{id}", whole.run, shapes.RunCostSummary, frozenset({"tz"}), table="stages"),
    Route("scenes/{id}", whole.scene, shapes.SceneCost, _TIME | {"limit"}, filters=FILTERS, table="stages"),
    Route("runs", runs, shapes.Runs, _TIME | _PAGE | {"search"}, filters=FILTERS, table="runs"),
    Route("projects/{id}", project, shapes.ProjectHistory, _TIME | {"limit", "per"}, filters=FILTERS, table="runs"),
    Route(
        "cost-dashboard",
        cost_dashboard,
        shapes.CostDashboard,
        frozenset({"days", "by", "tz"}),
        filters=FILTERS,
        table="top",
    ),
    Route("calls", calls, shapes.Calls, _TIME | _PAGE, filters=FILTERS, table="calls"),
    Route("compare", compare, shapes.Comparison, _TIME | {"instead"}, filters=FILTERS, table="models"),
    Route("budgets/events", events.events, shapes.BudgetEvents, _TIME | _PAGE, events.FILTERS, table="events"),
    Route("quarantine", quarantine, shapes.Quarantine, _TIME | _PAGE, table="quarantine"),
    Route("dimensions", books.dimensions, shapes.Dimensions),
    Route("schemas", books.schemas, shapes.Schemas),
)


def find(path: str) -> tuple[Route, tuple[str, ...]]:
    """The question at `path`, with percent-encoded ids, and its id.

    Raises:
        NotInBooksError: there is none.
    """
    for route in ROUTES:
        if found := re.match(route.pattern, path):
            return route, tuple(unquote(each) for each in found.groups())
    raise NotInBooksError(f"there is no question {path!r}: ask {', '.join(route.path for route in ROUTES)}")
