"""Which budgets hold in a context: those in its baggage, those that code set around it, and those of the process."""

from __future__ import annotations

import logging
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from opentelemetry import trace

from otel_cost import attribution, semconv
from otel_cost.attribution import Scope
from otel_cost.budgets.limit import Budget, Limit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context

_logger = logging.getLogger(__name__)
_enforced = False
_unreadable: set[str] = set()
_MOST_UNREADABLE = 1000


def enforce() -> None:
    """Say that calls of this process are held against their budgets from now on."""
    global _enforced  # noqa: PLW0603 - one process, one answer
    _enforced = True


@lru_cache(maxsize=1)
def _say_that_nothing_enforces() -> None:
    _logger.warning(
        "a budget is set, and nothing holds calls against it: "
        "start the program with opentelemetry-instrument, or otel-cost run"
    )


def budget(
    dimension: str,
    id: str,  # noqa: A002 - what it is
    *,
    limit_usd: Decimal | int | str | None = None,
    limit_tokens: int | None = None,
) -> Scope:
    """Bound what the calls inside a ``with`` block may spend together, and attribute them to `id`.

    The bound is the id's, not the block's: whatever this process spends for the same `dimension` and `id` counts.

    >>> with budget("run", "nightly-7", limit_usd="0.50"):
    ...     ...

    Args:
        dimension: any dimension, such as ``run``.
        id: the id within it.
        limit_usd: US dollars, as a decimal text, `Decimal` or whole number; or
        limit_tokens: tokens, input and output together. Exactly one of the two.

    Raises:
        ValueError: a dimension, id or limit that cannot be, and what it must look like.
        BudgetExceededError: inside the block, by the call that would break it.
    """
    if (limit_usd is None) == (limit_tokens is None):
        raise ValueError("a budget needs limit_usd or limit_tokens, and not both")
    if isinstance(limit_usd, float):
        raise ValueError(f"limit_usd={limit_usd!r} is a float, which is not exact: write limit_usd={str(limit_usd)!r}")  # noqa: TRY004 - one error type for bad limits
    limit = Limit.of_tokens(limit_tokens) if limit_tokens is not None else Limit.of_usd(limit_usd or 0)
    name = attribution.check_dimension(dimension)
    if not _enforced:
        _say_that_nothing_enforces()
    return Scope({semconv.dimension_key(name): attribution.check_id(name, id), semconv.budget_key(name): limit.text})


def budgets_in(found: Mapping[str, str], current: Context | None = None) -> tuple[Budget, ...]:
    """The budgets that hold in the context `current`, whose baggage `attribution.members` are `found`.

    One that baggage names without an id is the request's own: it is named by the trace. What comes from outside only
    ever adds a budget or tightens one, since those of code and of the process are always among them.
    """
    held, of_process = attribution.held(), attribution.process_members()
    if not (found or held or of_process):
        return ()
    tightest: dict[tuple[str, str, bool], Budget] = {}
    process = tuple(attribution.budgeted(of_process))
    for named in (*attribution.budgeted(found), *held, *process):
        limit = _limit(named)
        budget_id = named.id or ("process" if named in process else _trace_id(current))
        key = (named.dimension, budget_id, limit.in_tokens)
        if key not in tightest or limit.amount < tightest[key].limit.amount:
            tightest[key] = Budget(named.dimension, budget_id, limit)
    return tuple(tightest.values())


def _limit(named: attribution.Budgeted) -> Limit:
    """The limit that somebody asked for; nothing may be spent where it cannot be read, and the log says why."""
    try:
        if semconv.budgeted_dimension_of(named.key) is not None:
            return Limit.parse(named.limit)
        flaw = f"it names no dimension, as in {semconv.budget_key('run')}"
    except ValueError as error:
        flaw = str(error)
    line = f"{named.key}={named.limit} in baggage: {flaw}. It lets nothing through"
    if line not in _unreadable and len(_unreadable) < _MOST_UNREADABLE:
        _unreadable.add(line)
        _logger.warning("%s", line)
    return Limit(Decimal(0), flaw=line)


def _trace_id(current: Context | None) -> str:
    span = trace.get_current_span(current).get_span_context()
    return f"trace-{trace.format_trace_id(span.trace_id)}" if span.is_valid else "unnamed"
