"""The OpenAI Agents SDK over the real openai SDK: a run with a handoff and a tool is three calls.

Published prices, US dollars per million tokens: gpt-4o 2.50 in, 10 out; gpt-4o-mini 0.15 in, 0.60 out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import agents
import pytest
from agents import Agent, ModelSettings, Runner
from agents.models import _openai_shared, openai_provider

import otel_cost

if TYPE_CHECKING:
    from otel_cost_exporter.demo.stand_in import StandIn

DESK = Decimal("0.0045")  # 1000 x 2.50 + 200 x 10, per million
EXPERT = Decimal("0.00036")  # 2000 x 0.15 + 100 x 0.60, per million
SETTINGS = ModelSettings(max_tokens=300)

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails", "spans")


@agents.function_tool
def look_up() -> str:
    """Look it up."""
    return "found"


@pytest.fixture(params=["responses", "chat_completions"])
def desk(request: pytest.FixtureRequest, provider: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    """An agent that hands over to another, which uses a tool before it answers."""
    assert provider.requests == []
    monkeypatch.setattr(_openai_shared, "_use_responses_by_default", True)
    monkeypatch.setattr(openai_provider, "_http_client", None)
    agents.set_default_openai_api(request.param)
    agents.set_tracing_disabled(True)  # it would send traces to OpenAI
    expert = Agent(
        name="expert",
        model="gpt-4o-mini",
        model_settings=SETTINGS,
        tools=[look_up],
        instructions="Look it up [stand-in input=2000,output=100,call=look_up]",
    )
    yield Agent(
        name="desk",
        model="gpt-4o",
        model_settings=SETTINGS,
        handoffs=[expert],
        instructions="Hand over [stand-in input=1000,output=200,call=transfer_to_expert]",
    )
    agents.set_tracing_disabled(False)


async def whole(desk: Agent) -> None:
    assert "stand-in" in (await Runner.run(desk, "Where is it?")).final_output


async def streamed(desk: Agent) -> None:
    result = Runner.run_streamed(desk, "Where is it?")
    async for _ in result.stream_events():
        pass
    assert "stand-in" in result.final_output


@pytest.mark.parametrize("way", [whole, streamed])
def test_each_turn_is_counted_once_at_its_exact_cost(
    way: Any, desk: Agent, run: Any, provider: StandIn, costs_of: Any
) -> None:
    assert costs_of(lambda: run(way(desk))) == [DESK, EXPERT, EXPERT]
    assert len(provider.requests) == 3


@pytest.mark.parametrize("way", [whole, streamed])
def test_a_budget_stops_the_run_after_the_handoff(way: Any, desk: Agent, run: Any, provider: StandIn) -> None:
    # The desk's turn uses 1200 tokens, and the expert's would be held at some 450.
    with otel_cost.budget("run", "r1", limit_tokens=1300), pytest.raises(otel_cost.BudgetExceededError, match="'r1'"):
        run(way(desk))
    assert len(provider.requests) == 1


def test_runs_side_by_side_are_charged_to_their_own(desk: Agent, run: Any, provider: StandIn, spans: Any) -> None:
    async def one(name: str) -> None:
        with otel_cost.attribute(run=name):
            await whole(desk)

    async def both() -> None:
        await asyncio.gather(one("a"), one("b"))

    with otel_cost.attribute(project="atlas"):
        run(both())
    assert len(provider.requests) == 6
    assert sorted(call["otel_cost.run"] for call in spans.calls) == ["a"] * 3 + ["b"] * 3
    assert {call["otel_cost.project"] for call in spans.calls} == {"atlas"}
