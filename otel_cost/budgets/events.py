"""What happens to budgets, told to the log, traces, OpenTelemetry's logs, callbacks and a webhook."""

from __future__ import annotations

import logging
import shlex
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, get_args

from opentelemetry import trace
from opentelemetry._logs import SeverityNumber, get_logger

from otel_cost import money, semconv, settings
from otel_cost.budgets.window import span_of
from otel_cost.safety import after_fork_in_child, guard, report

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    from opentelemetry._logs import Logger

    from otel_cost.budgets.tree import Amount, Claim, Spend, Standing

_logger = logging.getLogger(__name__)

Kind = Literal["warned", "exceeded", "paused", "resumed", "stopped", "downgraded", "spent"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
_GOOD_NEWS: Final = frozenset({"resumed"})


@dataclass(frozen=True, slots=True)
class BudgetEvent:
    """Something has happened to a budget.

    Attributes:
        kind: ``warned`` (what is spent has reached a share of the limit to warn at), ``exceeded`` (a call did not fit;
            it was refused, or let through where the budget only warns), ``paused`` (a call waits for a person),
            ``resumed`` (it goes on), ``stopped`` (a person has ended it, or nobody came in time), ``downgraded`` (a
            call asks a cheaper model), ``spent`` (a call has ended).
        dimension: the dimension that carries the budget, such as ``run``.
        id: the id within it.
        unit: ``USD`` or ``tokens``.
        period: the period of the budget's window; empty for the life of the id.
        limit: the limit that holds, in `unit`, as are the amounts below.
        spent: what calls have spent.
        held: what calls under way may still spend.
        share: the share of the limit that `warned` tells of.
        call: what the call that it is about asks for; or has spent, where the kind is ``spent``.
        model: the model that this call asked for; a cheaper one where the kind is ``downgraded``.
        message: one sentence that says it all.
        safety_factor: how many times the spent must stay below the limit, where a call waits because they do not.
    """

    kind: Kind
    dimension: str
    id: str
    unit: str
    period: str
    limit: Amount
    spent: Amount
    held: Amount
    share: Decimal | None = None
    call: Amount | None = None
    model: str | None = None
    message: str = ""
    safety_factor: Decimal | None = None

    def __post_init__(self) -> None:
        if not self.message:
            object.__setattr__(self, "message", _LINES[self.kind](self))

    @classmethod
    def of(
        cls,
        kind: Kind,
        standing: Standing,
        *,
        share: Decimal | None = None,
        call: Amount | None = None,
        model: str | None = None,
        message: str = "",
        safety_factor: Decimal | None = None,
    ) -> BudgetEvent:
        """The event `kind` of the account that stands so; with a `message` of its own, where it has one."""
        limit = standing.limit.amount
        spent, held = standing.spent, standing.held
        return cls(kind, *standing.key, limit, spent, held, share, call, model, message, safety_factor)

    @property
    def budget(self) -> str:
        """The budget, as a person names it."""
        period = f" ({self.period})" if self.period else ""
        return f"budget of {self.dimension} {self.id!r}{period}"

    def amount(self, amount: Amount) -> str:
        """`amount` of this event's unit, as a person reads it."""
        return f"{money.text(money.usd(amount))} USD" if self.unit == money.CURRENCY else f"{amount} tokens"

    @money.exactly
    def missing(self) -> Amount:
        """How much the limit would have to grow for the call that it is about."""
        taken: Amount = self.spent + self.held
        asks = taken + (self.call or 0) if self.safety_factor is None else taken * self.safety_factor
        return max(asks - self.limit, 0)

    def fields(self) -> dict[str, str]:
        """What it says, but for the message: each as text, amounts exact."""
        in_usd = self.unit == money.CURRENCY
        found: dict[str, str] = {"dimension": self.dimension, "id": self.id, "unit": self.unit}
        for name, amount in (("limit", self.limit), ("spent", self.spent), ("held", self.held), ("call", self.call)):
            if amount is not None:
                found[name] = money.text(money.usd(amount)) if in_usd else str(amount)
        others = {"period": self.period, "share": self.share, "model": self.model}
        return found | {name: str(value) for name, value in others.items() if value}


def _warned(event: BudgetEvent) -> str:
    share = f"{(event.share * 100).normalize():f}" if event.share is not None else "?"
    return (
        f"{event.budget}: {event.amount(event.spent)} spent, which is {share}% of {event.amount(event.limit)} or more"
    )


def _exceeded(event: BudgetEvent) -> str:
    asks = f", and {_call(event)} asks for {event.amount(event.call)}" if event.call else ""
    return f"{event.budget} is exceeded: {_account(event)}{asks}"


def _paused(event: BudgetEvent) -> str:
    scope = f"{event.dimension} {shlex.quote(event.id)}"
    window = f" --window {span_of(event.period)}" if event.period else ""
    return (
        f"{event.budget} has {_call(event)} wait: "
        f"{_account(event)}, {event.amount(event.missing())} missing. "
        f"`otel-cost budget raise {scope} --to LIMIT{window}` lets it go on, `otel-cost budget stop {scope}` ends it"
    )


def _resumed(event: BudgetEvent) -> str:
    return f"{event.budget} lets {_call(event)} that waited go on: {_account(event)}"


def _stopped(event: BudgetEvent) -> str:
    return f"{event.budget} is stopped: {_account(event)}"


def _downgraded(event: BudgetEvent) -> str:
    return f"{event.budget} has a call ask {event.model!r}, which is cheaper: {_account(event)}"


def _spent(event: BudgetEvent) -> str:
    return f"{event.budget}: {_call(event)} has spent {event.amount(event.call or 0)}; {_account(event)}"


def _call(event: BudgetEvent) -> str:
    return f"a call to {event.model!r}" if event.model else "a call"


def _account(event: BudgetEvent) -> str:
    held = f" and {event.amount(event.held)} held by calls under way" if event.held else ""
    return f"{event.amount(event.spent)} of {event.amount(event.limit)} spent{held}"


_LINES: Final[dict[Kind, Callable[[BudgetEvent], str]]] = {
    "warned": _warned,
    "exceeded": _exceeded,
    "paused": _paused,
    "resumed": _resumed,
    "stopped": _stopped,
    "downgraded": _downgraded,
    "spent": _spent,
}

Callback = Callable[[BudgetEvent], object]
_subscribed: tuple[tuple[Callback, frozenset[Kind]], ...] = ()
_lock = threading.RLock()


def subscribe(callback: Callback, kinds: Iterable[Kind] = KINDS) -> Callable[[], None]:
    """Have `callback` called with each `BudgetEvent` of these `kinds`, in the thread or task of the call.

    It must be quick, since the call waits for it, and its failures are logged.

    >>> unsubscribe = subscribe(lambda event: print(event.message), kinds=["spent"])
    >>> unsubscribe()

    Args:
        callback: any function of one argument that is not async.
        kinds: those that it is called for; ``spent`` comes with each call.

    Returns:
        A function that ends it.

    Raises:
        ValueError: a kind that there is not.
    """
    global _subscribed  # noqa: PLW0603 - replaced as a whole, so that nobody who reads it waits
    wanted = frozenset(kinds)
    if unknown := sorted(wanted.difference(KINDS)):
        raise ValueError(f"no such kind of budget event: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    entry = (callback, wanted)
    with _lock:
        _subscribed = (*_subscribed, entry)

    def unsubscribe() -> None:
        global _subscribed  # noqa: PLW0603 - likewise
        with _lock:
            _subscribed = tuple(kept for kept in _subscribed if kept is not entry)

    return unsubscribe


def is_subscribed(kind: Kind) -> bool:
    """Whether somebody is called for events of `kind`, so that one is worth making."""
    return any(kind in kinds for _, kinds in _subscribed)


def emit(event: BudgetEvent, span: trace.Span | None = None, *, is_raised: bool = False) -> None:
    """Tell of `event`; on `span`, or the current one. Those of the kind ``spent`` go to callbacks alone.

    Where it `is_raised` as an error too, and nobody has set up logging, it is no line of the log: Python would print
    that beside the error, which says the same.
    """
    if event.kind != "spent":
        with guard("telling of a budget"):
            if not is_raised or _logger.hasHandlers():
                _logger.log(logging.INFO if event.kind in _GOOD_NEWS else logging.WARNING, "%s", event.message)
            _onto_traces_and_logs(event, span or trace.get_current_span())
    for callback, kinds in _subscribed:
        if event.kind in kinds:
            try:
                callback(event)
            except Exception as error:  # noqa: BLE001 - whatever it is, a refusal of another call among it
                report("calling back with a budget's event", error)
    if event.kind != "spent" and (url := settings.get(settings.WEBHOOK)) is not None:
        with guard("sending a budget's event to the webhook"):
            from otel_cost.budgets import webhook  # noqa: PLC0415 - needs what few processes need

            webhook.send(url, event)


def tell(
    claims: Sequence[Claim],
    standings: Sequence[Standing],
    spend: Spend,
    model: str | None = None,
    span: trace.Span | None = None,
) -> None:
    """A call has ended, or something was charged: tell where the accounts of its `claims` stand, in the same order.

    That is a warning for each share of a limit that was reached with it; and the sum so far, for who subscribed to it.
    """
    if not standings:  # a store that is asked over a network knows later, and tells then
        return
    running = is_subscribed("spent")
    for claim, standing in zip(claims, standings, strict=True):
        if running:
            emit(BudgetEvent.of("spent", standing, call=spend.of(claim), model=model), span)
        for share in standing.crossed:
            emit(BudgetEvent.of("warned", standing, share=share, model=model), span)


def flush(seconds: float) -> None:
    """Wait until the webhook has taken all events, where there is one, and not longer than that: the process ends."""
    if settings.get(settings.WEBHOOK) is not None:
        from otel_cost.budgets import webhook  # noqa: PLC0415 - see above

        webhook.flush(seconds)


def _onto_traces_and_logs(event: BudgetEvent, span: trace.Span) -> None:
    name = semconv.BUDGET_PREFIX + event.kind
    attributes = {semconv.BUDGET_EVENT_PREFIX + field: value for field, value in event.fields().items()}
    span.add_event(name, attributes)
    _otel_logger().emit(
        context=trace.set_span_in_context(span),
        severity_number=SeverityNumber.INFO if event.kind in _GOOD_NEWS else SeverityNumber.WARN,
        body=event.message,
        attributes=attributes,
        event_name=name,
    )


@lru_cache(maxsize=1)
def _otel_logger() -> Logger:
    """Hands on to whichever provider there is by then; without one, nothing comes of it."""
    return get_logger("otel_cost")


def _forked() -> None:
    global _lock  # noqa: PLW0603 - replaced once, in the child
    _lock = threading.RLock()


after_fork_in_child(_forked)
