"""Haystack pipelines over the real openai SDK.

Published prices, US dollars per million tokens: gpt-4o 2.50 in, 1.25 cached, 10 out.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from haystack import Pipeline
from haystack.components.builders import ChatPromptBuilder
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.core.errors import PipelineRuntimeError
from haystack.dataclasses import ChatMessage

import otel_cost

if TYPE_CHECKING:
    from otel_cost_exporter.demo.stand_in import StandIn

COST = Decimal("0.00375")  # 400 x 2.50 + 600 x 1.25 + 200 x 10, per million
ASKED = {"prompt": {"question": "[stand-in input=1000,output=200,cache_read=600]"}}

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails", "spans")


def pipeline(**more: Any) -> Pipeline:
    made = Pipeline()
    made.add_component("prompt", ChatPromptBuilder(template=[ChatMessage.from_user("{{question}}")]))
    made.add_component("model", OpenAIChatGenerator(model="gpt-4o", **more))
    made.connect("prompt.prompt", "model.messages")
    return made


def whole(_: Any) -> None:
    pipeline().run(ASKED)


def streamed(_: Any) -> None:
    pieces: list[Any] = []
    pipeline(streaming_callback=pieces.append).run(ASKED)
    assert pieces


def in_tasks(run: Any) -> None:
    run(pipeline().run_async(ASKED))


WAYS = [whole, streamed, in_tasks]


@pytest.mark.parametrize("way", WAYS)
def test_a_call_is_counted_once_at_its_exact_cost(way: Any, run: Any, provider: StandIn, costs_of: Any) -> None:
    assert costs_of(lambda: way(run)) == [COST]
    assert len(provider.requests) == 1


@pytest.mark.parametrize("way", WAYS)
def test_a_refusal_is_the_cause_of_the_pipelines_error(way: Any, run: Any, provider: StandIn) -> None:
    with otel_cost.budget("run", "r1", limit_tokens=1), pytest.raises(PipelineRuntimeError, match="refused") as failed:
        way(run)
    assert isinstance(failed.value.__cause__, otel_cost.BudgetExceededError)
    assert provider.requests == []
