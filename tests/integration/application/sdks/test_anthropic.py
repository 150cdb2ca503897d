"""The anthropic SDK, with its clients for Bedrock and Vertex.

Published prices, US dollars per million tokens: Claude Sonnet 4.5 3 in, 0.30 cached, 15 out. Bedrock takes a tenth
more in a region of one's choice.
"""

import base64
import json
from decimal import Decimal
from typing import Any

import anthropic
import httpx2
import pytest

from tests.integration.application.conftest import Spans
from tests.integration.application.sdks import messages
from tests.integration.application.sdks.conftest import one_call, refused, retried
from tests.integration.application.sdks.vendor import Reply, Vendor, events, frames, whole

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails")

COST = "0.00438"  # 400 x 3 + 600 x 0.30 + 200 x 15, per million
REGIONAL_COST = "0.004818"  # 1.1 x that
MODELS = {
    "anthropic": "claude-sonnet-4-5",
    "aws.bedrock": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "gcp.vertex_ai": "claude-sonnet-4-5@20250929",
}
PATHS = {
    "anthropic": "/v1/messages",
    "aws.bedrock": "/model/anthropic.claude-sonnet-4-5-20250929-v1:0/invoke",
    "gcp.vertex_ai": "/v1/projects/stand-in/locations/global/publishers/anthropic/models/claude-sonnet-4-5@20250929",
}


CLIENTS: dict[str, tuple[str, dict[str, str]]] = {
    "anthropic": ("Anthropic", {"api_key": "stand-in"}),
    "aws.bedrock": (
        "AnthropicBedrock",
        {"aws_access_key": "AKIDSTANDIN", "aws_secret_key": "stand-in", "aws_region": "us-east-1"},
    ),
    "gcp.vertex_ai": ("AnthropicVertex", {"region": "global", "project_id": "stand-in", "access_token": "stand-in"}),
}
"""The SDK's client for each provider, and what it wants to know."""


def client(vendor: Vendor, provider: str) -> Any:
    kind, options = CLIENTS[provider]
    http_client = httpx2.Client(transport=vendor.transport(httpx2))
    return getattr(anthropic, kind)(**options, http_client=http_client)


def async_client(vendor: Vendor, provider: str) -> Any:
    kind, options = CLIENTS[provider]
    http_client = httpx2.AsyncClient(transport=vendor.async_transport(httpx2))
    return getattr(anthropic, f"Async{kind}")(**options, http_client=http_client)


def ways(provider: str) -> dict[str, Any]:
    ask: Any = {**messages.ASK, "model": MODELS[provider]}

    def create(vendor: Vendor) -> None:
        with client(vendor, provider) as claude:
            claude.messages.create(**ask)

    def stream(vendor: Vendor) -> None:
        with client(vendor, provider) as claude:
            for _ in claude.messages.create(**ask, stream=True):
                pass

    async def create_async(vendor: Vendor) -> None:
        async with async_client(vendor, provider) as claude:
            await claude.messages.create(**ask)

    async def stream_async(vendor: Vendor) -> None:
        async with async_client(vendor, provider) as claude:
            async for _ in await claude.messages.create(**ask, stream=True):
                pass

    return {way.__name__: way for way in (create, stream, create_async, stream_async)}


WAYS = ["create", "stream", "create_async", "stream_async"]


def answer(provider: str, way: str) -> Reply:
    model = MODELS["anthropic"] + "-20250929"
    if "stream" not in way:
        return whole(messages.answer(model))
    if provider != "aws.bedrock":
        return events(*messages.stream(model), done=False)
    coded = [base64.b64encode(json.dumps(event).encode()).decode() for event in messages.stream(model)]
    return frames(*(("chunk", {"bytes": event, "p": "abcdefghij"}) for event in coded))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("provider", MODELS)
def test_a_call(provider: str, way: str, vendor: Vendor, spans: Spans) -> None:
    vendor.answers(answer(provider, way))
    cost = REGIONAL_COST if provider == "aws.bedrock" else COST
    found: Any = {"tokens": (1000, 200), "provider": provider, "response_id": "msg_7"}
    one_call(ways(provider)[way], vendor, spans, cost=cost, **found)
    assert vendor.request.path.startswith(PATHS[provider])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("provider", MODELS)
def test_a_refusal_reaches_the_application(provider: str, way: str, vendor: Vendor, spans: Spans) -> None:
    refused(ways(provider)[way], vendor, spans)


@pytest.mark.parametrize("way", ["create", "create_async"])
def test_retries_are_attempts_of_one_call(way: str, vendor: Vendor, spans: Spans) -> None:
    vendor.answers(answer("anthropic", way))
    retried(ways("anthropic")[way], vendor, spans, cost=COST)


@pytest.mark.parametrize(
    ("stated", "cost", "terms"),
    [
        ({"inference_geo": "us"}, REGIONAL_COST, "inference_geo=us"),  # a tenth more there
        ({"inference_geo": "global", "speed": "standard"}, COST, None),
    ],
)
def test_what_the_price_depended_on_stands_on_the_span(
    stated: dict[str, str], cost: str, terms: str | None, vendor: Vendor, spans: Spans
) -> None:
    said = messages.answer("claude-sonnet-4-6")
    vendor.answers(whole({**said, "usage": {**said["usage"], **stated}}))
    with client(vendor, "anthropic") as asking:
        asking.messages.create(model="claude-sonnet-4-6", **messages.ASK)
    assert Decimal(spans.call["otel_cost.cost.amount"]) == Decimal(cost)
    assert spans.call.get("otel_cost.cost.price_terms") == terms


def test_where_vertex_served_it_stands_on_the_span(vendor: Vendor, spans: Spans) -> None:
    vendor.answers(answer("gcp.vertex_ai", "sync"))
    options = {"region": "europe-west1", "project_id": "stand-in", "access_token": "stand-in"}
    with anthropic.AnthropicVertex(**options, http_client=httpx2.Client(transport=vendor.transport(httpx2))) as asking:
        asking.messages.create(model=MODELS["gcp.vertex_ai"], **messages.ASK)
    assert Decimal(spans.call["otel_cost.cost.amount"]) == Decimal(REGIONAL_COST)
    assert spans.call["otel_cost.cost.price_terms"] == "location=europe-west1"
