"""Strict budgets over the real openai SDK: nothing is passed, whatever the answers, and little is left over."""

import asyncio
from decimal import Decimal
from typing import Any

import openai
import pytest

import otel_cost
from otel_cost import BudgetExceededError
from otel_cost_exporter.demo.stand_in import StandIn

from .accounts import account

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails")

LIMIT = Decimal("0.02")
MOST_TOKENS = 200


def said(number: int) -> Any:
    """A prompt of 10 tokens whose answer has from 1 to 200."""
    return [{"role": "user", "content": f"[stand-in input=10,output={number * 37 % MOST_TOKENS + 1},delay=0.002]"}]


async def sent(client: openai.AsyncOpenAI, number: int) -> bool:
    try:
        await client.chat.completions.create(model="gpt-4o", max_tokens=MOST_TOKENS, messages=said(number))
    except BudgetExceededError:
        return False
    return True


@pytest.mark.parametrize("together", [True, False])
def test_answers_of_any_size_stay_within_the_limit(provider: StandIn, together: bool) -> None:  # noqa: FBT001 - pytest's
    async def ask_all() -> list[bool]:
        async with openai.AsyncOpenAI() as client:
            if together:
                return await asyncio.gather(*(sent(client, number) for number in range(100)))
            return [await sent(client, number) for number in range(100)]

    with otel_cost.budget("run", "strict", limit_usd=LIMIT, sizing="strict"):
        answers = asyncio.run(ask_all())
    found = account("run", "strict")
    assert sum(answers) == len(provider.requests) < 100
    assert found.under_way == 0
    # One call at most: a body under 200 bytes and 40 tokens around it at 2.50 USD a million, 200 of output at 10.
    assert LIMIT - Decimal("0.0026") < found.spent_usd <= LIMIT


def test_what_cannot_be_bounded_is_refused_and_says_why(provider: StandIn) -> None:
    client = openai.OpenAI()
    with (
        otel_cost.budget("run", "unbounded", limit_usd=LIMIT, sizing="strict"),
        pytest.raises(
            BudgetExceededError, match="the request does not show what previous_response_id brings"
        ) as raised,
    ):
        client.responses.create(model="gpt-4o", input="Go on", previous_response_id="resp_1", max_output_tokens=9)
    assert raised.value.call is None
    assert provider.requests == []
