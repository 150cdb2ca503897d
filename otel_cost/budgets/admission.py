"""The gate: one call's way from what it asks to what it holds, with all the waiting that may be on it."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from otel_cost import counted, money
from otel_cost.budgets import controls, events, profiles, tally
from otel_cost.budgets.chosen import store
from otel_cost.budgets.events import BudgetEvent
from otel_cost.budgets.lineage import begins, begun_above, own
from otel_cost.budgets.patience import ForAPerson, ForOthers
from otel_cost.budgets.sizing import Size
from otel_cost.budgets.tree import Claim, Hold, Verdict
from otel_cost.budgets.under_way import in_stage
from otel_cost.budgets.waiting import Job, finish, in_event_loop
from otel_cost.errors import BudgetExceededError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.trace import Span

    from otel_cost.budgets.events import Kind
    from otel_cost.budgets.lineage import Open
    from otel_cost.budgets.rule import Budget
    from otel_cost.budgets.store import Store
    from otel_cost.budgets.tree import Decision, Spend, Standing
    from otel_cost.budgets.waiting import Steps
    from otel_cost.usage import Request


class Asking(Protocol):
    """A call that asks to leave."""

    @property
    def request(self) -> Request:
        """What it asks the provider."""

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """What it is charged to."""

    @property
    def dimensions(self) -> Mapping[str, str]:
        """Who pays."""

    @property
    def span(self) -> Span:
        """Where events of its budgets are told."""

    def asks(self, model: str) -> bool:
        """Have it ask `model` instead; whether that can be done."""

    def free(self) -> bool:
        """End other calls that nobody is going to end, such as those of streams in garbage; whether there was any."""

    def others(self) -> object:
        """Something that changes as long as other calls of this process go on."""


def admit(call: Asking) -> Steps[Open]:
    """Hold what `call` may spend of all its budgets; when it has to wait, wait.

    A call never waits for one that was begun above it, in the same task or a task that started it: that one may be
    waiting for this.

    Raises:
        BudgetExceededError: it may not leave.
    """
    keeper, above = store(), begun_above()
    size = Size(call.request, call.dimensions.get("role"))
    others = ForOthers()
    if (asks := controls.before(call.budgets)) is not None:
        yield asks
    with ForAPerson(call.request.model, call.span) as person:
        while True:
            claims = _let_through(size.claims(call.budgets, own(above)))
            ticket = keeper.bell.ticket()
            answer = yield from _reserved(keeper, claims)
            if isinstance(answer, Hold):
                begun = begins(answer)
                person.came(keeper)
                return begun
            if call.free():
                continue
            left = 0.0
            if answer.verdict is Verdict.BUSY:
                left = others.left((answer.standing, call.others()))
            elif answer.verdict is Verdict.PAUSED:
                left = person.left(answer)
            elif answer.verdict is Verdict.DOWNGRADED and _downgrades(call, answer):
                size = Size(call.request, call.dimensions.get("role"))
                continue
            if left <= 0:
                raise _refused(answer, person, call.request.model, call.span)
            if answer.verdict is Verdict.PAUSED and not keeper.blocks:
                yield Job(partial(controls.refresh, [answer.claim.key]))
            yield keeper.bell.after(ticket, min(left, keeper.poll_seconds or left))


def check(budgets: tuple[Budget, ...], model: str | None, span: Span | None = None) -> None:
    """Refuse a call of unknown size where one of `budgets` has nothing left; or have it wait for a person.

    What calls under way hold is none of its business: whether a call waits for them is decided where it leaves. In an
    event loop, which must not be held up, so is whether it waits for a person; and all of it, where a store that
    processes share does not answer at once.

    Args:
        budgets: what it is charged to.
        model: what it asks.
        span: where events of its budgets are told.

    Raises:
        BudgetExceededError: one is spent.
    """
    with ForAPerson(model, span) as person:
        finish(_checked(budgets, person, model, span))


def _checked(budgets: tuple[Budget, ...], person: ForAPerson, model: str | None, span: Span | None) -> Steps[None]:
    keeper = store()
    while True:
        ticket = keeper.bell.ticket()
        answer = _reserved_soon(keeper, _let_through(tuple(_least(budget) for budget in budgets)))
        if answer is None:
            return
        if isinstance(answer, Hold):
            keeper.release(answer)
            person.came(keeper)
            return
        pauses = answer.verdict is Verdict.PAUSED
        if answer.verdict is Verdict.BUSY or (pauses and in_event_loop()):
            return
        left = person.left(answer) if pauses else 0.0
        if left <= 0:
            nothing_left = answer._replace(claim=answer.claim._replace(amount=0))
            raise _refused(nothing_left, person, model, span, _scope_of(span))
        controls.refresh([answer.claim.key])
        yield keeper.bell.after(ticket, left)


def _scope_of(span: Span | None) -> str:
    scope = getattr(span, "instrumentation_scope", None)
    return scope.name if scope is not None else ""


def begin_stage(budgets: Sequence[Budget], name: str, *, waits: bool) -> Steps[list[Budget]]:
    """Ask `budgets` whether the stage `name` may begin; those that let it, and so let it be finished.

    One that has calls ask a cheaper model or wait for a person, where this may not, leaves that to each call.

    Args:
        budgets: those that stop before a stage.
        name: the stage.
        waits: whether this may wait for a person.

    Raises:
        BudgetExceededError: one is spent.
    """
    let = []
    if (asks := controls.before(tuple(budgets))) is not None:
        yield asks
    for budget in budgets:
        with ForAPerson(None, None) as person:
            if (yield from _lets_begin(budget, name, person, waits=waits)):
                let.append(budget)
    return let


def _lets_begin(budget: Budget, name: str, person: ForAPerson, *, waits: bool) -> Steps[bool]:
    keeper = store()
    while True:
        ticket = keeper.bell.ticket()
        answer = yield from _reserved(keeper, _let_through((_least(budget),)))
        if isinstance(answer, Hold):
            keeper.release(answer)
            person.came(keeper)
            return True
        if answer.verdict is Verdict.BUSY:
            return True
        pauses = answer.verdict is Verdict.PAUSED
        if answer.verdict is Verdict.DOWNGRADED or (pauses and not waits):
            return False
        left = person.left(answer) if pauses else 0.0
        if left <= 0:
            raise _refused(answer._replace(claim=answer.claim._replace(amount=0)), person, None, None, stage=name)
        if not keeper.blocks:
            yield Job(partial(controls.refresh, [answer.claim.key]))
        yield keeper.bell.after(ticket, min(left, keeper.poll_seconds or left))


def settle(begun: Open, spend: Spend, model: str | None = None, span: Span | None = None) -> None:
    """The call has ended: what it really spent takes the place of what it held. Its `model` and `span` for events."""
    begun.settled = True
    claims = begun.hold.claims
    tell(claims, store().settle(begun.hold, spend), spend, model, span)


def charge(budgets: tuple[Budget, ...], spend: Spend, model: str | None = None, span: Span | None = None) -> None:
    """Book what was spent that nothing was held for."""
    if budgets:
        claims = tuple(Claim(budget, budget.key(), 0) for budget in budgets)
        controls.charged(claim.key for claim in claims)
        tell(claims, store().charge(claims, spend), spend, model, span)


_LEAST: Final = Decimal(1).scaleb(-money.DECIMALS)


def _least(budget: Budget) -> Claim:
    return Claim(budget, budget.key(), 1 if budget.limit.in_tokens else _LEAST)


def _reserved(keeper: Store, claims: tuple[Claim, ...]) -> Steps[Hold | Decision]:
    """The answer of `keeper`. A hold that a cancelled task does not hear of any more is given back."""
    if not keeper.blocks:
        return keeper.reserve(claims)
    answer: Hold | Decision = yield _reserving(keeper, claims)
    return answer


_AT_ONCE_SECONDS: Final = 0.05


def _reserved_soon(keeper: Store, claims: tuple[Claim, ...]) -> Hold | Decision | None:
    """The answer of `keeper`; None where an event loop would have to wait for it."""
    if keeper.blocks and in_event_loop():
        return _reserving(keeper, claims).within(_AT_ONCE_SECONDS)
    return keeper.reserve(claims)


def _reserving(keeper: Store, claims: tuple[Claim, ...]) -> Job[Hold | Decision]:
    def undo(answer: Hold | Decision) -> None:
        if isinstance(answer, Hold):
            keeper.release(answer)

    return Job(partial(keeper.reserve, claims), undo)


def _let_through(claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
    """`claims`, those that are held whatever their budget says marked as such."""
    if not any(_passes(claim.budget) for claim in claims):
        return claims
    return tuple(claim._replace(passes=True) if _passes(claim.budget) else claim for claim in claims)


def _passes(budget: Budget) -> bool:
    """Whether it only warns, or a stage is under way that it has let begin."""
    return budget.policy.on_exceed == "warn" or (budget.policy.at == "stage" and in_stage(budget))


def _downgrades(call: Asking, decision: Decision) -> bool:
    """Have `call` ask the next cheaper model of its profile; whether there is one, and it can."""
    model = profiles.cheaper(call.request, call.dimensions)
    if model is None or not call.asks(model):
        return False
    event = BudgetEvent.of("downgraded", decision.standing, call=decision.claim.amount, model=model)
    _tell_once(event, decision.standing.stopped, call.span)
    return True


def _refused(
    decision: Decision,
    person: ForAPerson,
    model: str | None,
    span: Span | None,
    teller: str | None = None,
    *,
    stage: str | None = None,
) -> BudgetExceededError:
    """The error that says why a call may not leave or a `stage` not begin, and the event.

    Args:
        decision: the budget's.
        person: whom it waited for.
        model: what it asks.
        span: where the event is told.
        teller: the scope of a span that starts.
        stage: the stage.
    """
    error = refusal(decision, model, stage)
    kind: Kind = "stopped" if decision.verdict is Verdict.STOPPED else "exceeded"
    standing = decision.standing
    error.repeated = counted.is_refused((error.scope, error.id), teller)
    if not error.repeated:
        by_limit = decision.verdict not in _NOT_BY_LIMIT
        tally.add_refusal(decision.claim.key, standing.limit.amount if by_limit else None)
    event = BudgetEvent.of(kind, standing, call=decision.claim.amount, model=model, message=str(error))
    if not person.ended(decision, str(error)):
        _tell_once(event, standing.stopped, span, is_raised=True)
    return error


_NOT_BY_LIMIT: Final = frozenset({Verdict.UNKNOWN, Verdict.STOPPED})
"""What refuses a call however much is left."""


def refusal(decision: Decision, model: str | None, stage: str | None = None) -> BudgetExceededError:
    """The error that says why a call may not leave, or a `stage` not begin."""
    claim, standing = decision.claim, decision.standing
    limit, policy = standing.limit, claim.budget.policy
    return BudgetExceededError(
        scope=claim.key.dimension,
        id=claim.key.id,
        limit=int(limit.amount) if limit.in_tokens else limit.amount,
        spent=standing.spent,
        held=standing.held,
        call=claim.amount,
        unit=limit.unit,
        model=model,
        reason=limit.flaw or standing.stopped or claim.reason,
        stage=stage,
        safety_factor=policy.safety_factor if policy.sizing == "safety_factor" else None,
    )


def tell(
    claims: Sequence[Claim],
    standings: Sequence[Standing],
    spend: Spend,
    model: str | None = None,
    span: Span | None = None,
) -> None:
    """What was spent, which shares of limits it reached, and which limits it went beyond; once the store knows it."""
    if not standings:
        return
    events.tell(claims, standings, spend, model, span)
    for claim, standing in zip(claims, standings, strict=True):
        if standing.spent > standing.limit.amount:
            event = BudgetEvent.of("exceeded", standing, call=spend.of(claim), model=model)
            _tell_once(event, standing.stopped, span)


_MOST_TOLD: Final = 10_000
_told: set[tuple[object, ...]] = set()


def _tell_once(event: BudgetEvent, stopped: str | None, span: Span | None, *, is_raised: bool = False) -> None:
    """Tell of what many calls after this one may meet too: once an account and limit."""
    model = event.model if event.kind == "downgraded" else None
    told = (event.kind, event.dimension, event.id, event.unit, event.period, event.limit, stopped, model)
    if told not in _told:
        if len(_told) >= _MOST_TOLD:
            _told.clear()
        _told.add(told)
        events.emit(event, span, is_raised=is_raised)
