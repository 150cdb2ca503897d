"""requests, urllib3 and aiohttp without an SDK: in every way in which a response can be read, or not read.

Published price, US dollars per million tokens: gpt-4o 2.50 in, 10 out.
"""

import asyncio
import gzip
import io
import json
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
import requests
import urllib3
from opentelemetry import baggage, context

import otel_cost
from otel_cost import safety
from otel_cost.errors import BudgetExceededError
from tests.integration.application import garbage
from tests.integration.application.conftest import Spans
from tests.integration.application.sdks import chat
from tests.integration.application.sdks.vendor import Reply, Vendor, error, whole

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails")

COST = "0.004500"  # 1000 x 2.50 + 200 x 10, per million
BODY: dict[str, Any] = {"model": "gpt-4o", **chat.ASK}
STREAMED: dict[str, Any] = {**BODY, "stream": True, "stream_options": {"include_usage": True}}


@pytest.fixture(autouse=True)
def _named(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_COST_ENDPOINTS", f"{vendor.url}/v1=openai")


def sent(reply: Reply) -> bytes:
    return b"".join(reply.pieces)


def gzipped(reply: Reply) -> Reply:
    coded = gzip.compress(sent(reply))
    return replace(reply, pieces=(coded[:50], coded[50:]), headers={"content-encoding": "gzip"})


def counted(spans: Spans) -> tuple[str, str, str]:
    call = spans.call
    return call.get("otel_cost.cost.amount", ""), call["otel_cost.cost.status"], call["otel_cost.call.outcome"]


# --- requests ------------------------------------------------------------------------------------------------------
READS_OF_REQUESTS: dict[str, Callable[[requests.Response], bytes]] = {
    "content": lambda response: response.content,
    "iter_content": lambda response: b"".join(response.iter_content(7)),
    "iter_content as it comes": lambda response: b"".join(response.iter_content(None)),
    "iter_lines": lambda response: b"".join(line + b"\n" for line in response.iter_lines()),
    "raw, decoded": lambda response: response.raw.read(decode_content=True),
}


@pytest.mark.parametrize("read", READS_OF_REQUESTS)
@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_requests(read: str, coded: bool, stream: bool, vendor: Vendor, spans: Spans) -> None:  # noqa: FBT001 - a parameter
    reply = chat.stream("gpt-4o") if stream else chat.answer("gpt-4o")
    vendor.answers(gzipped(reply) if coded else reply)
    with requests.Session() as session:
        response = session.post(f"{vendor.url}/v1/chat/completions", json=STREAMED if stream else BODY, stream=True)
        assert READS_OF_REQUESTS[read](response).strip() == sent(reply).strip()
    assert counted(spans) == (COST, "known", "ok")


def test_requests_that_reads_at_once(vendor: Vendor, spans: Spans) -> None:
    vendor.answers(gzipped(chat.answer("gpt-4o")))
    answer = requests.post(f"{vendor.url}/v1/chat/completions", data=json.dumps(BODY), timeout=60)
    assert answer.json()["id"] == "chatcmpl-7"
    assert counted(spans) == (COST, "known", "ok")


def test_a_redirect_that_requests_follows_is_one_call(vendor: Vendor, spans: Spans) -> None:
    there = whole({}, 307, location=f"{vendor.url}/v1/elsewhere/chat/completions")
    vendor.answers(there, chat.answer("gpt-4o"))
    requests.post(f"{vendor.url}/v1/chat/completions", json=BODY, timeout=60)
    assert len(vendor.requests) == 2
    assert counted(spans) == (COST, "known", "ok")


def test_a_body_from_memory_that_requests_sends(vendor: Vendor, spans: Spans) -> None:
    vendor.answers(chat.answer("gpt-4o"))
    requests.post(f"{vendor.url}/v1/chat/completions", data=io.BytesIO(json.dumps(BODY).encode()), timeout=60)
    assert vendor.request.body == BODY
    assert counted(spans) == (COST, "known", "ok")
    assert spans.call["gen_ai.request.model"] == "gpt-4o"


class InMemory(requests.adapters.HTTPAdapter):
    """An adapter of the application's own, whose responses are none of urllib3's."""

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override] # enough
        response = requests.Response()
        response.status_code, response.request, response.raw = 200, request, io.BytesIO(sent(chat.answer("gpt-4o")))
        return response


def test_a_response_that_is_not_urllib3s_reaches_the_application(vendor: Vendor, spans: Spans) -> None:
    failed = safety._failures["reading a response"]
    with requests.Session() as session:
        session.mount(f"{vendor.url}/v1", InMemory())
        response = session.post(f"{vendor.url}/v1/chat/completions", json=BODY, stream=True)
        assert response.json()["id"] == "chatcmpl-7"
    assert counted(spans)[1:] == ("estimated", "cut")
    assert safety._failures.pop("reading a response") == failed + 1


@pytest.mark.parametrize("ending", ["closed", "dropped", "never read", "cut by the server"])
def test_a_stream_of_requests_that_ends_early_is_one_estimated_call(ending: str, vendor: Vendor, spans: Spans) -> None:
    whole_stream = chat.stream("gpt-4o")
    vendor.answers(replace(whole_stream, pieces=whole_stream.pieces[:3], ends=ending != "cut by the server"))
    with requests.Session() as session:
        response = session.post(f"{vendor.url}/v1/chat/completions", json=STREAMED, stream=True)
        if ending == "cut by the server":
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                list(response.iter_lines())
        elif ending != "never read":
            next(response.iter_lines())
        if ending == "closed":
            response.close()
        del response
        garbage.collect()
        amount, status, outcome = counted(spans)
    assert (status, outcome, float(amount) > 0) == ("estimated", "cut", True)


@pytest.mark.parametrize("status", [429, 500])
def test_an_error_that_requests_gets_costs_nothing(status: int, vendor: Vendor, spans: Spans) -> None:
    vendor.answers(error(status))
    requests.post(f"{vendor.url}/v1/chat/completions", json=BODY, timeout=60)
    assert counted(spans) == ("0.000000", "known", "error")
    assert spans.call["error.type"] == str(status)


# --- urllib3 -------------------------------------------------------------------------------------------------------
def in_pieces(response: urllib3.BaseHTTPResponse) -> bytes:
    return b"".join(iter(lambda: response.read(7), b""))


def by_read1(response: urllib3.BaseHTTPResponse) -> bytes:
    return b"".join(iter(lambda: response.read1(), b""))  # noqa: PLW0108 - its own arguments are others


READS_OF_URLLIB3: dict[str, Callable[[Any], bytes]] = {
    "data": lambda response: response.data,
    "read": lambda response: response.read(),
    "read in pieces": in_pieces,
    "read1": by_read1,
    "stream": lambda response: b"".join(response.stream(7, decode_content=True)),
    "lines": b"".join,
    "buffered": lambda response: io.BufferedReader(response).read(),
}


@pytest.mark.parametrize("read", READS_OF_URLLIB3)
@pytest.mark.parametrize("coded", [False, True])
def test_urllib3(read: str, coded: bool, vendor: Vendor, spans: Spans) -> None:  # noqa: FBT001 - a parameter
    reply = chat.stream("gpt-4o")
    vendor.answers(gzipped(reply) if coded else reply)
    with urllib3.PoolManager() as manager:
        url = f"{vendor.url}/v1/chat/completions"
        response = manager.request("POST", url, json=STREAMED, preload_content=False)
        assert READS_OF_URLLIB3[read](response) == sent(reply)
        assert isinstance(response, urllib3.HTTPResponse)
        response.close()
    assert counted(spans) == (COST, "known", "ok")


def test_a_response_that_breaks_off_under_a_read_of_urllib3(vendor: Vendor, spans: Spans) -> None:
    reply = chat.answer("gpt-4o")
    vendor.answers(replace(reply, pieces=(reply.pieces[0][:40],), headers={"content-length": "4000"}))
    url = f"{vendor.url}/v1/chat/completions"
    response = urllib3.request("POST", url, json=BODY, preload_content=False, headers={"connection": "close"})
    with pytest.raises(urllib3.exceptions.ProtocolError):
        list(iter(lambda: response.read(4000), b""))
    assert counted(spans)[1:] == ("estimated", "cut")
    assert spans.call["error.type"] in ("IncompleteRead", "ProtocolError")


def test_urllib3_that_decodes_nothing(vendor: Vendor, spans: Spans) -> None:
    wire = gzipped(chat.stream("gpt-4o"))
    vendor.answers(wire)
    url = f"{vendor.url}/v1/chat/completions"
    response = urllib3.request("POST", url, json=STREAMED, preload_content=False, decode_content=False)
    assert b"".join(response.stream(7)) == sent(wire)
    assert counted(spans) == (COST, "known", "ok")


def test_urllib3_that_reads_at_once_after_a_redirect_and_a_retry(vendor: Vendor, spans: Spans) -> None:
    there = whole({}, 307, location=f"{vendor.url}/v1/elsewhere/chat/completions")
    vendor.answers(there, whole({}, 503), chat.answer("gpt-4o"))
    retries = urllib3.Retry(3, status_forcelist=[503], allowed_methods=None)
    answer = urllib3.request("POST", f"{vendor.url}/v1/chat/completions", json=BODY, retries=retries)
    assert answer.json()["id"] == "chatcmpl-7"
    assert len(vendor.requests) == 3
    assert counted(spans) == (COST, "known", "ok")


def test_urllib3_without_a_manager(vendor: Vendor, spans: Spans) -> None:
    vendor.answers(chat.answer("gpt-4o"))
    with urllib3.connection_from_url(vendor.url) as pool:
        pool.urlopen("POST", "/v1/chat/completions", json.dumps(BODY).encode(), {"content-type": "application/json"})
    assert counted(spans) == (COST, "known", "ok")


# --- aiohttp -------------------------------------------------------------------------------------------------------
async def by(content: aiohttp.StreamReader, step: Callable[[], Awaitable[Any]]) -> bytes:
    pieces = []
    while not content.at_eof():
        piece = await step()
        pieces.append(piece[0] if isinstance(piece, tuple) else piece)
    return b"".join(pieces)


async def exactly(content: aiohttp.StreamReader) -> bytes:
    try:
        return await content.readexactly(10**6)
    except asyncio.IncompleteReadError as error:
        return error.partial


async def nowait(content: aiohttp.StreamReader) -> bytes:
    await content.wait_eof()
    return content.read_nowait()


async def joined(pieces: Any) -> bytes:
    return b"".join([piece[0] if isinstance(piece, tuple) else piece async for piece in pieces])


READS_OF_AIOHTTP: dict[str, Callable[[aiohttp.ClientResponse], Awaitable[bytes]]] = {
    "read": lambda response: response.read(),
    "content.read": lambda response: response.content.read(),
    "content.read in pieces": lambda response: by(response.content, lambda: response.content.read(7)),
    "readany": lambda response: by(response.content, response.content.readany),
    "readchunk": lambda response: by(response.content, response.content.readchunk),
    "readline": lambda response: by(response.content, response.content.readline),
    "readuntil": lambda response: by(response.content, lambda: response.content.readuntil(b"}")),
    "readexactly": lambda response: exactly(response.content),
    "read_nowait": lambda response: nowait(response.content),
    "iter_any": lambda response: joined(response.content.iter_any()),
    "iter_chunked": lambda response: joined(response.content.iter_chunked(7)),
    "iter_chunks": lambda response: joined(response.content.iter_chunks()),
    "lines": lambda response: joined(response.content),
}


@pytest.mark.parametrize("read", READS_OF_AIOHTTP)
@pytest.mark.parametrize("decompress", [None, True, False])
def test_aiohttp(read: str, decompress: Any, vendor: Vendor, spans: Spans) -> None:
    reply = chat.stream("gpt-4o")
    wire = reply if decompress is None else gzipped(reply)
    vendor.answers(wire)

    async def ask() -> bytes:
        async with (
            aiohttp.ClientSession(auto_decompress=decompress is not False) as session,
            session.post(f"{vendor.url}/v1/chat/completions", json=STREAMED) as response,
        ):
            return await READS_OF_AIOHTTP[read](response)

    assert asyncio.run(ask()) == sent(wire if decompress is False else reply)
    assert counted(spans) == (COST, "known", "ok")


@pytest.mark.parametrize("body", [{"json": BODY}, {"data": json.dumps(BODY)}, {"data": json.dumps(BODY).encode()}])
def test_aiohttp_with_a_base_url(body: Any, vendor: Vendor, spans: Spans) -> None:
    vendor.answers(chat.answer("gpt-4o"))

    async def ask() -> Any:
        async with aiohttp.ClientSession(f"{vendor.url}/v1/", raise_for_status=True) as session:
            response = await session.request("post", "chat/completions", **body)
            return await response.json()

    assert asyncio.run(ask())["id"] == "chatcmpl-7"
    assert counted(spans) == (COST, "known", "ok")
    assert spans.call["gen_ai.request.model"] == "gpt-4o"


def test_aiohttp_whose_middleware_has_read_the_response(vendor: Vendor, spans: Spans) -> None:
    vendor.answers(chat.answer("gpt-4o"))

    async def reads(request: Any, handler: Any) -> Any:
        response = await handler(request)
        await response.read()
        return response

    async def ask() -> Any:
        async with aiohttp.ClientSession(middlewares=(reads,)) as session:
            response = await session.post(f"{vendor.url}/v1/chat/completions", json=BODY)
            return await response.json()

    assert asyncio.run(ask())["id"] == "chatcmpl-7"
    assert counted(spans) == (COST, "known", "ok")


def test_a_body_that_aiohttp_cannot_send_is_the_applications_error(vendor: Vendor, spans: Spans) -> None:
    async def ask() -> None:
        async with aiohttp.ClientSession() as session:
            await session.post(f"{vendor.url}/v1/chat/completions", json={**BODY, "x": object()})

    with pytest.raises(TypeError, match="not JSON serializable"):
        asyncio.run(ask())
    assert vendor.requests == []
    assert counted(spans)[2] == "error"


@pytest.mark.parametrize("raises", [False, True])
def test_an_error_that_aiohttp_gets_costs_nothing(raises: bool, vendor: Vendor, spans: Spans) -> None:  # noqa: FBT001 - a parameter
    vendor.answers(error(429))

    async def ask() -> None:
        async with aiohttp.ClientSession(raise_for_status=raises) as session:
            response = await session.post(f"{vendor.url}/v1/chat/completions", json=BODY)
            await response.read()

    with pytest.raises(aiohttp.ClientResponseError) if raises else nullcontext():
        asyncio.run(ask())
    assert counted(spans) == ("0.000000", "known", "error")
    assert spans.call["error.type"] == "429"


def test_too_many_redirects_are_an_error(vendor: Vendor, spans: Spans) -> None:
    vendor.answers(whole({}, 307, location=f"{vendor.url}/v1/chat/completions"))

    async def ask() -> None:
        async with aiohttp.ClientSession() as session:
            await session.post(f"{vendor.url}/v1/chat/completions", json=BODY, max_redirects=2)

    with pytest.raises(aiohttp.TooManyRedirects):
        asyncio.run(ask())
    assert counted(spans)[2] == "error"


@pytest.mark.parametrize("ending", ["released", "closed", "dropped", "cancelled", "cut by the server"])
@pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning")
def test_a_stream_of_aiohttp_that_ends_early_is_one_estimated_call(ending: str, vendor: Vendor, spans: Spans) -> None:
    stream = chat.stream("gpt-4o")
    vendor.answers(replace(stream, pieces=stream.pieces[:3], ends=False))

    async def read(session: aiohttp.ClientSession) -> None:
        response = await session.post(f"{vendor.url}/v1/chat/completions", json=STREAMED)
        await response.content.readline()
        if ending == "closed":
            response.close()
        elif ending == "released":
            response.release()
        elif ending == "cancelled":
            async with response:
                raise asyncio.CancelledError
        elif ending == "cut by the server":
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()

    async def ask() -> None:
        async with aiohttp.ClientSession() as session:
            with suppress(asyncio.CancelledError):
                await read(session)

    asyncio.run(ask())
    garbage.collect()
    amount, status, outcome = counted(spans)
    assert (status, outcome, float(amount) > 0) == ("estimated", "cut", True)
    assert spans.call.get("error.type") == ("ClientPayloadError" if ending == "cut by the server" else None)


def test_a_wait_that_times_out_does_not_end_the_stream_of_aiohttp(vendor: Vendor, spans: Spans) -> None:
    reply = chat.stream("gpt-4o")
    vendor.answers(reply)

    async def ask() -> bytes:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{vendor.url}/v1/chat/completions", json=STREAMED) as response,
        ):
            waiting = asyncio.ensure_future(response.content.readexactly(10**6))
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting
            return await response.read()

    assert asyncio.run(ask()) == sent(reply)
    assert counted(spans) == (COST, "known", "ok")


@pytest.mark.parametrize("client", ["requests", "urllib3", "aiohttp"])
def test_a_stream_that_was_not_asked_for_its_usage_is_an_estimate(client: str, vendor: Vendor, spans: Spans) -> None:
    reply = chat.stream("gpt-4o")
    vendor.answers(replace(reply, pieces=(*reply.pieces[:-2], reply.pieces[-1])))
    CLIENTS[client](f"{vendor.url}/v1/chat/completions", {**BODY, "stream": True})
    assert vendor.request.body == {**BODY, "stream": True}
    assert counted(spans)[1:] == ("estimated", "ok")


# --- whoever pays --------------------------------------------------------------------------------------------------
def by_aiohttp(url: str, body: Any = BODY) -> None:
    async def ask() -> None:
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
            await response.read()

    asyncio.run(ask())


CLIENTS: dict[str, Callable[..., Any]] = {
    "requests": lambda url, body=BODY: requests.post(url, json=body, timeout=60),
    "urllib3": lambda url, body=BODY: urllib3.request("POST", url, json=body),
    "aiohttp": by_aiohttp,
}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_provider_that_cannot_be_reached_costs_nothing(
    client: str, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_COST_ENDPOINTS", "http://127.0.0.1:9/v1=openai")
    with pytest.raises((requests.exceptions.ConnectionError, urllib3.exceptions.HTTPError, aiohttp.ClientError)):
        CLIENTS[client]("http://127.0.0.1:9/v1/chat/completions")
    assert counted(spans) == ("0.000000", "known", "error")


@pytest.mark.parametrize("client", CLIENTS)
def test_a_refusal_reaches_the_application(client: str, vendor: Vendor, spans: Spans) -> None:
    with otel_cost.budget("run", "r1", limit_tokens=0), pytest.raises(BudgetExceededError):
        CLIENTS[client](f"{vendor.url}/v1/chat/completions")
    assert vendor.requests == []
    assert spans.call["otel_cost.call.outcome"] == "refused"


@pytest.mark.parametrize("client", CLIENTS)
def test_the_vendor_is_told_what_others_say_and_nothing_of_ours(client: str, vendor: Vendor, spans: Spans) -> None:
    vendor.answers(chat.answer("gpt-4o"))
    token = context.attach(baggage.set_baggage("user", "ann"))
    with otel_cost.attribute(project="secret"):
        CLIENTS[client](f"{vendor.url}/v1/chat/completions")
    context.detach(token)
    assert "otel_cost" not in str(vendor.request.headers)
    assert vendor.request.headers.get("baggage") in (None, "user=ann")
    assert spans.call["otel_cost.project"] == "secret"
