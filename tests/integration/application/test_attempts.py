"""The attempts of one SDK call: what each of them may cost, and where the call is over.

Published prices, US dollars per million tokens: gpt-4o 2.50 in, 10 out.
"""

import asyncio
from decimal import Decimal
from typing import Any

import httpx2
import openai
import pytest

import otel_cost
from otel_cost.budgets import STORE
from otel_cost.errors import BudgetExceededError
from otel_cost.instrumentation import open_calls
from otel_cost_exporter.demo.stand_in import StandIn

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails")

COST = Decimal("0.0045")  # 1000 x 2.50 + 200 x 10, per million
USED: Any = [{"role": "user", "content": "[stand-in input=1000,output=200]"}]


class BrokenOff:
    """A request hook that lets the first requests fail after they may have reached the provider."""

    def __init__(self, times: int) -> None:
        self._left, self.sent = times, 0

    def __call__(self, _: httpx2.Request) -> None:
        self.sent += 1
        if self._left:
            self._left -= 1
            raise httpx2.ReadTimeout("no answer")


def client(hook: BrokenOff, retries: int) -> openai.OpenAI:
    return openai.OpenAI(max_retries=retries, http_client=httpx2.Client(event_hooks={"request": [hook]}))


def held_for(max_tokens: int) -> Decimal:
    """What is held for one attempt, read off a budget that refuses it."""
    with otel_cost.budget("run", "probe", limit_usd=0), openai.OpenAI() as gpt, pytest.raises(BudgetExceededError) as e:
        gpt.chat.completions.create(model="gpt-4o", max_tokens=max_tokens, messages=USED)
    assert isinstance(e.value.call, Decimal)
    return e.value.call


def test_an_attempt_that_broke_off_spends_its_hold_and_the_next_holds_anew(provider: StandIn, spans: Any) -> None:
    hook, hold = BrokenOff(2), held_for(200)
    with otel_cost.budget("run", "r1", limit_usd=1), client(hook, retries=2) as gpt:
        gpt.chat.completions.create(model="gpt-4o", max_tokens=200, messages=USED)
    assert (hook.sent, len(provider.requests)) == (3, 1)
    account = STORE.spent("run", "r1")
    assert (account.spent_usd, account.held_usd, account.under_way) == (2 * hold + COST, 0, 0)
    call = spans.calls[-1]
    assert (call["otel_cost.call.attempts"], call["otel_cost.cost.status"]) == (3, "estimated")


def test_a_retry_that_would_break_the_budget_does_not_leave(provider: StandIn, spans: Any) -> None:
    hook, hold = BrokenOff(9), held_for(200)
    limit = hold * Decimal("2.5")
    with (
        otel_cost.budget("run", "r1", limit_usd=limit),
        client(hook, retries=4) as gpt,
        pytest.raises(BudgetExceededError) as error,
    ):
        gpt.chat.completions.create(model="gpt-4o", max_tokens=200, messages=USED)
    assert (hook.sent, provider.requests) == (2, [])
    assert (error.value.spent, error.value.call) == (2 * hold, hold)
    account = STORE.spent("run", "r1")
    assert (account.spent_usd, account.held_usd, account.under_way) == (2 * hold, 0, 0)
    call = spans.calls[-1]
    assert (call["otel_cost.call.outcome"], call["otel_cost.cost.status"]) == ("error", "unknown")
    assert (call["otel_cost.call.attempts"], call["error.type"]) == (2, "BudgetExceededError")


def test_an_attempt_that_the_provider_refused_spends_nothing(provider: StandIn, spans: Any) -> None:
    failing: Any = [{"role": "user", "content": USED[0]["content"] + "[stand-in status=500,failures=2,retry_after=0]"}]
    with otel_cost.budget("run", "r1", limit_usd=1), openai.OpenAI(max_retries=2) as gpt:
        gpt.chat.completions.create(model="gpt-4o", max_tokens=200, messages=failing)
    assert len(provider.requests) == 3
    assert STORE.spent("run", "r1").spent_usd == COST
    assert spans.cost == COST


@pytest.mark.parametrize(
    ("steering", "limit", "outcome"), [("", "1", "ok"), (",status=500", "1", "error"), ("", "0.0050", "refused")]
)
def test_a_task_that_an_sdk_call_started_is_on_its_own_when_that_is_over(
    steering: str, limit: str, outcome: str, provider: StandIn, spans: Any
) -> None:
    body = {"model": "gpt-4o", "max_tokens": 200}
    text = f"[stand-in input=1000,output=200{steering}]"
    tasks: list[asyncio.Task[str]] = []
    over = asyncio.Event()

    async def later() -> str:
        await over.wait()
        async with httpx2.AsyncClient() as plain:
            try:
                await plain.post(
                    f"{provider.openai_url}/chat/completions",
                    json={**body, "messages": [{"role": "user", "content": text}]},
                )
            except BudgetExceededError:
                return "refused"
        return "sent"

    async def key() -> str:
        if not tasks:
            tasks.append(asyncio.create_task(later()))
        return "stand-in"

    async def main() -> str:
        async with openai.AsyncOpenAI(max_retries=0, api_key=key) as gpt:
            with otel_cost.budget("run", "r1", limit_usd=limit):
                await gpt.chat.completions.create(messages=USED, **body)
            over.set()
            return await tasks[0]

    assert asyncio.run(main()) == ("refused" if outcome == "refused" else "sent")
    assert [call["otel_cost.call.outcome"] for call in spans.calls] == ["ok", outcome]
    account = STORE.spent("run", "r1")
    assert (account.held_usd, account.under_way, open_calls._open) == (0, 0, set())
