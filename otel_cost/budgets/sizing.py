"""How much a call is likely to cost, before it leaves.

Input is counted up from the size of the request. Output is what the request allows at most; where it states no
bound, about the largest answer that this process has seen from the model lately, and at least `UNSTATED_OUTPUT`. So a
call with a stated bound stays within its hold; one without can exceed it by what its answer is longer than others.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import msgspec

from otel_cost import pricing
from otel_cost.safety import after_fork_in_child
from otel_cost.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from otel_cost.budgets.limit import Budget
    from otel_cost.pricing import Cost
    from otel_cost.usage import Request

UNSTATED_OUTPUT: Final = 1000
"""Tokens held for the answer of a model not seen yet, where the request states no bound."""
_BYTES_PER_TOKEN: Final = 3
"""Fewer than any common tokenizer needs on average, so that the count errs upwards."""
_MEDIA_BYTES_PER_TOKEN: Final = 100
"""For an image or a document in base64; vendors charge an image by its size on the screen, a document by the page."""
_MOST_MODELS: Final = 4096
_FADING: Final = 8

_lock = threading.RLock()
_largest: dict[str, int] = {}


class Ask(msgspec.Struct, frozen=True):
    """What a call asks of its budgets: US dollars and tokens; where nobody can tell the dollars, None and why."""

    usd: Decimal | None
    tokens: int
    model: str | None
    reason: str | None = None


class Spend(msgspec.Struct, frozen=True):
    """What a call has spent: US dollars (None where that is unknown) and tokens."""

    usd: Decimal | None
    tokens: int


def input_tokens(request: Request) -> int:
    """About how many input tokens `request` has, rather too many than too few."""
    text, media = request.sizes()
    return -(-text // _BYTES_PER_TOKEN) + -(-media // _MEDIA_BYTES_PER_TOKEN)


def likely(request: Request, budgets: Iterable[Budget]) -> Ask:
    """What `request` is likely to spend. It is priced only where one of `budgets` is in US dollars."""
    usage = _likely_usage(request)
    if all(budget.limit.in_tokens for budget in budgets):
        return Ask(None, usage.total_tokens, request.model)
    cost = likely_cost(request)
    return Ask(cost.amount, usage.total_tokens, request.model, cost.reason)


def likely_cost(request: Request) -> Cost:
    """What `request` is likely to cost."""
    if not request.known_provider:
        return pricing.Cost.unknown(request.unknown_provider)
    if not request.model:
        return pricing.Cost.unknown("the request names no model")
    usage = _likely_usage(request)
    return pricing.price(provider=request.provider, model=request.model, usage=usage, terms=request.terms)


def _likely_usage(request: Request) -> Usage:
    output = request.max_output_tokens
    if output is None:
        output = _largest.get(request.model or "", UNSTATED_OUTPUT)
    return Usage(input_tokens=input_tokens(request), output_tokens=output)


def learn(model: str | None, output_tokens: int) -> None:
    """Remember that an answer of `model` had `output_tokens`. A large one fades as smaller ones follow."""
    name = model or ""
    with _lock:
        known = _largest.get(name, UNSTATED_OUTPUT)
        if name in _largest or len(_largest) < _MOST_MODELS:
            faded = known + (output_tokens - known) // _FADING
            _largest[name] = max(output_tokens, faded, UNSTATED_OUTPUT)


def _forked() -> None:
    global _lock  # noqa: PLW0603 - replaced once, in the child
    _lock = threading.RLock()


after_fork_in_child(_forked)
