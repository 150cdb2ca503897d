"""However a response ends, its call ends once: with what it stated, or with a lower bound of what was used by then.

Published prices, US dollars per million tokens: gpt-4o 2.50 in, 10 out; Claude Sonnet 4.5 3 in, 0.30 read from the
cache, 15 out; Gemini 2.5 Flash 0.30 in, 2.50 out.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest

import otel_cost
from otel_cost.instrumentation import open_calls
from otel_cost_exporter.demo.stand_in import StandIn

from . import garbage
from .accounts import account
from .serving import EVENTS, JSON, Answer, Asked, serving

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails")

MESSAGES: Any = [{"role": "user", "content": "Why is the sky blue?"}]


def event(data: Any, name: str | None = None) -> bytes:
    return (f"event: {name}\n" if name else "").encode() + f"data: {json.dumps(data)}\n\n".encode()


Server = Callable[..., str]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Start a server that answers as the test says: its URL, which is named as the provider's."""
    running: list[Any] = []

    def start(answer: Callable[[Asked], Answer] | Answer, provider: str = "openai") -> str:
        found = serving(answer if callable(answer) else lambda _: answer)
        running.append(found)
        url: str = found.__enter__()
        monkeypatch.setenv("OTEL_COST_ENDPOINTS", f"{url}={provider}")
        return url

    yield start
    for found in running:
        found.__exit__(None, None, None)


class Cut(Exception):  # noqa: N818 - not an error of the test
    """The server drops the connection."""


def dropped(*events: bytes) -> Iterator[bytes]:
    yield from events
    raise Cut


# --- Anthropic: the first event states the input, the last but one the output -----------------------------------------
START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
        "usage": {"input_tokens": 400, "cache_read_input_tokens": 600, "output_tokens": 1},
    },
}
BLOCK = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
PIECE = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Because "}}
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


def message_events(*events: dict[str, Any]) -> list[bytes]:
    return [event(item, item["type"]) for item in events]


def ask_claude(url: str) -> None:
    with anthropic.Anthropic(base_url=url, api_key="stand-in", max_retries=0) as claude:
        for _ in claude.messages.create(model="claude-sonnet-4-5", max_tokens=300, messages=MESSAGES, stream=True):
            pass


def test_a_cut_message_has_cost_its_input_and_each_piece_of_its_output(server: Server, spans: Any) -> None:
    url = server(Answer(dropped(*message_events(START, BLOCK, PIECE, PIECE, PIECE))), "anthropic")
    with pytest.raises(httpx2.RemoteProtocolError):
        ask_claude(url)
    # 400 x 3 + 600 x 0.30 + at least 3 x 15, per million
    assert (spans.cost, spans.call["otel_cost.cost.status"]) == (Decimal("0.001425"), "estimated")
    assert (spans.call["otel_cost.call.outcome"], spans.call["error.type"]) == ("cut", "RemoteProtocolError")
    assert spans.call["gen_ai.usage.cache_read.input_tokens"] == 600


def test_an_error_amid_a_message_is_a_failed_call_of_what_it_stated(server: Server, spans: Any) -> None:
    url = server(Answer(message_events(START, BLOCK, PIECE, PIECE, OVERLOADED)), "anthropic")
    with pytest.raises(anthropic.APIStatusError):
        ask_claude(url)
    # 400 x 3 + 600 x 0.30 + at least 2 x 15, per million
    assert (spans.cost, spans.call["otel_cost.cost.status"]) == (Decimal("0.00141"), "estimated")
    assert (spans.call["otel_cost.call.outcome"], spans.call["error.type"]) == ("error", "overloaded_error")
    assert spans.call["otel_cost.cost.reason"] == ("the response broke off in an error: about what it had used by then")


def test_an_error_in_the_place_of_a_message_is_of_unknown_cost(server: Server, spans: Any) -> None:
    with (
        otel_cost.budget("run", "r1", limit_usd="1"),
        pytest.raises(anthropic.APIStatusError),
    ):
        ask_claude(server(Answer(message_events(OVERLOADED)), "anthropic"))
    assert (spans.call["otel_cost.call.outcome"], spans.call["otel_cost.cost.status"]) == ("error", "unknown")
    assert "gen_ai.usage.input_tokens" not in spans.call
    found = account("run", "r1")
    assert found.spent_usd > Decimal("0.0045")  # what was held: 300 x 15 per million, and the input
    assert (found.held_usd, found.under_way) == (0, 0)


def test_a_budget_in_tokens_counts_the_passes_that_the_total_leaves_out(server: Server, spans: Any) -> None:
    compaction = {"type": "compaction", "input_tokens": 5000, "output_tokens": 300}
    usage = {"input_tokens": 1000, "output_tokens": 200, "iterations": [compaction]}
    message: Any = START["message"]
    message = {**message, "usage": usage}
    url = server(Answer([json.dumps(message).encode()], headers=JSON), "anthropic")
    with (
        otel_cost.budget("run", "r1", limit_tokens=100_000),
        anthropic.Anthropic(base_url=url, api_key="stand-in") as claude,
    ):
        claude.messages.create(model="claude-sonnet-4-5", max_tokens=300, messages=MESSAGES)
    assert spans.cost == Decimal("0.0255")  # 6000 x 3 + 500 x 15, per million
    assert account("run", "r1").spent_tokens == 6500


# --- OpenAI responses ----------------------------------------------------------------------------------------------
def response(status: str, **more: Any) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "model": "gpt-4o", "status": status, "output": [], **more}


CREATED = event({"type": "response.created", "response": response("in_progress", usage=None)}, "response.created")
TEXT = event({"type": "response.output_text.delta", "delta": "Because "}, "response.output_text.delta")
USED = {"input_tokens": 1000, "output_tokens": 200, "total_tokens": 1200}


def ask_gpt(url: str) -> None:
    with openai.OpenAI(base_url=url, api_key="stand-in", max_retries=0) as gpt:
        list(gpt.responses.create(model="gpt-4o", input="Why is the sky blue?", stream=True))


def test_a_cut_response_is_estimated_from_its_request_and_its_pieces(server: Server, spans: Any) -> None:
    with pytest.raises(openai.APIConnectionError):
        ask_gpt(server(Answer(dropped(CREATED, TEXT, TEXT))))
    call = spans.call
    assert (call["otel_cost.call.outcome"], call["otel_cost.cost.status"]) == ("cut", "estimated")
    assert (call["gen_ai.response.id"], call["gen_ai.usage.output_tokens"]) == ("resp_1", 2)
    assert spans.cost == (call["gen_ai.usage.input_tokens"] * Decimal("2.50") + 2 * Decimal(10)) / 1_000_000


@pytest.mark.parametrize(("usage", "cost"), [(USED, "0.004500"), (None, None)])
def test_a_response_that_failed_costs_what_it_states(usage: Any, cost: str | None, server: Server, spans: Any) -> None:
    failed = response("failed", usage=usage, error={"code": "server_error", "message": "oops"})
    ask_gpt(server(Answer([CREATED, TEXT, event({"type": "response.failed", "response": failed}, "response.failed")])))
    assert (spans.call["otel_cost.call.outcome"], spans.call["error.type"]) == ("error", "server_error")
    assert spans.call["otel_cost.cost.status"] == ("known" if cost else "unknown")
    assert spans.call.get("otel_cost.cost.amount") == cost


def test_an_error_event_of_a_response_is_a_failed_call(server: Server, spans: Any) -> None:
    error = {"type": "error", "code": "rate_limit_exceeded", "message": "slow down", "param": None}
    ask_gpt(server(Answer([CREATED, event(error, "error")])))
    assert (spans.call["otel_cost.call.outcome"], spans.call["error.type"]) == ("error", "rate_limit_exceeded")
    assert spans.call["otel_cost.cost.status"] == "unknown"


# --- an error with status 200 -----------------------------------------------------------------------------------------
ERROR = {"error": {"message": "no provider is up", "code": 502, "type": "provider_unavailable"}}


@pytest.mark.parametrize("streamed", [False, True])
def test_an_error_with_status_200_is_a_failed_call(streamed: bool, server: Server, spans: Any) -> None:  # noqa: FBT001 - a parameter of the test
    pieces, headers = ([event(ERROR)], EVENTS) if streamed else ([json.dumps(ERROR).encode()], JSON)
    url = server(Answer(pieces, headers=headers))
    httpx2.post(f"{url}/chat/completions", json={"model": "gpt-4o", "messages": MESSAGES, "stream": streamed})
    assert (spans.call["otel_cost.call.outcome"], spans.call["error.type"]) == ("error", "provider_unavailable")
    assert spans.call["otel_cost.cost.status"] == "unknown"
    assert "gen_ai.usage.input_tokens" not in spans.call


def test_a_call_that_states_what_is_no_count_is_unknown_and_spends_its_hold(server: Server, spans: Any) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": "two hundred"}
    url = server(Answer([json.dumps({"id": "c1", "model": "gpt-4o", "usage": usage}).encode()], headers=JSON))
    body = {"model": "gpt-4o", "messages": MESSAGES, "max_tokens": 200}
    with otel_cost.budget("run", "r1", limit_usd="1"):
        sent = httpx2.post(f"{url}/chat/completions", json=body).request.content
    assert spans.call["otel_cost.cost.status"] == "unknown"
    assert spans.call["otel_cost.cost.reason"] == (
        "the response states what is no count: completion_tokens='two hundred'"
    )
    found = account("run", "r1")
    held = (-(-len(sent) // 3) * Decimal("2.50") + 200 * Decimal(10)) / 1_000_000  # a token for each three bytes
    assert (found.spent_usd, found.held_usd, found.under_way) == (held, 0, 0)


# --- Gemini: each event states what was used so far -------------------------------------------------------------------
def gemini(output: int) -> bytes:
    usage = {"promptTokenCount": 1000, "candidatesTokenCount": output, "totalTokenCount": 1000 + output}
    part = {"content": {"parts": [{"text": "Because "}], "role": "model"}, "index": 0}
    return event({"candidates": [part], "usageMetadata": usage, "modelVersion": "gemini-2.5-flash"})


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_of_usage_that_grows_the_last_counts(module: Any, server: Server, spans: Any) -> None:
    url = server(Answer(dropped(gemini(40), gemini(120))), "google")
    ask = {"contents": [{"parts": [{"text": "Why is the sky blue?"}]}]}
    path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    with module.stream("POST", url + path, json=ask) as response, pytest.raises(module.RemoteProtocolError):
        response.read()
    # 1000 x 0.30 + 120 x 2.50, per million
    assert (spans.cost, spans.call["otel_cost.cost.status"]) == (Decimal("0.0006"), "estimated")
    assert spans.call["otel_cost.call.outcome"] == "cut"


# --- whoever reads, and when ------------------------------------------------------------------------------------------
WHOLE = {"id": "c1", "model": "gpt-4o", "usage": {"prompt_tokens": 1000, "completion_tokens": 200}}
COST = Decimal("0.0045")  # 1000 x 2.50 + 200 x 10, per million
BODY = {"model": "gpt-4o", "messages": MESSAGES}


def whole() -> Answer:
    text = json.dumps(WHOLE).encode()
    return Answer([text[:20], text[20:]], headers=JSON)


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_a_body_that_is_read_later_is_metered_then(module: Any, server: Server, spans: Any) -> None:
    url = server(whole())
    with module.Client() as client:
        response = client.send(client.build_request("POST", f"{url}/chat/completions", json=BODY), stream=True)
        assert spans.calls == []
        assert response.json() == WHOLE if response.read() else False
    assert (spans.cost, spans.call["otel_cost.call.outcome"]) == (COST, "ok")


def test_a_raw_response_that_is_never_parsed_is_metered(provider: StandIn, spans: Any) -> None:
    used: Any = [{"role": "user", "content": "[stand-in input=1000,output=200]"}]
    with openai.OpenAI() as gpt:
        gpt.chat.completions.with_raw_response.create(model="gpt-4o", messages=used)
    assert provider.requests
    assert spans.cost == COST


def test_a_streaming_response_that_is_never_read_is_a_cut_call(provider: StandIn, spans: Any) -> None:
    with (
        openai.OpenAI() as gpt,
        gpt.chat.completions.with_streaming_response.create(model="gpt-4o", messages=MESSAGES) as response,
    ):
        assert response.status_code == 200
    assert provider.requests
    assert (spans.call["otel_cost.call.outcome"], spans.call["otel_cost.cost.status"]) == ("cut", "estimated")


def test_a_stream_that_is_never_iterated_ends_with_the_process(provider: StandIn, spans: Any) -> None:
    with openai.OpenAI() as gpt:
        stream = gpt.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
        assert spans.calls == []
        open_calls.end_all()
        assert spans.call["otel_cost.call.outcome"] == "cut"
        assert len(list(stream)) > 2  # and who reads it all the same gets it whole
    assert provider.requests
    assert len(spans.calls) == 1


def test_an_async_stream_that_is_dropped_is_one_cut_call(provider: StandIn, spans: Any) -> None:
    async def drop() -> None:
        async with openai.AsyncOpenAI() as gpt:
            stream = await gpt.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
            async for _ in stream:
                break
            del stream
            garbage.collect()

    asyncio.run(drop())
    assert provider.requests
    assert (spans.call["otel_cost.call.outcome"], spans.call["otel_cost.cost.status"]) == ("cut", "estimated")


def test_a_stream_that_times_out_is_one_cut_call(server: Server, spans: Any) -> None:
    class TimesOut(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield TEXT
            raise httpx2.ReadTimeout("no more came in time")

    def transport(request: httpx2.Request) -> httpx2.Response:
        assert request
        return httpx2.Response(200, headers=EVENTS, stream=TimesOut())

    server(whole())
    with httpx2.Client(transport=httpx2.MockTransport(transport)) as client, pytest.raises(httpx2.ReadTimeout):
        client.post("https://api.openai.com/v1/responses", json={"model": "gpt-4o", "input": "Why?", "stream": True})
    assert (spans.call["otel_cost.call.outcome"], spans.call["error.type"]) == ("error", "ReadTimeout")
    assert spans.call["otel_cost.waste.status"] == "estimated"


# --- what is no answer ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("module", [httpx, httpx2])
@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_without_content_ends_its_call(module: Any, streamed: bool, server: Server, spans: Any) -> None:  # noqa: FBT001 - a parameter of the test
    url = server(Answer([], 204, {}))
    with module.Client() as client:
        request = client.build_request("POST", f"{url}/chat/completions", json=BODY)
        client.send(request, stream=streamed).close()
    assert (spans.call["otel_cost.call.outcome"], spans.call["otel_cost.cost.status"]) == ("ok", "unknown")
    assert "gen_ai.usage.input_tokens" not in spans.call


@pytest.mark.parametrize("follow", [False, True])
def test_a_redirect_is_no_answer(follow: bool, server: Server, spans: Any) -> None:  # noqa: FBT001 - a parameter of the test
    def answer(asked: Asked) -> Answer:
        if asked.path.startswith("/old"):
            return Answer([], 307, {"location": "/v1/chat/completions"})
        return whole()

    url = server(answer)
    httpx2.post(f"{url}/old/chat/completions", json=BODY, follow_redirects=follow)
    assert spans.call["otel_cost.call.outcome"] == ("ok" if follow else "error")
    assert spans.cost == (COST if follow else 0)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE", "GET"])
def test_other_methods_are_no_calls(method: str, server: Server, spans: Any) -> None:
    url = server(whole())
    httpx2.request(method, f"{url}/v1/chat/completions")
    assert spans.calls == []
