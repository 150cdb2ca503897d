"""What the ledger service knows of accounts in the memory of this process: what was spent, and what people decided.

The first call under a budget whose id somebody gave asks once, before it is held: so a run that is resumed goes on from
what was spent. Later ones ask every few seconds what people decided, and a call that waits for a person every second.
Where no service answers, an account starts anew; where one is there and does not say, the log has that.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from otel_cost import money, settings
from otel_cost.budgets.chosen import MEMORY, store
from otel_cost.budgets.limit import Limit
from otel_cost.budgets.outage import NobodyThereError, StoreGoneError
from otel_cost.budgets.rule import PROCESS
from otel_cost.budgets.waiting import Job
from otel_cost.safety import after_fork_in_child, guard

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from otel_cost.budgets.rule import Budget, Key
    from otel_cost.budgets.service import Service

    Document = dict[str, Any]

_logger = logging.getLogger(__name__)

_ASK_EVERY_SECONDS: Final = 5.0
_SILENT_SECONDS: Final = 30.0
"""How long a service is not asked again that has not answered."""
_TIMEOUT_SECONDS: Final = 0.5
_MOST_ACCOUNTS: Final = 65_536


@dataclass(slots=True)
class _Known:
    """What was heard of one account.

    Attributes:
        asked: whether it was asked what others have spent; once, so that nothing of it counts twice.
        began: when this process first charged something to it without having asked.
        ask_again: when it is time to hear what people decided.
        heard: when they decided what was applied last: a limit, a stop.
        limit: the one that calls bring.
    """

    asked: bool = False
    began: datetime | None = None
    ask_again: float = 0.0
    heard: tuple[str | None, str | None] = (None, None)
    limit: Limit | None = None


_known: OrderedDict[Key, _Known] = OrderedDict()
_silent_until = 0.0
_said_anew = False
_asking = threading.Lock()
_service: Service | None = None


def before(budgets: Iterable[Budget]) -> Job[None] | None:
    """What has to be waited for before a call is held against `budgets`; None mostly."""
    now = time.monotonic()
    first: dict[Key, Limit] = {}
    again: dict[Key, Limit] = {}
    for budget in budgets:
        key = budget.key()
        known = _known.get(key)
        if known is None or not known.asked:
            if _is_given(key):
                first[key] = budget.limit
        elif known.ask_again <= now:
            known.ask_again = now + _ASK_EVERY_SECONDS  # other calls do not wait for this one
            again[key] = budget.limit
    if not (first or again) or store() is not MEMORY:
        return None
    return Job(partial(_learn, first, again))


def hear(budgets: Iterable[Budget]) -> None:
    """Have the accounts of `budgets` stand as the service knows them, if no call has just seen to that. It blocks."""
    if (asks := before(budgets)) is not None:
        asks.block()


def charged(keys: Iterable[Key]) -> None:
    """Something is charged to these accounts for which nothing was held, and so nothing asked."""
    for key in keys:
        if key not in _known and _is_given(key):
            _know(key).began = datetime.now(UTC)


def refresh(keys: Sequence[Key]) -> None:
    """Ask what people decided about accounts where calls wait for that, and have it hold here. It blocks."""
    if store() is MEMORY:
        with guard("asking what people decided about budgets"), _asking:
            _ask(keys, paused=True)


def _is_given(key: Key) -> bool:
    """Whether somebody gave the id, so that others may know it."""
    return key.id != PROCESS and not key.id.startswith("trace-")


def _know(key: Key) -> _Known:
    known = _known.get(key)
    if known is None:
        known = _known[key] = _Known()
        if len(_known) > _MOST_ACCOUNTS:
            _known.popitem(last=False)
    else:
        with suppress(KeyError):  # another thread has just forgotten it
            _known.move_to_end(key)
    return known


def _learn(first: Mapping[Key, Limit], again: Mapping[Key, Limit]) -> None:
    with guard("asking what was spent of budgets before"), _asking:
        for key, limit in {**first, **again}.items():
            _know(key).limit = limit if limit.flaw is None else None
        keys = [key for key in first if not _know(key).asked]  # a call that came before may have asked meanwhile
        if time.monotonic() < _silent_until:
            for key in (*keys, *again):
                _know(key).asked, _know(key).ask_again = True, _silent_until
        elif keys or again:
            _ask([*keys, *again], paused=False)


def _ask(keys: Sequence[Key], *, paused: bool) -> None:
    now = datetime.now(UTC)
    body = {"accounts": [_asked(key, _know(key), now, paused=paused) for key in keys]}
    service = _at(settings.get(settings.URL))
    try:
        answers = service.ask("POST", "/v1/budgets/accounts", body)["accounts"]
    except StoreGoneError as error:
        starts_anew = any(not _know(key).asked for key in keys)
        _falls_silent(service.url, error, paused=paused, starts_anew=starts_anew)
        answers = [None] * len(keys)
    for key, answer in zip(keys, answers, strict=True):
        known = _know(key)
        if answer is not None:
            _apply(key, known, answer)
        known.asked, known.ask_again = True, time.monotonic() + _ASK_EVERY_SECONDS


def _asked(key: Key, known: _Known, now: datetime, *, paused: bool) -> Document:
    found: Document = {**key._asdict(), "paused": paused}
    if known.limit is not None:
        found["limit"] = known.limit.text
    if not known.asked:
        found["before"] = (known.began or now).isoformat()
    return found


def _apply(key: Key, known: _Known, answer: Document) -> None:
    if not known.asked:
        spent = Decimal(answer["spent"])
        MEMORY.seed(key, spent if key.unit == money.CURRENCY else int(spent), answer["calls"], known.limit)
    put, stop = answer["limit_put"], answer["stop"]
    heard = (put and put["at"], stop and stop["at"])
    if heard == known.heard:
        return
    if put is not None and put["at"] != known.heard[0]:
        MEMORY.put_limit(key, Limit.parse(put["limit"]))
    if stop is not None:
        MEMORY.stop(key, stop["reason"])
    elif known.heard[1] is not None:
        MEMORY.resume(key)
    known.heard = heard


def _at(url: str) -> Service:
    """The service at `url`, with the connections that are kept to it."""
    from otel_cost.budgets.service import Service  # noqa: PLC0415 - a process without budgets has no need of it

    global _service  # noqa: PLW0603 - one process, one service
    if _service is None or _service.url != url:
        _service = Service(url, _TIMEOUT_SECONDS)
    return _service


def _falls_silent(url: str, error: StoreGoneError, *, paused: bool, starts_anew: bool) -> None:
    global _silent_until, _said_anew  # noqa: PLW0603 - one process, one service
    was_silent = time.monotonic() < _silent_until
    _silent_until = time.monotonic() + _SILENT_SECONDS
    if paused and not was_silent:
        _logger.warning(
            "calls wait for somebody to raise a budget, and no ledger service answers at %s, by which otel-cost "
            "budget raise would reach this process: %s. Start one: otel-cost serve",
            url,
            error,
        )
    elif starts_anew and not _said_anew and not isinstance(error, NobodyThereError):
        _said_anew = True
        _logger.warning(
            "the ledger service at %s does not say what was spent of budgets before: %s. In this process they start "
            "anew, as if nothing had been. To be sure, share them: OTEL_COST_BUDGET_STORE=service",
            url,
            error,
        )
    else:
        _logger.debug("no ledger service answers at %s: %s. Budgets start anew", url, error)


def _forked() -> None:
    global _asking  # noqa: PLW0603 - replaced once, in the child
    _asking = threading.Lock()
    if _service is not None:
        _service.close()


after_fork_in_child(_forked)
