"""Which span a call stands on, where others have put theirs over it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import anthropic
import openai
import pytest
from opentelemetry import trace

import otel_cost
from otel_cost_exporter.demo.stand_in import StandIn

CHAT = {"gen_ai.operation.name": "chat"}
GPT: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "[stand-in input=1000,output=200]"}]}
CLAUDE: Any = {**GPT, "model": "claude-sonnet-4-5", "max_tokens": 300}
GPT_COST = Decimal("0.0045")  # 1000 x 2.50 + 200 x 10, per million
CLAUDE_COST = Decimal("0.006")  # 1000 x 3 + 200 x 15, per million

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails")


def carriers(spans: Any) -> list[str]:
    return [span.name for span in spans.all if "otel_cost.cost.status" in span.attributes]


def test_a_stream_that_is_closed_early_stands_on_the_span_of_the_sdk(provider: StandIn, spans: Any) -> None:
    with anthropic.Anthropic() as client:
        stream = client.messages.create(**CLAUDE, stream=True)
        next(iter(stream))
        stream.close()
    assert provider.requests
    assert [span.name for span in spans.all if span.name != "POST"] == ["anthropic.messages.create"]
    assert (spans.call["otel_cost.cost.status"], spans.call["otel_cost.call.outcome"]) == ("estimated", "cut")
    assert 0 < spans.cost < CLAUDE_COST


def test_where_the_topmost_ends_before_the_stream_the_next_one_carries_it(provider: StandIn, spans: Any) -> None:
    with anthropic.Anthropic() as client:
        with trace.get_tracer("t").start_as_current_span("theirs", attributes=CHAT):
            stream = client.messages.create(**CLAUDE, stream=True)
        list(stream)
    assert provider.requests
    assert carriers(spans) == ["anthropic.messages.create"]
    assert spans.cost == CLAUDE_COST


def test_a_span_that_ends_while_another_carries_the_call_changes_nothing(provider: StandIn, spans: Any) -> None:
    tracer = trace.get_tracer("t")
    with tracer.start_as_current_span("topmost", attributes=CHAT), openai.OpenAI() as client:
        with tracer.start_as_current_span("below", attributes=CHAT):
            stream = client.chat.completions.create(**GPT, stream=True, stream_options={"include_usage": True})
        list(stream)
    assert provider.requests
    assert carriers(spans) == ["topmost"]
    assert spans.cost == GPT_COST


def test_a_span_that_ends_after_the_topmost_does_not_repeat_its_cost(provider: StandIn, spans: Any) -> None:
    tracer = trace.get_tracer("t")
    topmost = tracer.start_span("topmost", attributes=CHAT)
    below = tracer.start_span("below", context=trace.set_span_in_context(topmost), attributes=CHAT)
    with trace.use_span(below, end_on_exit=False), openai.OpenAI() as client:
        client.chat.completions.create(**GPT)
    topmost.end()
    below.end()
    assert provider.requests
    assert carriers(spans) == ["topmost"]
    assert spans.cost == GPT_COST


def test_the_call_says_who_pays_though_its_span_began_before_that_was_said(provider: StandIn, spans: Any) -> None:
    with (
        trace.get_tracer("t").start_as_current_span("theirs", attributes=CHAT),
        otel_cost.attribute(stage="draft"),
        openai.OpenAI() as client,
    ):
        client.chat.completions.create(**GPT)
    assert provider.requests
    assert (carriers(spans), spans.call["otel_cost.stage"]) == (["theirs"], "draft")


def test_what_a_span_says_otherwise_is_put_right(
    provider: StandIn, spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = {"gen_ai.operation.name": "generate_content", "gen_ai.provider.name": "somebody", "operation.cost": 9.99}
    with trace.get_tracer("t").start_as_current_span("theirs", attributes=theirs), openai.OpenAI() as client:
        client.chat.completions.create(**GPT)
    call = spans.call
    assert (call["gen_ai.operation.name"], call["gen_ai.provider.name"]) == ("generate_content", "openai")
    assert (call["gen_ai.request.model"], call["operation.cost"]) == ("gpt-4o", float(GPT_COST))

    monkeypatch.delenv("OTEL_COST_ENDPOINTS")
    with trace.get_tracer("t").start_as_current_span("theirs", attributes=theirs), openai.OpenAI() as client:
        client.chat.completions.create(**GPT)
    assert provider.requests
    assert spans.calls[-1]["gen_ai.provider.name"] == "somebody"
    assert spans.calls[-1]["otel_cost.cost.status"] == "unknown"
