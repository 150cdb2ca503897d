"""The mistralai SDK.

Published prices, US dollars per million tokens: Mistral Large 3 0.50 in, 1.50 out; mistral-embed 0.10 in.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2
import pytest
from mistralai.client import Mistral
from mistralai.client.utils import BackoffStrategy, RetryConfig

from tests.integration.application.conftest import Spans
from tests.integration.application.sdks import chat
from tests.integration.application.sdks.conftest import one_call, refused, retried
from tests.integration.application.sdks.vendor import Vendor, whole

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails")

MODEL = "mistral-large-2512"
COST = "0.0008"  # 1000 x 0.50 + 200 x 1.50, per million
ASK: Any = {**chat.ASK, "model": MODEL}


RETRY = RetryConfig("backoff", BackoffStrategy(1, 2, 1.0, 10_000, jitter_ms=1), retry_connection_errors=True)


@contextmanager
def client(vendor: Vendor) -> Iterator[Mistral]:
    with httpx2.Client(transport=vendor.transport(httpx2)) as http_client:
        yield Mistral(api_key="stand-in", client=http_client, retry_config=RETRY)


@asynccontextmanager
async def async_client(vendor: Vendor) -> AsyncIterator[Mistral]:
    async with httpx2.AsyncClient(transport=vendor.async_transport(httpx2)) as http_client:
        yield Mistral(api_key="stand-in", async_client=http_client, retry_config=RETRY)


def complete(vendor: Vendor) -> None:
    with client(vendor) as mistral:
        mistral.chat.complete(**ASK)


def stream(vendor: Vendor) -> None:
    with client(vendor) as mistral:
        for _ in mistral.chat.stream(**ASK):
            pass


async def complete_async(vendor: Vendor) -> None:
    async with async_client(vendor) as mistral:
        await mistral.chat.complete_async(**ASK)


async def stream_async(vendor: Vendor) -> None:
    async with async_client(vendor) as mistral:
        async for _ in await mistral.chat.stream_async(**ASK):
            pass


WAYS = [complete, stream, complete_async, stream_async]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_call(way: Any, vendor: Vendor, spans: Spans) -> None:
    vendor.answers(chat.stream(MODEL, "last") if "stream" in way.__name__ else chat.answer(MODEL))
    found = {"cost": COST, "tokens": (1000, 200), "response_id": "chatcmpl-7"}
    one_call(way, vendor, spans, **found, provider="mistral_ai")
    assert vendor.request.host == "api.mistral.ai"


def test_embeddings(vendor: Vendor, spans: Spans) -> None:
    vector = [{"object": "embedding", "index": 0, "embedding": [0.1]}]
    usage = {"prompt_tokens": 1000, "total_tokens": 1000, "completion_tokens": 0}
    head = {"id": "emb-7", "object": "list", "model": "mistral-embed"}
    vendor.answers(whole({**head, "data": vector, "usage": usage}))

    def embed(vendor: Vendor) -> None:
        with client(vendor) as mistral:
            mistral.embeddings.create(model="mistral-embed", inputs=["sky"])

    one_call(embed, vendor, spans, cost="0.0001", tokens=(1000, 0), provider="mistral_ai", response_id="emb-7")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_refusal_reaches_the_application(way: Any, vendor: Vendor, spans: Spans) -> None:
    refused(way, vendor, spans)


@pytest.mark.parametrize("way", [complete, complete_async], ids=lambda way: way.__name__)
def test_retries_are_attempts_of_one_call(way: Any, vendor: Vendor, spans: Spans) -> None:
    vendor.answers(chat.answer(MODEL))
    retried(way, vendor, spans, cost=COST)
