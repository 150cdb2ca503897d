"""Budgets in a real ledger service, as an instrumented application uses them."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

import otel_cost
from otel_cost import BudgetExceededError
from otel_cost.budgets import chosen
from otel_cost.budgets.shared import SharedStore
from otel_cost_exporter.access.address import Address
from otel_cost_exporter.demo.stand_in import StandIn
from otel_cost_exporter.service import Options, Service

COST = Decimal("0.001025")  # 10 tokens at 2.50 and 100 at 10 USD a million
ASK: dict[str, Any] = {
    "model": "gpt-4o",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "[stand-in input=10,output=100]"}],
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SharedStore]:
    free = Address("127.0.0.1", 0)
    with Service(Options(tmp_path / "books.duckdb", grpc=free, http=free)) as service:
        monkeypatch.setenv("OTEL_COST_BUDGET_STORE", service.url)
        found = chosen.store()
        assert isinstance(found, SharedStore)
        yield found
        found.flush(10)
        found.server.close()


def spent(store: SharedStore) -> Decimal | int:
    assert store.flush(10)
    (found,) = store.standings()
    assert (found.held, found.under_way) == (0, 0)
    return found.spent


def test_loops_and_threads_share_a_budget_and_none_of_it_is_seen_in_traces(
    provider: StandIn, spans: Any, store: SharedStore
) -> None:
    async def calls() -> list[Any]:
        async with openai.AsyncOpenAI() as client:
            many = (client.chat.completions.create(**ASK) for _ in range(20))
            return await asyncio.gather(*many, return_exceptions=True)

    with otel_cost.budget("run", "r1", limit_usd="0.0057", sizing="strict"):
        answers = asyncio.run(calls())
        with openai.OpenAI() as client, pytest.raises(BudgetExceededError) as caught:
            client.chat.completions.create(**ASK)
    assert sum(isinstance(answer, BudgetExceededError) for answer in answers) == 15
    assert len(provider.requests) == 5
    assert (caught.value.spent, spent(store)) == (5 * COST, 5 * COST)
    assert Counter(span.name for span in spans.all) == {"chat gpt-4o": 21, "POST": 5}  # to the provider, all of them
    assert len(spans.calls) == 21


def test_a_share_of_the_limit_that_is_reached_is_told(
    provider: StandIn, spans: Any, store: SharedStore, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING),
        otel_cost.budget("run", "r1", limit_usd="0.002", warn_at=0.5),
        openai.OpenAI() as client,
    ):
        client.chat.completions.create(**ASK)
    assert spent(store) == COST
    assert [line for line in caplog.messages if "0.001025 USD spent, which is 50%" in line]
    assert (len(provider.requests), len(spans.calls)) == (1, 1)


def test_a_service_that_goes_and_comes_back_hears_of_all_that_was_spent(
    provider: StandIn, spans: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, ledger = Address("127.0.0.1", 0), tmp_path / "books.duckdb"
    monkeypatch.setenv("OTEL_COST_BUDGET_STORE_GONE", "0.0025")
    monkeypatch.setattr("otel_cost.budgets.shared._TRY_AGAIN_SECONDS", 0.01)
    with otel_cost.budget("run", "r1", limit_usd="1", sizing="strict"), openai.OpenAI() as client:
        with Service(Options(ledger, grpc=free, http=free)) as service:
            monkeypatch.setenv("OTEL_COST_BUDGET_STORE", service.url)
            client.chat.completions.create(**ASK)
            store = chosen.store()
            assert isinstance(store, SharedStore)
            assert spent(store) == COST
        for _ in range(2):
            client.chat.completions.create(**ASK)
        with pytest.raises(BudgetExceededError, match=r"does not answer .*, and what is left of the 0\.002500 USD"):
            client.chat.completions.create(**ASK)
        assert not store.flush(10)
        with Service(Options(ledger, grpc=free, http=service.http)):
            while not store.flush(10):
                pass
            assert spent(store) == 3 * COST
            client.chat.completions.create(**ASK)
            assert spent(store) == 4 * COST
            store.server.close()
    assert (len(provider.requests), len(spans.calls)) == (4, 5)
