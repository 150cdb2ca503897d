"""A chat stream that would not state its usage is asked for it, and the application sees nothing of that.

Published prices, US dollars per million tokens: gpt-4o 2.50 in, 10 out.
"""

import asyncio
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx
import httpx2
import openai
import pytest

from otel_cost import safety
from otel_cost_exporter.demo.stand_in import StandIn

from .serving import EVENTS, JSON, Answer, Asked, serving

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails")

COST = Decimal("0.0045")  # 1000 x 2.50 + 200 x 10, per million
MESSAGES: Any = [{"role": "user", "content": "[stand-in input=1000,output=200]"}]
BODY = {"model": "gpt-4o", "stream": True, "messages": MESSAGES}
USED = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}


def chunk(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    data = json.dumps({"id": "c1", "model": "gpt-4o", "choices": [choice], "usage": None})
    return f"data: {data}\n\n".encode()


USAGE = b"data: " + json.dumps({"id": "c1", "model": "gpt-4o", "choices": [], "usage": USED}).encode() + b"\n\n"
DONE = b"data: [DONE]\n\n"
EVENTS_SENT = [chunk("one"), chunk("two"), USAGE, DONE]
FOR_THE_APP = b"".join([chunk("one"), chunk("two"), DONE])


def asks_usage(asked: Asked) -> bool:
    return bool((json.loads(asked.body).get("stream_options") or {}).get("include_usage"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[Asked], Answer]], str]]:
    """Start a server that answers as the test says: the base URL, which is named as OpenAI's."""
    with_servers: list[Any] = []

    def start(answer: Callable[[Asked], Answer]) -> str:
        running = serving(answer)
        with_servers.append(running)
        url = running.__enter__()
        monkeypatch.setenv("OTEL_COST_ENDPOINTS", f"{url}=openai")
        return f"{url}/v1"

    yield start
    for running in with_servers:
        running.__exit__(None, None, None)


def read_chunks(**client: Any) -> list[Any]:
    with openai.OpenAI(api_key="stand-in", max_retries=0, **client) as gpt:
        return list(gpt.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True))


def read_chunks_async(**client: Any) -> list[Any]:
    async def read() -> list[Any]:
        async with openai.AsyncOpenAI(api_key="stand-in", max_retries=0, **client) as gpt:
            stream = await gpt.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
            return [chunk async for chunk in stream]

    return asyncio.run(read())


@pytest.mark.parametrize("read", [read_chunks, read_chunks_async])
def test_the_sdks_stream_is_of_known_cost_and_has_choices_in_every_chunk(
    read: Callable[[], list[Any]], provider: StandIn, spans: Any
) -> None:
    chunks = read()
    assert len(chunks) > 3
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert provider.requests[0].body["stream_options"] == {"include_usage": True}
    assert (spans.cost, spans.call["otel_cost.cost.status"]) == (COST, "known")


def raw(module: Any, url: str) -> bytes:
    with module.stream("POST", url, json=BODY) as response:
        return b"".join(response.iter_raw())


def raw_async(module: Any, url: str) -> bytes:
    async def read() -> bytes:
        async with module.AsyncClient() as client, client.stream("POST", url, json=BODY) as response:
            return b"".join([piece async for piece in response.aiter_raw()])

    return asyncio.run(read())


def whole(module: Any, url: str) -> bytes:
    response = module.post(url, json=BODY)
    assert response.text.encode() == response.content
    return bytes(response.content)


def whole_after_a_hook(module: Any, url: str) -> bytes:
    with module.Client(event_hooks={"response": [lambda response: response.read()]}) as client:
        return bytes(client.post(url, json=BODY).content)


@pytest.mark.parametrize("module", [httpx, httpx2])
@pytest.mark.parametrize("read", [raw, raw_async, whole, whole_after_a_hook])
@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_the_application_reads_the_other_bytes_exactly(
    read: Callable[[Any, str], bytes], module: Any, encoding: str, server: Any, spans: Any
) -> None:
    def answer(asked: Asked) -> Answer:
        assert asks_usage(asked)
        assert asked.headers["accept-encoding"] == "identity"  # which a server may pass over
        if not encoding:
            return Answer(EVENTS_SENT)
        return Answer([gzip.compress(b"".join(EVENTS_SENT))], headers={**EVENTS, "content-encoding": encoding})

    assert read(module, f"{server(answer)}/chat/completions") == FOR_THE_APP
    assert (spans.cost, spans.call["otel_cost.cost.status"]) == (COST, "known")


@pytest.mark.parametrize("module", [httpx, httpx2])
@pytest.mark.parametrize("is_async", [False, True])
def test_each_event_is_there_when_the_server_sent_it(is_async: bool, module: Any, server: Any, spans: Any) -> None:  # noqa: FBT001 - a parameter of the test
    """The server sends an event only when the application has the one before: held back, none would ever come."""
    taken = threading.Semaphore(0)

    def in_step() -> Iterator[bytes]:
        for number, event in enumerate(EVENTS_SENT):
            yield event[:10]
            yield event[10:]
            if event is not USAGE:
                assert taken.acquire(timeout=60), f"event {number} did not arrive"

    url = server(lambda _: Answer(in_step()))
    got: list[bytes] = []

    def take(piece: bytes) -> None:
        got.append(piece)
        assert piece.endswith(b"\n\n")
        taken.release()

    async def read() -> None:
        async with module.AsyncClient() as client, client.stream("POST", url, json=BODY) as response:
            async for piece in response.aiter_raw():
                take(piece)

    url = f"{url}/chat/completions"
    if is_async:
        asyncio.run(read())
    else:
        with module.stream("POST", url, json=BODY) as response:
            for piece in response.iter_raw():
                take(piece)
    assert b"".join(got) == FOR_THE_APP
    assert spans.cost == COST


def refusing(seen: list[Asked], status: int) -> Callable[[Asked], Answer]:
    def answer(asked: Asked) -> Answer:
        seen.append(asked)
        if not asks_usage(asked):
            return Answer([chunk("one"), DONE])
        refusal = {"error": {"message": "Unrecognized request argument supplied: stream_options", "code": None}}
        return Answer([gzip.compress(json.dumps(refusal).encode())], status, {**JSON, "content-encoding": "gzip"})

    return answer


@pytest.mark.parametrize("read", [read_chunks, read_chunks_async])
@pytest.mark.parametrize("status", [400, 422])
def test_an_endpoint_that_refuses_the_question_gets_the_request_as_it_was_and_is_not_asked_again(
    read: Callable[..., list[Any]], status: int, server: Any, spans: Any
) -> None:
    seen: list[Asked] = []
    url = server(refusing(seen, status))
    assert [len(read(base_url=url)) for _ in range(2)] == [1, 1]
    assert [asks_usage(asked) for asked in seen] == [True, False, False]
    assert [asked.headers["accept-encoding"] == "identity" for asked in seen] == [True, False, False]
    assert seen[1].body == seen[2].body
    assert [call["otel_cost.call.attempts"] for call in spans.calls] == [2, 1]
    assert not any("otel_cost.call.failures" in call for call in spans.calls)
    assert {call["otel_cost.cost.status"] for call in spans.calls} == {"estimated"}


@pytest.mark.parametrize("read", [raw, raw_async, whole, whole_after_a_hook])
@pytest.mark.parametrize("module", [httpx, httpx2])
def test_so_does_a_plain_clients(read: Callable[[Any, str], bytes], module: Any, server: Any, spans: Any) -> None:
    seen: list[Asked] = []
    url = server(refusing(seen, 400))
    assert read(module, f"{url}/chat/completions") == chunk("one") + DONE
    assert [json.loads(asked.body).get("stream_options") for asked in seen] == [{"include_usage": True}, None]
    assert json.loads(seen[1].body) == BODY
    assert spans.call["otel_cost.call.outcome"] == "ok"


@pytest.mark.parametrize("read", [raw, raw_async, whole, whole_after_a_hook])
@pytest.mark.parametrize("module", [httpx, httpx2])
def test_another_error_reaches_the_application_as_it_came(
    read: Callable[[Any, str], bytes], module: Any, server: Any, spans: Any
) -> None:
    sent: list[Asked] = []
    error = b'{"error": {"message": "no such model", "code": "model_not_found"}}'

    def answer(asked: Asked) -> Answer:
        sent.append(asked)
        return Answer([error], 400, JSON)

    assert read(module, f"{server(answer)}/chat/completions") == error
    assert len(sent) == 1
    assert spans.call["otel_cost.call.failures"] == ("400 model_not_found",)
    assert spans.call["otel_cost.call.outcome"] == "error"


def test_an_error_that_cannot_be_read_is_the_applications(server: Any, spans: Any) -> None:
    url = server(lambda _: Answer([b"fgernz_bcgvbaf"], 400, {**JSON, "content-encoding": "rot13"}))
    assert raw(httpx2, f"{url}/chat/completions") == b"fgernz_bcgvbaf"
    assert spans.call["otel_cost.call.failures"] == ("400",)
    assert safety._failures.pop("reading an error") == 2  # by who looks for a refusal, and by who looks for a code


def test_an_error_that_was_looked_at_says_how_long_it_took(server: Any, spans: Any) -> None:
    url = server(lambda _: Answer([b"{}"], 400, JSON))
    for module in (httpx, httpx2):
        with module.stream("POST", f"{url}/chat/completions", json=BODY) as response:
            assert response.read() == b"{}"
        assert response.elapsed.total_seconds() > 0
    assert len(spans.calls) == 2


def test_a_request_of_the_applications_own_can_be_sent_again(provider: StandIn, spans: Any) -> None:
    with httpx2.Client() as client:
        request = client.build_request("POST", f"{provider.openai_url}/chat/completions", json=BODY)
        said = request.content
        responses = [client.send(request) for _ in range(2)]
    assert [response.request for response in responses] == [request, request]
    assert request.content == said
    answers = [response.text for response in responses]
    assert not any('"choices": []' in answer for answer in answers)
    assert len(provider.requests) == 2
    assert [call["otel_cost.cost.status"] for call in spans.calls] == ["known", "known"]


def test_a_request_keeps_its_headers_and_its_timeouts(server: Any, spans: Any) -> None:
    seen: list[Asked] = []

    def answer(asked: Asked) -> Answer:
        seen.append(asked)
        return Answer(EVENTS_SENT)

    def transport_of(timeouts: list[Any]) -> httpx2.HTTPTransport:
        class Noting(httpx2.HTTPTransport):
            def handle_request(self, request: httpx2.Request) -> httpx2.Response:
                timeouts.append(request.extensions["timeout"])
                return super().handle_request(request)

        return Noting()

    timeouts: list[Any] = []
    with httpx2.Client(transport=transport_of(timeouts), timeout=37.0) as client:
        client.post(f"{server(answer)}/chat/completions", json=BODY, headers=[("X-Two", "a"), ("X-Two", "b")])
    assert timeouts[0]["read"] == 37.0
    assert seen[0].headers["content-length"] == str(len(seen[0].body))
    assert seen[0].headers["x-two"] in {"a, b", "b"}
    assert spans.cost == COST


def test_it_can_be_switched_off(provider: StandIn, spans: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_COST_INCLUDE_USAGE", "false")
    assert read_chunks()
    assert "stream_options" not in provider.requests[0].body
    call = spans.call
    assert (call["otel_cost.cost.status"], call["otel_cost.call.outcome"]) == ("estimated", "ok")
    assert "include_usage" in call["otel_cost.cost.reason"]
    assert call["gen_ai.usage.input_tokens"] > 0
    assert call["gen_ai.usage.output_tokens"] > 0


def test_a_stream_of_legacy_completions_is_asked_too(server: Any, spans: Any) -> None:
    seen: list[Asked] = []
    head = {"id": "cmpl-1", "object": "text_completion", "model": "gpt-3.5-turbo-instruct"}

    def data(**more: Any) -> bytes:
        return f"data: {json.dumps({**head, **more})}\n\n".encode()

    def answer(asked: Asked) -> Answer:
        seen.append(asked)
        text = data(choices=[{"index": 0, "text": "one", "finish_reason": "stop"}], usage=None)
        return Answer([text, data(choices=[], usage=USED), DONE])

    with openai.OpenAI(base_url=server(answer), api_key="stand-in") as gpt:
        chunks = list(gpt.completions.create(model="gpt-3.5-turbo-instruct", prompt="Why?", stream=True))
    assert asks_usage(seen[0])
    assert [chunk.choices[0].text for chunk in chunks] == ["one"]
    assert spans.cost == Decimal("0.0019")  # 1000 x 1.50 + 200 x 2, per million
    assert spans.call["otel_cost.cost.status"] == "known"


def test_who_asks_sees_the_usage(provider: StandIn, spans: Any) -> None:
    with openai.OpenAI() as client:
        options: Any = {"include_usage": True}
        stream = client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True, stream_options=options)
        *_, last = stream
    assert last.usage is not None
    assert last.usage.total_tokens == 1200
    assert provider.requests
    assert spans.cost == COST


def test_where_hiding_fails_the_application_gets_the_stream_as_it_came(
    server: Any, spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: bytes) -> bool:
        raise RuntimeError("no luck")

    monkeypatch.setattr("otel_cost.instrumentation.include_usage._is_usage", fails)
    url = server(lambda _: Answer([event[:7] for event in EVENTS_SENT[:1]] + [EVENTS_SENT[0][7:], *EVENTS_SENT[1:]]))
    assert raw(httpx2, f"{url}/chat/completions") == b"".join(EVENTS_SENT)
    assert spans.cost == COST
    assert safety._failures.pop("hiding the usage of a stream") == 1


def test_a_request_that_cannot_be_asked_leaves_as_it_is(
    provider: StandIn, spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no luck")

    monkeypatch.setattr("otel_cost.instrumentation.include_usage.asking", fails)
    assert read_chunks()
    assert "stream_options" not in provider.requests[0].body
    assert len(spans.calls) == 1
    assert safety._failures.pop("asking a stream for its usage") == 1


def test_a_stream_cut_amid_an_event_reaches_the_application_whole(server: Any, spans: Any) -> None:
    url = server(lambda _: Answer([chunk("one"), b'data: {"choices": [']))
    assert raw(httpx2, f"{url}/chat/completions") == chunk("one") + b'data: {"choices": ['
    assert (spans.call["otel_cost.call.outcome"], spans.call["otel_cost.cost.status"]) == ("cut", "estimated")
