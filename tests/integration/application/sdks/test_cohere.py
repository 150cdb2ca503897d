"""The cohere SDK, its first and its second version of clients. Charged is what `billed_units` says.

Published prices, US dollars: command-r-plus-08-2024 2.50 in, 10 out, and embed-v4.0 0.12 in, per million tokens;
rerank-v3.5 2 per thousand searches.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import cohere
import httpx
import pytest

from tests.integration.application.conftest import Spans
from tests.integration.application.sdks.conftest import one_call, refused, retried
from tests.integration.application.sdks.vendor import Reply, Vendor, events, lines, whole

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails")

MODEL = "command-r-plus-08-2024"
COST = "0.0045"  # 1000 x 2.50 + 200 x 10, per million
BILLED = {
    "billed_units": {"input_tokens": 1000, "output_tokens": 200},
    "tokens": {"input_tokens": 1066, "output_tokens": 202},
}
ASK: Any = [{"role": "user", "content": "Why is the sky blue?"}]


@contextmanager
def client(vendor: Vendor, kind: Any = cohere.ClientV2) -> Iterator[Any]:
    with httpx.Client(transport=vendor.transport(httpx)) as http_client:
        yield kind(api_key="stand-in", httpx_client=http_client)


@asynccontextmanager
async def async_client(vendor: Vendor) -> AsyncIterator[cohere.AsyncClientV2]:
    async with httpx.AsyncClient(transport=vendor.async_transport(httpx)) as http_client:
        yield cohere.AsyncClientV2(api_key="stand-in", httpx_client=http_client)


def chat(vendor: Vendor) -> None:
    with client(vendor) as co:
        co.chat(model=MODEL, messages=ASK)


def stream(vendor: Vendor) -> None:
    with client(vendor) as co:
        for _ in co.chat_stream(model=MODEL, messages=ASK):
            pass


async def chat_async(vendor: Vendor) -> None:
    async with async_client(vendor) as co:
        await co.chat(model=MODEL, messages=ASK)


async def stream_async(vendor: Vendor) -> None:
    async with async_client(vendor) as co:
        async for _ in co.chat_stream(model=MODEL, messages=ASK):
            pass


def chat_v1(vendor: Vendor) -> None:
    with client(vendor, cohere.Client) as co:
        co.chat(model=MODEL, message="Why is the sky blue?")


def stream_v1(vendor: Vendor) -> None:
    with client(vendor, cohere.Client) as co:
        for _ in co.chat_stream(model=MODEL, message="Why is the sky blue?"):
            pass


def embed(vendor: Vendor) -> None:
    with client(vendor) as co:
        co.embed(model="embed-v4.0", texts=["sky"], input_type="search_document", embedding_types=["float"])


def rerank(vendor: Vendor) -> None:
    with client(vendor) as co:
        co.rerank(model="rerank-v3.5", query="sky", documents=["blue", "green"])


def answer(way: Any) -> Reply:
    text = {"type": "text", "text": "Rayleigh scattering."}
    v2 = {
        "id": "c-7",
        "finish_reason": "COMPLETE",
        "message": {"role": "assistant", "content": [text]},
        "usage": BILLED,
    }
    v1 = {
        "response_id": "r-7",
        "generation_id": "g-7",
        "text": "Rayleigh scattering.",
        "finish_reason": "COMPLETE",
        "chat_history": [],
        "meta": {"api_version": {"version": "1"}, **BILLED},
    }
    if way is embed:
        meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 1000}}
        return whole({"id": "e-7", "texts": ["sky"], "embeddings": {"float": [[0.1]]}, "meta": meta})
    if way is rerank:
        meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
        return whole({"id": "rr-7", "results": [{"index": 0, "relevance_score": 0.9}], "meta": meta})
    if way is chat_v1:
        return whole(v1)
    if way is stream_v1:
        return lines(
            {"is_finished": False, "event_type": "stream-start", "generation_id": "g-7"},
            {"is_finished": False, "event_type": "text-generation", "text": "Rayleigh scattering."},
            {"is_finished": True, "event_type": "stream-end", "finish_reason": "COMPLETE", "response": v1},
        )
    if way in (stream, stream_async):
        return events(
            {"type": "message-start", "id": "c-7", "delta": {"message": {"role": "assistant", "content": []}}},
            {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
            {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Rayleigh."}}}},
            {"type": "content-end", "index": 0},
            {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": BILLED}},
            done=False,
        )
    return whole(v2)


IDS = {chat: "c-7", chat_async: "c-7", stream: "c-7", stream_async: "c-7", chat_v1: "g-7", stream_v1: "g-7"}
OTHERS: dict[Any, Any] = {
    embed: {"cost": "0.00012", "tokens": (1000, 0), "response_id": "e-7"},
    rerank: {"cost": "0.002", "tokens": (0, 0), "response_id": "rr-7"},
}


@pytest.mark.parametrize("way", [*IDS, *OTHERS], ids=lambda way: way.__name__)
def test_a_call(way: Any, vendor: Vendor, spans: Spans) -> None:
    vendor.answers(answer(way))
    found = OTHERS.get(way) or {"cost": COST, "tokens": (1000, 200), "response_id": IDS[way]}
    one_call(way, vendor, spans, **found, provider="cohere")
    assert vendor.request.host == "api.cohere.com"


@pytest.mark.parametrize("way", [*IDS, *OTHERS], ids=lambda way: way.__name__)
def test_a_refusal_reaches_the_application(way: Any, vendor: Vendor, spans: Spans) -> None:
    refused(way, vendor, spans)


@pytest.mark.parametrize("way", [chat, chat_async], ids=lambda way: way.__name__)
def test_retries_are_attempts_of_one_call(
    way: Any, vendor: Vendor, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cohere.core.http_client._retry_timeout", lambda **_: 0)
    vendor.answers(answer(way))
    retried(way, vendor, spans, cost=COST)
