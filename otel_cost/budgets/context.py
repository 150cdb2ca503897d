"""Which budgets hold in a context: those in its baggage, of the code around it, of the user's file, of the process."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from opentelemetry import trace

from otel_cost import attribution, semconv, settings, signing
from otel_cost.attribution import Budgeted, Scope
from otel_cost.budgets import file
from otel_cost.budgets.limit import Limit
from otel_cost.budgets.rule import PROCESS, Budget
from otel_cost.budgets.window import LIFE, Window
from otel_cost.safety import guard

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.context import Context

    from otel_cost.budgets.file import Rules
    from otel_cost.budgets.rule import Policy
    from otel_cost.budgets.window import Span

_logger = logging.getLogger(__name__)
_enforced = False
_unreadable: set[str] = set()
_MOST_UNREADABLE = 1000
_MOST_SHOWN: Final = 100
"""Characters of what cannot be read, as no limit of more can: it may come from outside, and fill a header."""
_NAMELESS: Final = ""
"""The id of what a request was given without one, until its trace names it."""
NO_KEY: Final = "is not set, or too short: make one with openssl rand -hex 32"
_FOREVER: Final = float("inf")


def enforce() -> None:
    """Say that calls of this process are held against their budgets from now on, and read the user's file of them."""
    global _enforced  # noqa: PLW0603 - one process, one answer
    _enforced = True
    with guard("reading the file of budgets"):
        file.rules()


@lru_cache(maxsize=1)
def say_that_nothing_enforces() -> None:
    """A budget is set, and nobody holds calls against it: said once."""
    if not _enforced:
        _logger.warning(
            "a budget is set, and nothing holds calls against it: "
            "start the program with opentelemetry-instrument, or otel-cost run"
        )


def scope_of(budget: Budget) -> Scope:
    """A block in which `budget`, which code has set, holds, and its id is who pays.

    Its limit travels in baggage too, signed where this process has a key; but not that of one that only warns, since
    other processes would not know.
    """
    value = _signed(budget, signing.OWN_SECONDS)
    payer, key = semconv.dimension_key(budget.dimension), semconv.budget_key(budget.dimension)
    members = {payer: budget.id} if budget.policy.on_exceed == "warn" else {payer: budget.id, key: value}
    return Scope(members, (Budgeted(key, budget.dimension, budget.id, value, budget),))


def sign_budget(
    dimension: str,
    id: str,  # noqa: A002 - what it is
    *,
    limit_usd: Decimal | int | str | None = None,
    limit_tokens: int | None = None,
    window: Span = "life",
    timezone: str = "UTC",
    seconds: float = 3600,
) -> str:
    """A budget for the baggage of a request: a limit that only who has `OTEL_COST_BUDGET_KEY` can have written.

    >>> headers = {"baggage": f"otel_cost.run=r1,otel_cost.budget.run={sign_budget('run', 'r1', limit_usd='0.50')}"}

    Args:
        dimension: any dimension, such as ``run``.
        id: the id within it: for another one it is worth nothing.
        limit_usd: US dollars, as a decimal text, `Decimal` or whole number; or
        limit_tokens: tokens, input and output together. Exactly one of the two.
        window: what the limit is for, again and again: ``hour``, ``day``, ``week``, ``month``; or the id's ``life``.
        timezone: by whose clocks the window begins.
        seconds: how long from now it holds.

    Raises:
        ValueError: there is no key, or no such budget can be; and what to do.
    """
    from otel_cost.budgets.config import budget_of  # noqa: PLC0415 - needs what few processes need

    if not signing.keys():
        raise ValueError(f"{settings.BUDGET_KEY.name} {NO_KEY}")
    if seconds <= 0:
        raise ValueError(f"seconds={seconds!r}: it must be more than 0")
    given = {"limit_usd": limit_usd, "limit_tokens": limit_tokens, "window": window, "timezone": timezone}
    return _signed(budget_of(dimension, id, **given), seconds)


def budgets_in(found: Mapping[str, str], current: Context | None = None) -> tuple[Budget, ...]:
    """The budgets that hold in the context `current`, whose baggage `attribution.members` are `found`.

    Of several for one id, unit and window the tightest holds, as the user's code or file says how. What comes from
    outside only ever adds a budget or tightens one, since those of code, file and process are always among them. One
    that baggage names without an id is the request's own: it is named by the trace.
    """
    held, of_process, rules = attribution.held(), attribution.process_members(), file.rules()
    if not (found or held or of_process) and rules is file.NONE:
        return ()
    asked = (tuple(found.items()), held, tuple(of_process.items()), rules, signing.keys())
    holding = _holding(*asked)
    if holding.until <= time.time():
        holding = _work_out(*asked)
    if holding.nameless:
        return tuple(one if one.id else replace(one, id=_trace_id(current)) for one in holding.budgets)
    return holding.budgets


class _Holding(NamedTuple):
    """The budgets that hold, until when that is so, and whether one awaits its name."""

    budgets: tuple[Budget, ...]
    until: float
    nameless: bool


class _Account:
    """All budgets of one id, unit and window: those that say how it is treated, and limits that only tighten them."""

    def __init__(self) -> None:
        self.rules: list[Budget] = []
        self.limits: list[Limit] = []

    def budget(self, dimension: str, id: str, window: Window, defaults: Policy) -> Budget:  # noqa: A002 - what it is
        """The one that holds. A rule that only warns gives way to one that does more."""
        rules = [rule for rule in self.rules if rule.policy.on_exceed != "warn"] or self.rules
        rule = min(rules, key=_amount_of, default=None)
        limit = min((*(rule.limit for rule in rules), *self.limits), key=lambda one: one.amount)
        if rule is not None and rule.limit is limit:
            return rule
        return Budget(dimension, id, limit, window, defaults if rule is None else rule.policy)


def _amount_of(budget: Budget) -> Decimal:
    return budget.limit.amount


def _work_out(
    members: tuple[tuple[str, str], ...],
    held: tuple[Budgeted, ...],
    process: tuple[tuple[str, str], ...],
    rules: Rules,
    keys: tuple[str, ...] | None,  # noqa: ARG001 - what is remembered depends on them
) -> _Holding:
    here, given = dict(members), dict(process)
    accounts: defaultdict[tuple[str, str, bool, Window], _Account] = defaultdict(_Account)
    until = _FOREVER
    of_process = tuple(attribution.budgeted(given))
    for named in (*attribution.budgeted(here), *held, *of_process):
        rule = named.rule
        if rule is not None:
            accounts[_account_of(rule)].rules.append(rule)
            continue
        of_code = [one for one in held if one.rule is not None and one.key == named.key]
        trusted = named.limit in (given.get(named.key), *(one.limit for one in of_code))
        limit, window, expires = _read(named, trusted=trusted)
        until = min(until, expires)
        budget_id = named.id or (PROCESS if named in of_process else _NAMELESS)
        account = accounts[named.dimension, budget_id, limit.in_tokens, window]
        account.limits.append(limit)
        alike = (one.rule for one in of_code if (one.rule.limit, one.rule.window) == (limit, window))
        account.rules += (rule if rule.id == budget_id else replace(rule, id=budget_id) for rule in alike)
    for rule in _of_file(rules, here, given, held):
        accounts[_account_of(rule)].rules.append(rule)
    budgets = tuple(
        account.budget(dimension, budget_id, window, rules.defaults)
        for (dimension, budget_id, _, window), account in accounts.items()
    )
    return _Holding(budgets, until, any(budget.id == _NAMELESS for budget in budgets))


_holding = lru_cache(maxsize=4096)(_work_out)  # asked for with every call


def _account_of(rule: Budget) -> tuple[str, str, bool, Window]:
    return rule.dimension, rule.id, rule.limit.in_tokens, rule.window


def _of_file(
    rules: Rules, here: Mapping[str, str], given: Mapping[str, str], held: tuple[Budgeted, ...]
) -> Iterator[Budget]:
    """What the user's file says of every id that pays here, which baggage cannot take away from the process's own."""
    paying = dict.fromkeys((*attribution.dimensions(here).items(), *attribution.dimensions(given).items()))
    paying |= dict.fromkeys((named.dimension, named.id) for named in held if named.id)
    for dimension, budget_id in paying:
        yield from rules.of(dimension, budget_id)
    if rules.flaw is not None:
        run = attribution.dimensions(here).get("run", PROCESS)
        yield Budget("run", run, Limit(Decimal(0), flaw=rules.flaw))


def _read(named: Budgeted, *, trusted: bool) -> tuple[Limit, Window, float]:
    """The limit that somebody asked for, its window, and when it expires.

    Nothing may be spent where it cannot be read, and the log says why.
    """
    try:
        if semconv.budgeted_dimension_of(named.key) is None:
            raise ValueError(f"it names no dimension, as in {semconv.budget_key('run')}")  # noqa: TRY301 - to be said
        if signing.keys() is None or trusted:
            return *limit_and_window(_shown(signing.limit_of(named.limit))), _FOREVER
        signed = signing.read(named.dimension, named.id, named.limit)
        return *limit_and_window(_shown(signed.limit)), signed.expires
    except signing.RejectedError as error:
        return _nothing(_line(named, error)), LIFE, _FOREVER
    except ValueError as error:
        line = _line(named, error)
        if line not in _unreadable and len(_unreadable) < _MOST_UNREADABLE:
            _unreadable.add(line)
            _logger.warning("%s", line)
        return _nothing(line), LIFE, _FOREVER


@lru_cache(maxsize=4096)
def limit_and_window(text: str) -> tuple[Limit, Window]:
    """A limit and its window as baggage carries them: ``0.50``, ``20000tok``, ``5/day``, ``5/day/Europe/Berlin``.

    Raises:
        ValueError: it is none, and how one is written.
    """
    amount, windowed, rest = text.partition("/")
    span, _, timezone = rest.partition("/")
    return Limit.parse(amount), Window.of(span, timezone or "UTC") if windowed else LIFE


def _signed(budget: Budget, seconds: float) -> str:
    """A budget's limit and window as baggage carries them, signed for its id as baggage carries that."""
    text = budget.limit.text + budget.window.text
    return signing.sign(budget.dimension, attribution.as_carried(budget.id), text, seconds)


def _nothing(flaw: str) -> Limit:
    return Limit(Decimal(0), flaw=flaw)


def _line(named: Budgeted, error: ValueError) -> str:
    return f"{_shown(named.key)}={_shown(named.limit)} in baggage: {error}. It lets nothing through"


def _shown(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _trace_id(current: Context | None) -> str:
    span = trace.get_current_span(current).get_span_context()
    return f"trace-{trace.format_trace_id(span.trace_id)}" if span.is_valid else "unnamed"
