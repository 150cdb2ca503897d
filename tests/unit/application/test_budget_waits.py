"""Waiting: how long, for whom, and what becomes of a wait that is given up."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from otel_cost.budgets import Budget, Claim, Hold, Limit, Steps, finish, finish_async, lineage, patience, waiting
from otel_cost.budgets.patience import ForOthers
from otel_cost.budgets.waiting import Bell, Job, in_event_loop

RUN = Budget("run", "r1", Limit.of_usd("1"))
LONGEST = 60.0


def hold(amount: str | int, budget: Budget = RUN) -> Hold:
    return Hold((Claim(budget, budget.key(), Decimal(amount) if isinstance(amount, str) else amount),))


# --- for others ----------------------------------------------------------------------------------------------------
@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock says."""
    clock = [1000.0]
    monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    return clock


def test_a_wait_for_others_ends_a_minute_after_the_last_of_them_moved(now: list[float]) -> None:
    others = ForOthers()
    assert others.left("a") == 60
    now[0] += 59
    assert others.left("a") == 1
    assert others.left("b") == 60
    now[0] += 60
    assert others.left("b") == 0


def test_however_they_move_it_ends_in_ten_minutes(now: list[float]) -> None:
    others = ForOthers()
    for _ in range(19):
        now[0] += 30
        assert others.left(object()) > 0
    now[0] += 30
    assert others.left(object()) == 0


# --- what was begun above ------------------------------------------------------------------------------------------
@pytest.fixture
def _nothing_above() -> Iterator[None]:
    with lineage.inheriting(()):
        yield


@pytest.mark.usefixtures("_nothing_above")
def test_what_is_begun_above_is_added_up_by_account_until_it_is_settled() -> None:
    tokens = Budget("run", "r1", Limit.of_tokens(100))
    first, second = lineage.begins(hold("0.5")), lineage.begins(hold("0.25"))
    third = lineage.begins(hold(60, tokens))
    above = lineage.begun_above()
    assert above == (first, second, third)
    assert lineage.own(above) == {RUN.key(): Decimal("0.75"), tokens.key(): 60}
    first.settled = third.settled = True
    assert lineage.own(above) == {RUN.key(): Decimal("0.25")}
    assert lineage.begun_above() == (second,)


@pytest.mark.usefixtures("_nothing_above")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_has_nothing_above() -> None:
    lineage.begins(hold("0.5"))
    child = os.fork()
    if child == 0:
        os._exit(len(lineage.begun_above()))  # whatever fails in a child must not go on with the tests
    assert os.waitpid(child, 0)[1] == 0
    assert len(lineage.begun_above()) == 1


# --- a job that nobody waits for -----------------------------------------------------------------------------------
def steps_of(job: Job[Any]) -> Steps[Any]:
    return (yield job)


def in_asyncio(main: Callable[[], Any]) -> Any:
    return asyncio.run(main())


@pytest.mark.parametrize("run", [in_asyncio, trio.run])
def test_a_job_is_done_in_a_thread_of_a_loop_and_here_in_a_thread(run: Callable[..., Any]) -> None:
    async def main() -> Any:
        return await finish_async(steps_of(Job(threading.get_ident)))

    assert run(main) != threading.get_ident()
    assert finish(steps_of(Job(threading.get_ident))) == threading.get_ident()


def test_a_job_needs_no_thread_of_the_application_nor_takes_one() -> None:
    go = threading.Event()

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        busy = loop.run_in_executor(None, go.wait, LONGEST)
        done = await finish_async(steps_of(Job(lambda: go.is_set() or "done meanwhile")))
        go.set()
        await busy
        return done

    assert asyncio.run(main()) == "done meanwhile"


def test_code_of_a_loop_that_cannot_await_a_job_is_not_held_up_by_it() -> None:
    go, undone = threading.Event(), threading.Event()
    job = Job(lambda: go.wait(LONGEST), undo=lambda _: undone.set())
    assert job.within(0.001) is None
    assert Job(lambda: "not even tried meanwhile").within(LONGEST) is None
    go.set()
    assert undone.wait(LONGEST)
    assert waiting._late is not None
    waiting._late.result(LONGEST)
    assert Job(lambda: "done").within(LONGEST) == "done"
    with pytest.raises(ZeroDivisionError):
        Job(lambda: 1 // 0).within(LONGEST)


def test_a_forked_child_has_threads_of_its_own() -> None:
    asyncio.run(finish_async(steps_of(Job(threading.get_ident))))
    if (child := os.fork()) == 0:
        os._exit(asyncio.run(finish_async(steps_of(Job(lambda: 7)))))  # hangs, where it waits for the parent's
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_what_a_cancelled_task_asked_for_is_undone_when_it_comes() -> None:
    started, go, undone = threading.Event(), threading.Event(), threading.Event()

    def work() -> str:
        started.set()
        assert go.wait(LONGEST)
        return "held"

    def undo(outcome: str) -> None:
        assert outcome == "held"
        undone.set()

    async def main() -> None:
        task = asyncio.create_task(finish_async(steps_of(Job(work, undo))))
        assert await asyncio.to_thread(started.wait, LONGEST)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()
        assert await asyncio.to_thread(undone.wait, LONGEST)

    asyncio.run(main())


def test_what_had_come_already_when_its_task_was_cancelled_is_undone() -> None:
    undone: list[str] = []

    async def main() -> None:
        job = Job(lambda: "held", undone.append)
        waits = job.wait()
        thread: Any = waits.send(None)
        while not job._done:  # noqa: ASYNC110 - a thread fills it
            await asyncio.sleep(0)
        del thread
        with pytest.raises(asyncio.CancelledError):
            waits.throw(asyncio.CancelledError())

    asyncio.run(main())
    assert undone == ["held"]


def test_a_job_that_fails_in_a_loop_fails_there() -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await finish_async(steps_of(Job(lambda: 1 // 0)))

    asyncio.run(main())


# --- the bell ------------------------------------------------------------------------------------------------------
def ring(bell: Bell, ticket: int, seconds: float | None) -> Steps[Any]:
    return (yield bell.after(ticket, seconds))


@pytest.mark.parametrize("run", [in_asyncio, trio.run])
@pytest.mark.parametrize("seconds", [None, LONGEST])
def test_a_bell_wakes_tasks_and_threads(run: Callable[..., Any], seconds: float | None) -> None:
    bell = Bell()
    ticket = bell.ticket()

    async def main() -> bool:
        ringing = threading.Thread(target=bell.ring)
        found = ring(bell, ticket, seconds)
        step = next(found)
        ringing.start()
        rang: bool = await step.wait()
        ringing.join()
        return rang

    assert run(main) is True
    assert finish(ring(bell, ticket, seconds)) is True
    assert bell._tasks == set()


@pytest.mark.parametrize("run", [in_asyncio, trio.run])
def test_a_bell_that_does_not_ring_is_not_waited_for_any_longer(run: Callable[..., Any]) -> None:
    bell = Bell()

    async def main() -> bool:
        return bool(await finish_async(ring(bell, bell.ticket(), 0.001)))

    assert run(main) is False
    assert finish(ring(bell, bell.ticket(), 0.001)) is False
    assert bell._tasks == set()


def test_a_thread_looks_from_time_to_time_and_waits_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_LOOKS_EVERY_SECONDS", 0.001)
    bell = Bell()
    assert finish(ring(bell, bell.ticket(), 0.01)) is False


def test_a_loop_that_is_gone_has_nobody_to_wake() -> None:
    bell = Bell()

    async def main() -> Any:
        task = waiting._AsyncioTask()
        bell._tasks.add(task)

    asyncio.run(main())
    bell.ring()
    assert bell._tasks == set()


@pytest.mark.parametrize("run", [in_asyncio, trio.run])
def test_where_there_is_an_event_loop(run: Callable[..., Any]) -> None:
    async def main() -> bool:
        return in_event_loop()

    assert run(main) is True
    assert in_event_loop() is False
