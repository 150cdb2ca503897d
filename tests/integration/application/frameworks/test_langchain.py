"""LangChain over the real SDKs: each call once, at its exact cost, whichever thread or task LangChain makes it in.

Published prices, US dollars per million tokens: gpt-4o 2.50 in, 1.25 cached, 10 out; Claude Sonnet 4.5 3 in,
0.30 cached, 15 out.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_openai import ChatOpenAI

import otel_cost

if TYPE_CHECKING:
    from otel_cost_exporter.demo.stand_in import StandIn

USED = "[stand-in input=1000,output=200,cache_read=600]"
MODELS = {
    "gpt-4o": (ChatOpenAI, Decimal("0.00375")),  # 400 x 2.50 + 600 x 1.25 + 200 x 10, per million
    "claude-sonnet-4-5": (ChatAnthropic, Decimal("0.00438")),  # 400 x 3 + 600 x 0.30 + 200 x 15, per million
}

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails", "spans")


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(name: str, provider: StandIn) -> Any:
    assert provider.requests == []
    return MODELS[name][0](model=name, max_tokens=300)


@pytest.fixture
def cost(name: str) -> Decimal:
    return MODELS[name][1]


async def astream(model: Any) -> None:
    async for _ in model.astream(USED):
        pass


WAYS = {
    "invoke": (1, lambda model, _: model.invoke(USED)),
    "stream": (1, lambda model, _: list(model.stream(USED))),
    "batch": (3, lambda model, _: model.batch([USED] * 3)),
    "ainvoke": (1, lambda model, run: run(model.ainvoke(USED))),
    "astream": (1, lambda model, run: run(astream(model))),
    "abatch": (3, lambda model, run: run(model.abatch([USED] * 3))),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_call_is_counted_once_at_its_exact_cost(
    way: str, cost: Decimal, model: Any, run: Any, costs_of: Any
) -> None:
    calls, go = WAYS[way]
    assert costs_of(lambda: go(model, run)) == [cost] * calls


@pytest.mark.parametrize("way", WAYS)
def test_a_budget_refuses_before_a_request_leaves(way: str, model: Any, run: Any, provider: StandIn) -> None:
    with otel_cost.budget("run", "r1", limit_tokens=1), pytest.raises(otel_cost.BudgetExceededError, match="run 'r1'"):
        WAYS[way][1](model, run)
    assert provider.requests == []


def test_of_a_batch_only_what_fits_leaves(model: Any, provider: StandIn, spans: Any) -> None:
    # Each call is held at more than 320 tokens and less than 400, and uses 1200: into 1599 fit the first, and up to
    # three more until it has ended. Once one is refused, LangChain does not begin those that still wait for a thread.
    with otel_cost.budget("run", "r1", limit_tokens=1599), pytest.raises(otel_cost.BudgetExceededError):
        model.batch([USED] * 5)
    outcomes = [call["otel_cost.call.outcome"] for call in spans.calls]
    assert set(outcomes) == {"ok", "refused"}
    assert len(provider.requests) == outcomes.count("ok") < 5


def test_the_branches_of_a_chain_are_charged_to_their_own(model: Any, provider: StandIn, spans: Any) -> None:
    def branch(stage: str) -> Any:
        def ask(_: object) -> str:
            with otel_cost.attribute(stage=stage):
                return str(model.invoke(USED).content)

        return RunnableLambda(ask)

    chain = RunnableParallel(draft=branch("draft"), review=branch("review")) | RunnableLambda(str) | model
    with otel_cost.attribute(project="atlas"):
        chain.invoke("")
    assert len(provider.requests) == 3
    assert sorted(call.get("otel_cost.stage", "") for call in spans.calls) == ["", "draft", "review"]
    assert {call["otel_cost.project"] for call in spans.calls} == {"atlas"}
