"""The SDKs of Groq and Together, which speak OpenAI's chat format.

Published prices, US dollars per million tokens: Groq's llama-3.3-70b-versatile 0.59 in, 0.79 out; Together's
Llama-3.3-70B-Instruct-Turbo 0.88 in and out.
"""

from typing import Any

import groq
import httpx
import pytest
import together

from tests.integration.application.conftest import Spans
from tests.integration.application.sdks import chat
from tests.integration.application.sdks.conftest import one_call, refused, retried
from tests.integration.application.sdks.vendor import Vendor

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails")

MODELS = {"groq": "llama-3.3-70b-versatile", "together": "meta-llama/Llama-3.3-70B-Instruct-Turbo"}
COSTS = {
    "groq": "0.000748",  # 1000 x 0.59 + 200 x 0.79, per million
    "together": "0.001056",  # 1200 x 0.88, per million
}
HOSTS = {"groq": "api.groq.com", "together": "api-inference.together.ai"}
SYNC: dict[str, Any] = {"groq": groq.Groq, "together": together.Together}
ASYNC: dict[str, Any] = {"groq": groq.AsyncGroq, "together": together.AsyncTogether}


def ways(provider: str) -> dict[str, Any]:
    ask: Any = {**chat.ASK, "model": MODELS[provider]}

    def create(vendor: Vendor) -> None:
        http_client = httpx.Client(transport=vendor.transport(httpx))
        with SYNC[provider](api_key="stand-in", http_client=http_client) as client:
            client.chat.completions.create(**ask)

    def stream(vendor: Vendor) -> None:
        http_client = httpx.Client(transport=vendor.transport(httpx))
        with SYNC[provider](api_key="stand-in", http_client=http_client) as client:
            for _ in client.chat.completions.create(**ask, stream=True):
                pass

    async def create_async(vendor: Vendor) -> None:
        http_client = httpx.AsyncClient(transport=vendor.async_transport(httpx))
        async with ASYNC[provider](api_key="stand-in", http_client=http_client) as client:
            await client.chat.completions.create(**ask)

    async def stream_async(vendor: Vendor) -> None:
        http_client = httpx.AsyncClient(transport=vendor.async_transport(httpx))
        async with ASYNC[provider](api_key="stand-in", http_client=http_client) as client:
            async for _ in await client.chat.completions.create(**ask, stream=True):
                pass

    return {way.__name__: way for way in (create, stream, create_async, stream_async)}


WAYS = ["create", "stream", "create_async", "stream_async"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("provider", MODELS)
def test_a_call(provider: str, way: str, vendor: Vendor, spans: Spans) -> None:
    usage_in = {"groq": "x_groq", "together": "last"}[provider]
    model = MODELS[provider]
    vendor.answers(chat.stream(model, usage_in) if "stream" in way else chat.answer(model))
    found: Any = {"tokens": (1000, 200), "provider": provider, "response_id": "chatcmpl-7"}
    one_call(ways(provider)[way], vendor, spans, cost=COSTS[provider], **found)
    assert vendor.request.host == HOSTS[provider]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("provider", MODELS)
def test_a_refusal_reaches_the_application(provider: str, way: str, vendor: Vendor, spans: Spans) -> None:
    refused(ways(provider)[way], vendor, spans)


@pytest.mark.parametrize("way", ["create", "create_async"])
@pytest.mark.parametrize("provider", MODELS)
def test_retries_are_attempts_of_one_call(provider: str, way: str, vendor: Vendor, spans: Spans) -> None:
    vendor.answers(chat.answer(MODELS[provider]))
    retried(ways(provider)[way], vendor, spans, cost=COSTS[provider])
