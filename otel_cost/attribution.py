"""Who pays: the attribution dimensions of the current context, carried in baggage."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from opentelemetry import baggage, context
from opentelemetry.baggage.propagation import W3CBaggagePropagator

from otel_cost import semconv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context

_LONGEST_ID = 256
_dimension_of = lru_cache(maxsize=4096)(semconv.dimension_of)


class Scope:
    """Baggage that holds inside a ``with`` block, in sync and async code alike, and is taken back after it."""

    __slots__ = ("_members", "_token")

    def __init__(self, members: Mapping[str, str]) -> None:
        self._members = members
        self._token: Any = None

    def __enter__(self) -> None:
        self._token = context.attach(self._extend(context.get_current()))

    def __exit__(self, *_: object) -> None:
        context.detach(self._token)

    def _extend(self, current: Context) -> Context:
        current = _enclose(current, self._members)
        for key, value in self._members.items():
            current = baggage.set_baggage(key, value, current)
        return current


@dataclass(frozen=True, slots=True)
class Budgeted:
    """A budget as baggage names it: the limit of one id of a dimension, still as text."""

    dimension: str
    id: str | None
    limit: str


_ENCLOSING = context.create_key("otel_cost.enclosing-budgets")


def enclosing(current: Context | None = None) -> tuple[Budgeted, ...]:
    """Budgets of blocks further out that an inner block's id or limit replaced in baggage. They still hold."""
    found: Any = context.get_value(_ENCLOSING, current)
    return found or ()


def _enclose(current: Context, replacing: Mapping[str, str]) -> Context:
    """Remember the budgets in baggage whose dimension gets another id or limit, so that nobody steps out of them."""
    held = _ours(current)
    replaced = {
        Budgeted(dimension, held.get(semconv.dimension_key(dimension)), held[semconv.budget_key(dimension)])
        for key in replacing
        if (dimension := semconv.dimension_of(key) or semconv.budgeted_dimension_of(key))
        and semconv.budget_key(dimension) in held
    }
    return context.set_value(_ENCLOSING, (*enclosing(current), *replaced), current) if replaced else current


def carried(current: Context) -> Context | None:
    """What a new thread must inherit of `current` so that its calls are charged to the same: None where nothing is."""
    ours = _ours(current)
    outer = enclosing(current)
    if not ours and not outer:
        return None
    inherited = context.set_value(_ENCLOSING, outer, context.Context())
    for key, value in ours.items():
        inherited = baggage.set_baggage(key, value, inherited)
    return inherited


def attribute(**dimensions: str) -> Scope:
    """Say who pays for the calls made inside a ``with`` block.

    >>> with attribute(project="atlas", stage="draft"):
    ...     ...

    Args:
        dimensions: dimension -> id. Any of `semconv.DIMENSIONS`, or the user's own.

    Raises:
        ValueError: a name or an id that cannot be carried, and what it must look like.
    """
    return Scope({semconv.dimension_key(check_dimension(name)): check_id(name, id) for name, id in dimensions.items()})  # noqa: A001 - what it is


def check_dimension(name: str) -> str:
    """`name`, where it may name a dimension.

    Raises:
        ValueError: it may not.
    """
    if not semconv.is_dimension(name):
        raise ValueError(f"{name!r} is no dimension: use lower-case letters, digits and _, a letter first")
    return name


def check_id(dimension: str, id: object) -> str:  # noqa: A002 - what it is
    """`id`, where it may be the id of `dimension`.

    Raises:
        ValueError: it may not.
    """
    if not isinstance(id, str) or not id or len(id) > _LONGEST_ID:
        raise ValueError(f"the id of {dimension} is {id!r}: it must be a text of 1 to {_LONGEST_ID} characters")
    return id


def members(current: Context | None = None) -> dict[str, str]:
    """Our baggage members that hold in `current`: those of the process, and over them those of the context."""
    return {**process_members(), **_ours(current)}


@lru_cache(maxsize=1)
def process_members() -> dict[str, str]:
    """Our baggage members in the environment variable ``BAGGAGE``, which hold in the whole process.

    That is how OpenTelemetry hands context to a child process, and how ``otel-cost run`` does.
    """
    header = {"baggage": os.environ.get("BAGGAGE", "")}
    return _ours(W3CBaggagePropagator().extract(header, context.Context()))


def _ours(current: Context | None) -> dict[str, str]:
    found = baggage.get_all(current).items()
    return {key: value for key, value in found if key.startswith(semconv.PREFIX) and isinstance(value, str)}


def dimensions(found: Mapping[str, str]) -> dict[str, str]:
    """Dimension -> id, of the baggage `members`."""
    return {name: value for key, value in found.items() if (name := _dimension_of(key)) is not None and value}


def without_ours(current: Context) -> Context:
    """`current` without our baggage members: what a request to a provider may carry."""
    for key in baggage.get_all(current):
        if key.startswith(semconv.PREFIX):
            current = baggage.remove_baggage(key, current)
    return current
