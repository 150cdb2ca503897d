"""Money is not sampled: a call whose span the application's sampler drops is recorded all the same, for the books.

Such a span is recorded without the sampled flag. OpenTelemetry's processors pass it over when they export, its children
and the services that it calls hear "not sampled" as before, and its figures are there when it ends.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

import wrapt
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import Decision, SamplingResult

from otel_cost.dialects import DIALECTS, GENAI, is_call
from otel_cost.safety import guard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import Sampler


def keep_money(provider: TracerProvider) -> None:
    """Have `provider` decide as its sampler does, and record what that drops of calls."""
    provider.sampler = cast("Sampler", _MoneyKept(provider.sampler))


_CALL: Final = re.compile(r"\w+\.(?:chat|completion|embeddings|response)|(?:Azure)?Chat[A-Z]\w*")
"""What openllmetry calls its spans of calls: ``openai.response``, ``ChatOpenAI.chat``; and openinference those of
LangChain's models: ``ChatOpenAI``. Both say what such a span is only when it ends."""

_TELLING: Final = frozenset(
    name for dialect in (*DIALECTS, GENAI) for name in (*dialect.marks, *dialect.kind, *dialect.signs)
)
"""Attributes of which one at least is on a span that says what it is. Most spans have none, which is soon seen."""


class _MoneyKept(wrapt.ObjectProxy[Any]):
    """Stands in for the application's sampler, and decides as it does; of what it drops, calls are recorded."""

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: trace.SpanKind | None = None,
        attributes: Mapping[str, Any] | None = None,
        *more: Any,
        **named: Any,
    ) -> SamplingResult:
        """The sampler's own decision, or "record only" where it drops what belongs into the books."""
        result: SamplingResult = self.__wrapped__.should_sample(
            parent_context, trace_id, name, kind, attributes, *more, **named
        )
        if result.decision is Decision.DROP:
            with guard("keeping a call that the sampler drops"):
                if _is_call(name, attributes or {}) or _is_below_what_is_kept(parent_context):
                    kept = {**(attributes or {}), **result.attributes}
                    return SamplingResult(Decision.RECORD_ONLY, kept, result.trace_state)
        return result


def _is_call(name: str, attributes: Mapping[str, Any]) -> bool:
    """Whether a span is begun for a call to a model. Some say so in their attributes only once they end."""
    stated = None if _TELLING.isdisjoint(attributes) else is_call(attributes)
    return stated if stated is not None else _CALL.fullmatch(name) is not None


def _is_below_what_is_kept(parent_context: Context | None) -> bool:
    """Whether the span above is recorded only. What is below a call must lead to it: else both would be counted."""
    above = trace.get_current_span(parent_context)
    return above.is_recording() and not above.get_span_context().trace_flags.sampled
