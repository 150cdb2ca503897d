"""litellm over the openai SDK and over its own clients: each call once, at its exact cost.

Published prices, US dollars per million tokens: gpt-4o 2.50 in, 1.25 cached, 10 out; Claude Sonnet 4.5 3 in,
0.30 cached, 15 out.
"""

from __future__ import annotations

import os
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else its import waits for a download
import litellm

import otel_cost

if TYPE_CHECKING:
    from otel_cost_exporter.demo.stand_in import StandIn

MODELS = {
    "gpt-4o": Decimal("0.00375"),  # 400 x 2.50 + 600 x 1.25 + 200 x 10, per million
    "openai/responses/gpt-4o": Decimal("0.00375"),
    "anthropic/claude-sonnet-4-5": Decimal("0.00438"),  # 400 x 3 + 600 x 0.30 + 200 x 15, per million
}
ASKED: Any = {"messages": [{"role": "user", "content": "[stand-in input=1000,output=200,cache_read=600]"}]}

pytestmark = [
    pytest.mark.usefixtures("nothing_of_ours_fails", "spans"),
    pytest.mark.filterwarnings("ignore::UserWarning"),  # about litellm's own models, at their first use
]


async def asynchronous(model: str) -> None:
    await litellm.acompletion(model=model, **ASKED)


async def asynchronous_stream(model: str) -> None:
    async for _ in await litellm.acompletion(model=model, stream=True, **ASKED):
        pass


WAYS = {
    "completion": lambda model, _: litellm.completion(model=model, **ASKED),
    "stream": lambda model, _: list(litellm.completion(model=model, stream=True, **ASKED)),
    "acompletion": lambda model, run: run(asynchronous(model)),
    "acompletion stream": lambda model, run: run(asynchronous_stream(model)),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("way", WAYS)
def test_each_call_is_counted_once_at_its_exact_cost(
    way: str, model: str, run: Any, provider: StandIn, costs_of: Any
) -> None:
    assert costs_of(lambda: WAYS[way](model, run)) == [MODELS[model]]
    assert len(provider.requests) == 1


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("way", WAYS)
def test_a_budget_refuses_before_a_request_leaves(way: str, model: str, run: Any, provider: StandIn) -> None:
    with otel_cost.budget("run", "r1", limit_tokens=1), pytest.raises(otel_cost.BudgetExceededError, match="run 'r1'"):
        WAYS[way](model, run)
    assert provider.requests == []


def test_the_calls_of_a_batch_are_charged_to_whoever_asked(provider: StandIn, costs_of: Any) -> None:
    asked = [ASKED["messages"]] * 3
    assert costs_of(lambda: litellm.batch_completion(model="gpt-4o", messages=asked)) == [MODELS["gpt-4o"]] * 3
    assert len(provider.requests) == 3
