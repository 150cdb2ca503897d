"""A budget that has a call wait for a person, asks a cheaper model, or only warns; and what is told of it."""

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import httpx2
import openai
import pytest
import requests
import trio
import urllib3
from opentelemetry import trace

import otel_cost
from otel_cost import BudgetExceededError
from otel_cost.budgets import Limit, events, file
from otel_cost.budgets.chosen import MEMORY
from otel_cost.budgets.events import BudgetEvent, subscribe
from otel_cost.budgets.rule import Key
from otel_cost_exporter.demo.stand_in import StandIn

from . import gated
from .accounts import account
from .gated import ASK, LONGEST, Gated, Waiting

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails")

RUN = Key("run", "r1", "USD")
COST = Decimal("0.001025")  # 10 input tokens at 2.50 and 100 output tokens at 10, US dollars per million


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gated]:
    with gated.running(monkeypatch) as running:
        running.opened.set()
        yield running


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Waiting:
    return Waiting(monkeypatch)


@pytest.fixture
def told() -> Iterator[list[BudgetEvent]]:
    """What subscribers were told."""
    found: list[BudgetEvent] = []
    unsubscribe = subscribe(found.append, kinds=["exceeded", "paused", "resumed", "stopped", "downgraded"])
    yield found
    unsubscribe()


def kinds(told: list[BudgetEvent]) -> list[str]:
    return [event.kind for event in told]


# --- pause ---------------------------------------------------------------------------------------------------------
def in_a_thread(gate: Gated, done: Callable[[], None]) -> None:
    """Make a call that waits, while a thread does what ends the wait, once it waits."""
    person = threading.Thread(target=done)
    person.start()
    try:
        gate.create()
    finally:
        person.join(LONGEST)


def in_a_loop(gate: Gated, done: Callable[[], None]) -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(gate.create_async())
            group.create_task(asyncio.to_thread(done))

    try:
        asyncio.run(main())
    except* BudgetExceededError as errors:
        refused = errors.exceptions[0]
    else:
        return
    raise refused


def in_trio(gate: Gated, done: Callable[[], None]) -> None:
    async def call() -> None:
        async with httpx2.AsyncClient() as client:
            await client.post(f"{gate.url}/chat/completions", json={**ASK, "max_tokens": 100})

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            nursery.start_soon(lambda: trio.to_thread.run_sync(done))

    try:
        trio.run(main)
    except* BudgetExceededError as errors:
        refused = errors.exceptions[0]
    else:
        return
    raise refused


WAYS = [in_a_thread, in_a_loop, in_trio]


@pytest.mark.parametrize("way", WAYS)
def test_a_paused_call_goes_on_where_it_waited_once_somebody_raises_the_limit(  # noqa: PLR0917 - fixtures
    way: Callable[..., None], gate: Gated, waiting: Waiting, spans: Any, told: list[BudgetEvent], caplog: Any
) -> None:
    def person() -> None:
        assert waiting.for_a_person.acquire(timeout=LONGEST)
        assert gate.asked == []
        assert account("run", "r1").held_usd == 0
        MEMORY.put_limit(RUN, Limit.of_usd("0.01"))

    with (
        caplog.at_level(logging.WARNING, "otel_cost"),
        otel_cost.budget("run", "r1", limit_usd="0.0005", on_exceed="pause", sizing="strict"),
    ):
        way(gate, person)
    assert gate.asked == ["gpt-4o"]
    assert (account("run", "r1").spent_usd, account("run", "r1").under_way) == (COST, 0)
    assert kinds(told) == ["paused", "resumed"]
    assert (told[0].limit, told[1].limit, told[0].model) == (Decimal("0.0005"), Decimal("0.01"), "gpt-4o")
    said = [record for record in caplog.records if record.name == events.__name__]
    (line,) = (record.getMessage() for record in said if record.levelno == logging.WARNING)
    missing = told[0].call - Decimal("0.0005")  # type: ignore[operator] # a call of a known model
    assert line.startswith("budget of run 'r1' has a call to 'gpt-4o' wait: 0.000000 USD of 0.000500 USD spent, ")
    assert f"{missing:.6f}" in line
    assert "`otel-cost budget raise run r1 --to " in line
    assert spans.call["otel_cost.call.outcome"] == "ok"
    (span,) = (span for span in spans.all if span.attributes.get("otel_cost.cost.status"))
    assert [event.name for event in span.events] == ["otel_cost.budget.paused", "otel_cost.budget.resumed"]


@pytest.mark.parametrize("way", WAYS)
def test_a_paused_call_that_somebody_stops_is_refused(
    way: Callable[..., None], gate: Gated, waiting: Waiting, spans: Any, told: list[BudgetEvent]
) -> None:
    def person() -> None:
        assert waiting.for_a_person.acquire(timeout=LONGEST)
        MEMORY.stop(RUN, "stopped by Ada")

    with (
        otel_cost.budget("run", "r1", limit_usd="0.0005", on_exceed="pause", sizing="strict"),
        pytest.raises(BudgetExceededError, match="stopped by Ada"),
    ):
        way(gate, person)
    assert gate.asked == []
    assert kinds(told) == ["paused", "stopped"]
    assert (spans.call["otel_cost.call.outcome"], spans.call["error.type"]) == ("refused", "BudgetExceededError")
    assert account("run", "r1").under_way == 0


@pytest.mark.parametrize("way", WAYS)
def test_a_paused_call_that_nobody_comes_for_is_refused_in_time(
    way: Callable[..., None], gate: Gated, spans: Any, told: list[BudgetEvent]
) -> None:
    with (
        otel_cost.budget("run", "r1", limit_usd="0.0005", on_exceed="pause", pause_seconds=0.01, sizing="strict"),
        pytest.raises(BudgetExceededError, match="would cost about"),
    ):
        way(gate, lambda: None)
    assert gate.asked == []
    assert kinds(told)[:2] == ["paused", "stopped"]
    assert spans.call["otel_cost.call.outcome"] == "refused"


def test_a_limit_that_is_not_raised_enough_has_the_call_wait_on(
    gate: Gated, waiting: Waiting, spans: Any, told: list[BudgetEvent]
) -> None:
    def person() -> None:
        for limit in ("0.0006", "0.0007", "0.01"):
            assert waiting.for_a_person.acquire(timeout=LONGEST)
            MEMORY.put_limit(RUN, Limit.of_usd(limit))

    with otel_cost.budget("run", "r1", limit_usd="0.0005", on_exceed="pause", sizing="strict"):
        in_a_thread(gate, person)
    assert kinds(told) == ["paused", "resumed"]
    assert len(spans.calls) == 1


def test_a_paused_call_is_given_up_with_its_task(gate: Gated, spans: Any) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(gate.create_async(), 0.01)

    with otel_cost.budget("run", "r1", limit_usd="0.0005", on_exceed="pause", sizing="strict"):
        asyncio.run(main())
    assert gate.asked == []
    assert (spans.call["otel_cost.call.outcome"], spans.call["error.type"]) == ("refused", "CancelledError")
    assert (account("run", "r1").held_usd, account("run", "r1").under_way) == (0, 0)


def test_a_span_of_a_client_that_is_not_wrapped_pauses_its_thread(
    waiting: Waiting, spans: Any, told: list[BudgetEvent]
) -> None:
    def person() -> None:
        assert waiting.for_a_person.acquire(timeout=LONGEST)
        MEMORY.put_limit(RUN, Limit.of_usd("1"))

    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.provider.name": "openai"}
    with otel_cost.budget("run", "r1", limit_usd=0, on_exceed="pause"):
        thread = threading.Thread(target=person)
        thread.start()
        with trace.get_tracer("t").start_as_current_span("chat", attributes=chat):
            thread.join(LONGEST)
    assert kinds(told) == ["paused", "resumed"]
    assert spans.calls == []


def test_a_span_in_an_event_loop_leaves_the_pause_to_the_call(
    gate: Gated, waiting: Waiting, spans: Any, told: list[BudgetEvent]
) -> None:
    async def call() -> None:
        with trace.get_tracer("t").start_as_current_span("chat", attributes={"gen_ai.operation.name": "chat"}):
            await gate.create_async()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(call())
            assert await asyncio.to_thread(waiting.for_a_person.acquire, timeout=LONGEST)
            MEMORY.put_limit(RUN, Limit.of_usd("1"))

    with otel_cost.budget("run", "r1", limit_usd=0, on_exceed="pause"):
        asyncio.run(main())
    assert kinds(told) == ["paused", "resumed"]
    assert spans.call["otel_cost.call.outcome"] == "ok"


# --- warn ----------------------------------------------------------------------------------------------------------
def test_a_budget_that_warns_lets_through_and_says_once_that_it_is_exceeded(
    gate: Gated, spans: Any, told: list[BudgetEvent]
) -> None:
    with otel_cost.budget("run", "r1", limit_usd="0.002", on_exceed="warn", sizing="strict"):
        for _ in range(4):
            gate.create()
    assert len(gate.asked) == 4
    assert account("run", "r1").spent_usd == 4 * COST
    assert [(event.kind, event.spent) for event in told] == [("exceeded", 2 * COST)]
    assert {call["otel_cost.call.outcome"] for call in spans.calls} == {"ok"}


def test_one_event_tells_of_all_calls_that_a_budget_refuses(gate: Gated, spans: Any, told: list[BudgetEvent]) -> None:
    with otel_cost.budget("run", "r1", limit_usd="0.002"):
        for _ in range(4):
            with pytest.raises(BudgetExceededError):
                gate.create(max_tokens=1000)
        MEMORY.put_limit(RUN, Limit.of_usd("0.003"))
        with pytest.raises(BudgetExceededError):
            gate.create(max_tokens=1000)
    assert [(event.kind, event.limit) for event in told] == [
        ("exceeded", Decimal("0.002")),
        ("exceeded", Decimal("0.003")),
    ]
    assert len(spans.calls) == 5


# --- downgrade -----------------------------------------------------------------------------------------------------
# A gpt-4o-mini call of 10 tokens in at 0.15 and 100 out at 0.60, US dollars per million, costs 0.0000615.
MINI = Decimal("0.0000615")
SAID = "[stand-in input=10,output=100]"


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    path = tmp_path / "budgets.toml"
    path.write_text(
        """
        [[profile]]
        models = ["gpt-4o-mini", "gpt-4o", "gpt-4"]
        shares = [0.2, 0.5]

        [[profile]]
        models = ["claude-haiku-4-5", "claude-sonnet-4-5"]
        shares = [0.5]
        """
    )
    monkeypatch.setenv("OTEL_COST_BUDGETS", str(path))
    file._file.cache_clear()
    yield
    file._file.cache_clear()


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "max_tokens": 100, "messages": [{"role": "user", "content": SAID}], **more}


def by_openai(_: StandIn) -> None:
    with openai.OpenAI() as client:
        client.chat.completions.create(**chat())


def by_openai_stream(_: StandIn) -> None:
    with openai.OpenAI() as client:
        list(client.chat.completions.create(**chat(stream=True)))


def by_openai_async(_: StandIn) -> None:
    async def call() -> None:
        async with openai.AsyncOpenAI() as client:
            await client.chat.completions.create(**chat())

    asyncio.run(call())


def by_responses(_: StandIn) -> None:
    with openai.OpenAI() as client:
        client.responses.create(model="gpt-4o", max_output_tokens=100, input=SAID)


def by_httpx(provider: StandIn) -> None:
    httpx.post(f"{provider.openai_url}/chat/completions", json=chat())


def by_requests(provider: StandIn) -> None:
    answer = requests.post(f"{provider.openai_url}/chat/completions", json=chat(), timeout=60)
    assert answer.json()["model"] == "gpt-4o-mini"


def by_urllib3(provider: StandIn) -> None:
    body = json.dumps(chat()).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    urllib3.request("POST", f"{provider.openai_url}/chat/completions", body=body, headers=headers)
    assert headers["Content-Length"] == str(len(body))


def by_aiohttp(provider: StandIn) -> None:
    async def call() -> None:
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{provider.openai_url}/chat/completions", json=chat()) as answer:
                await answer.read()
            body = json.dumps(chat()).encode()
            headers = {"Content-Type": "application/json"}
            async with session.post(f"{provider.openai_url}/chat/completions", data=body, headers=headers) as answer:
                await answer.read()

    if not provider.requests:  # two calls, at once
        asyncio.run(call())


@pytest.mark.usefixtures("profile")
@pytest.mark.parametrize(
    "way",
    [
        by_openai,
        by_openai_stream,
        by_openai_async,
        by_responses,
        by_httpx,
        by_requests,
        by_urllib3,
        by_aiohttp,
    ],
)
def test_a_call_that_is_too_dear_asks_the_next_cheaper_model(
    way: Callable[..., None], provider: StandIn, spans: Any, told: list[BudgetEvent]
) -> None:
    with otel_cost.budget("run", "r1", limit_usd="0.001", on_exceed="downgrade", sizing="strict"):
        way(provider)
        way(provider)
    assert [request.body["model"] for request in provider.requests] == ["gpt-4o-mini"] * 2
    assert account("run", "r1").spent_usd == 2 * MINI
    for call in spans.calls:
        assert call["gen_ai.request.model"] == "gpt-4o"
        assert call["otel_cost.call.downgraded_to"] == call["gen_ai.response.model"] == "gpt-4o-mini"
        assert (Decimal(call["otel_cost.cost.amount"]), call["otel_cost.call.outcome"]) == (MINI, "ok")
    assert [(event.kind, event.model) for event in told] == [("downgraded", "gpt-4o-mini")]


@pytest.mark.usefixtures("profile")
def test_it_goes_down_the_profile_until_one_fits(provider: StandIn, spans: Any, told: list[BudgetEvent]) -> None:
    with (
        otel_cost.budget("run", "r1", limit_usd="0.001", on_exceed="downgrade", sizing="strict"),
        openai.OpenAI() as client,
    ):
        answer = client.chat.completions.create(**chat(model="gpt-4", temperature=0.5, user="Grüße"))
    assert answer.model == "gpt-4o-mini"
    (request,) = provider.requests
    assert request.body == chat(model="gpt-4o-mini", temperature=0.5, user="Grüße")
    assert [event.model for event in told] == ["gpt-4o", "gpt-4o-mini"]
    assert spans.call["gen_ai.request.model"] == "gpt-4"


@pytest.mark.usefixtures("profile")
def test_where_even_the_cheapest_does_not_fit_it_is_refused(provider: StandIn, spans: Any) -> None:
    with (
        otel_cost.budget("run", "r1", limit_usd="0.00001", on_exceed="downgrade", sizing="strict"),
        pytest.raises(BudgetExceededError, match="refused a call to 'gpt-4o-mini'"),
    ):
        by_openai(provider)
    assert provider.requests == []
    assert (spans.call["otel_cost.call.outcome"], spans.call["gen_ai.request.model"]) == ("refused", "gpt-4o")


@pytest.mark.usefixtures("profile")
def test_a_downgraded_call_that_is_retried_stays_with_its_cheaper_model(provider: StandIn, spans: Any) -> None:
    said = chat(messages=[{"role": "user", "content": "[stand-in input=10,output=100,status=500,failures=1]"}])
    with (
        otel_cost.budget("run", "r1", limit_usd="0.001", on_exceed="downgrade", sizing="strict"),
        openai.OpenAI() as client,
    ):
        client.chat.completions.create(**said, extra_headers={"x-should-retry": "true"})
    assert [request.body["model"] for request in provider.requests] == ["gpt-4o-mini"] * 2
    assert (spans.call["otel_cost.call.attempts"], spans.cost) == (2, MINI)


@pytest.mark.usefixtures("profile")
def test_a_downgraded_stream_whose_provider_takes_no_stream_options_is_sent_once_more(
    gate: Gated, spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "refuses", "stream_options")
    with (
        otel_cost.budget("run", "r1", limit_usd="0.001", on_exceed="downgrade", sizing="strict"),
    ):
        list(gate.create(stream=True))
    assert gate.asked == ["gpt-4o-mini", "gpt-4o-mini"]
    assert spans.call["otel_cost.call.attempts"] == 2


def post_signed(url: str) -> None:
    httpx.post(url, json=chat(), headers={"content-digest": "sha-256=:abc:"})


def post_without_profile(url: str) -> None:
    httpx.post(url, json=chat(model="gpt-4.1"))


@pytest.mark.usefixtures("profile")
@pytest.mark.parametrize("post", [post_signed, post_without_profile])
def test_a_request_that_cannot_be_changed_is_refused(
    post: Callable[[str], None], provider: StandIn, spans: Any
) -> None:
    with (
        otel_cost.budget("run", "r1", limit_usd="0.0001", on_exceed="downgrade"),
        pytest.raises(BudgetExceededError, match="refused a call to 'gpt-4"),
    ):
        post(f"{provider.openai_url}/chat/completions")
    assert provider.requests == []
    assert spans.call["otel_cost.call.outcome"] == "refused"


# --- the next attempt of a call that broke off ---------------------------------------------------------------------
class BreaksOffOnce(httpx2.AsyncHTTPTransport):
    """The first request arrives, and nobody hears of its answer."""

    broken = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if self.broken:
            return response
        self.broken = True
        await response.aclose()
        raise httpx2.ReadTimeout("no answer came in time", request=request)


async def breaks_off_once(gate: Gated) -> None:
    client = httpx2.AsyncClient(transport=BreaksOffOnce())
    async with openai.AsyncOpenAI(base_url=gate.url, api_key="stand-in", http_client=client) as api:
        await api.chat.completions.create(**{**ASK, "max_tokens": 100})


@pytest.fixture
def _retries_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openai._base_client.BaseClient._calculate_retry_timeout", lambda *_, **__: 0)


@pytest.mark.usefixtures("_retries_at_once")
def test_an_attempt_after_one_that_broke_off_must_fit_anew_and_may_wait_for_it(
    gate: Gated, waiting: Waiting, spans: Any, told: list[BudgetEvent]
) -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(breaks_off_once(gate))
            assert await asyncio.to_thread(waiting.for_a_person.acquire, timeout=LONGEST)
            MEMORY.put_limit(RUN, Limit.of_usd("1"))

    with otel_cost.budget("run", "r1", limit_usd="0.0015", on_exceed="pause", sizing="strict") as guard:
        asyncio.run(main())
    assert kinds(told) == ["paused", "resumed"]
    assert guard.status().calls == 1  # of two attempts
    wasted = told[0].spent
    assert Decimal("0.001") < wasted < Decimal("0.0015")  # what the first attempt held
    assert account("run", "r1").spent_usd == wasted + COST
    assert (spans.call["otel_cost.call.attempts"], spans.call["otel_cost.call.outcome"]) == (2, "ok")
    assert Decimal(spans.call["otel_cost.waste.amount"]) == round(Decimal(wasted), 6)


@pytest.mark.usefixtures("_retries_at_once")
def test_a_call_that_is_given_up_between_its_attempts_may_have_cost_something(
    gate: Gated, waiting: Waiting, spans: Any
) -> None:
    async def main() -> None:
        call = asyncio.create_task(breaks_off_once(gate))
        assert await asyncio.to_thread(waiting.for_a_person.acquire, timeout=LONGEST)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    with otel_cost.budget("run", "r1", limit_usd="0.0015", on_exceed="pause", sizing="strict"):
        asyncio.run(main())
    assert gate.asked == ["gpt-4o"]
    call = spans.call
    assert (call["otel_cost.call.outcome"], call["otel_cost.cost.status"]) == ("cut", "unknown")
    assert (call["otel_cost.call.attempts"], call["error.type"]) == (1, "CancelledError")
    found = account("run", "r1")
    assert (found.held_usd, found.under_way) == (0, 0)
    assert found.spent_usd > Decimal("0.001")
