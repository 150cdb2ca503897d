"""Which model a stage or a role asks: cheap ones where little of the budget is left, strong ones where there is much.

A profile lists models from cheap to strong, in the user's file of budgets. Which of them it is follows from the share
of the tightest budget that is left, or from a level that somebody names; nothing else, so the same answer comes again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from opentelemetry import trace

from otel_cost import attribution, semconv, settings
from otel_cost.budgets import controls, file
from otel_cost.budgets.chosen import store
from otel_cost.budgets.context import budgets_in
from otel_cost.safety import guard

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_cost.usage import Request

_logger = logging.getLogger(__name__)
_MOST_REMEMBERED: Final = 1000
_last: dict[tuple[str | None, str | None], str] = {}
"""What was chosen last for a stage and a role, so that the log has changes alone."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The models of a stage or a role.

    Attributes:
        models: from cheap to strong.
        shares: for each model but the cheapest, the share of the budget that must be left for it.
        stage: which stage, as a pattern; None for any.
        role: which role, likewise.
        level: the model that it is whatever is left, 1 for the cheapest; None where what is left decides.
    """

    models: tuple[str, ...]
    shares: tuple[Decimal, ...]
    stage: str | None = None
    role: str | None = None
    level: int | None = None

    def matches(self, stage: str | None, role: str | None) -> bool:
        """Whether it is for this stage and role."""
        return _matches(self.stage, stage) and _matches(self.role, role)

    def model(self, left: Decimal) -> str:
        """The model where `left` is the share of the budget that is left."""
        return self.models[sum(left >= share for share in self.shares)]


def _matches(pattern: str | None, name: str | None) -> bool:
    return pattern is None or (name is not None and fnmatchcase(name, pattern))


def choose_model(stage: str | None = None, role: str | None = None, level: int | None = None) -> str:
    """The model that a call made here should ask, by the ``[[profile]]`` of the file that `OTEL_COST_BUDGETS` names.

    The first profile that matches tells. It is the strongest model that enough is left for: of the budgets that hold
    here, the tightest counts. Where a store is shared, its server is asked.

    >>> model = choose_model(stage="draft")

    Args:
        stage: the stage; the one that this code runs in where it is None.
        role: the role, likewise.
        level: the model that it shall be, 1 for the profile's cheapest; the strongest where there are fewer.

    Raises:
        LookupError: no profile matches.
        ValueError: the level is below 1.
    """
    if level is not None and level < 1:
        raise ValueError(f"level={level!r}: 1 is the cheapest model of a profile, 2 the next")
    members = attribution.members()
    here = attribution.dimensions(members)
    stage, role = stage or here.get("stage"), role or here.get("role")
    profile = next(_matching(stage, role), None)
    if profile is None:
        raise LookupError(
            f"no profile matches stage={stage!r}, role={role!r}: add a [[profile]] with its models, from cheap to "
            f"strong, to the file that {settings.BUDGETS.name} names"
        )
    at = level or profile.level
    if at is not None:
        model, why = profile.models[min(at, len(profile.models)) - 1], f"level {at}"
    else:
        left = _share_left(members)
        model, why = profile.model(left), f"{left:.0%} of the tightest budget is left"
    _tell(stage, role, model, why)
    return model


def cheaper(request: Request, dimensions: Mapping[str, str]) -> str | None:
    """The next cheaper model than the one that `request` asks, in the first profile that has it; None where none is."""
    for profile in _matching(dimensions.get("stage"), dimensions.get("role")):
        if request.model in profile.models:
            at = profile.models.index(request.model)
            return profile.models[at - 1] if at else None
    return None


def _matching(stage: str | None, role: str | None) -> Iterator[Profile]:
    return (profile for profile in file.rules().profiles if profile.matches(stage, role))


def _share_left(members: Mapping[str, str]) -> Decimal:
    """The share of the tightest budget here that is not spent, from 0 to 1; 0 where nobody can tell."""
    with guard("asking how much of a budget is left"):
        keys = {budget.key(): budget for budget in budgets_in(members)}
        controls.hear(keys.values())
        spent = {standing.key: standing for standing in store().standings(keys)} if keys else {}
        shares = [Decimal(1)]
        for key, budget in keys.items():
            standing = spent.get(key)
            limit = (standing or budget).limit.amount
            stopped = standing is not None and standing.stopped is not None
            rest = limit - standing.spent if standing is not None else limit
            shares.append(Decimal(0) if stopped or limit <= 0 else max(Decimal(0), rest / limit))
        return min(shares)
    return Decimal(0)


def _tell(stage: str | None, role: str | None, model: str, why: str) -> None:
    """Say a change of model in the log and on the span."""
    key = (stage, role)
    if _last.get(key) == model:
        return
    if len(_last) >= _MOST_REMEMBERED:
        _last.clear()
    _last[key] = model
    _logger.info("stage=%r, role=%r: %s from now on, since %s", stage, role, model, why)
    event = {semconv.MODEL_CHOSEN: model, semconv.MODEL_CHOSEN_REASON: why}
    trace.get_current_span().add_event(semconv.MODEL_CHOSEN, event)
