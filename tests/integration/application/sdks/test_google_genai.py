"""The google-genai SDK: the Gemini API and Vertex AI, over httpx2 and, where it is async, over aiohttp.

Published prices, US dollars per million tokens: Gemini 2.5 Flash 0.30 in, 0.03 cached, 2.50 out, thoughts among them;
gemini-embedding-001 0.15 in.
"""

from typing import Any

import httpx2
import pytest
from google import genai
from google.genai.types import GenerateContentConfig, HttpOptions, HttpRetryOptions
from google.oauth2.credentials import Credentials

from tests.integration.application.conftest import Spans
from tests.integration.application.sdks.conftest import one_call, refused, retried
from tests.integration.application.sdks.vendor import Reply, Vendor, events, whole

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails")

MODEL = "gemini-2.5-flash"
COST = "0.000638"  # 400 x 0.30 + 600 x 0.03 + 200 x 2.50, per million
RETRY = HttpRetryOptions(attempts=3, initial_delay=0.001, max_delay=0.002, jitter=0)
ASK: Any = {"model": MODEL, "contents": "Why is the sky blue?"}


def client(vendor: Vendor) -> genai.Client:
    """Its requests go to the true host by httpx2, sync and async."""
    options = HttpOptions(
        retry_options=RETRY,
        client_args={"transport": vendor.transport(httpx2)},
        async_client_args={"transport": vendor.async_transport(httpx2)},
    )
    return genai.Client(api_key="stand-in", http_options=options)


def vertex(vendor: Vendor) -> genai.Client:
    options = HttpOptions(
        client_args={"transport": vendor.transport(httpx2)},
        async_client_args={"transport": vendor.async_transport(httpx2)},
    )
    credentials = Credentials("stand-in")  # type: ignore[no-untyped-call] # google's
    return genai.Client(
        vertexai=True, project="stand-in", location="us-central1", credentials=credentials, http_options=options
    )


def by_aiohttp(vendor: Vendor) -> genai.Client:
    """Without a transport of the application's own, async requests leave by aiohttp."""
    return genai.Client(api_key="stand-in", http_options=HttpOptions(base_url=f"{vendor.url}/", retry_options=RETRY))


def ways(new_client: Any) -> dict[str, Any]:
    def generate(vendor: Vendor) -> None:
        with new_client(vendor) as gemini:
            gemini.models.generate_content(**ASK, config=GenerateContentConfig(max_output_tokens=300))

    def stream(vendor: Vendor) -> None:
        with new_client(vendor) as gemini:
            for _ in gemini.models.generate_content_stream(**ASK):
                pass

    async def generate_async(vendor: Vendor) -> None:
        async with new_client(vendor).aio as gemini:
            await gemini.models.generate_content(**ASK)

    async def stream_async(vendor: Vendor) -> None:
        async with new_client(vendor).aio as gemini:
            async for _ in await gemini.models.generate_content_stream(**ASK):
                pass

    return {way.__name__: way for way in (generate, stream, generate_async, stream_async)}


WAYS = {
    f"{kind}-{name}": way
    for kind, new_client in {"gcp.gemini": client, "gcp.vertex_ai": vertex, "aiohttp": by_aiohttp}.items()
    for name, way in ways(new_client).items()
}


def part(text: str, usage: Any, **more: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0, **more}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": MODEL, "responseId": "g7"}


def answer(way: str) -> Reply:
    usage = {
        "promptTokenCount": 1000,
        "cachedContentTokenCount": 600,
        "candidatesTokenCount": 150,
        "thoughtsTokenCount": 50,
        "totalTokenCount": 1200,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 1000}],
        "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 600}],
    }
    if "stream" not in way:
        return whole(part("Rayleigh scattering.", usage, finishReason="STOP"))
    early = {"promptTokenCount": 1000, "totalTokenCount": 1000}
    return events(part("Rayleigh ", early), part("it is.", usage, finishReason="STOP"), done=False)


@pytest.fixture(autouse=True)
def _named(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_COST_ENDPOINTS", f"{vendor.url}=gcp.gemini")


@pytest.mark.parametrize("way", WAYS)
def test_a_call(way: str, vendor: Vendor, spans: Spans) -> None:
    vendor.answers(answer(way))
    provider = "gcp.vertex_ai" if "vertex" in way else "gcp.gemini"
    found: Any = {"tokens": (1000, 200), "provider": provider, "response_id": "g7"}
    one_call(WAYS[way], vendor, spans, cost=COST, **found)
    hosts = {
        "gcp.gemini": "generativelanguage.googleapis.com",
        "gcp.vertex_ai": "us-central1-aiplatform.googleapis.com",
    }
    assert vendor.request.host == hosts.get(way.partition("-")[0], "127.0.0.1")


def test_embeddings(vendor: Vendor, spans: Spans) -> None:
    vendor.answers(whole({"embeddings": [{"values": [0.1]}], "usageMetadata": {"promptTokenCount": 1000}}))

    def embed(vendor: Vendor) -> None:
        with client(vendor) as gemini:
            gemini.models.embed_content(model="gemini-embedding-001", contents="sky")

    one_call(embed, vendor, spans, cost="0.00015", tokens=(1000, 0), provider="gcp.gemini", response_id=None)


@pytest.mark.parametrize("way", WAYS)
def test_a_refusal_reaches_the_application(way: str, vendor: Vendor, spans: Spans) -> None:
    refused(WAYS[way], vendor, spans)


@pytest.mark.parametrize("way", ["gcp.gemini-generate", "gcp.gemini-generate_async", "aiohttp-generate_async"])
def test_retries_are_attempts_of_one_call(way: str, vendor: Vendor, spans: Spans) -> None:
    vendor.answers(answer(way))
    retried(WAYS[way], vendor, spans, cost=COST, attempts=3)
