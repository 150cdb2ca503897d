"""The span processor: attribution from baggage when a span starts, cost when it ends, budgets' second line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import StatusCode

from otel_cost import attribution, books, metrics, semconv
from otel_cost.budgets import budgets_in, check
from otel_cost.errors import BudgetExceededError
from otel_cost.live_span import OWN_SCOPE, LiveSpan, budget_attributes, in_sdk_call, refused_attributes
from otel_cost.safety import guard

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span


class CostSpanProcessor(SpanProcessor):
    """Says who pays on every span, and puts the cost on the one span that stands for each call."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Attribute `span`.

        Raises:
            BudgetExceededError: the span says that it is a call, and its budget is spent. Only for calls of clients
                that are not wrapped; the gate of the others stands where the request leaves.
        """
        scope = span.instrumentation_scope
        if scope is not None and scope.name == OWN_SCOPE:
            return  # its call has decided, and says who pays
        with guard("attributing a span"):
            members = attribution.members(parent_context)
            for dimension, id_ in attribution.dimensions(members).items():
                span.set_attribute(semconv.dimension_key(dimension), id_)
            begun = LiveSpan(span, parent_context)
            if not in_sdk_call() and begun.is_call():
                _check(span, members, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Count a call, and send its figures to the ledger where its span is not sampled, so that nobody exports it."""
        call = span.attributes
        if call is None or semconv.COST_STATUS not in call:
            return
        with guard("counting a call"):
            metrics.record(call)
        if not span.context.trace_flags.sampled:
            with guard("keeping a call that is not sampled"):
                books.keep(span)


def _check(span: Span, members: dict[str, str], parent_context: Context | None) -> None:
    budgets = budgets_in(members, parent_context)
    if not budgets:
        return
    model = (span.attributes or {}).get(semconv.GEN_AI_REQUEST_MODEL)
    try:
        check(budgets, str(model) if model else None, span)
    except BudgetExceededError as error:
        dimensions = attribution.dimensions(members)
        span.set_attributes({**refused_attributes(error), **budget_attributes(budgets, dimensions)})
        span.set_status(StatusCode.ERROR)
        span.end()
        raise
