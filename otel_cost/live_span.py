"""Spans that are still open: putting the cost on one as it ends, once, and on the one that stands for the call.

An instrumentation's span is frozen before any processor hears that it ended, so its ``end`` is replaced, on the
instance, when it starts. That works whatever the order of the processors, with public API only.
"""

from __future__ import annotations

from contextvars import ContextVar
from decimal import Decimal
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakValueDictionary

from opentelemetry import trace

from otel_cost import attribution, counted, dialects, money, pricing, semconv
from otel_cost.budgets import Spend, budgets_in, charge, tally
from otel_cost.pricing.names import tier_id
from otel_cost.safety import guard
from otel_cost.usage.location import terms_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span

    from otel_cost.budgets import Budget
    from otel_cost.dialects import Stated
    from otel_cost.errors import BudgetExceededError
    from otel_cost.pricing import Cost
    from otel_cost.usage import Usage

OWN_SCOPE = "otel_cost"
"""Instrumentation scope of the spans that otel-cost starts itself. They carry their cost by themselves."""

sdk_call: ContextVar[Any] = ContextVar("otel_cost.sdk-call", default=None)
"""The call of a wrapped SDK that is being made here, or that this task was started in."""


def in_sdk_call() -> bool:
    """Whether a wrapped SDK is making a call here. Then whether it may leave is decided where it leaves."""
    found = sdk_call.get()
    return found is not None and not found.closed


class Metered(Protocol):
    """A call seen on the wire, whose figures go onto a span of somebody else."""

    def span_ends(self, ending: LiveSpan) -> None:
        """One of the spans that stand for the call ends: if the figures go onto it, now is the time."""


class LiveSpan:
    """Stands in for ``span.end`` while the span is open.

    Attributes:
        call: the call on the wire that this span stands for; None where none was seen.
        covered: whether a span below it carries the cost already.
        span: the span.
        parent: the same for the span above it, where that is open in this process.
    """

    __slots__ = ("__weakref__", "_context", "_end", "call", "covered", "parent", "span")

    def __init__(self, span: Span, parent_context: Context | None) -> None:
        self.span, self._end, self._context = span, span.end, parent_context
        self.parent = live(trace.get_current_span(parent_context))
        self.call: Metered | None = None
        self.covered = False
        span.end = self  # type: ignore[method-assign] # the point of this class
        _live[_key(span)] = self

    def __call__(self, end_time: int | None = None) -> None:
        """End the span, its cost on it."""
        _live.pop(_key(self.span), None)
        self.span.__dict__.pop("end", None)
        with guard("putting a cost on a span"):
            self._settle()
        self._end(end_time)

    @property
    def scope(self) -> str:
        """The name of the instrumentation scope that made the span."""
        found = self.span.instrumentation_scope
        return found.name if found is not None else ""

    def is_call(self) -> bool | None:
        """Whether the span says that it is one call to a model; None where it says nothing of that."""
        if not self.span.is_recording():
            return None
        return dialects.is_call(self.span.attributes or {}, self.scope, self.span.name)

    def ends_with_its_stream(self) -> bool:
        """Whether who made the span keeps it open until the application has read, closed or dropped a stream."""
        return dialects.dialect_of(self.span.attributes or {}, self.scope).spans_streams

    def _settle(self) -> None:
        attributes = self.span.attributes or {}
        if self.call is not None:
            self.call.span_ends(self)
        elif not self.covered and semconv.COST_STATUS not in attributes and dialects.is_call(attributes, self.scope):
            self._cost_from_attributes(dict(attributes))
        if semconv.COST_STATUS in (self.span.attributes or {}):
            cover(self.parent)

    def _cost_from_attributes(self, attributes: Mapping[str, Any]) -> None:
        """For a client that is not wrapped: what its instrumentation says was used."""
        stated = dialects.read(attributes, self.scope)
        if stated.usage is None:
            return
        models = frozenset({stated.response_model, stated.request_model} - {None})
        started = self.span.start_time or 0
        if counted.is_counted(stated.response_id, models, stated.usage, teller=self.scope, started_ns=started):
            return
        counted.add(stated.response_id, models, stated.usage, tellers=frozenset({self.scope}))
        cost = _cost_of(stated, str(attributes.get(semconv.SERVER_ADDRESS)))
        members = attribution.members(self._context)
        budgets = budgets_in(members, self._context)
        dimensions = attribution.dimensions(members)
        model = stated.response_model or stated.request_model
        charge(budgets, Spend(cost.amount, stated.usage.total_tokens), model, self.span)
        tally.add_call(
            [budget.key() for budget in budgets],
            dimensions,
            provider=stated.provider,
            model=model,
            usages=(stated.usage,),
            cost=cost,
        )
        self.span.set_attributes(
            {
                **_stated_attributes(stated, attributes),
                **cost_attributes(cost),
                **budget_attributes(budgets, dimensions),
                semconv.CALL_OUTCOME: "ok",
            }
        )


def live(span: trace.Span) -> LiveSpan | None:
    """What stands in for the end of `span`; None where it has ended, is not recorded, or is one of our own."""
    return _live.get(_key(span))


# By id and not on the span: some instrumentations hand out a wrapper of their span.
_live: WeakValueDictionary[tuple[int, int], LiveSpan] = WeakValueDictionary()


def _key(span: trace.Span) -> tuple[int, int]:
    found = span.get_span_context()
    return found.trace_id, found.span_id


def adopt(above: LiveSpan | None, call: Metered) -> list[LiveSpan]:
    """The open spans, `above` or over it, that stand for `call`, which is about to leave; the topmost first.

    Several instrumentations may each have put one over the same call. One that stands for another call already, or
    for more than one call (an agent's), ends the search, for what is over it stands for more.
    """
    standing: list[LiveSpan] = []
    while above is not None:
        says = above.is_call()
        if says is False or (says and (above.call is not None or above.covered)):
            break
        if says:
            above.call = call
            standing.insert(0, above)
        above = above.parent
    return standing


def cover(above: LiveSpan | None) -> None:
    """The cost stands on a span below `above`, so neither it nor any over it may repeat it."""
    while above is not None and not above.covered:
        above.covered = True
        above = above.parent


_FURTHER: Final = tuple(name for name, key in semconv.USAGE_ATTRIBUTES.items() if key.startswith(semconv.PREFIX))
_further: Final = attrgetter(*_FURTHER)


def usage_attributes(usage: Usage) -> dict[str, int | str]:
    """`usage` as span attributes: input and output always, the others where there are any."""
    found: dict[str, int | str] = {
        semconv.GEN_AI_USAGE_INPUT_TOKENS: usage.input_tokens,
        semconv.GEN_AI_USAGE_OUTPUT_TOKENS: usage.output_tokens,
    }
    if usage.cache_read_tokens:
        found[semconv.GEN_AI_USAGE_CACHE_READ_TOKENS] = usage.cache_read_tokens
    if usage.cache_write_tokens:
        found[semconv.GEN_AI_USAGE_CACHE_WRITE_TOKENS] = usage.cache_write_tokens
        found[semconv.GEN_AI_USAGE_CACHE_CREATION_TOKENS] = usage.cache_write_tokens
    if usage.reasoning_tokens:
        found[semconv.GEN_AI_USAGE_REASONING_TOKENS] = usage.reasoning_tokens
    further = _further(usage)
    if any(further):
        for name, count in zip(_FURTHER, further, strict=True):
            if count:
                found[semconv.USAGE_ATTRIBUTES[name]] = f"{Decimal(count):f}" if name == "audio_seconds" else count
    return found


def _stated_attributes(stated: Stated, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What a span says in its own dialect, in the conventions' names: the ledger reads those."""
    found = {
        semconv.GEN_AI_OPERATION_NAME: attributes.get(semconv.GEN_AI_OPERATION_NAME, stated.operation),
        semconv.GEN_AI_PROVIDER_NAME: stated.provider,
        semconv.GEN_AI_REQUEST_MODEL: stated.request_model,
        semconv.GEN_AI_RESPONSE_MODEL: stated.response_model,
        semconv.GEN_AI_RESPONSE_ID: stated.response_id,
        semconv.CALL_SERVICE_TIER: tier_id(stated.service_tier),
        **(usage_attributes(stated.usage) if stated.usage is not None else {}),
    }
    return {name: value for name, value in found.items() if value is not None}


def _cost_of(stated: Stated, host: str) -> Cost:
    if stated.usage is None or stated.provider is None or not (stated.response_model or stated.request_model):
        return pricing.Cost.unknown("the span names no provider and model")
    models = (stated.response_model, stated.request_model)
    terms = terms_at(host, "/")
    cost = pricing.price_by_first(
        models, provider=stated.provider, usage=stated.usage, service_tier=stated.service_tier, terms=terms
    )
    return cost.estimated(stated.doubt) if stated.doubt else cost


_AS_DOUBLE = (semconv.GEN_AI_USAGE_COST_AMOUNT, *semconv.BACKENDS_COST)


def cost_attributes(cost: Cost) -> dict[str, str | float]:
    """`cost` as span attributes: the exact figure as text; beside it, as doubles, where others look for it."""
    found: dict[str, str | float] = {semconv.COST_STATUS: cost.status}
    if cost.price_version is not None:
        found[semconv.COST_PRICE_VERSION] = cost.price_version
    if cost.reason is not None:
        found[semconv.COST_REASON] = cost.reason
    if cost.source is not None:
        found[semconv.COST_SOURCE] = found[semconv.GEN_AI_USAGE_COST_SOURCE] = cost.source
    if cost.amount is not None:
        found[semconv.COST_AMOUNT] = money.text(cost.amount)
        found[semconv.COST_CURRENCY] = found[semconv.GEN_AI_USAGE_COST_CURRENCY] = money.CURRENCY
        found |= dict.fromkeys(_AS_DOUBLE, float(cost.amount))
    return found


def refused_attributes(error: BudgetExceededError) -> dict[str, str | float | int]:
    """What stands on the span of a call that a budget refused: nothing was sent and nothing spent.

    Where another span has told of it, this one is not counted: it carries no cost.
    """
    return {
        semconv.CALL_OUTCOME: "refused",
        semconv.CALL_ATTEMPTS: 0,
        semconv.ERROR_TYPE: type(error).__name__,
        **({} if error.repeated else cost_attributes(pricing.Cost.nothing())),
    }


def budget_attributes(budgets: tuple[Budget, ...], dimensions: Mapping[str, str]) -> dict[str, str]:
    """The limits that held for a call that `dimensions` pay for, as span attributes; of a dimension's, the innermost.

    A budget that was named without an id gives its dimension the one that it got.
    """
    found: dict[str, str] = {}
    for budget in reversed(budgets):
        if dimensions.get(budget.dimension, budget.id) == budget.id:
            found[semconv.dimension_key(budget.dimension)] = budget.id
            if budget.limit.flaw is None:  # a forged one is nobody's limit
                found[semconv.budget_key(budget.dimension)] = budget.limit.text
    return found
