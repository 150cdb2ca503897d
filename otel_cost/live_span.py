"""Spans that are still open: putting the cost on one as it ends, once, and on the one that stands for the call.

An instrumentation's span is frozen before any processor hears that it ended, so its ``end`` is replaced, on the
instance, when it starts. That works whatever the order of the processors, with public API only.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakValueDictionary

from opentelemetry import trace

from otel_cost import attribution, money, pricing, semconv
from otel_cost.budgets import STORE, Spend, budgets_in
from otel_cost.errors import BudgetExceededError
from otel_cost.safety import guard
from otel_cost.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span

    from otel_cost.budgets import Budget
    from otel_cost.pricing import Cost

OWN_SCOPE = "otel_cost"
"""Instrumentation scope of the spans that otel-cost starts itself. They carry their cost by themselves."""

_USAGE_ATTRIBUTES = {
    "input_tokens": semconv.GEN_AI_USAGE_INPUT_TOKENS,
    "output_tokens": semconv.GEN_AI_USAGE_OUTPUT_TOKENS,
    "cache_read_tokens": semconv.GEN_AI_USAGE_CACHE_READ_TOKENS,
    "cache_write_tokens": semconv.GEN_AI_USAGE_CACHE_WRITE_TOKENS,
    "reasoning_tokens": semconv.GEN_AI_USAGE_REASONING_TOKENS,
}

sdk_call: ContextVar[Any] = ContextVar("otel_cost.sdk-call", default=None)
"""The call of a wrapped SDK that is being made here, or that this task was started in."""


def in_sdk_call() -> bool:
    """Whether a wrapped SDK is making a call here. Then whether it may leave is decided where it leaves."""
    found = sdk_call.get()
    return found is not None and not found.closed


class Metered(Protocol):
    """A call seen on the wire, whose figures go onto a span of somebody else."""

    def span_ends(self) -> None:
        """Put what is known onto the span now: it takes nothing later."""


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

    def _settle(self) -> None:
        attributes = self.span.attributes or {}
        if self.call is not None:
            self.call.span_ends()
        elif not self.covered and semconv.COST_STATUS not in attributes and _is_uncounted(attributes):
            self._cost_from_attributes(attributes)
        if semconv.COST_STATUS in (self.span.attributes or {}):
            cover(self.parent)

    def _cost_from_attributes(self, attributes: Mapping[str, Any]) -> None:
        """For a client that is not wrapped: what its instrumentation says was used."""
        usage = _usage_of(attributes)
        if usage is None:
            return
        cost = _cost_of(attributes, usage)
        members = attribution.members(self._context)
        budgets = budgets_in(members, self._context)
        STORE.charge(budgets, Spend(cost.amount, usage.total_tokens))
        limits = budget_attributes(budgets, attribution.dimensions(members))
        self.span.set_attributes({**cost_attributes(cost), **limits, semconv.CALL_OUTCOME: "ok"})


def _is_uncounted(attributes: Mapping[str, Any]) -> bool:
    return is_inference(attributes) and attributes.get(semconv.GEN_AI_RESPONSE_ID) not in _settled


def is_inference(attributes: Mapping[str, Any]) -> bool:
    """Whether a span's attributes say that it is one call to a model."""
    return attributes.get(semconv.GEN_AI_OPERATION_NAME) in semconv.INFERENCE_OPERATIONS


def live(span: trace.Span) -> LiveSpan | None:
    """What stands in for the end of `span`; None where it has ended, is not recorded, or is one of our own."""
    return _live.get(_key(span))


# By id and not on the span: some instrumentations hand out a wrapper of their span.
_live: WeakValueDictionary[tuple[int, int], LiveSpan] = WeakValueDictionary()


def _key(span: trace.Span) -> tuple[int, int]:
    found = span.get_span_context()
    return found.trace_id, found.span_id


_MOST_SETTLED = 10_000
_settled: OrderedDict[str, None] = OrderedDict()


def settled(response_id: str) -> None:
    """Remember that the response was seen on the wire, so that a span that repeats its figures adds nothing."""
    _settled[response_id] = None
    while len(_settled) > _MOST_SETTLED:
        with suppress(KeyError):  # another thread was faster
            _settled.popitem(last=False)


def adopt(above: LiveSpan | None) -> LiveSpan | None:
    """The open span, `above` or the nearest over it, that stands for the call about to leave; None where none does.

    One that stands for another call already, or for more than one call (an agent's), does not.
    """
    while above is not None:
        attributes = above.span.attributes if above.span.is_recording() else None
        if attributes and is_inference(attributes):
            return above if above.call is None and not above.covered else None
        if attributes and semconv.GEN_AI_OPERATION_NAME in attributes:
            return None
        above = above.parent
    return None


def cover(above: LiveSpan | None) -> None:
    """The cost stands on a span below `above`, so neither it nor any over it may repeat it."""
    while above is not None and not above.covered:
        above.covered = True
        above = above.parent


def usage_attributes(usage: Usage) -> dict[str, int]:
    """`usage` as span attributes: input and output always, the others where there are any."""
    figures = {name: getattr(usage, field) for field, name in _USAGE_ATTRIBUTES.items()}
    always = {semconv.GEN_AI_USAGE_INPUT_TOKENS, semconv.GEN_AI_USAGE_OUTPUT_TOKENS}
    return {name: count for name, count in figures.items() if count or name in always}


def _usage_of(attributes: Mapping[str, Any]) -> Usage | None:
    figures = {field: attributes.get(name) for field, name in _USAGE_ATTRIBUTES.items()}
    stated = {field: count for field, count in figures.items() if isinstance(count, int) and count >= 0}
    return Usage(**stated) if "input_tokens" in stated or "output_tokens" in stated else None


def _cost_of(attributes: Mapping[str, Any], usage: Usage) -> Cost:
    provider = attributes.get(semconv.GEN_AI_PROVIDER_NAME)
    model = attributes.get(semconv.GEN_AI_RESPONSE_MODEL) or attributes.get(semconv.GEN_AI_REQUEST_MODEL)
    if not isinstance(provider, str) or not isinstance(model, str):
        return pricing.Cost.unknown("the span names no provider and model")
    return pricing.price(provider=provider, model=model, usage=usage)


def cost_attributes(cost: Cost) -> dict[str, str | float]:
    """`cost` as span attributes; the exact figure as text, and the proposed conventions' one beside it."""
    found: dict[str, str | float | None] = {
        semconv.COST_STATUS: cost.status,
        semconv.COST_SOURCE: cost.source,
        semconv.COST_PRICE_VERSION: cost.price_version,
        semconv.COST_REASON: cost.reason,
    }
    if cost.amount is not None:
        found[semconv.COST_AMOUNT] = money.text(cost.amount)
        found[semconv.COST_CURRENCY] = money.CURRENCY
        found[semconv.GEN_AI_USAGE_COST_AMOUNT] = float(cost.amount)  # the proposal asks for a double
        found[semconv.GEN_AI_USAGE_COST_CURRENCY] = money.CURRENCY
        found[semconv.GEN_AI_USAGE_COST_SOURCE] = cost.source
    return {name: value for name, value in found.items() if value is not None}


def refused_attributes() -> dict[str, str | float | int]:
    """What stands on the span of a call that a budget refused: nothing was sent and nothing spent."""
    return {
        semconv.CALL_OUTCOME: "refused",
        semconv.CALL_ATTEMPTS: 0,
        semconv.ERROR_TYPE: BudgetExceededError.__name__,
        **cost_attributes(pricing.Cost.nothing()),
    }


def budget_attributes(budgets: tuple[Budget, ...], dimensions: Mapping[str, str]) -> dict[str, str]:
    """The limits that held for a call that `dimensions` pay for, as span attributes; of a dimension's, the innermost.

    A budget that was named without an id gives its dimension the one that it got.
    """
    found: dict[str, str] = {}
    for budget in reversed(budgets):
        if dimensions.get(budget.dimension, budget.id) == budget.id:
            found[semconv.dimension_key(budget.dimension)] = budget.id
            found[semconv.budget_key(budget.dimension)] = budget.limit.text
    return found
