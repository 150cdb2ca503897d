"""litellm, over the openai SDK and over clients of its own: its retries are attempts, its fallbacks other calls.

Published prices, US dollars per million tokens: gpt-4o 2.50 in, 10 out; Groq's llama-3.3-70b-versatile 0.59 in,
0.79 out; Nova Pro 0.80 in, 3.20 out; text-embedding-3-small 0.02 in.
"""

import os
from typing import Any

import pytest

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else its import waits for a download
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # likewise its count of a stream's tokens
import litellm

from tests.integration.application.conftest import Spans
from tests.integration.application.sdks import chat, converse
from tests.integration.application.sdks.conftest import go, one_call, refused, retried
from tests.integration.application.sdks.vendor import Vendor, error, whole

pytestmark = [
    pytest.mark.usefixtures("nothing_of_ours_fails"),
    pytest.mark.filterwarnings("ignore::UserWarning"),  # about litellm's own models, at their first use
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # it keeps its clients open
]

MESSAGES: Any = chat.ASK["messages"]
COSTS = {"openai": "0.0045", "groq": "0.000748", "bedrock": "0.00144"}  # 1000 in and 200 out
MODELS = {"openai": "gpt-4o", "groq": "groq/llama-3.3-70b-versatile", "bedrock": f"bedrock/{converse.MODEL}"}
PROVIDERS = {"openai": "openai", "groq": "groq", "bedrock": "aws.bedrock"}


def asked(vendor: Vendor, model: str, **more: Any) -> dict[str, Any]:
    region = {"aws_region_name": "us-east-1"} if model == "bedrock" else {"api_key": "stand-in"}
    return {"model": MODELS[model], "api_base": f"{vendor.url}/{model}", "messages": MESSAGES, **region, **more}


def ways(model: str, **more: Any) -> dict[str, Any]:
    def complete(vendor: Vendor) -> None:
        litellm.completion(**asked(vendor, model, **more))

    def stream(vendor: Vendor) -> None:
        list(litellm.completion(**asked(vendor, model, stream=True, **more)))

    async def complete_async(vendor: Vendor) -> None:
        await litellm.acompletion(**asked(vendor, model, **more))

    async def stream_async(vendor: Vendor) -> None:
        async for _ in await litellm.acompletion(**asked(vendor, model, stream=True, **more)):
            pass

    return {way.__name__: way for way in (complete, stream, complete_async, stream_async)}


WAYS = ["complete", "stream", "complete_async", "stream_async"]


@pytest.fixture(autouse=True)
def _named(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    named = ",".join(f"{vendor.url}/{model}={provider}" for model, provider in PROVIDERS.items())
    monkeypatch.setenv("OTEL_COST_ENDPOINTS", named)
    monkeypatch.setattr(litellm, "num_retries", None)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("model", MODELS)
def test_a_call(model: str, way: str, vendor: Vendor, spans: Spans) -> None:
    name = MODELS[model].rpartition("/")[2]
    if model == "bedrock":
        vendor.answers(converse.stream() if "stream" in way else converse.answer())
    else:
        vendor.answers(chat.stream(name) if "stream" in way else chat.answer(name))
    response_id = None if model == "bedrock" else "chatcmpl-7"
    found: Any = {"tokens": (1000, 200), "provider": PROVIDERS[model], "response_id": response_id}
    one_call(ways(model)[way], vendor, spans, cost=COSTS[model], **found)


def test_embeddings(vendor: Vendor, spans: Spans) -> None:
    vector = [{"object": "embedding", "index": 0, "embedding": [0.1]}]
    usage = {"prompt_tokens": 1000, "total_tokens": 1000}
    vendor.answers(whole({"object": "list", "model": "text-embedding-3-small", "data": vector, "usage": usage}))

    def embed(vendor: Vendor) -> None:
        litellm.embedding("text-embedding-3-small", input=["sky"], api_base=f"{vendor.url}/openai", api_key="stand-in")

    one_call(embed, vendor, spans, cost="0.00002", tokens=(1000, 0), provider="openai", response_id=None)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("model", MODELS)
def test_a_refusal_reaches_the_application(model: str, way: str, vendor: Vendor, spans: Spans) -> None:
    refused(ways(model, num_retries=2)[way], vendor, spans)


@pytest.mark.parametrize("way", ["complete", "complete_async"])
@pytest.mark.parametrize("model", ["openai", "groq"])
def test_its_own_retries_are_attempts_of_one_call(model: str, way: str, vendor: Vendor, spans: Spans) -> None:
    vendor.answers(chat.answer(MODELS[model].rpartition("/")[2]))
    retried(ways(model, num_retries=2, max_retries=0)[way], vendor, spans, cost=COSTS[model])


def test_a_fallback_to_another_model_is_another_call(vendor: Vendor, spans: Spans) -> None:
    vendor.answers(error(), chat.answer("gpt-4o"))

    def fall_back(vendor: Vendor) -> None:
        mini = {**asked(vendor, "openai", max_retries=0), "model": "gpt-4o-mini", "fallbacks": ["gpt-4o"]}
        litellm.completion(**mini)

    go(fall_back, vendor)
    models = [(call["gen_ai.request.model"], call["otel_cost.call.outcome"]) for call in spans.calls]
    assert models == [("gpt-4o-mini", "error"), ("gpt-4o", "ok")]
    assert [call["otel_cost.cost.amount"] for call in spans.calls] == ["0.000000", "0.004500"]
