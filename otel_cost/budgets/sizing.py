"""How much a call is likely to cost, before it leaves.

Input is counted up from the size of the request. Output is what the request allows at most; where it states no bound,
the largest answer that this process has seen from the model, and at least `UNSTATED_OUTPUT`. So a call with a stated
bound stays within its hold; one without can exceed it by what its answer is longer than any before.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_cost import pricing
from otel_cost.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from otel_cost.budgets.limit import Budget
    from otel_cost.usage import Request

UNSTATED_OUTPUT: Final = 1000
"""Tokens held for the answer of a model not seen yet, where the request states no bound."""
_BYTES_PER_TOKEN: Final = 3
"""Fewer than any common tokenizer needs on average, so that the count errs upwards."""
_MOST_MODELS: Final = 4096

_lock = threading.RLock()
_largest: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class Ask:
    """What a call asks of its budgets: US dollars (None where its model has no price) and tokens."""

    usd: Decimal | None
    tokens: int
    model: str | None


@dataclass(frozen=True, slots=True)
class Spend:
    """What a call has spent: US dollars (None where that is unknown) and tokens."""

    usd: Decimal | None
    tokens: int


def input_tokens(request: Request) -> int:
    """About how many input tokens `request` has, rather too many than too few."""
    return -(-request.body_size // _BYTES_PER_TOKEN)


def likely(request: Request, budgets: Iterable[Budget]) -> Ask:
    """What `request` is likely to spend. It is priced only where one of `budgets` is in US dollars."""
    output = request.max_output_tokens
    if output is None:
        output = _largest.get(request.model or "", UNSTATED_OUTPUT)
    usage = Usage(input_tokens=input_tokens(request), output_tokens=output)
    usd = None
    if request.model and request.known_provider and not all(budget.limit.in_tokens for budget in budgets):
        usd = pricing.price(provider=request.provider, model=request.model, usage=usage).amount
    return Ask(usd, usage.total_tokens, request.model)


def learn(model: str | None, output_tokens: int) -> None:
    """Remember that an answer of `model` had `output_tokens`."""
    with _lock:
        known = _largest.get(model or "", UNSTATED_OUTPUT)
        if output_tokens > known and len(_largest) < _MOST_MODELS:
            _largest[model or ""] = output_tokens
