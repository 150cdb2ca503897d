"""Which span a call stands on, where others have put theirs over it."""

from __future__ import annotations

import time
import weakref
from contextlib import suppress
from decimal import Decimal
from typing import Any

import anthropic
import openai
import pytest
from opentelemetry import trace

import otel_cost
from otel_cost.instrumentation import lost_spans, open_calls
from otel_cost_exporter.demo.stand_in import StandIn
from tests.integration.application import garbage

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


# --- spans that never end ------------------------------------------------------------------------------------------
def lose_a_span(text: str = "") -> tuple[Any, weakref.ref[Any]]:
    """Make a call below a span that nobody ends: the span's place in its trace, and the span as long as it is there."""
    span = trace.get_tracer("t").start_span("theirs", attributes=CHAT)
    messages = [{"role": "user", "content": GPT["messages"][0]["content"] + text}]
    with trace.use_span(span, end_on_exit=False), openai.OpenAI(max_retries=0) as client, suppress(openai.APIError):
        client.chat.completions.create(model="gpt-4o", messages=messages)
    return span.get_span_context(), weakref.ref(span)


def collect(span: weakref.ref[Any]) -> None:
    """Collect garbage until `span` is gone; a thread that was started below it may hold it for a moment."""
    give_up = time.monotonic() + 60
    while span() is not None:
        assert time.monotonic() < give_up, "it is still there"
        garbage.collect()


def test_a_call_whose_span_is_lost_gets_one_with_its_own_times(provider: StandIn, spans: Any) -> None:
    with otel_cost.attribute(stage="draft"):
        place, lost = lose_a_span()
    answered = time.time_ns()
    collect(lost)
    assert provider.requests
    (span,) = [span for span in spans.all if "otel_cost.cost.status" in span.attributes]
    assert (span.name, spans.cost, spans.call["otel_cost.stage"]) == ("chat gpt-4o", GPT_COST, "draft")
    assert (span.context.trace_id, span.parent.span_id) == (place.trace_id, place.span_id)
    assert span.start_time < span.end_time < answered
    open_calls.end_all()
    assert len(spans.calls) == 1


def test_a_lost_call_that_failed_is_an_error(provider: StandIn, spans: Any) -> None:
    _, lost = lose_a_span("[stand-in status=500]")
    collect(lost)
    assert provider.requests
    (span,) = [span for span in spans.all if "otel_cost.cost.status" in span.attributes]
    assert span.status.status_code is trace.StatusCode.ERROR
    assert (spans.cost, spans.call["otel_cost.call.outcome"]) == (0, "error")


def test_nothing_is_exported_amid_a_garbage_collection(provider: StandIn, spans: Any) -> None:
    _, lost = lose_a_span()
    collect(lost)
    assert lost_spans._lost.qsize() == 1
    assert not any("otel_cost.cost.status" in span.attributes for span in spans.exporter.get_finished_spans())
    with openai.OpenAI() as client:
        client.chat.completions.create(**GPT)  # whoever comes next does it
    assert len(provider.requests) == 2
    assert [Decimal(call["otel_cost.cost.amount"]) for call in spans.calls] == [GPT_COST] * 2


def test_a_span_that_is_open_when_the_process_ends_counts_once_even_if_it_ends_later(
    provider: StandIn, spans: Any
) -> None:
    tracer = trace.get_tracer("t")
    topmost = tracer.start_span("topmost", attributes=CHAT)
    below = tracer.start_span("below", context=trace.set_span_in_context(topmost), attributes=CHAT)
    with trace.use_span(below, end_on_exit=False), openai.OpenAI() as client:
        client.chat.completions.create(**GPT)
        stream = client.chat.completions.create(**GPT, stream=True, stream_options={"include_usage": True})
    open_calls.end_all()
    assert sorted(call["otel_cost.call.outcome"] for call in spans.calls) == ["cut", "ok"]
    topmost.end()
    below.end()
    stream.close()
    open_calls.end_all()
    assert len(spans.calls) == len(provider.requests) == 2
    assert set(carriers(spans)) == {"chat gpt-4o"}


def test_a_span_that_ends_in_time_is_not_replaced(provider: StandIn, spans: Any) -> None:
    with trace.get_tracer("t").start_as_current_span("theirs", attributes=CHAT), openai.OpenAI() as client:
        client.chat.completions.create(**GPT)
    garbage.collect()
    open_calls.end_all()
    assert provider.requests
    assert carriers(spans) == ["theirs"]
    assert lost_spans._watched == set()


def test_a_forked_child_leaves_the_spans_that_its_parent_lost_alone(provider: StandIn, spans: Any) -> None:
    kept = trace.get_tracer("t").start_span("kept", attributes=CHAT)
    with trace.use_span(kept, end_on_exit=False), openai.OpenAI() as client:
        client.chat.completions.create(**GPT)
    _, lost = lose_a_span()
    collect(lost)
    lost_spans._forked()
    open_calls.end_all()
    assert len(provider.requests) == 2
    assert spans.calls == []
    kept.end()  # whoever ends it has the call
    assert carriers(spans) == ["kept"]
