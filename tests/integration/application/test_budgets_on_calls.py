"""The call that would break a budget never leaves, whatever SDK makes it, and its error is the budget's own."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from opentelemetry import context, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.trace import StatusCode

import otel_cost
from otel_cost import BudgetExceededError
from otel_cost_exporter.demo.stand_in import StandIn

from .accounts import account
from .conftest import cancelled_once_seen
from .sleeping import not_here

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "[stand-in input=10,output=100]"}]}


pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails")


def openai_chat(**more: Any) -> None:
    with openai.OpenAI() as client:
        client.chat.completions.create(model="gpt-4o", max_tokens=100, **ASK, **more)


def openai_stream() -> None:
    openai_chat(stream=True)


async def openai_async() -> None:
    async with openai.AsyncOpenAI() as client:
        await client.chat.completions.create(model="gpt-4o", max_tokens=100, **ASK)


def anthropic_messages() -> None:
    with anthropic.Anthropic() as client:
        client.messages.create(model="claude-sonnet-4-5", max_tokens=100, **ASK)


def anthropic_stream() -> None:
    with (
        anthropic.Anthropic() as client,
        client.messages.stream(model="claude-sonnet-4-5", max_tokens=100, **ASK) as stream,
    ):
        stream.until_done()


async def anthropic_async() -> None:
    async with anthropic.AsyncAnthropic() as client:
        await client.messages.create(model="claude-sonnet-4-5", max_tokens=100, **ASK)


async def anthropic_stream_async() -> None:
    async with (
        anthropic.AsyncAnthropic() as client,
        client.messages.stream(model="claude-sonnet-4-5", max_tokens=100, **ASK) as stream,
    ):
        await stream.until_done()


WAYS = [
    openai_chat,
    openai_stream,
    openai_async,
    anthropic_messages,
    anthropic_stream,
    anthropic_async,
    anthropic_stream_async,
]


def go(way: Any) -> None:
    if asyncio.iscoroutinefunction(way):
        asyncio.run(way())
    else:
        way()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_the_refusal_is_the_budgets_own_at_once_and_nothing_is_sent(
    way: Any, provider: StandIn, spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", not_here(time.sleep))
    with otel_cost.budget("run", "r1", limit_usd="0.0001"), pytest.raises(BudgetExceededError) as caught:
        go(way)
    assert provider.requests == []
    error = caught.value
    assert type(error) is BudgetExceededError
    assert error.__cause__ is None
    assert (error.scope, error.id, error.limit, error.spent) == ("run", "r1", Decimal("0.0001"), Decimal(0))
    assert error.call is not None
    assert error.call > error.limit
    (span,) = spans.all
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "BudgetExceededError"
    assert span.attributes["otel_cost.call.outcome"] == "refused"
    assert span.attributes["otel_cost.call.attempts"] == 0
    assert (span.attributes["otel_cost.run"], span.attributes["otel_cost.budget.run"]) == ("r1", "0.0001")
    assert (span.attributes["otel_cost.cost.status"], span.attributes["otel_cost.cost.amount"]) == ("known", "0.000000")


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_a_plain_client_gets_it_too(module: Any, provider: StandIn, spans: Any) -> None:
    with otel_cost.budget("run", "r1", limit_usd="0"), pytest.raises(BudgetExceededError):
        module.post(f"{provider.openai_url}/chat/completions", json={"model": "gpt-4o", **ASK})

    async def post() -> None:
        async with module.AsyncClient() as client:
            await client.post(f"{provider.openai_url}/chat/completions", json={"model": "gpt-4o", **ASK})

    with otel_cost.budget("run", "r1", limit_usd="0"), pytest.raises(BudgetExceededError):
        asyncio.run(post())
    assert provider.requests == []
    assert len(spans.calls) == 2


# A call is 10 input tokens at 2.50 and 100 output tokens at 10, per million: 0.001025 USD.
COST = Decimal("0.001025")


def calls_until_refused(most: int = 100) -> int:
    for done in range(most):
        try:
            openai_chat()
        except BudgetExceededError:
            return done
    return most


def test_a_run_spends_up_to_its_budget_and_not_more(provider: StandIn, spans: Any) -> None:
    with otel_cost.budget("run", "r1", limit_usd="0.01"):
        done = calls_until_refused()
    spent = account("run", "r1")
    assert spent.spent_usd == done * COST
    assert spent.spent_usd <= Decimal("0.01")
    assert Decimal("0.01") - spent.spent_usd < 2 * COST  # and nearly all of it
    assert (spent.held_usd, spent.held_tokens, spent.under_way) == (0, 0, 0)
    assert len(provider.requests) == done
    assert sum(Decimal(call["otel_cost.cost.amount"]) for call in spans.calls) == done * COST


def test_tokens_bound_a_model_without_a_price(provider: StandIn, spans: Any) -> None:
    def call() -> None:
        with openai.OpenAI() as client:
            client.chat.completions.create(model="home-made", max_tokens=100, **ASK)

    with (
        otel_cost.budget("run", "priced", limit_usd="5"),
        pytest.raises(BudgetExceededError, match="no price for model 'home-made'"),
    ):
        call()
    assert provider.requests == []
    with otel_cost.budget("run", "counted", limit_tokens=300):
        call()  # 110 tokens, as the provider counts them
        with pytest.raises(BudgetExceededError) as caught:  # noqa: PT012 - which of them is refused is not the point
            for _ in range(3):
                call()
    assert (caught.value.unit, caught.value.limit) == ("tokens", 300)
    assert caught.value.spent == 110 * len(provider.requests)
    assert len(spans.calls) == len(provider.requests) + 2


def test_a_budget_holds_in_threads_and_pools_that_the_block_starts(provider: StandIn, spans: Any) -> None:
    refused: list[BudgetExceededError] = []

    def call() -> None:
        try:
            openai_chat()
        except BudgetExceededError as error:
            refused.append(error)

    with otel_cost.budget("run", "r1", limit_usd="0.003"), otel_cost.attribute(stage="fan-out"):
        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with ThreadPoolExecutor(2) as pool:
            for future in [pool.submit(call) for _ in range(4)]:
                future.result()
    assert account("run", "r1").spent_usd <= Decimal("0.003")
    assert len(provider.requests) + len(refused) == 8
    assert 1 <= len(provider.requests) <= 2
    assert {call["otel_cost.stage"] for call in spans.calls} == {"fan-out"}


def test_a_pools_thread_forgets_the_task_that_started_it(provider: StandIn, spans: Any) -> None:
    with ThreadPoolExecutor(1) as pool:
        with otel_cost.attribute(run="first"):
            pool.submit(openai_chat).result()
        pool.submit(openai_chat).result()
    assert provider.requests
    assert [call.get("otel_cost.run") for call in spans.calls] == ["first", None]


def test_a_budget_holds_across_await_and_tasks(provider: StandIn, spans: Any) -> None:
    async def main() -> list[Any]:
        async with openai.AsyncOpenAI() as client:

            async def call() -> Any:
                await asyncio.sleep(0)
                return await client.chat.completions.create(model="gpt-4o", max_tokens=100, **ASK)

            with otel_cost.budget("run", "r1", limit_usd="0.003"):
                return await asyncio.gather(*(call() for _ in range(8)), return_exceptions=True)

    results = asyncio.run(main())
    refused = [result for result in results if isinstance(result, BudgetExceededError)]
    assert len(refused) + len(provider.requests) == 8
    assert 1 <= len(provider.requests) <= 2
    assert account("run", "r1").spent_usd == len(provider.requests) * COST
    assert len(spans.calls) == 8


def failing(text: str = "Hello", **client: Any) -> None:
    with openai.OpenAI(max_retries=0, **client) as api, pytest.raises(openai.APIError):
        api.chat.completions.create(model="gpt-4o", max_tokens=100, messages=[{"role": "user", "content": text}])


def test_a_call_that_costs_nothing_gives_back_what_it_held(
    provider: StandIn, spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_COST_ENDPOINTS", f"http://127.0.0.1:9=openai,{provider.url}=openai")
    with otel_cost.budget("run", "r1", limit_usd="0.0015"):
        failing("[stand-in status=500]")
        failing(base_url="http://127.0.0.1:9/openai/v1")
    found = account("run", "r1")
    assert (found.spent_usd, found.held_usd, found.under_way) == (0, 0, 0)
    assert (len(provider.requests), len(spans.calls)) == (1, 2)


def test_a_call_of_which_nobody_knows_what_it_cost_has_spent_what_it_held(
    provider: StandIn, spans: Any, unanswered: httpx2.Client
) -> None:
    """An answer that does not come in time may be charged all the same, again and again."""
    with otel_cost.budget("run", "r1", limit_usd="0.0015"):
        failing(http_client=unanswered)
        with pytest.raises(BudgetExceededError) as caught:
            openai_chat()
    found = account("run", "r1")
    assert caught.value.spent == found.spent_usd
    assert Decimal("0.001") < found.spent_usd < Decimal("0.0015")  # 100 tokens at 10 per million, and its input
    assert (found.held_usd, found.under_way) == (0, 0)
    assert [call["otel_cost.cost.status"] for call in spans.calls] == ["unknown", "known"]
    assert len(provider.requests) == 1


def test_the_refusal_stands_on_a_genai_span_that_is_there(provider: StandIn, spans: Any) -> None:
    with (
        pytest.raises(BudgetExceededError),
        otel_cost.budget("run", "r1", limit_usd="0.0001"),
        trace.get_tracer("t").start_as_current_span("chat", attributes={"gen_ai.operation.name": "chat"}),
    ):
        openai_chat()
    assert provider.requests == []
    (span,) = spans.all
    assert (span.name, span.attributes["otel_cost.call.outcome"]) == ("chat", "refused")


def test_a_spent_budget_refuses_the_span_of_a_client_that_is_not_wrapped(spans: Any) -> None:
    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.provider.name": "openai"}
    used = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 200}
    tracer = trace.get_tracer("t")
    with otel_cost.budget("run", "r1", limit_usd="0.0045"):
        with tracer.start_as_current_span("first", attributes={**chat, **used}):
            pass
        assert spans.cost == Decimal("0.0045")
        with (
            pytest.raises(BudgetExceededError, match="which leaves nothing"),
            tracer.start_as_current_span("second", attributes=chat),
        ):
            pass
        assert [call["otel_cost.call.outcome"] for call in spans.calls] == ["ok", "refused"]
        with tracer.start_as_current_span("a tool", attributes={"gen_ai.operation.name": "execute_tool"}):
            pass


def test_who_pays_and_budgets_work_as_plain_code_where_nothing_is_metered(provider: StandIn, spans: Any) -> None:
    with otel_cost.budget("run", "r1", limit_usd="1"), httpx2.Client() as client:
        assert client.get(f"{provider.url}/stand-in/requests").status_code == 200
    assert spans.calls == []


def test_a_budget_in_code_holds_whatever_a_request_brings(provider: StandIn, spans: Any) -> None:
    for brought in ("otel_cost.budget.project=1000", "otel_cost.project=q,otel_cost.budget.project=1000"):
        with otel_cost.budget("project", "p", limit_usd="0.0001"):
            token = context.attach(W3CBaggagePropagator().extract({"baggage": brought}))
            with pytest.raises(BudgetExceededError, match="budget of project 'p'"):
                openai_chat()
            context.detach(token)
    assert provider.requests == []
    assert len(spans.calls) == 2


def test_a_call_that_a_hook_makes_is_a_call_of_its_own(provider: StandIn, spans: Any) -> None:
    def guardrail(request: httpx2.Request) -> None:
        if "guard" not in request.url.path:
            httpx2.post(f"{provider.openai_url}/chat/completions", json={"model": "gpt-4o", "max_tokens": 9, **ASK})

    hooked = httpx2.Client(event_hooks={"request": [guardrail]})
    with otel_cost.budget("run", "r1", limit_usd="1"), openai.OpenAI(http_client=hooked) as client:
        client.chat.completions.create(model="gpt-4o", max_tokens=100, **ASK)
    assert len(provider.requests) == 2
    assert [call["otel_cost.cost.amount"] for call in spans.calls] == ["0.001025", "0.001025"]
    assert account("run", "r1").spent_usd == 2 * COST


def test_a_refusal_of_a_call_that_a_hook_makes_comes_out_as_it_is(provider: StandIn, spans: Any) -> None:
    def guardrail(_: httpx2.Request) -> None:
        httpx2.post(f"{provider.openai_url}/chat/completions", json={"model": "gpt-4o", "max_tokens": 9000, **ASK})

    hooked = httpx2.Client(event_hooks={"request": [guardrail]})
    with (
        otel_cost.budget("run", "r1", limit_usd="0.01"),
        openai.OpenAI(http_client=hooked) as client,
        pytest.raises(BudgetExceededError),
    ):
        client.chat.completions.create(model="gpt-4o", max_tokens=100, **ASK)
    assert provider.requests == []
    found = account("run", "r1")
    assert (found.spent_usd, found.held_usd, found.under_way) == (0, 0, 0)
    assert len(spans.calls) == 2


def test_streams_that_are_read_are_not_looked_for_in_the_garbage_each_time(
    provider: StandIn, spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected: list[int] = []
    monkeypatch.setattr("otel_cost.instrumentation.open_calls._next_collection", 0.0)
    monkeypatch.setattr("otel_cost.instrumentation.open_calls._NEXT_TRY_SECONDS", 600.0)
    monkeypatch.setattr("otel_cost.instrumentation.open_calls.gc.collect", lambda: collected.append(1))
    with otel_cost.budget("run", "r1", limit_usd="0.002"), openai.OpenAI() as client:
        stream = client.chat.completions.create(model="gpt-4o", max_tokens=100, stream=True, **ASK)
        for _ in range(3):
            with pytest.raises(BudgetExceededError):
                openai_chat()
        assert list(stream)
    assert collected == [1]
    assert len(provider.requests) == 1
    assert len(spans.calls) == 4


def test_an_sdk_call_closed_from_another_context_gives_back_what_it_held(provider: StandIn, spans: Any) -> None:
    async def call() -> None:
        async with openai.AsyncOpenAI() as client:
            with otel_cost.budget("run", "r1", limit_usd="1"):
                await client.chat.completions.create(
                    model="gpt-4o", max_tokens=100, messages=[{"role": "user", "content": "[stand-in delay=60]"}]
                )

    asyncio.run(cancelled_once_seen(call(), provider))
    assert provider.requests
    found = account("run", "r1")
    assert (found.held_usd, found.under_way) == (0, 0)
    assert spans.call["otel_cost.call.outcome"] == "cut"


def test_streams_that_nobody_reads_any_more_do_not_hold_the_budget(
    provider: StandIn, spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_cost.instrumentation.open_calls._next_collection", 0.0)
    with otel_cost.budget("run", "r1", limit_usd="0.01"), openai.OpenAI() as client:
        for _ in range(20):
            for _chunk in client.chat.completions.create(model="gpt-4o", max_tokens=100, stream=True, **ASK):
                break
    assert len(provider.requests) == 20
    assert account("run", "r1").spent_usd < Decimal("0.01")
    assert {call["otel_cost.call.outcome"] for call in spans.calls} == {"cut"}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_budget_of_nothing_refuses_each_call_once(way: Any, provider: StandIn, spans: Any) -> None:
    with otel_cost.budget("run", "r1", limit_usd=0), pytest.raises(BudgetExceededError):
        go(way)
    assert provider.requests == []
    assert [call["otel_cost.call.outcome"] for call in spans.calls] == ["refused"]
