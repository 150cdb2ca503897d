"""What one row of the table of wire formats says.

A place in a response is written as the path to it, with dots: ``prompt_tokens_details.cached_tokens``. An element of a
list is named by what tells it from the others: ``promptTokensDetails[AUDIO].tokenCount``. A meter is a sum of such
places; ``a | b`` is the first of several that is stated: ``input_tokens + cache_read_input_tokens | cached_tokens``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

Counts = dict[str, Any]
"""Meter -> count, while a response is read."""
Stated = Mapping[str, Any]
"""Path -> figure or text, of all that a usage states."""
Rule = Callable[[Counts, Stated], str | None]
"""Mends counts that a provider states in a way of its own. Returns what remains in doubt, in a few words."""
Sum = tuple[tuple[str, ...], ...]
"""Places of a meter: those that are added up, each with its alternatives."""


class WireFormat(msgspec.Struct, frozen=True):
    """One wire format.

    Attributes:
        name: as `OTEL_COST_ENDPOINTS` spells it, such as ``openai.chat``.
        operation: value of ``gen_ai.operation.name``.
        paths: how the path of its endpoints ends, as regular expressions. The groups that they may name: ``model``,
            ``stream`` (there for the endpoint that streams).
        asks: fields of a request of which one carries the prompt. With a model beside it, it tells a call to a model
            from another request to a like path of a host that nobody named.
        meters: for each field of `Usage`, the places in the usage that make it up.
        charged_beside: fields of a request by which it asks for what is charged apart, without a word of the response.
        retrievals: methods and paths that state a response again which another call asked for, as regular expressions.
            Their group ``id`` is that response's.
        usage_at: where in a response its usage is; all of them are read. ``""`` is the response itself.
        harmless: other figures and texts that a usage states, which change no price. What is neither a meter nor
            harmless makes the cost an estimate.
        model_at, id_at, tier_at: where a response names its model, its id and its service tier; the first that is there
            holds.
        ticket_at: where an answer that is not there yet says by which id it is to be fetched.
        terms: what else prices depend on, and where the usage names it.
        max_tokens: fields of the request that bound the output; the first that is there holds.
        choices: fields of the request that say how many answers it wants.
        stream_roots: where a stream's event holds what a whole response has at its root; ``()``: the event is it.
        stream_ends: events after which a stream is complete. A ``[DONE]`` line and a chunk of usage without choices
            always end one.
        ends_with: what only the last event of a stream has, and is not empty there; ``list[].name`` in any element.
        pieces: what an event has that carries a piece of the answer.
        usage_on_request: whether a stream states its usage only where ``stream_options.include_usage`` asks for it.
        adds_up: whether a later figure replaces an earlier one only where it is larger, for streams that count upwards
            and state 0 where they mean nothing.
        headers: headers that state a figure of the usage or one of `terms`, and the name that it has there.
        rules: what mends the counts, in this order.
        tools: reads from a response which tools the provider ran, and how often; the usage has it as ``tool_calls``.
        passes: finds in a usage the usages of further passes, which are charged on top, each with its model (None: the
            one that answered).
        priced_as_asked: whether the model is priced by the name that the request has for it, which says more than the
            answer's: where it runs.
        provider: whose format it is, wherever it is spoken; None where others speak it too.
        only_at: the providers that speak it, of those whose hosts are known: at the like paths of the others something
            else is. Empty where any of them may.
    """

    name: str
    operation: str
    paths: tuple[str, ...]
    asks: tuple[str, ...]
    meters: Mapping[str, str]
    charged_beside: tuple[str, ...] = ()
    retrievals: tuple[str, ...] = ()
    usage_at: tuple[str, ...] = ("usage",)
    harmless: frozenset[str] = frozenset()
    model_at: tuple[str, ...] = ("model",)
    id_at: tuple[str, ...] = ("id",)
    tier_at: tuple[str, ...] = ("service_tier", "usage.service_tier")
    ticket_at: tuple[str, ...] = ()
    terms: Mapping[str, str] = msgspec.field(default_factory=dict)
    max_tokens: tuple[str, ...] = ()
    choices: tuple[str, ...] = ("n",)
    stream_roots: tuple[tuple[str, ...], ...] = ((),)
    stream_ends: frozenset[str] = frozenset()
    ends_with: tuple[str, ...] = ()
    pieces: tuple[str, ...] = ("delta", "choices")
    usage_on_request: bool = False
    adds_up: bool = False
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    tools: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    passes: Callable[[Mapping[str, Any]], Iterable[tuple[str | None, Mapping[str, Any]]]] | None = None
    priced_as_asked: bool = False
    provider: str | None = None
    only_at: frozenset[str] = frozenset()

    def __hash__(self) -> int:
        return hash(self.name)


def words(text: str) -> frozenset[str]:
    """The words of `text`: a long set of names, written so that it can be read."""
    return frozenset(text.split())


def places(meter: str) -> Sum:
    """The places that a meter's text names."""
    return tuple(tuple(place.strip() for place in part.split("|")) for part in meter.split("+"))


_TIMINGS: Final = re.compile(
    r"(?:^|[._])(?:time|times|duration|latency|ms|seconds|per_second|ttft|throughput)(?:$|[._])"
    r"|(?:^|\.)(?:total_tokens|total_token_count|totalTokens|totalTokenCount|queue_length|request_count)$"
)


@lru_cache(maxsize=1024)
def is_harmless(path: str) -> bool:
    """Whether what stands at `path` of any usage is how long something took, or a total of what is counted anyway."""
    return _TIMINGS.search(path) is not None
