"""What something cost that calls to models have made, while they are still being made."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from otel_cost import attribution, semconv
from otel_cost.budgets import tally
from otel_cost.budgets.line import Line

if TYPE_CHECKING:
    from otel_cost.budgets.artifact_model import ArtifactCost


def cost_of(**dimensions: str) -> ArtifactCost:
    """What the calls of this process cost that are attributed to all of `dimensions`: metadata for what they made.

    It counts calls that have ended, under a budget or not, of all threads and tasks; a stream ends when it is read or
    closed. `ArtifactCost.audit` asks the ledger for the same later, of all processes. A dimension of your own that no
    call of this process has had may be mistyped: then the cost is unknown, and not nothing.

    >>> with attribute(run="nightly-7", stage="draft"):
    ...     chapter = write()
    >>> save(chapter, cost_of(run="nightly-7", stage="draft").model_dump_json())

    Args:
        dimensions: whose calls: ``run="nightly-7", stage="draft"``, and any other dimension. Without any, of whoever
            pays where this is called; and where nobody does, of all that this process has made.

    Raises:
        ValueError: a name or an id that no call can be attributed to.
    """
    from otel_cost.budgets.artifact_model import ArtifactCost, doubts  # noqa: PLC0415 - pydantic, for those who ask

    whose = _carried(dimensions) if dimensions else attribution.dimensions(attribution.members())
    found, complete = tally.paid_by(frozenset(whose.items()))
    by_model: dict[str | None, Line] = {}
    total = Line()
    for model, line in found:
        by_model.setdefault(model, Line()).merge(line)
        total.merge(line)
    unheard = whose.keys() - _heard_of() if not found else ()
    models = (model for model in by_model if model is not None)
    return ArtifactCost(
        dimensions=whose,
        models=tuple(sorted(models, key=lambda model: (-by_model[model].cost, model))),
        calls=total.calls,
        input_tokens=total.input_tokens,
        output_tokens=total.output_tokens,
        cost_usd=None if unheard or (total.unknown and not (total.known or total.estimated)) else total.cost,
        **doubts(estimated=total.estimated, unknown=total.unknown, unheard=bool(unheard)),
        complete=complete,
        audited=False,
        at=datetime.now(UTC),
    )


def _heard_of() -> set[str]:
    """The dimensions that some call has had or would have here, and those that ship."""
    return {*semconv.DIMENSIONS, *tally.dimensions(), *attribution.dimensions(attribution.members())}


def _carried(dimensions: dict[str, str]) -> dict[str, str]:
    """`dimensions` as calls have them that are attributed to them."""
    checked = ((semconv.check_dimension(name), semconv.check_id(name, id_)) for name, id_ in dimensions.items())
    return {name: attribution.as_carried(id_) for name, id_ in checked}
