"""The ollama SDK. A model on one's own machine has no published price: its tokens are counted, its cost is unknown."""

from typing import Any

import ollama
import pytest

import otel_cost
from tests.integration.application.conftest import Spans
from tests.integration.application.sdks.conftest import go, refused
from tests.integration.application.sdks.vendor import Reply, Vendor, lines, whole

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails")

ASK: Any = {"model": "llama3.2", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}


def chat(vendor: Vendor) -> None:
    with ollama.Client(host=vendor.url) as client:
        client.chat(**ASK)


def stream(vendor: Vendor) -> None:
    with ollama.Client(host=vendor.url) as client:
        assert len(list(client.chat(**ASK, stream=True))) == 3


async def chat_async(vendor: Vendor) -> None:
    async with ollama.AsyncClient(host=vendor.url) as client:
        await client.chat(**ASK)


async def stream_async(vendor: Vendor) -> None:
    async with ollama.AsyncClient(host=vendor.url) as client:
        assert len([part async for part in await client.chat(**ASK, stream=True)]) == 3


def generate(vendor: Vendor) -> None:
    with ollama.Client(host=vendor.url) as client:
        client.generate(model="llama3.2", prompt="Why is the sky blue?")


WAYS = [chat, stream, chat_async, stream_async, generate]


def part(text: str, **more: Any) -> dict[str, Any]:
    head = {"model": "llama3.2", "created_at": "2026-11-22T00:00:00Z", "done": False}
    return {**head, "message": {"role": "assistant", "content": text}, "response": text, **more}


def answer(way: Any) -> Reply:
    durations = {"total_duration": 7, "load_duration": 1, "prompt_eval_duration": 2, "eval_duration": 4}
    counts = {"prompt_eval_count": 1000, "eval_count": 200}
    last = {"done": True, "done_reason": "stop", **durations, **counts}
    if way in (stream, stream_async):
        return lines(part("Rayleigh "), part("it is."), part("", **last))
    return whole(part("Rayleigh scattering.", **last))


@pytest.fixture(autouse=True)
def _named(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_COST_ENDPOINTS", f"{vendor.url}=ollama")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_call(way: Any, vendor: Vendor, spans: Spans) -> None:
    vendor.answers(answer(way))
    with otel_cost.attribute(project="secret"):
        go(way, vendor)
    call = spans.call
    assert (call["gen_ai.usage.input_tokens"], call["gen_ai.usage.output_tokens"]) == (1000, 200)
    assert (call["gen_ai.provider.name"], call["otel_cost.call.outcome"]) == ("ollama", "ok")
    assert (call["otel_cost.cost.status"], call["otel_cost.project"]) == ("unknown", "secret")
    assert "otel_cost" not in str(vendor.request.headers)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_refusal_reaches_the_application(way: Any, vendor: Vendor, spans: Spans) -> None:
    refused(way, vendor, spans)
