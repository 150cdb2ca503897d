"""Whatever a server sends, cut anywhere and spoilt, the application gets what it gets without otel-cost.

Through the real clients, of which one set was never wrapped; every call ends once, and nothing of ours fails, not even
unseen. `benchmarks/fuzz.py` does the same with recorded exchanges.
"""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import brotli
import httpx
import httpx2
import pytest
from backports import zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_cost import safety
from otel_cost.instrumentation import open_calls
from otel_cost.usage import FORMATS, recognise

from .conftest import Spans
from .exchanges import EXCHANGES, Answered

ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
    "deflate": zlib.compress,
    "gzip, br": lambda plain: brotli.compress(gzip.compress(plain)),
}
KINDS = (httpx.Client, httpx.AsyncClient, httpx2.Client, httpx2.AsyncClient)
BARE = {kind: {name: kind.__dict__[name] for name in ("send", "_send_single_request")} for kind in KINDS}
MODULES: dict[type, Any] = {kind: httpx if kind in KINDS[:2] else httpx2 for kind in KINDS}


@dataclass(frozen=True)
class Exchange:
    """A request and what the server answers.

    Attributes:
        breaks: whether the connection breaks behind the pieces.
        close_after: after how many pieces the application has had enough.
        whole: whether the application has the client read the whole body first.
    """

    url: str
    asked: bytes
    status: int
    headers: dict[str, str]
    pieces: tuple[bytes, ...]
    breaks: bool = False
    close_after: int | None = None
    whole: bool = False


def client_for(kind: type, exchange: Exchange, replaced: dict[str, Any]) -> Any:
    """A client that a server in memory answers, the methods of which are `replaced`."""
    module = MODULES[kind]

    class Body(module.SyncByteStream, module.AsyncByteStream):  # type: ignore[misc] # of either client
        def __iter__(self) -> Iterator[bytes]:
            yield from exchange.pieces
            if exchange.breaks:
                raise module.ReadError("the connection broke")

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in self:
                yield piece

    def answer(request: Any) -> Any:
        assert request.content == exchange.asked
        return module.Response(exchange.status, headers=exchange.headers, stream=Body())

    return type("Client", (kind,), replaced)(transport=module.MockTransport(answer))


def get(kind: type, exchange: Exchange, replaced: dict[str, Any] | None = None) -> tuple[list[bytes], str]:
    """The pieces that the application gets, and the error."""
    pieces: list[bytes] = []
    client = client_for(kind, exchange, replaced or {})
    try:
        if kind in (httpx.AsyncClient, httpx2.AsyncClient):
            asyncio.run(get_async(client, exchange, pieces))
        elif exchange.whole:
            pieces.append(client.post(exchange.url, content=exchange.asked).content)
        else:
            with client.stream("POST", exchange.url, content=exchange.asked) as response:
                for piece in response.iter_raw():
                    pieces.append(piece)
                    if len(pieces) == exchange.close_after:
                        break
    except Exception as error:  # noqa: BLE001 - held against the error without us
        return pieces, repr(error)
    return pieces, ""


async def get_async(client: Any, exchange: Exchange, pieces: list[bytes]) -> None:
    if exchange.whole:
        pieces.append((await client.post(exchange.url, content=exchange.asked)).content)
        return
    async with client.stream("POST", exchange.url, content=exchange.asked) as response:
        async for piece in response.aiter_raw():
            pieces.append(piece)
            if len(pieces) == exchange.close_after:
                break


def cut(body: bytes, places: list[int]) -> tuple[bytes, ...]:
    edges = sorted({0, len(body), *(place % (len(body) + 1) for place in places)})
    return tuple(body[start:end] for start, end in pairwise(edges))


places = st.lists(st.integers(min_value=0, max_value=10_000), max_size=8)
answered = st.sampled_from([exchange for exchanges in EXCHANGES.values() for exchange in exchanges])
kinds = st.sampled_from(KINDS)


@st.composite
def whole_exchanges(draw: st.DrawFn) -> Exchange:
    """An exchange, encoded, cut anywhere."""
    exchange: Answered = draw(answered)
    encoding = draw(st.sampled_from(list(ENCODINGS)))
    return Exchange(
        exchange.url,
        json.dumps(exchange.asked).encode(),
        200,
        {"content-type": exchange.content_type, **({"content-encoding": encoding} if encoding else {})},
        cut(ENCODINGS[encoding](exchange.body), draw(places)),
        whole=draw(st.booleans()),
    )


@st.composite
def spoilt_exchanges(draw: st.DrawFn) -> Exchange:
    """An exchange of which bytes are changed, left out and added, that ends or is closed at any place."""
    exchange = draw(whole_exchanges())
    body = bytearray(b"".join(exchange.pieces))
    for place in draw(st.lists(st.integers(min_value=0, max_value=10_000), max_size=4)):
        at = place % (len(body) + 1)
        body[at : at + draw(st.integers(min_value=0, max_value=3))] = draw(st.binary(max_size=3))
    ends_at = draw(st.integers(min_value=0, max_value=10_000))
    labels = st.sampled_from(["text/event-stream", "application/json", "text/html", "", *ENCODINGS, "rot13"])
    headers = {**exchange.headers, **draw(st.dictionaries(st.sampled_from(sorted(exchange.headers)), labels))}
    return Exchange(
        exchange.url,
        draw(st.sampled_from([exchange.asked, exchange.asked[:-1], exchange.asked[:20], b""])),
        draw(st.sampled_from([200, 200, 200, 204, 302, 400, 429, 500])),
        headers,
        cut(bytes(body[:ends_at] if draw(st.booleans()) else body), draw(places)),
        breaks=draw(st.booleans()),
        close_after=draw(st.sampled_from([None, 1, 2])),
        whole=draw(st.booleans()),
    )


def test_every_format_is_here() -> None:
    assert set(EXCHANGES) == set(FORMATS)
    for name, exchanges in EXCHANGES.items():
        for exchange in exchanges:
            request = recognise("POST", exchange.url, json.dumps(exchange.asked).encode())
            assert request is not None, exchange.url
            assert request.wire_format.name == name


SETTINGS = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


@pytest.fixture(autouse=True)
def _asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that we asked for its usage is not meant to be as the server sent it."""
    monkeypatch.setenv("OTEL_COST_INCLUDE_USAGE", "off")


@SETTINGS
@given(exchange=whole_exchanges(), kind=kinds)
def test_a_response_cut_anywhere_arrives_as_sent_and_says_the_same(
    spans: Spans, exchange: Exchange, kind: type
) -> None:
    failures = safety.failures()
    uncut = Exchange(**{**vars(exchange), "pieces": (b"".join(exchange.pieces),)})
    said = []
    for sent in (uncut, exchange):
        spans.exporter.clear()
        assert get(kind, sent) == get(kind, sent, BARE[kind])
        said.append(spans.call)
    assert said[0] == said[1]
    assert said[0]["otel_cost.call.outcome"] == "ok" or not exchange.whole
    assert safety.failures() == failures


@SETTINGS
@given(exchange=spoilt_exchanges(), kind=kinds)
def test_a_response_that_is_spoilt_arrives_as_sent(spans: Spans, exchange: Exchange, kind: type) -> None:
    failures = safety.failures()
    spans.exporter.clear()
    assert get(kind, exchange) == get(kind, exchange, BARE[kind])
    open_calls.end_all()  # a response that is said to be under way yet is waited for
    assert len(spans.calls) <= 1
    assert len(spans.calls) == (recognise("POST", exchange.url, exchange.asked) is not None)
    if exchange.headers.get("content-encoding", "") in ENCODINGS:  # else it cannot be read, which is said
        assert safety.failures() == failures
