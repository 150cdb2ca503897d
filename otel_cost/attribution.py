"""Who pays, and which budgets hold: what the current context carries of it, in baggage and beside it."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote_plus

import msgspec
from opentelemetry import baggage, context
from opentelemetry.baggage.propagation import W3CBaggagePropagator

from otel_cost import semconv, signing
from otel_cost.decorating import around

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, MutableMapping

    from opentelemetry.context import Context

_logger = logging.getLogger(__name__)
_MOST_OWN_DIMENSIONS = 32
_BAGGAGE = frozenset({"baggage", b"baggage"})
_NO_DIMENSION = "run"
"""Where a budget that names no dimension stands."""
_dimension_of = lru_cache(maxsize=4096)(semconv.dimension_of)

# The baggage that we take off a request to a provider, kept for whatever calls a model further down.
_PAYER = context.create_key("otel_cost.payer")


@dataclass(frozen=True, slots=True)
class Budgeted:
    """A budget as baggage names it: the limit of one id of a dimension, still as text; `key` is the member's.

    Attributes:
        rule: the whole budget, where code set it.
    """

    key: str
    dimension: str
    id: str | None
    limit: str
    rule: Any = field(default=None, hash=False)  # it would take long to work out


Function = TypeVar("Function", bound="Callable[..., Any]")

# Budgets that code set, and those in baggage that an inner block replaced. They hold beside whatever baggage says, so
# they are kept where an extracted header does not reach: not in OpenTelemetry's context.
_held: ContextVar[tuple[Budgeted, ...]] = ContextVar("otel_cost.held-budgets", default=())


class Scope:
    """Baggage members that hold inside a ``with`` block, and budgets that hold in it however baggage changes.

    For one block: what is entered belongs to the task or thread that entered it. As a decorator, each call has one.

    Args:
        members: the baggage.
        budgets: the budgets.
    """

    def __init__(self, members: Mapping[str, str], budgets: tuple[Budgeted, ...] = ()) -> None:
        self._members, self._budgets = members, budgets
        self._entered: Any = None

    def __enter__(self) -> None:
        if self._entered is not None:
            raise RuntimeError("this block is entered already: make a new one for each `with`")
        current = context.get_current()
        held = (*_held.get(), *_replaced(current, self._members), *self._budgets)
        self._entered = _enter(current, self._members, held)

    def __exit__(self, *_: object) -> None:
        entered, self._entered = self._entered, None
        _leave(*entered)

    def __call__(self, function: Function) -> Function:
        """`function`, each call of which is inside such a block: sync, async or a generator."""
        return around(function, lambda: Scope(self._members, self._budgets))


def attribute(**dimensions: str) -> Scope:
    """Say who pays for the calls made inside a ``with`` block or a decorated function, in sync and async code alike.

    >>> with attribute(project="atlas", stage="draft"):
    ...     ...
    >>> @attribute(stage="review")
    ... async def review(text): ...

    Args:
        dimensions: dimension -> id. Any of `semconv.DIMENSIONS`, or the user's own.

    Raises:
        ValueError: a name or an id that cannot be carried, and what it must look like.
    """
    return Scope(
        {
            semconv.dimension_key(semconv.check_dimension(name)): semconv.check_id(name, id_)
            for name, id_ in dimensions.items()
        }
    )


def _enter(current: Context, members: Mapping[str, str], held: tuple[Budgeted, ...]) -> tuple[Any, Any]:
    for key, value in (*_signed_anew(current, members), *members.items()):
        current = baggage.set_baggage(key, value, current)
    return context.attach(current), _held.set(held)


def _signed_anew(current: Context, members: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The budgets in baggage whose dimension gets another id, signed for that one."""
    if signing.keys():
        for found in budgeted(_ours(current)):
            new = members.get(semconv.dimension_key(found.dimension))
            if new is not None and new != found.id and found.key not in members:
                yield found.key, signing.sign_anew(found.dimension, found.id, as_carried(new), found.limit)


def _leave(attached: Any, held: Any) -> None:
    context.detach(attached)
    with suppress(ValueError):  # left in another context than it was entered in, whose values go with it
        _held.reset(held)


def _replaced(current: Context, members: Mapping[str, str]) -> Iterator[Budgeted]:
    """The budgets in baggage whose dimension gets another id or limit: nobody steps out of one that way."""
    names = {semconv.dimension_of(key) or semconv.budgeted_dimension_of(key) for key in members}
    known = {(found.key, found.id, found.limit) for found in _held.get()}
    for found in budgeted(_ours(current)):
        if found.dimension in names and (found.key, found.id, found.limit) not in known:
            yield found


def budgeted(members: Mapping[str, str]) -> Iterator[Budgeted]:
    """The budgets that the baggage `members` name. One that names no dimension is the request's own."""
    for key, value in members.items():
        if semconv.is_budget(key):
            dimension = semconv.budgeted_dimension_of(key)
            id_ = members.get(semconv.dimension_key(dimension)) if dimension else None
            yield Budgeted(key, dimension or _NO_DIMENSION, id_, value)


def held() -> tuple[Budgeted, ...]:
    """Budgets that hold here whatever baggage says."""
    return _held.get()


def members(current: Context | None = None) -> dict[str, str]:
    """Our baggage members that hold in `current`: those of the process, and over them those of the context."""
    payer: Any = context.get_value(_PAYER, current)
    return {**process_members(), **(payer or {}), **_ours(current)}


@lru_cache(maxsize=1)
def process_members() -> dict[str, str]:
    """Our baggage members in the environment variable ``BAGGAGE``, which hold in the whole process.

    That is how OpenTelemetry hands context to a child process, and how ``otel-cost run`` does.
    """
    return members_of(os.environ.get("BAGGAGE", ""))


def members_of(header: str) -> dict[str, str]:
    """Our members of a baggage header."""
    return _ours(W3CBaggagePropagator().extract({"baggage": header}, context.Context()))


def as_carried(value: str) -> str:
    """What is read of the value of a baggage member: not the properties that it may have behind a semicolon."""
    return value.partition(";")[0].strip()[: semconv.LONGEST_ID]


def _ours(current: Context | None) -> dict[str, str]:
    """Our members in the baggage of `current`."""
    return {
        key: as_carried(value)
        for key, value in baggage.get_all(current).items()
        if key.startswith(semconv.PREFIX) and isinstance(value, str) and _is_understood(key)
    }


@lru_cache(maxsize=4096)
def _is_understood(key: str) -> bool:
    """Whether the baggage member `key` is one that we know; the log says it once where it is not."""
    if semconv.dimension_of(key) or semconv.is_budget(key):
        return True
    _logger.warning(
        "%s in baggage is passed over: %s<dimension>=<id> says who pays, %s<dimension>=<limit> sets a budget",
        key,
        semconv.PREFIX,
        semconv.BUDGET_PREFIX,
    )
    return False


def dimensions(members: Mapping[str, str]) -> dict[str, str]:
    """Dimension -> id, of the baggage `members`: the shipped ones, and not more of others than the ledger takes."""
    found = {name: value for key, value in members.items() if value and (name := _dimension_of(key)) is not None}
    own = [name for name in found if name not in semconv.DIMENSIONS]
    for name in own[_MOST_OWN_DIMENSIONS:]:
        del found[name]
    return found


def without_ours(current: Context) -> Context:
    """`current` as a request to a provider may carry it: our members kept aside, out of its baggage."""
    ours = members(current)
    if not ours:
        return current
    for key in baggage.get_all(current):
        if key.startswith(semconv.PREFIX):
            current = baggage.remove_baggage(key, current)
    return context.set_value(_PAYER, ours, current)


def is_told(headers: MutableMapping[Any, Any]) -> bool:
    """Whether a request that leaves here with `headers` may carry a member of ours."""
    return any(key.startswith(semconv.PREFIX) for key in baggage.get_all()) or bool(_baggage_names(headers))


def strip(headers: MutableMapping[Any, Any]) -> None:
    """Take our members out of the baggage that somebody put into `headers` already; the others stay to the byte."""
    for name in _baggage_names(headers):
        lines = [line.decode("latin-1") if isinstance(line, bytes) else line for line in _lines(headers, name)]
        members = [member for line in lines for member in line.split(",")]
        others = [member for member in members if not _is_ours(member)]
        if len(others) == len(members):
            continue
        del headers[name]  # every line of it: in some clients, setting one adds it to the others
        if any(member.strip() for member in others):
            headers[name] = ",".join(others).strip()  # httpx refuses a value with a space at its ends


def _baggage_names(headers: MutableMapping[Any, Any]) -> list[Any]:
    """What the baggage header is called in `headers`: clients have mappings that know no case, callers plain ones."""
    if isinstance(headers, dict):
        return [name for name in headers if name in _BAGGAGE or name.lower() in _BAGGAGE]
    # In httpx `in` decodes every header: a look at the bytes of their names takes half as long, and mostly says enough.
    raw = getattr(headers, "raw", None)
    if isinstance(raw, list) and b"baggage" not in b" ".join(dict(raw)).lower():
        return []
    return ["baggage"] if "baggage" in headers else []


def _lines(headers: Any, name: Any) -> list[Any]:
    """The lines of the header `name`. Clients have their own names for the method that gives them all."""
    for method in ("get_list", "getlist", "getall", "get_all"):
        if (lines_of := getattr(headers, method, None)) is not None:
            return list(lines_of(name))
    return [headers[name]]


def _is_ours(member: str) -> bool:
    """Whether `member` of a baggage header is ours to whoever reads it: names may be percent-encoded."""
    return unquote_plus(member.partition("=")[0]).strip().startswith(semconv.PREFIX)


class Carried(msgspec.Struct, frozen=True):
    """What a new thread inherits, so that its calls are charged to the same."""

    members: dict[str, str]
    held: tuple[Budgeted, ...]


def carried() -> Carried | None:
    """What a thread that starts here inherits; None where there is nothing."""
    found = Carried(_ours(None), _held.get())
    return found if found.members or found.held else None


@contextmanager
def inheriting(inherited: Carried) -> Iterator[None]:
    """Charge the calls inside a ``with`` block to what was `carried` here."""
    entered = _enter(context.get_current(), inherited.members, inherited.held)
    try:
        yield
    finally:
        _leave(*entered)
