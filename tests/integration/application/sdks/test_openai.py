"""The openai SDK, over httpx2 and over aiohttp, and for Azure.

Published prices, US dollars per million tokens: gpt-4o 2.50 in, 1.25 cached, 10 out; text-embedding-3-small 0.02 in.
"""

from typing import Any

import httpx2
import openai
import pytest

from tests.integration.application.conftest import Spans
from tests.integration.application.sdks import chat
from tests.integration.application.sdks.conftest import one_call, refused, retried
from tests.integration.application.sdks.vendor import Vendor, whole

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails")

COST = "0.00375"  # 400 x 2.50 + 600 x 1.25 + 200 x 10, per million
CACHED = {"prompt_tokens_details": {"cached_tokens": 600}}
KEY: Any = {"api_key": "stand-in", "max_retries": 2}
STREAMED: Any = {**chat.ASK, "model": "gpt-4o", "stream": True, "stream_options": {"include_usage": True}}


def create(vendor: Vendor) -> None:
    with openai.OpenAI(**KEY, http_client=httpx2.Client(transport=vendor.transport(httpx2))) as client:
        client.chat.completions.create(model="gpt-4o", **chat.ASK)


def stream(vendor: Vendor) -> None:
    with openai.OpenAI(**KEY, http_client=httpx2.Client(transport=vendor.transport(httpx2))) as client:
        for _ in client.chat.completions.create(**STREAMED):
            pass


async def create_async(vendor: Vendor) -> None:
    http_client = httpx2.AsyncClient(transport=vendor.async_transport(httpx2))
    async with openai.AsyncOpenAI(**KEY, http_client=http_client) as client:
        await client.chat.completions.create(model="gpt-4o", **chat.ASK)


async def stream_async(vendor: Vendor) -> None:
    http_client = httpx2.AsyncClient(transport=vendor.async_transport(httpx2))
    async with openai.AsyncOpenAI(**KEY, http_client=http_client) as client:
        async for _ in await client.chat.completions.create(**STREAMED):
            pass


async def create_over_aiohttp(vendor: Vendor) -> None:
    http_client = openai.DefaultAioHttpClient()
    async with openai.AsyncOpenAI(**KEY, base_url=f"{vendor.url}/v1", http_client=http_client) as client:
        await client.chat.completions.create(model="gpt-4o", **chat.ASK)


async def stream_over_aiohttp(vendor: Vendor) -> None:
    http_client = openai.DefaultAioHttpClient()
    async with openai.AsyncOpenAI(**KEY, base_url=f"{vendor.url}/v1", http_client=http_client) as client:
        async for _ in await client.chat.completions.create(**STREAMED):
            pass


def azure(vendor: Vendor) -> None:
    with openai.AzureOpenAI(
        **KEY,
        azure_endpoint="https://standin.openai.azure.com",
        api_version="2025-04-01-preview",
        http_client=httpx2.Client(transport=vendor.transport(httpx2)),
    ) as client:
        client.chat.completions.create(model="my-deployment", **chat.ASK)


WHOLE = [create, create_async, create_over_aiohttp]
STREAMS = [stream, stream_async, stream_over_aiohttp]


@pytest.fixture(autouse=True)
def _named(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_COST_ENDPOINTS", f"{vendor.url}/v1=openai")


@pytest.mark.parametrize("way", [*WHOLE, *STREAMS], ids=lambda way: way.__name__)
def test_a_call(way: Any, vendor: Vendor, spans: Spans) -> None:
    vendor.answers((chat.stream if way in STREAMS else chat.answer)("gpt-4o-2024-08-06", **CACHED))
    one_call(way, vendor, spans, cost=COST, tokens=(1000, 200), provider="openai", response_id="chatcmpl-7")
    assert vendor.request.path == "/v1/chat/completions"


def test_embeddings(vendor: Vendor, spans: Spans) -> None:
    model = "text-embedding-3-small"
    vector = [{"object": "embedding", "index": 0, "embedding": [0.1]}]
    usage = {"prompt_tokens": 1000, "total_tokens": 1000}
    vendor.answers(whole({"object": "list", "model": model, "data": vector, "usage": usage}))

    def embed(vendor: Vendor) -> None:
        with openai.OpenAI(**KEY, http_client=httpx2.Client(transport=vendor.transport(httpx2))) as client:
            client.embeddings.create(model=model, input="sky", encoding_format="float")

    one_call(embed, vendor, spans, cost="0.00002", tokens=(1000, 0), provider="openai", response_id=None)


def test_the_tier_that_served_it_and_tokens_of_sound_stand_on_the_span(vendor: Vendor, spans: Spans) -> None:
    vendor.answers(chat.answer("gpt-4o", tier="priority", prompt_tokens_details={"audio_tokens": 300}))
    create(vendor)
    assert spans.call["otel_cost.call.service_tier"] == "priority"
    assert spans.call["otel_cost.usage.input_audio_tokens"] == 300


def test_the_standard_tier_is_not_said(vendor: Vendor, spans: Spans) -> None:
    vendor.answers(chat.answer("gpt-4o"))
    create(vendor)
    assert [key for key in spans.call if key.startswith(("otel_cost.call.service", "otel_cost.usage."))] == []


def test_azure_names_the_model_in_its_answer(vendor: Vendor, spans: Spans) -> None:
    vendor.answers(chat.answer("gpt-4o-2024-08-06", **CACHED))
    found = {"cost": COST, "tokens": (1000, 200), "response_id": "chatcmpl-7"}
    one_call(azure, vendor, spans, **found, provider="azure.ai.openai")
    assert vendor.request.host == "standin.openai.azure.com"


@pytest.mark.parametrize("way", [*WHOLE, *STREAMS, azure], ids=lambda way: way.__name__)
def test_a_refusal_reaches_the_application(way: Any, vendor: Vendor, spans: Spans) -> None:
    refused(way, vendor, spans)


@pytest.mark.parametrize("way", [create, create_async, create_over_aiohttp], ids=lambda way: way.__name__)
def test_retries_are_attempts_of_one_call(way: Any, vendor: Vendor, spans: Spans) -> None:
    vendor.answers(chat.answer("gpt-4o-2024-08-06", **CACHED))
    retried(way, vendor, spans, cost=COST, attempts=3)
