"""Pydantic AI over the real SDKs: each turn of an agent is a call, counted once at its exact cost.

Published prices, US dollars per million tokens: gpt-4o 2.50 in, 1.25 cached, 10 out; Claude Sonnet 4.5 3 in,
0.30 cached, 15 out.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel

import otel_cost

if TYPE_CHECKING:
    from otel_cost_exporter.demo.stand_in import StandIn

ASKED = "Look it up [stand-in input=1000,output=200,cache_read=600,call=look_up]"
GPT = Decimal("0.00375")  # 400 x 2.50 + 600 x 1.25 + 200 x 10, per million
CLAUDE = Decimal("0.00438")  # 400 x 3 + 600 x 0.30 + 200 x 15, per million
MODELS: dict[str, tuple[Any, str, Decimal]] = {
    "chat": (OpenAIChatModel, "gpt-4o", GPT),
    "responses": (OpenAIResponsesModel, "gpt-4o", GPT),
    "messages": (AnthropicModel, "claude-sonnet-4-5", CLAUDE),
}

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails", "spans")


@pytest.fixture(params=MODELS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def agent(kind: str, provider: StandIn) -> Agent:
    assert provider.requests == []
    new_model, name, _ = MODELS[kind]
    agent = Agent(new_model(name), model_settings={"max_tokens": 300})

    @agent.tool_plain
    def look_up() -> str:
        """Look it up, in a thread of its own: it is no coroutine."""
        return "found"

    return agent


async def whole(agent: Agent) -> None:
    assert "stand-in" in (await agent.run(ASKED)).output


async def streamed(agent: Agent) -> None:
    async with agent.run_stream(ASKED) as result:
        assert "stand-in" in [text async for text in result.stream_text()][-1]


@pytest.mark.parametrize("way", [whole, streamed])
def test_each_turn_is_counted_once_at_its_exact_cost(
    way: Any, kind: str, agent: Agent, run: Any, costs_of: Any
) -> None:
    assert costs_of(lambda: run(way(agent))) == [MODELS[kind][2]] * 2


@pytest.mark.parametrize("way", [whole, streamed])
def test_a_budget_stops_the_agent_before_its_second_turn(
    way: Any, agent: Agent, run: Any, provider: StandIn, spans: Any
) -> None:
    # Each turn is held at some 400 tokens and uses 1200.
    with otel_cost.budget("run", "r1", limit_tokens=1500), pytest.raises(otel_cost.BudgetExceededError, match="'r1'"):
        run(way(agent))
    assert len(provider.requests) == 1
    assert [call["otel_cost.call.outcome"] for call in spans.calls] == ["ok", "refused"]


def test_a_call_inside_a_tool_is_charged_to_the_agents_payer(provider: StandIn, run: Any, costs_of: Any) -> None:
    helper, asking = Agent(OpenAIChatModel("gpt-4o")), Agent(OpenAIChatModel("gpt-4o"))

    @asking.tool_plain
    async def look_up() -> str:
        return (await helper.run("[stand-in input=10,output=1]")).output

    costs = costs_of(lambda: run(asking.run(ASKED)))
    assert costs == [GPT, Decimal("0.000035"), GPT]  # 10 x 2.50 + 1 x 10, per million
    assert len(provider.requests) == 3
