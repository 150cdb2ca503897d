"""What `cost_of` says of real calls, while they are made, and what the ledger says of them later."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest
import requests
from opentelemetry import context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

import otel_cost
from otel_cost import ArtifactCost, attribute, budget, cost_of, stage
from otel_cost_exporter.access.address import Address
from otel_cost_exporter.service import Options, Service

COST = Decimal("0.0045")  # gpt-4o: 1000 x 2.50 + 200 x 10, per million
ASK: dict[str, Any] = {
    "model": "gpt-4o",
    "max_tokens": 200,
    "messages": [{"role": "user", "content": "[stand-in input=1000,output=200]"}],
}

pytestmark = pytest.mark.usefixtures("provider", "nothing_of_ours_fails")


def ask(**more: Any) -> Any:
    with openai.OpenAI() as client:
        return client.chat.completions.create(**(ASK | more))


def figures(record: ArtifactCost) -> tuple[Any, ...]:
    return record.models, record.calls, record.input_tokens, record.output_tokens, record.cost_usd, record.cost_status


def test_a_chapter_carries_its_cost_while_the_run_goes_on(spans: Any) -> None:
    with attribute(run="novel"):
        for chapter in ("one", "two"):
            with stage(chapter):
                ask()
                ask(model="gpt-4o-mini")  # 1000 x 0.15 + 200 x 0.60, per million: 0.00027
                record = cost_of()
            assert record.dimensions == {"run": "novel", "stage": chapter}
            assert figures(record) == (("gpt-4o", "gpt-4o-mini"), 2, 2000, 400, Decimal("0.00477"), "known")
        otel_cost.charge("print", cost_usd="0.1")
        assert cost_of().cost_usd == 2 * Decimal("0.00477") + Decimal("0.1")
    assert sum(Decimal(str(call["otel_cost.cost.amount"])) for call in spans.calls) == cost_of(run="novel").cost_usd


def test_tasks_and_threads_count_under_a_budget_and_without(spans: Any) -> None:  # noqa: ARG001 - in place
    async def chapters() -> None:
        async with openai.AsyncOpenAI() as client:

            async def chapter(number: int) -> None:
                async with stage(f"chapter-{number % 2}"):
                    await client.chat.completions.create(**ASK)

            await asyncio.gather(*map(chapter, range(6)))

    with attribute(run="novel"):
        asyncio.run(chapters())
        here = context.get_current()

        def elsewhere() -> None:
            token = context.attach(here)
            with budget("project", "atlas", limit_usd="1"), stage("chapter-0"):
                ask()
            context.detach(token)

        threads = [threading.Thread(target=elsewhere) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert figures(cost_of(run="novel", stage="chapter-0")) == (("gpt-4o",), 6, 6000, 1200, 6 * COST, "known")
    assert cost_of(run="novel", stage="chapter-1").calls == 3
    assert cost_of(project="atlas").calls == 3


def test_a_stream_counts_once_it_is_read(spans: Any) -> None:  # noqa: ARG001 - in place
    with attribute(run="novel"), openai.OpenAI() as client:
        stream = client.chat.completions.create(**ASK, stream=True)
        next(stream)
        assert cost_of().calls == 0
        for _ in stream:
            pass
        assert figures(cost_of()) == (("gpt-4o",), 1, 1000, 200, COST, "known")


def test_what_nobody_sent_or_knows_the_price_of(spans: Any) -> None:  # noqa: ARG001 - in place
    with budget("run", "novel", limit_usd="0.000001"), pytest.raises(otel_cost.BudgetExceededError):
        ask()
    assert cost_of(run="novel").calls == 0
    with attribute(run="novel"):
        ask(model="no-such-model")
    assert figures(cost_of(run="novel")) == (("no-such-model",), 1, 1000, 200, None, "unknown")


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    free = Address("127.0.0.1", 0)
    with Service(Options(tmp_path / "books.duckdb", grpc=free, http=free)) as running:
        monkeypatch.setenv("OTEL_COST_URL", running.url)
        yield running


def test_the_ledger_says_the_same_later(spans: Any, service: Service) -> None:
    with attribute(run="novel", stage="one"):
        ask()
        ask(model="gpt-4o-mini")
        ask(model="no-such-model")
        record = cost_of()
    with pytest.raises(LookupError, match=r"the ledger has no call of run='novel', stage='one' yet"):
        record.audit()
    body = encode_spans(spans.all).SerializeToString()
    headers = {"content-type": "application/x-protobuf"}
    requests.post(f"{service.url}/v1/traces", body, headers=headers, timeout=30).raise_for_status()
    audited = record.audit()
    assert (audited.audited, audited.complete) == (True, True)
    assert audited.at >= record.at
    assert audited.model_copy(update={"audited": False, "at": record.at}) == record
    assert figures(audited) == (
        ("gpt-4o", "gpt-4o-mini", "no-such-model"),
        3,
        3000,
        600,
        Decimal("0.00477"),
        "unknown",
    )


def test_while_calls_are_on_their_way_the_ledger_does_not_have_them_all(spans: Any, service: Service) -> None:
    with attribute(run="novel"):
        ask()
        body = encode_spans(spans.all).SerializeToString()
        ask()
    headers = {"content-type": "application/x-protobuf"}
    requests.post(f"{service.url}/v1/traces", body, headers=headers, timeout=30).raise_for_status()
    audited = cost_of(run="novel").audit()
    assert (audited.calls, audited.complete) == (1, False)


def test_where_no_ledger_tells_it_says_what_to_do(spans: Any, service: Service) -> None:  # noqa: ARG001 - in place
    with pytest.raises(LookupError, match="say whose to count, as in run='r1'"):
        cost_of().audit()
    with pytest.raises(LookupError, match="does not tell what was spent: parameter 'chapter' is unknown"):
        cost_of(chapter="1").audit()


def test_where_no_ledger_is_it_says_so(spans: Any) -> None:  # noqa: ARG001 - in place
    with pytest.raises(LookupError, match=r"http://127\.0\.0\.1:9 does not tell what was spent: Connection refused"):
        cost_of(run="novel").audit()
