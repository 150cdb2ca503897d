"""aiobotocore's client of Bedrock's runtime, which sends by aiohttp or httpx.

Published price, US dollars per million tokens: Nova Pro 0.80 in, 3.20 out.
"""

from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.httpxsession import HttpxSession
from aiobotocore.session import get_session

from tests.integration.application.conftest import Spans
from tests.integration.application.sdks import converse
from tests.integration.application.sdks.conftest import one_call, refused, retried
from tests.integration.application.sdks.vendor import Vendor

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails")

COST = "0.00144"  # 1000 x 0.80 + 200 x 3.20, per million


def ways(**config: Any) -> dict[str, Any]:
    def client(vendor: Vendor) -> Any:
        options = AioConfig(retries={"mode": "standard", "max_attempts": 3}, **config)
        return get_session().create_client(
            "bedrock-runtime", region_name="us-east-1", endpoint_url=f"{vendor.url}/bedrock", config=options
        )

    async def ask(vendor: Vendor) -> None:
        async with client(vendor) as bedrock:
            await bedrock.converse(**converse.ASK)

    async def stream(vendor: Vendor) -> None:
        async with client(vendor) as bedrock:
            answer = await bedrock.converse_stream(**converse.ASK)
            assert len([event async for event in answer["stream"]]) == 6

    return {"ask": ask, "stream": stream}


WAYS = {
    f"{client}-{name}": way
    for client, config in {"aiohttp": {}, "httpx": {"http_session_cls": HttpxSession}}.items()
    for name, way in ways(**config).items()
    if (client, name) != ("httpx", "stream")  # an event stream over httpx fails in aiobotocore itself
}


@pytest.fixture(autouse=True)
def _named(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_COST_ENDPOINTS", f"{vendor.url}/bedrock=aws.bedrock")


@pytest.mark.parametrize("way", WAYS)
def test_a_call(way: str, vendor: Vendor, spans: Spans) -> None:
    vendor.answers(converse.stream() if "stream" in way else converse.answer())
    found: Any = {"tokens": (1000, 200), "response_id": None}
    one_call(WAYS[way], vendor, spans, cost=COST, **found, provider="aws.bedrock")


@pytest.mark.parametrize("way", WAYS)
def test_a_refusal_reaches_the_application(way: str, vendor: Vendor, spans: Spans) -> None:
    refused(WAYS[way], vendor, spans)


@pytest.mark.parametrize("way", [way for way in WAYS if "ask" in way])
def test_retries_are_attempts_of_one_call(
    way: str, vendor: Vendor, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(*_: Any) -> None:
        pass

    monkeypatch.setattr("aiobotocore.endpoint.AioEndpoint._sleep", at_once)
    monkeypatch.setattr("aiobotocore.endpoint.AnyioEndpoint._sleep", at_once)
    vendor.answers(converse.answer())
    retried(WAYS[way], vendor, spans, cost=COST)
