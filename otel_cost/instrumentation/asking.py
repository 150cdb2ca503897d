"""A call that asks its budgets for leave, and may have to ask the provider for a cheaper model instead."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from otel_cost.instrumentation import open_calls
from otel_cost.instrumentation.include_usage import is_signed
from otel_cost.usage.request import recognise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import Span

    from otel_cost.budgets import Budget
    from otel_cost.instrumentation.outgoing import Outgoing
    from otel_cost.usage import Request


class Asking:
    """A call that asks for leave.

    Attributes:
        request: what it asks the provider; with another model than the application said, where that was too dear.
    """

    def __init__(
        self,
        request: Request,
        outgoing: Outgoing,
        *,
        budgets: tuple[Budget, ...],
        dimensions: Mapping[str, str],
        span: Span,
    ) -> None:
        self.request, self._outgoing = request, outgoing
        self.budgets, self.dimensions, self.span = budgets, dimensions, span

    def asks(self, model: str) -> bool:
        """Have it ask `model` instead; whether that can be done."""
        changed = with_model(self._outgoing, self.request, model)
        self.request = changed or self.request
        return changed is not None

    def free(self) -> bool:
        """End streams in garbage; whether there was any."""
        return open_calls.end_streams_that_nobody_reads()

    def others(self) -> object:
        """Something that changes as long as other calls of this process go on."""
        return open_calls.life()


def with_model(outgoing: Outgoing, request: Request, model: str) -> Request | None:
    """Have `outgoing`, which is `request`, ask for `model` instead: the request that it is then; None if it cannot.

    It cannot where the model stands in the URL, or the body is signed.
    """
    if is_signed(outgoing.headers):
        return None
    try:
        fields = json.loads(outgoing.body())
    except ValueError:
        return None
    if not isinstance(fields, dict) or fields.get("model") != request.model:
        return None
    body = json.dumps({**fields, "model": model}, ensure_ascii=False).encode()
    changed = recognise(outgoing.method, outgoing.url, body)
    if changed is None or changed.wire_format is not request.wire_format or not outgoing.ask_instead(body):
        return None
    return changed
