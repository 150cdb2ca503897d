"""A budget that stops before a stage has what is under way finished, and lets nothing new begin."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from opentelemetry import context

from otel_cost import BudgetEvent, BudgetExceededError, attribute, budget, stage, subscribe
from otel_cost.budgets import Limit
from otel_cost.budgets.chosen import MEMORY
from otel_cost_exporter.demo.stand_in import StandIn

from .conftest import Spans
from .test_budget_guard import ask, ask_async

AT_STAGE: dict[str, Any] = {"limit_usd": "0.005", "at": "stage"}  # one call costs 0.0045

pytestmark = pytest.mark.usefixtures("spans", "provider", "nothing_of_ours_fails")


def test_calls_are_attributed_to_the_stage(spans: Spans) -> None:
    with stage("draft"):
        ask()
    assert spans.call["otel_cost.stage"] == "draft"


def test_what_is_under_way_is_finished_and_the_next_does_not_begin(provider: StandIn) -> None:
    with budget("run", "r1", **AT_STAGE) as guard:
        with stage("draft"):
            for _ in range(3):
                ask()
        with pytest.raises(BudgetExceededError) as refused, stage("review"):
            ask()
        with pytest.raises(BudgetExceededError, match="refused a call to 'gpt-4o'"):
            ask()  # in no stage that could be torn
    assert len(provider.requests) == 3
    assert (refused.value.stage, refused.value.id, refused.value.model) == ("review", "r1", None)
    assert str(refused.value) == (
        "budget of run 'r1' (0.005000 USD) refused stage 'review': 0.013500 USD spent, which leaves nothing"
    )
    assert guard.status().state == "exhausted"


def test_a_stage_inside_another_is_part_of_it(provider: StandIn) -> None:
    with budget("run", "r1", **AT_STAGE), stage("book"):
        for chapter in ("one", "two", "three"):
            with stage(chapter):
                ask()
    assert len(provider.requests) == 3


def test_a_budget_of_the_stages_inside_is_asked_by_each_of_them(provider: StandIn) -> None:
    with stage("book"), budget("run", "r1", **AT_STAGE):
        with stage("one"):
            ask()
            ask()
        with pytest.raises(BudgetExceededError), stage("two"):
            pass
    assert len(provider.requests) == 2


def test_what_is_named_inside_has_let_nothing_begin(provider: StandIn) -> None:
    with budget("run", "r1", **AT_STAGE), stage("draft"):
        ask()
        with budget("task", "t1", limit_usd="0.001", at="stage"), pytest.raises(BudgetExceededError) as refused:
            ask()
        ask()
    assert refused.value.scope == "task"
    assert len(provider.requests) == 2


def test_budgets_that_stop_at_calls_stop_at_calls(provider: StandIn) -> None:
    with budget("project", "p", limit_usd="0.005"), budget("run", "r1", **AT_STAGE), stage("draft"):
        ask()
        with pytest.raises(BudgetExceededError) as refused:
            ask()
    assert (refused.value.scope, refused.value.stage) == ("project", None)
    assert len(provider.requests) == 1


def test_threads_finish_the_stage_that_they_were_begun_in(provider: StandIn) -> None:
    with budget("run", "r1", **AT_STAGE):
        with stage("draft"):
            ask()
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()
            with ThreadPoolExecutor(1) as pool:
                pool.submit(ask).result()
        with pytest.raises(BudgetExceededError), stage("review"):
            pass
    assert len(provider.requests) == 3


def test_tasks_finish_the_stage_that_they_were_begun_in(provider: StandIn) -> None:
    async def work() -> None:
        async with budget("run", "r1", **AT_STAGE):
            async with stage("draft"):
                await ask_async()
                await asyncio.gather(ask_async(), ask_async())
            async with stage("review"):
                await ask_async()

    with pytest.raises(BudgetExceededError) as refused:
        asyncio.run(work())
    assert refused.value.stage == "review"
    assert len(provider.requests) == 3


@stage("draft")
def function() -> None:
    ask()
    ask()


@stage("draft")
async def coroutine_function() -> None:
    await ask_async()
    await ask_async()


@stage("draft")
def generator() -> Iterator[None]:
    yield ask()
    yield ask()


@stage("draft")
async def async_generator() -> AsyncIterator[None]:
    yield await ask_async()
    yield await ask_async()


async def _all(steps: AsyncIterator[None]) -> None:
    async for _ in steps:
        pass


@pytest.mark.parametrize(
    "work",
    [
        function,
        lambda: asyncio.run(coroutine_function()),
        lambda: list(generator()),
        lambda: asyncio.run(_all(async_generator())),
    ],
    ids=["function", "coroutine function", "generator", "async generator"],
)
def test_a_decorated_one_is_finished_once_begun(provider: StandIn, work: Any) -> None:
    with budget("run", "r1", **AT_STAGE):
        work()
        with pytest.raises(BudgetExceededError) as refused:
            work()
    assert refused.value.stage == "draft"
    assert len(provider.requests) == 2


def test_one_that_only_warns_has_every_stage_begin(provider: StandIn) -> None:
    with budget("run", "r1", on_exceed="warn", **AT_STAGE):
        for name in ("draft", "review"):
            with stage(name):
                ask()
                ask()
    assert len(provider.requests) == 4


def raised_when_paused(limit: str) -> Any:
    def raise_it(event: BudgetEvent) -> None:
        key = next(standing.key for standing in MEMORY.standings() if standing.key.id == event.id)
        MEMORY.put_limit(key, Limit.of_usd(limit))

    return subscribe(raise_it, kinds=["paused"])


def test_one_that_pauses_has_the_next_stage_wait(provider: StandIn) -> None:
    end = raised_when_paused("1")
    with budget("run", "r1", on_exceed="pause", **AT_STAGE):
        for name in ("draft", "review"):
            with stage(name):
                ask()
                ask()
    end()
    assert len(provider.requests) == 4


def test_one_that_pauses_has_the_next_stage_wait_in_an_event_loop(provider: StandIn) -> None:
    end = raised_when_paused("1")

    async def work() -> None:
        async with budget("run", "r1", on_exceed="pause", **AT_STAGE):
            for name in ("draft", "review"):
                async with stage(name):
                    await ask_async()
                    await ask_async()

    asyncio.run(work())
    end()
    assert len(provider.requests) == 4


def test_where_it_may_not_wait_its_calls_do(provider: StandIn) -> None:
    events: list[BudgetEvent] = []
    ends = [subscribe(events.append, kinds=["paused"]), raised_when_paused("1")]

    async def work() -> None:
        with budget("run", "r1", on_exceed="pause", **AT_STAGE):
            with stage("draft"):
                await ask_async()
                await ask_async()
            with stage("review"):
                assert events == []
                await ask_async()

    asyncio.run(work())
    for end in ends:
        end()
    assert [event.model for event in events] == ["gpt-4o"]
    assert len(provider.requests) == 3


def test_nobody_comes() -> None:
    with budget("run", "r1", on_exceed="pause", pause_seconds=0.01, **AT_STAGE):
        with stage("draft"):
            ask()
            ask()
        with pytest.raises(BudgetExceededError) as refused, stage("review"):
            pass
    assert refused.value.stage == "review"


def test_nothing_is_left_behind_by_one_that_did_not_begin() -> None:
    with budget("run", "r1", **AT_STAGE), attribute(project="p"):
        with stage("draft"):
            ask()
            ask()
        before = context.get_current()
        review = stage("review")
        for _ in range(2):
            with pytest.raises(BudgetExceededError), review:
                pass
        assert context.get_current() is before


def test_one_may_be_left_in_another_context() -> None:
    """As by a generator whose steps a web framework runs in threads, each in a copy of the context."""

    def answer() -> Iterator[str]:
        with stage("draft"):
            yield "a"
            yield "b"

    steps = answer()
    assert [copy_context().run(next, steps, None) for _ in range(3)] == ["a", "b", None]
    given_up = answer()
    assert copy_context().run(next, given_up) == "a"
    copy_context().run(given_up.close)


def test_a_name_that_cannot_be_is_said() -> None:
    with pytest.raises(ValueError, match="the id of stage is ''"):
        stage("")
