"""Who puts the context's baggage on requests below us has nothing of ours to put there; who does above is undone."""

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp
import boto3
import pytest
import requests
from botocore.config import Config
from opentelemetry import baggage, context, propagate
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor

import otel_cost
from tests.integration.application.conftest import Spans
from tests.integration.application.sdks import chat, converse
from tests.integration.application.sdks.vendor import Vendor

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails", "_paying")


@pytest.fixture
def _paying() -> Iterator[None]:
    token = context.attach(baggage.set_baggage("user", "ann"))
    with otel_cost.attribute(project="secret"), otel_cost.budget("run", "r1", limit_tokens=10**6):
        yield
    context.detach(token)


@pytest.fixture(autouse=True)
def _named(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_COST_ENDPOINTS", f"{vendor.url}/v1=openai")


def told(vendor: Vendor, spans: Spans) -> str | None:
    """Which baggage the vendor got with the one call, whose span is above the instrumentation's."""
    assert spans.call["otel_cost.project"] == "secret"
    assert "otel_cost" not in str(vendor.request.headers)
    return vendor.request.headers.get("baggage")


def test_by_requests(vendor: Vendor, spans: Spans) -> None:
    vendor.answers(chat.answer("gpt-4o"))
    RequestsInstrumentor().instrument()
    try:
        body = {"model": "gpt-4o", **chat.ASK}
        requests.post(f"{vendor.url}/v1/chat/completions", json=body, timeout=60)
    finally:
        RequestsInstrumentor().uninstrument()
    assert told(vendor, spans) == "user=ann"
    assert "POST" in [span.name for span in spans.all]


def test_by_botocore(vendor: Vendor, spans: Spans) -> None:
    vendor.answers(converse.answer())
    BotocoreInstrumentor().instrument()
    try:
        url = "http://bedrock-runtime.us-east-1.amazonaws.com"
        config = Config(proxies={"http": vendor.url})
        client = boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=url, config=config)
        client.converse(**converse.ASK)
        client.close()
    finally:
        BotocoreInstrumentor().uninstrument()
    assert told(vendor, spans) is None  # it carries the trace in AWS's own header only
    (call,) = [span for span in spans.all if "otel_cost.cost.status" in (span.attributes or {})]
    assert call.attributes["otel_cost.cost.amount"] == "0.001440"  # 1000 x 0.80 + 200 x 3.20, per million: Nova Pro
    assert "baggage" not in vendor.request.headers["authorization"]  # it was signed before


def test_by_a_session_of_aiohttp_that_traces(vendor: Vendor, spans: Spans) -> None:
    vendor.answers(chat.answer("gpt-4o"))
    tracing = aiohttp.TraceConfig()

    async def inject(_: Any, __: Any, started: aiohttp.TraceRequestStartParams) -> None:
        propagate.inject(started.headers)

    tracing.on_request_start.append(inject)

    async def ask() -> None:
        async with aiohttp.ClientSession(trace_configs=[tracing]) as session:
            body = {"model": "gpt-4o", **chat.ASK}
            await (await session.post(f"{vendor.url}/v1/chat/completions", json=body)).read()

    asyncio.run(ask())
    assert told(vendor, spans) == "user=ann"
    assert vendor.request.headers["traceparent"]
