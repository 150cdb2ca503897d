"""Calls of the real SDKs, sync and async, whole and streamed: one span each, with tokens and exact cost.

Published prices, US dollars per million tokens: gpt-4o 2.50 in, 1.25 cached, 10 out; Claude Sonnet 4.5 3 in,
0.30 cached, 15 out.
"""

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.trace import SpanKind, StatusCode

import otel_cost
from otel_cost import safety
from otel_cost.instrumentation import open_calls
from otel_cost_exporter.demo.stand_in import StandIn

from . import garbage
from .accounts import account
from .conftest import cancelled_once_seen

USED = "[stand-in input=1000,output=200,cache_read=600]"
OPENAI_COST = Decimal("0.00375")  # 400 x 2.50 + 600 x 1.25 + 200 x 10, per million
ANTHROPIC_COST = Decimal("0.00438")  # 400 x 3 + 600 x 0.30 + 200 x 15, per million


def ask(text: str = USED, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails")


def used(call: dict[str, Any]) -> tuple[int, int, int]:
    prefix = "gen_ai.usage."
    return tuple(call.get(prefix + name, 0) for name in ("input_tokens", "output_tokens", "cache_read.input_tokens"))  # type: ignore[return-value] # three of them


# --- every way to call ---------------------------------------------------------------------------------------------
def openai_chat() -> None:
    with openai.OpenAI() as client:
        client.chat.completions.create(model="gpt-4o", **ask())


def openai_chat_streamed() -> None:
    options = {"include_usage": True}
    with openai.OpenAI() as client:
        for _ in client.chat.completions.create(model="gpt-4o", stream=True, stream_options=options, **ask()):
            pass


def openai_chat_raw() -> None:
    with openai.OpenAI() as client:
        client.chat.completions.with_raw_response.create(model="gpt-4o", **ask()).parse()


def openai_chat_streaming_response() -> None:
    with (
        openai.OpenAI() as client,
        client.chat.completions.with_streaming_response.create(model="gpt-4o", **ask()) as response,
    ):
        response.read()


def openai_responses() -> None:
    with openai.OpenAI() as client:
        client.responses.create(model="gpt-4o", input=USED)


def openai_responses_streamed() -> None:
    with openai.OpenAI() as client, client.responses.stream(model="gpt-4o", input=USED) as stream:
        for _ in stream:
            pass


async def openai_chat_async() -> None:
    async with openai.AsyncOpenAI() as client:
        await client.chat.completions.create(model="gpt-4o", **ask())


async def openai_chat_streamed_async() -> None:
    options = {"include_usage": True}
    async with openai.AsyncOpenAI() as client:
        create = client.chat.completions.create
        async for _ in await create(model="gpt-4o", stream=True, stream_options=options, **ask()):
            pass


def anthropic_messages() -> None:
    with anthropic.Anthropic() as client:
        client.messages.create(model="claude-sonnet-4-5", max_tokens=300, **ask())


def anthropic_messages_streamed() -> None:
    with (
        anthropic.Anthropic() as client,
        client.messages.stream(model="claude-sonnet-4-5", max_tokens=300, **ask()) as stream,
    ):
        stream.until_done()


def anthropic_events_streamed() -> None:
    with anthropic.Anthropic() as client:
        for _ in client.messages.create(model="claude-sonnet-4-5", max_tokens=300, stream=True, **ask()):
            pass


async def anthropic_messages_async() -> None:
    async with anthropic.AsyncAnthropic() as client:
        await client.messages.create(model="claude-sonnet-4-5", max_tokens=300, **ask())


async def anthropic_messages_streamed_async() -> None:
    async with (
        anthropic.AsyncAnthropic() as client,
        client.messages.stream(model="claude-sonnet-4-5", max_tokens=300, **ask()) as stream,
    ):
        await stream.until_done()


WAYS = [
    openai_chat,
    openai_chat_streamed,
    openai_chat_raw,
    openai_chat_streaming_response,
    openai_responses,
    openai_responses_streamed,
    openai_chat_async,
    openai_chat_streamed_async,
    anthropic_messages,
    anthropic_messages_streamed,
    anthropic_events_streamed,
    anthropic_messages_async,
    anthropic_messages_streamed_async,
]


def go(way: Any) -> None:
    if asyncio.iscoroutinefunction(way):
        asyncio.run(way())
    else:
        way()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_way_to_call_is_one_span_with_tokens_and_exact_cost(way: Any, provider: StandIn, spans: Any) -> None:
    with otel_cost.attribute(project="atlas", stage="draft", team="blue"):
        go(way)
    call = spans.call
    assert spans.cost == (OPENAI_COST if "openai" in way.__name__ else ANTHROPIC_COST)
    assert used(call) == (1000, 200, 600)
    assert call["otel_cost.cost.status"] == "known"
    assert call["otel_cost.cost.currency"] == "USD"
    assert (call["otel_cost.call.outcome"], call["otel_cost.call.attempts"]) == ("ok", 1)
    assert call["gen_ai.operation.name"] == "chat"
    assert call["gen_ai.provider.name"] == way.__name__.partition("_")[0]
    assert call["gen_ai.response.id"]
    assert call["gen_ai.request.model"] in {"gpt-4o", "claude-sonnet-4-5"}
    assert (call["otel_cost.project"], call["otel_cost.stage"], call["otel_cost.team"]) == ("atlas", "draft", "blue")
    assert float(call["gen_ai.usage.cost.amount"]) == pytest.approx(float(spans.cost))
    assert len(provider.requests) == 1


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_the_http_span_is_a_child_and_carries_no_cost(way: Any, provider: StandIn, spans: Any) -> None:
    go(way)
    (http,) = [span for span in spans.all if span.name == "POST"]
    (call,) = [span for span in spans.all if "otel_cost.cost.status" in span.attributes]
    assert http.parent.span_id == call.context.span_id
    assert call.kind is SpanKind.CLIENT
    assert provider.requests[0].headers["traceparent"].split("-")[1] == f"{call.context.trace_id:032x}"


def test_embeddings_are_calls_too(provider: StandIn, spans: Any) -> None:
    with openai.OpenAI() as client:
        client.embeddings.create(model="text-embedding-3-small", input="[stand-in input=1000]")
    assert provider.requests
    assert spans.cost == Decimal("0.00002")  # 1000 x 0.02 per million
    assert spans.call["gen_ai.operation.name"] == "embeddings"


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_a_plain_http_client_is_metered_too(module: Any, provider: StandIn, spans: Any) -> None:
    body = {"model": "gpt-4o", **ask()}
    answer = module.post(f"{provider.openai_url}/chat/completions", json=body).json()
    assert answer["usage"]["prompt_tokens"] == 1000
    assert spans.cost == OPENAI_COST

    async def post() -> None:
        async with module.AsyncClient() as client:
            request = client.build_request("POST", f"{provider.openai_url}/chat/completions", json=body)
            response = await client.send(request=request, stream=True)
            assert (await response.aread()) == response.content
            assert response.elapsed

    asyncio.run(post())
    assert [Decimal(call["otel_cost.cost.amount"]) for call in spans.calls] == [OPENAI_COST, OPENAI_COST]


def test_other_requests_of_a_plain_client_are_none_of_ours(provider: StandIn, spans: Any) -> None:
    with otel_cost.attribute(run="r1"), httpx2.Client() as client:
        client.get(f"{provider.url}/stand-in/requests")
        client.post(f"{provider.url}/nothing", json={"model": "gpt-4o"})

    async def get() -> None:
        async with httpx2.AsyncClient() as client:
            await client.get(f"{provider.url}/stand-in/requests")

    asyncio.run(get())
    assert len(spans.all) == 3
    assert spans.calls == []


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_a_body_that_streams_is_metered_by_its_answer(module: Any, provider: StandIn, spans: Any) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "'
        yield USED.encode() + b'"}]}'

    module.post(f"{provider.openai_url}/chat/completions", content=pieces())
    assert spans.cost == OPENAI_COST


def test_a_provider_that_nobody_named_is_metered_at_unknown_cost(
    provider: StandIn, spans: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("OTEL_COST_ENDPOINTS")
    for _ in range(2):
        openai_chat()
    call = spans.calls[0]
    assert call["otel_cost.cost.status"] == "unknown"
    assert "otel_cost.cost.amount" not in call
    assert used(call) == (1000, 200, 600)
    assert "OTEL_COST_ENDPOINTS=BASE_URL=provider" in call["otel_cost.cost.reason"]
    (line,) = [record.getMessage() for record in caplog.records if "is unknown" in record.getMessage()]
    assert line == (
        "the cost of calls to 'gpt-4o' is unknown: 127.0.0.1 is no known provider: "
        "name it with OTEL_COST_ENDPOINTS=BASE_URL=provider"
    )
    assert len(provider.requests) == 2


def test_a_model_without_a_price_is_said_once_with_what_to_put_into_the_price_file(
    provider: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    with openai.OpenAI() as client:
        for _ in range(2):
            client.chat.completions.create(model="home-made", **ask())
    (line,) = [record.getMessage() for record in caplog.records if "is unknown" in record.getMessage()]
    assert line == (
        "the cost of calls to 'home-made' is unknown: no price for model 'home-made' of 'openai'. "
        "To give it a price, put into the file of OTEL_COST_PRICES:\n"
        '[[price]]\nprovider = "openai"\nmodel = "home-made"\n'
        "input = …   # USD per million tokens\noutput = …  # USD per million tokens\n"
    )
    assert len(provider.requests) == 2


def test_a_model_without_a_price_keeps_its_tokens(provider: StandIn, spans: Any) -> None:
    with openai.OpenAI() as client:
        client.chat.completions.create(model="home-made", **ask())
    assert spans.call["otel_cost.cost.status"] == "unknown"
    assert spans.call["otel_cost.cost.reason"] == "no price for model 'home-made' of 'openai'"
    assert used(spans.call) == (1000, 200, 600)
    assert provider.requests


def test_the_model_asked_for_has_the_price_where_the_answering_one_has_none(provider: StandIn, spans: Any) -> None:
    with openai.OpenAI() as client:
        client.chat.completions.create(model="gpt-4o", **ask(USED + "[stand-in model=snapshot-7]"))
    assert spans.call["gen_ai.response.model"] == "snapshot-7"
    assert spans.cost == OPENAI_COST
    assert provider.requests


# --- streams that end early ----------------------------------------------------------------------------------------
LONG = "[stand-in input=1000,output=200]"


def chat_stream(client: openai.OpenAI, text: str = LONG) -> Any:
    options = {"include_usage": True}
    return client.chat.completions.create(model="gpt-4o", stream=True, stream_options=options, **ask(text))


def message_stream(client: anthropic.Anthropic, text: str = LONG) -> Any:
    return client.messages.create(model="claude-sonnet-4-5", max_tokens=300, stream=True, **ask(text))


@pytest.mark.parametrize(
    ("new_client", "open_stream"), [(openai.OpenAI, chat_stream), (anthropic.Anthropic, message_stream)]
)
@pytest.mark.parametrize("ending", ["closed", "dropped", "never read", "cut by the server", "ended short"])
def test_a_stream_that_ends_early_is_one_estimated_call(
    new_client: Any, open_stream: Any, ending: str, provider: StandIn, spans: Any
) -> None:
    text = LONG + {"cut by the server": "[stand-in cut=4]", "ended short": "[stand-in truncate=4]"}.get(ending, "")
    with new_client(max_retries=0) as client:
        stream = open_stream(client, text)
        if ending == "closed":
            next(iter(stream))
            stream.close()
        elif ending == "dropped":
            next(iter(stream))
        elif ending == "cut by the server":
            with pytest.raises((httpx2.RemoteProtocolError, openai.APIError, anthropic.APIError)):
                list(stream)
        elif ending == "ended short":
            list(stream)
        del stream
        garbage.collect()
    call = spans.call
    assert (call["otel_cost.call.outcome"], call["otel_cost.cost.status"]) == ("cut", "estimated")
    assert call["otel_cost.cost.reason"] == "the response was cut: about what it had used by then"
    assert call["gen_ai.usage.input_tokens"] > 0
    assert call["gen_ai.usage.output_tokens"] < 200
    assert spans.cost > 0
    assert len([found for found in spans.all if found.name != "POST"]) <= 2
    assert len(provider.requests) == 1


def test_a_stream_closed_after_it_stated_its_end_is_known(provider: StandIn, spans: Any) -> None:
    with anthropic.Anthropic() as client:
        stream = message_stream(client)
        for event in stream:
            if event.type == "message_stop":
                break
        stream.close()
    assert provider.requests
    assert spans.cost == Decimal("0.006")  # 1000 x 3 + 200 x 15, per million
    assert (spans.call["otel_cost.cost.status"], spans.call["otel_cost.call.outcome"]) == ("known", "ok")


def test_a_cancelled_stream_is_one_call(provider: StandIn, spans: Any) -> None:
    under_way = asyncio.Event()

    async def read() -> None:
        async with openai.AsyncOpenAI() as client:
            text = LONG + "[stand-in delay=0.3]"
            async for _ in await client.chat.completions.create(model="gpt-4o", stream=True, **ask(text)):
                under_way.set()

    async def cancel() -> None:
        task = asyncio.create_task(read())
        async with asyncio.timeout(60):
            await under_way.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert provider.requests
    assert spans.call["otel_cost.call.outcome"] == "cut"
    assert "error.type" not in spans.call


def test_a_cancelled_call_is_one_call_of_unknown_cost(provider: StandIn, spans: Any) -> None:
    async def cancel() -> None:
        async with openai.AsyncOpenAI() as client:
            call = client.chat.completions.create(model="gpt-4o", **ask("[stand-in delay=60]"))
            await cancelled_once_seen(call, provider)

    asyncio.run(cancel())
    assert provider.requests
    assert (spans.call["otel_cost.call.outcome"], spans.call["otel_cost.cost.status"]) == ("cut", "unknown")


@pytest.mark.parametrize("gzip", [0, 1])
def test_the_application_reads_what_the_server_sent(gzip: int, provider: StandIn, spans: Any) -> None:
    body = {"model": "gpt-4o", "stream": True, "stream_options": {"include_usage": True}}
    text = f"{USED}[stand-in gzip={gzip}]"
    with httpx2.stream("POST", f"{provider.openai_url}/chat/completions", json={**body, **ask(text)}) as response:
        read = response.read()
    assert read.endswith(b"data: [DONE]\n\n")
    assert bool(gzip) == ("content-encoding" in response.headers)
    assert spans.cost == OPENAI_COST


# --- retries and errors --------------------------------------------------------------------------------------------
def failing(status: int, failures: int) -> str:
    return f"{USED}[stand-in status={status},failures={failures},retry_after=0.01]"


@pytest.mark.parametrize("status", [429, 500])
def test_an_sdks_retries_are_attempts_of_one_call(status: int, provider: StandIn, spans: Any) -> None:
    with openai.OpenAI(max_retries=3) as client:
        client.chat.completions.create(model="gpt-4o", **ask(failing(status, 2)))
    assert len(provider.requests) == 3
    assert spans.call["otel_cost.call.attempts"] == 3
    assert spans.call["otel_cost.call.outcome"] == "ok"
    assert spans.cost == OPENAI_COST
    assert len([span for span in spans.all if span.name == "POST"]) == 3


def test_the_async_sdks_retries_too(provider: StandIn, spans: Any) -> None:
    async def call() -> None:
        async with anthropic.AsyncAnthropic(max_retries=3) as client:
            await client.messages.create(model="claude-sonnet-4-5", max_tokens=300, **ask(failing(500, 2)))

    asyncio.run(call())
    assert len(provider.requests) == 3
    assert spans.call["otel_cost.call.attempts"] == 3
    assert spans.cost == ANTHROPIC_COST


def test_a_call_that_fails_in_the_end_is_one_failed_call(provider: StandIn, spans: Any) -> None:
    with openai.OpenAI(max_retries=1) as client, pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="gpt-4o", **ask(failing(500, 9)))
    (call,) = [span for span in spans.all if "otel_cost.cost.status" in span.attributes]
    assert len(provider.requests) == 2
    assert call.status.status_code is StatusCode.ERROR
    assert call.attributes["error.type"] == "500"
    assert call.attributes["otel_cost.call.outcome"] == "error"
    assert (call.attributes["otel_cost.cost.status"], call.attributes["otel_cost.cost.amount"]) == ("known", "0.000000")
    assert "gen_ai.usage.input_tokens" not in call.attributes


@pytest.mark.parametrize("error", ["500", "ReadTimeout"])
def test_a_failed_call_of_an_sdk_that_makes_its_own_span_stands_on_that(
    error: str, provider: StandIn, spans: Any, unanswered: httpx2.Client
) -> None:
    http_client = unanswered if error == "ReadTimeout" else None
    with anthropic.Anthropic(max_retries=1, http_client=http_client) as client, pytest.raises(anthropic.APIError):
        client.messages.create(model="claude-sonnet-4-5", max_tokens=300, **ask(failing(500, 9)))
    assert len(provider.requests) == 2
    (span,) = [span for span in spans.all if span.name != "POST"]
    assert span.name == "anthropic.messages.create"
    assert (span.attributes["otel_cost.call.outcome"], span.attributes["otel_cost.call.attempts"]) == ("error", 2)
    assert spans.call["otel_cost.cost.status"] == ("known" if error == "500" else "unknown")


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_a_plain_clients_error_is_a_failed_call(module: Any, provider: StandIn, spans: Any) -> None:
    module.post(f"{provider.openai_url}/chat/completions", json={"model": "gpt-4o", **ask(failing(429, 9))})
    assert spans.call["error.type"] == "429"


def test_a_provider_that_cannot_be_reached_is_a_failed_call_that_costs_nothing(provider: StandIn, spans: Any) -> None:
    unreachable = openai.OpenAI(base_url="http://127.0.0.1:9/openai/v1", max_retries=0)
    with unreachable as client, pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model="gpt-4o", **ask())
    assert provider.requests == []
    assert (spans.call["otel_cost.call.outcome"], spans.call["otel_cost.cost.amount"]) == ("error", "0.000000")
    assert spans.call["error.type"] == "ConnectError"


def test_a_plain_clients_timeout_is_a_failed_call(provider: StandIn, spans: Any, unanswered: httpx2.Client) -> None:
    with unanswered as client, pytest.raises(httpx2.ReadTimeout):
        client.post(f"{provider.openai_url}/chat/completions", json={"model": "gpt-4o", **ask()})
    assert spans.call["error.type"] == "ReadTimeout"


# --- other people's spans ------------------------------------------------------------------------------------------
def test_a_genai_span_that_is_there_gets_the_cost_and_no_second_one_appears(provider: StandIn, spans: Any) -> None:
    tracer = trace.get_tracer("somebody's instrumentation")
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
    with tracer.start_as_current_span("chat gpt-4o", kind=SpanKind.CLIENT, attributes=attributes) as span:
        openai_chat()
        span.set_attribute("gen_ai.usage.input_tokens", 400)  # another convention: without the cached ones
    assert provider.requests
    assert [span.name for span in spans.all] == ["POST", "chat gpt-4o"]
    assert spans.cost == OPENAI_COST
    assert used(spans.call) == (1000, 200, 600)


def test_a_call_outlives_a_genai_span_that_ends_before_its_stream(provider: StandIn, spans: Any) -> None:
    chat = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 1}
    with openai.OpenAI() as client, otel_cost.budget("run", "r1", limit_usd="1"):
        with trace.get_tracer("t").start_as_current_span("theirs", attributes=chat):
            stream = chat_stream(client)
        assert spans.calls == []
        list(stream)
    assert provider.requests
    (theirs,) = [span for span in spans.all if span.name == "theirs"]
    (ours,) = [span for span in spans.all if span.name == "chat gpt-4o"]
    assert ours.parent.span_id == theirs.context.span_id
    assert ours.start_time < theirs.end_time < ours.end_time
    assert spans.cost == account("run", "r1").spent_usd == Decimal("0.0045")  # 1000 x 2.50 + 200 x 10, per million
    assert spans.call["otel_cost.cost.status"] == "known"


def test_a_genai_span_that_is_not_current_does_not_count_a_call_twice(provider: StandIn, spans: Any) -> None:
    span = trace.get_tracer("t").start_span("theirs", attributes={"gen_ai.operation.name": "chat"})
    with otel_cost.budget("run", "r1", limit_usd="1"), openai.OpenAI() as client:
        answer = client.chat.completions.create(model="gpt-4o", **ask())
        span.set_attributes({"gen_ai.usage.input_tokens": 1000, "gen_ai.response.id": answer.id})
        span.end()
    assert provider.requests
    assert spans.cost == account("run", "r1").spent_usd == OPENAI_COST


def test_a_genai_span_that_has_ended_takes_no_call(provider: StandIn, spans: Any) -> None:
    tracer = trace.get_tracer("t")
    over = tracer.start_span("over", attributes={"gen_ai.operation.name": "chat"})
    step = tracer.start_span("step", trace.set_span_in_context(over))
    over.end()
    with trace.use_span(step, end_on_exit=True):
        openai_chat()
    assert provider.requests
    (call,) = [span for span in spans.all if "otel_cost.cost.status" in span.attributes]
    assert call.name == "chat gpt-4o"
    assert spans.cost == OPENAI_COST


def test_an_agents_span_never_carries_the_cost(provider: StandIn, spans: Any) -> None:
    tracer = trace.get_tracer("t")
    with tracer.start_as_current_span("agent", attributes={"gen_ai.operation.name": "invoke_agent"}):
        openai_chat()
        openai_chat()
    assert provider.requests
    assert [dict(span.attributes).get("otel_cost.cost.amount") for span in spans.all if span.name != "POST"] == [
        "0.003750",
        "0.003750",
        None,
    ]


def test_the_second_call_under_one_genai_span_has_a_span_of_its_own(provider: StandIn, spans: Any) -> None:
    with trace.get_tracer("t").start_as_current_span("chat outer", attributes={"gen_ai.operation.name": "chat"}):
        openai_chat()
        openai_chat()
    assert provider.requests
    assert [span.name for span in spans.all if span.name != "POST"] == ["chat gpt-4o", "chat outer"]
    assert [call["otel_cost.cost.amount"] for call in spans.calls] == ["0.003750", "0.003750"]


def test_of_nested_genai_spans_the_topmost_carries_the_cost(provider: StandIn, spans: Any) -> None:
    tracer = trace.get_tracer("t")
    chat = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 200}
    with (
        tracer.start_as_current_span("framework", attributes=chat),
        tracer.start_as_current_span("sdk", attributes=chat),
        tracer.start_as_current_span("a step in between"),
    ):
        openai_chat()
    assert provider.requests
    (call,) = [span for span in spans.all if "otel_cost.cost.status" in span.attributes]
    assert call.name == "framework"


def test_a_genai_span_over_a_client_that_is_not_wrapped_is_costed_from_its_tokens(spans: Any) -> None:
    tracer = trace.get_tracer("t")
    with (
        otel_cost.budget("run", "r1", limit_usd="1"),
        tracer.start_as_current_span("chat", attributes={"gen_ai.operation.name": "chat"}) as span,
    ):
        span.set_attributes(
            {
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.usage.input_tokens": 1000,
                "gen_ai.usage.output_tokens": 200,
                "gen_ai.usage.cache_read.input_tokens": 600,
            }
        )
    assert spans.cost == OPENAI_COST
    assert (spans.call["otel_cost.run"], spans.call["otel_cost.budget.run"]) == ("r1", "1")


def test_a_genai_span_that_says_too_little_is_unknown_or_no_call(spans: Any) -> None:
    tracer = trace.get_tracer("t")
    with tracer.start_as_current_span("no tokens", attributes={"gen_ai.operation.name": "chat"}):
        pass
    assert spans.calls == []
    with tracer.start_as_current_span(
        "no model", attributes={"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 5}
    ):
        pass
    assert spans.call["otel_cost.cost.reason"] == "the span names no provider and model"


def test_every_span_says_who_pays(spans: Any) -> None:
    with otel_cost.attribute(project="atlas"), trace.get_tracer("t").start_as_current_span("a step"):
        pass
    assert spans.all[0].attributes["otel_cost.project"] == "atlas"


# --- what leaves ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("way", [openai_chat, anthropic_messages, openai_chat_async, anthropic_messages_async])
def test_no_baggage_of_ours_reaches_a_provider_and_other_members_do(way: Any, provider: StandIn, spans: Any) -> None:
    token = context.attach(baggage.set_baggage("user", "ann"))
    try:
        with otel_cost.budget("run", "r1", limit_usd="5"), otel_cost.attribute(project="secret"):
            go(way)
    finally:
        context.detach(token)
    assert provider.requests[0].headers.get("baggage", "user=ann") == "user=ann"
    assert "otel_cost" not in str(provider.requests[0].headers)
    assert spans.call["otel_cost.project"] == "secret"


def test_baggage_that_is_on_the_request_already_is_stripped(provider: StandIn, spans: Any) -> None:
    url, body = f"{provider.openai_url}/chat/completions", {"model": "gpt-4o", **ask()}
    for header in ("otel_cost.run=r1", "otel_cost.run=r1, user=ann", "user=ann"):
        httpx2.post(url, json=body, headers={"baggage": header})
    sent = [request.headers.get("baggage") for request in provider.requests]
    assert [header and header.strip() for header in sent] == [None, "user=ann", "user=ann"]
    assert len(spans.calls) == 3


# --- when something of ours breaks ---------------------------------------------------------------------------------
def unknown_encoding(request: httpx2.Request) -> httpx2.Response:
    assert request
    return httpx2.Response(200, headers={"content-encoding": "rot13"}, stream=httpx2.ByteStream(b"cnff guebhtu"))


def test_a_response_that_cannot_be_read_reaches_the_application_as_it_is(provider: StandIn, spans: Any) -> None:
    url = f"{provider.openai_url}/chat/completions"
    before = safety._failures["reading a response"]
    with (
        httpx2.Client(transport=httpx2.MockTransport(unknown_encoding)) as client,
        client.stream("POST", url, json={"model": "gpt-4o", **ask()}) as response,
    ):
        assert b"".join(response.iter_raw()) == b"cnff guebhtu"
    assert (spans.call["otel_cost.cost.status"], spans.call["otel_cost.call.outcome"]) == ("unknown", "ok")
    assert spans.call["otel_cost.cost.reason"] == "the response could not be read"
    assert safety._failures.pop("reading a response") == before + 1


def test_a_failure_before_a_call_leaves_lets_it_leave(
    provider: StandIn, spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no luck")

    monkeypatch.setattr("otel_cost.instrumentation.exchange.place_at", fails)
    openai_chat()
    assert len(provider.requests) == 1
    assert spans.calls == []
    assert safety._failures.pop("looking at a request") == 1


@pytest.mark.parametrize(
    "broken",
    [
        "instrumentation.call.Call.sends",
        "instrumentation.call.Call.answered",
        "instrumentation.call.Call.read",
        "usage.reading.Reader.feed",
    ],
)
@pytest.mark.parametrize("way", [openai_chat, openai_chat_streamed, openai_chat_async], ids=lambda way: way.__name__)
def test_a_failure_while_a_call_is_under_way_reaches_nobody(
    way: Any, broken: str, provider: StandIn, spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no luck")

    monkeypatch.setattr(f"otel_cost.{broken}", fails)
    before = context.get_current()
    go(way)
    assert context.get_current() == before
    assert len(provider.requests) == 1
    open_calls.end_all()
    assert open_calls._open == set()
    assert len(spans.calls) == 1
    safety._failures.clear()


def test_a_failure_while_a_thread_starts_lets_it_start(spans: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no luck")

    monkeypatch.setattr("otel_cost.attribution.carried", fails)
    started = threading.Event()
    thread = threading.Thread(target=started.set)
    thread.start()
    thread.join()
    assert started.is_set()
    assert spans.all == ()
    assert safety._failures.pop("carrying attribution into a thread") == 1


def test_a_call_that_names_no_model_is_of_unknown_cost(provider: StandIn, spans: Any) -> None:
    def nameless(request: httpx2.Request) -> httpx2.Response:
        assert request
        return httpx2.Response(200, json={"usage": {"prompt_tokens": 5, "completion_tokens": 1}})

    with httpx2.Client(transport=httpx2.MockTransport(nameless)) as client:
        client.post(f"{provider.openai_url}/chat/completions", json={"messages": []})
    assert spans.call["otel_cost.cost.reason"] == "neither request nor response names a model"
    assert used(spans.call) == (5, 1, 0)


def test_what_passes_by_after_a_call_ended_changes_nothing(provider: StandIn, spans: Any) -> None:
    with openai.OpenAI() as client:
        stream = chat_stream(client)
        stream.close()
        stream.close()
    assert provider.requests
    assert len(spans.calls) == 1


def test_a_stream_whose_reading_fails_ends_and_gives_back_what_it_held(
    provider: StandIn, spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no luck")

    monkeypatch.setattr("otel_cost.usage.reading.Reader.reading", fails)
    with otel_cost.budget("run", "r1", limit_usd="1"), openai.OpenAI() as client:
        assert len(list(chat_stream(client))) > 2
    assert provider.requests
    assert spans.call["otel_cost.cost.reason"] == "the response could not be read"
    assert account("run", "r1").under_way == 0
    assert safety._failures.pop("reading a response") == 1


@pytest.mark.parametrize("streamed", [False, True])
def test_a_body_that_a_hook_read_already_is_metered(streamed: bool, provider: StandIn, spans: Any) -> None:  # noqa: FBT001 - a parameter of the test
    hooked = httpx2.Client(event_hooks={"response": [lambda response: response.read()]})
    options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if streamed else {}
    with openai.OpenAI(http_client=hooked) as client:
        answer = client.chat.completions.create(model="gpt-4o", **ask(), **options)
        assert not streamed or list(answer)
    assert provider.requests
    assert spans.cost == OPENAI_COST


def test_what_is_charged_apart_makes_the_cost_an_estimate(provider: StandIn, spans: Any) -> None:
    def with_lookups(request: httpx2.Request) -> httpx2.Response:
        assert request
        usage = {"prompt_tokens": 1000, "completion_tokens": 200, "premium": {"lookups": 900}}
        return httpx2.Response(200, json={"model": "gpt-4o", "usage": usage})

    with httpx2.Client(transport=httpx2.MockTransport(with_lookups)) as client:
        client.post(f"{provider.openai_url}/chat/completions", json={"model": "gpt-4o", **ask()})
    assert spans.call["otel_cost.cost.status"] == "estimated"
    assert spans.call["otel_cost.cost.reason"] == "no price for premium.lookups"


def exported_calls(spans: Any) -> int:
    """How many calls have been exported, found without a lock and without ending any."""
    return sum("otel_cost.cost.status" in span.attributes for span in tuple(spans.exporter._finished_spans))


def test_a_stream_that_is_garbage_collected_is_ended_by_whoever_comes_next(provider: StandIn, spans: Any) -> None:
    """Collection can strike while an exporter holds a lock that ending the span would want again."""
    collecting: list[Any] = []
    garbage.collect()
    gc.disable()
    try:
        with openai.OpenAI() as client:
            stream = chat_stream(client)
            next(iter(stream))
            cycle: list[Any] = [stream]
            cycle.append(cycle)
            del stream, cycle
            gc.callbacks.append(lambda phase, _: collecting.append((phase, exported_calls(spans))))
            garbage.collect()
            gc.callbacks.pop()
    finally:
        gc.enable()
    before = next(count for phase, count in collecting if phase == "start")
    after = [count for phase, count in collecting if phase == "stop"][-1]
    assert before == after
    assert spans.call["otel_cost.call.outcome"] == "cut"
    assert provider.requests


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_leaves_its_parents_streams_alone(provider: StandIn, spans: Any) -> None:
    found: Any = None
    with otel_cost.budget("run", "r1", limit_usd="1"), openai.OpenAI() as client:
        stream = chat_stream(client)
        child = os.fork()
        if child == 0:
            try:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(60)
                stream.close()
                found = account("run", "r1")
                found = (found.held_usd, found.under_way, exported_calls(spans), open_calls._open)
            finally:  # whatever happens: the tests go on in the parent
                os._exit(0 if found == (0, 0, 0, set()) else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        list(stream)
    assert provider.requests
    assert spans.cost == Decimal("0.0045")
