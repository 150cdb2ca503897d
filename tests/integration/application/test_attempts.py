"""The attempts of one SDK call: what each of them may cost, and where the call is over.

Published prices, US dollars per million tokens: gpt-4o 2.50 in, 10 out.
"""

import asyncio
import gzip
from decimal import Decimal
from typing import Any

import httpx2
import openai
import pytest

import otel_cost
from otel_cost.errors import BudgetExceededError
from otel_cost.instrumentation import open_calls
from otel_cost_exporter.demo.stand_in import StandIn

from .accounts import account
from .serving import JSON, Answer, serving

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails")

COST = Decimal("0.0045")  # 1000 x 2.50 + 200 x 10, per million
USED: Any = [{"role": "user", "content": "[stand-in input=1000,output=200]"}]


class BrokenOff:
    """A request hook that lets the first requests fail after they may have reached the provider."""

    def __init__(self, times: int) -> None:
        self._left, self.sent, self._size = times, 0, 0

    @property
    def hold(self) -> Decimal:
        """What is held for an attempt with 200 output tokens: those, and one for each three bytes of the request."""
        return (-(-self._size // 3) * Decimal("2.50") + 200 * Decimal(10)) / 1_000_000

    def __call__(self, request: httpx2.Request) -> None:
        self.sent += 1
        self._size = len(request.content)
        if self._left:
            self._left -= 1
            raise httpx2.ReadTimeout("no answer")


def client(hook: BrokenOff, retries: int) -> openai.OpenAI:
    return openai.OpenAI(max_retries=retries, http_client=httpx2.Client(event_hooks={"request": [hook]}))


def test_an_attempt_that_broke_off_spends_its_hold_and_the_next_holds_anew(provider: StandIn, spans: Any) -> None:
    hook = BrokenOff(2)
    with otel_cost.budget("run", "r1", limit_usd=1), client(hook, retries=2) as gpt:
        gpt.chat.completions.create(model="gpt-4o", max_tokens=200, messages=USED)
    assert (hook.sent, len(provider.requests)) == (3, 1)
    found = account("run", "r1")
    assert (found.spent_usd, found.held_usd, found.under_way) == (2 * hook.hold + COST, 0, 0)
    call = spans.call
    assert (call["otel_cost.call.attempts"], call["otel_cost.cost.status"], spans.cost) == (3, "known", COST)
    assert call["otel_cost.call.failures"] == ("ReadTimeout", "ReadTimeout")
    assert (call["otel_cost.waste.status"], Decimal(call["otel_cost.waste.amount"])) == ("estimated", 2 * hook.hold)


def test_a_retry_that_would_break_the_budget_does_not_leave(provider: StandIn, spans: Any) -> None:
    hook = BrokenOff(9)
    limit = Decimal("0.0055")  # for two and a half times 200 output tokens and a little input
    with (
        otel_cost.budget("run", "r1", limit_usd=limit),
        client(hook, retries=4) as gpt,
        pytest.raises(BudgetExceededError) as error,
    ):
        gpt.chat.completions.create(model="gpt-4o", max_tokens=200, messages=USED)
    assert (hook.sent, provider.requests) == (2, [])
    hold = hook.hold
    assert (error.value.spent, error.value.call) == (2 * hold, hold)
    found = account("run", "r1")
    assert (found.spent_usd, found.held_usd, found.under_way) == (2 * hold, 0, 0)
    call = spans.calls[-1]
    assert (call["otel_cost.call.outcome"], call["otel_cost.cost.status"]) == ("error", "unknown")
    assert (call["otel_cost.call.attempts"], call["error.type"]) == (2, "BudgetExceededError")
    assert Decimal(call["otel_cost.waste.amount"]) == 2 * hold


def test_an_attempt_that_the_provider_refused_spends_nothing(provider: StandIn, spans: Any) -> None:
    failing: Any = [{"role": "user", "content": USED[0]["content"] + "[stand-in status=500,failures=2,retry_after=0]"}]
    with otel_cost.budget("run", "r1", limit_usd=1), openai.OpenAI(max_retries=2) as gpt:
        gpt.chat.completions.create(model="gpt-4o", max_tokens=200, messages=failing)
    assert len(provider.requests) == 3
    assert account("run", "r1").spent_usd == COST
    assert spans.cost == COST
    assert spans.call["otel_cost.call.failures"] == ("500 server_error", "500 server_error")
    assert "otel_cost.waste.status" not in spans.call


def test_what_broke_off_is_kept_without_a_budget_too(provider: StandIn, spans: Any) -> None:
    hook = BrokenOff(1)
    with client(hook, retries=1) as gpt:
        gpt.chat.completions.create(model="gpt-4o", max_tokens=200, messages=USED)
    assert provider.requests
    assert (spans.cost, spans.call["otel_cost.cost.status"]) == (COST, "known")
    assert Decimal(spans.call["otel_cost.waste.amount"]) == hook.hold


def test_a_call_of_which_every_attempt_broke_off_is_unknown_and_all_of_it_may_be_waste(
    provider: StandIn, spans: Any
) -> None:
    hook = BrokenOff(9)
    with client(hook, retries=2) as gpt, pytest.raises(openai.APITimeoutError):
        gpt.chat.completions.create(model="gpt-4o", max_tokens=200, messages=USED)
    assert provider.requests == []
    call = spans.call
    assert (call["otel_cost.cost.status"], call["otel_cost.call.outcome"]) == ("unknown", "error")
    assert call["otel_cost.call.failures"] == ("ReadTimeout",) * 3
    assert Decimal(call["otel_cost.waste.amount"]) == 3 * hook.hold


def test_what_an_attempt_of_a_model_without_a_price_may_have_cost_is_unknown(provider: StandIn, spans: Any) -> None:
    with client(BrokenOff(1), retries=1) as gpt:
        gpt.chat.completions.create(model="home-made", max_tokens=200, messages=USED)
    assert provider.requests
    assert spans.call["otel_cost.waste.status"] == "unknown"
    assert "otel_cost.waste.amount" not in spans.call


def test_an_attempt_that_never_arrived_wastes_nothing(provider: StandIn, spans: Any) -> None:
    unreachable = openai.OpenAI(base_url="http://127.0.0.1:9/openai/v1", max_retries=1)
    with unreachable as gpt, pytest.raises(openai.APIConnectionError):
        gpt.chat.completions.create(model="gpt-4o", max_tokens=200, messages=USED)
    assert provider.requests == []
    assert spans.call["otel_cost.call.failures"] == ("ConnectError", "ConnectError")
    assert "otel_cost.waste.status" not in spans.call


QUOTA = b'{"error": {"message": "Quota", "type": "insufficient_quota", "param": null, "code": "insufficient_quota"}}'


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_the_code_of_an_error_is_read_as_the_sdk_reads_it(
    streamed: bool,  # noqa: FBT001 - a parameter of the test
    encoding: str,
    spans: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = gzip.compress(QUOTA) if encoding else QUOTA
    headers = {**JSON, "content-encoding": encoding} if encoding else JSON
    answer = Answer([body[:20], body[20:40], body[40:]], 429, headers)
    with serving(lambda _: answer) as url, openai.OpenAI(base_url=url, api_key="stand-in", max_retries=0) as gpt:
        monkeypatch.setenv("OTEL_COST_ENDPOINTS", f"{url}=openai")
        with pytest.raises(openai.RateLimitError) as error:
            gpt.chat.completions.create(model="gpt-4o", messages=USED, stream=streamed)
    assert error.value.code == "insufficient_quota"
    assert spans.call["otel_cost.call.failures"] == ("429 insufficient_quota",)
    assert (spans.call["error.type"], spans.call["otel_cost.cost.amount"]) == ("429", "0.000000")


@pytest.mark.parametrize("read", [True, False])
def test_a_plain_clients_error_that_passes_by_ends_its_call(
    read: bool,  # noqa: FBT001 - a parameter of the test
    spans: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(lambda _: Answer([QUOTA], 429, JSON)) as url:
        monkeypatch.setenv("OTEL_COST_ENDPOINTS", f"{url}=openai")
        with httpx2.stream("POST", f"{url}/chat/completions", json={"model": "gpt-4o", "messages": []}) as response:
            assert not read or response.read() == QUOTA
    assert spans.call["otel_cost.call.failures"] == ("429 insufficient_quota" if read else "429",)
    assert open_calls._open == set()


def test_of_a_large_error_not_all_is_kept(spans: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [QUOTA[:-1], *[b" " * 60_000] * 4, b"}"]
    with serving(lambda _: Answer(pieces, 429, JSON)) as url:
        monkeypatch.setenv("OTEL_COST_ENDPOINTS", f"{url}=openai")
        with httpx2.stream("POST", f"{url}/chat/completions", json={"model": "gpt-4o", "messages": []}) as response:
            assert response.json()["error"] if response.read() else False
    assert spans.call["otel_cost.call.failures"] == ("429",)


def test_an_error_that_nobody_reads_ends_with_the_process(spans: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda _: Answer([QUOTA], 429, JSON)) as url, httpx2.Client() as plain:
        monkeypatch.setenv("OTEL_COST_ENDPOINTS", f"{url}=openai")
        request = plain.build_request("POST", f"{url}/chat/completions", json={"model": "gpt-4o", "messages": []})
        response = plain.send(request, stream=True)
        assert spans.calls == []
        open_calls.end_all()
        assert (spans.call["error.type"], spans.cost) == ("429", 0)
        response.close()
    assert len(spans.calls) == 1


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
    found = account("run", "r1")
    assert (found.held_usd, found.under_way, open_calls._open) == (0, 0, set())
