"""A call that does not fit beside calls under way waits for them, wherever it is made; and never for itself."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx2
import openai
import pytest
import trio

import otel_cost
from otel_cost import BudgetExceededError
from otel_cost.budgets import Budget, Claim, Hold, Limit, admission, lineage
from otel_cost.budgets.chosen import MEMORY
from otel_cost.budgets.memory import MemoryStore
from otel_cost.budgets.tree import Decision
from otel_cost.instrumentation import open_calls
from otel_cost_exporter.demo.stand_in import StandIn

from . import gated
from .accounts import account
from .gated import ASK, LONGEST, Gated, Waiting

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails")

COST = Decimal("0.001025")  # 10 input tokens at 2.50 and 100 output tokens at 10, US dollars per million
SAID: Any = [{"role": "user", "content": "[stand-in input=10,output=100,delay=0.002]"}]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gated]:
    with gated.running(monkeypatch) as running:
        yield running


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Waiting:
    return Waiting(monkeypatch)


def nothing_is_held() -> bool:
    found = account("run", "r1")
    return (found.held_usd, found.held_tokens, found.under_way) == (0, 0, 0)


# --- 100 calls, and a budget for 10 --------------------------------------------------------------------------------
def ask(client: openai.OpenAI, *, stream: bool) -> int:
    """How many calls were sent: one or none."""
    try:
        answer: Any = client.chat.completions.create(model="gpt-4o", max_tokens=100, messages=SAID, stream=stream)
        if stream:
            list(answer)
    except BudgetExceededError:
        return 0
    return 1


async def ask_async(client: openai.AsyncOpenAI, *, stream: bool) -> int:
    try:
        answer: Any = await client.chat.completions.create(model="gpt-4o", max_tokens=100, messages=SAID, stream=stream)
        if stream:
            _ = [chunk async for chunk in answer]
    except BudgetExceededError:
        return 0
    return 1


def one_after_the_other(count: int, *, stream: bool) -> int:
    with openai.OpenAI() as client:
        return sum(ask(client, stream=stream) for _ in range(count))


def in_threads(count: int, *, stream: bool) -> int:
    with openai.OpenAI() as client, ThreadPoolExecutor(count) as pool:
        return sum(pool.map(lambda _: ask(client, stream=stream), range(count)))


def in_a_loop(count: int, *, stream: bool) -> int:
    async def main() -> int:
        async with openai.AsyncOpenAI() as client:
            return sum(await asyncio.gather(*(ask_async(client, stream=stream) for _ in range(count))))

    return asyncio.run(main())


def in_threads_and_two_loops(count: int, *, stream: bool) -> int:
    with ThreadPoolExecutor(3) as pool:
        share = count // 3
        found = [pool.submit(way, share, stream=stream) for way in (in_threads, in_a_loop, in_a_loop)]
        return sum(each.result() for each in found) + one_after_the_other(count - 3 * share, stream=stream)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("sizing", ["strict", "expected"])
@pytest.mark.parametrize("way", [one_after_the_other, in_threads, in_a_loop, in_threads_and_two_loops])
def test_a_budget_for_ten_calls_sends_ten_of_a_hundred(
    way: Callable[..., int],
    sizing: Any,
    stream: bool,  # noqa: FBT001 - parametrised
    provider: StandIn,
    spans: Any,
) -> None:
    """Each call holds between half and one and a half of what it costs, so the budget is for ten, in whatever order."""
    with otel_cost.budget("run", "r1", limit_usd=COST * 10 + COST / 2, sizing=sizing):
        sent = way(100, stream=stream)
    assert sent == len(provider.requests) == 10
    assert account("run", "r1").spent_usd == 10 * COST
    assert nothing_is_held()
    outcomes = [call["otel_cost.call.outcome"] for call in spans.calls]
    assert (outcomes.count("ok"), outcomes.count("refused")) == (10, 90)


# --- waiting for others --------------------------------------------------------------------------------------------
LARGE = 1000
"""Output tokens that a call may have, which then has 100."""
BESIDE = "0.011"
"""A limit in which a large call fits, and no other beside it: 1000 output tokens at 10 USD per million."""


def in_thread(work: Callable[[], Any]) -> Callable[[], Any]:
    """Start `work` in a thread; what waits for its result, or its error."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(work)
    pool.shutdown(wait=False)
    return lambda: future.result(LONGEST)


def test_a_call_waits_for_one_that_turns_out_cheaper(gate: Gated, waiting: Waiting, spans: Any) -> None:
    with otel_cost.budget("run", "r1", limit_usd=BESIDE, sizing="strict"):
        first = in_thread(lambda: gate.create(max_tokens=LARGE))
        assert gate.arrived.wait(LONGEST)
        second = in_thread(gate.create)
        assert waiting.for_others.acquire(timeout=LONGEST)
        assert len(gate.asked) == 1
        gate.opened.set()
        first()
        second()
    assert len(gate.asked) == len(spans.calls) == 2
    assert account("run", "r1").spent_usd == 2 * COST
    assert nothing_is_held()


def test_nobody_waits_for_what_cannot_come(gate: Gated, waiting: Waiting, spans: Any) -> None:
    with otel_cost.budget("run", "r1", limit_usd=BESIDE, sizing="strict"):
        first = in_thread(lambda: gate.create(max_tokens=LARGE))
        assert gate.arrived.wait(LONGEST)
        with pytest.raises(BudgetExceededError):
            gate.create(max_tokens=2 * LARGE)  # more than the whole budget
        gate.opened.set()
        first()
    assert not waiting.for_others.acquire(blocking=False)
    assert len(gate.asked) == 1
    assert len(spans.calls) == 2


def test_a_call_that_waits_in_trio_does_not_hold_up_its_loop(gate: Gated, waiting: Waiting, spans: Any) -> None:
    done: list[int] = []

    async def call(**more: Any) -> None:
        async with httpx2.AsyncClient() as client:
            answer = await client.post(f"{gate.url}/chat/completions", json={**ASK, **more}, timeout=LONGEST)
            done.append(answer.status_code)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: call(max_tokens=LARGE))
            await trio.to_thread.run_sync(gate.arrived.wait)
            nursery.start_soon(lambda: call(max_tokens=100))
            await trio.to_thread.run_sync(waiting.for_others.acquire)
            gate.opened.set()

    with otel_cost.budget("run", "r1", limit_usd=BESIDE, sizing="strict"):
        trio.run(main)
    assert done == [200, 200]
    assert nothing_is_held()
    assert len(spans.calls) == 2


def test_others_go_on_while_an_answer_is_on_its_way_or_passes_by(gate: Gated, spans: Any) -> None:
    alone = open_calls.life()
    assert alone == open_calls.life()
    stream = iter(gate.create(stream=True))
    opened = open_calls.life()
    assert opened == open_calls.life()
    next(stream)
    read = open_calls.life()
    assert opened != read == open_calls.life()
    gate.arrived.clear()
    call = in_thread(gate.create)
    assert gate.arrived.wait(LONGEST)
    assert open_calls.life() != open_calls.life()
    gate.opened.set()
    call()
    list(stream)
    assert open_calls.life() == alone
    assert len(spans.calls) == 2


# --- what was begun above ------------------------------------------------------------------------------------------
def in_the_same_thread(call: Callable[[], Any]) -> None:
    call()


def in_a_thread(call: Callable[[], Any]) -> None:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BudgetExceededError as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(LONGEST)
    raise failed[0]


def in_a_pool(call: Callable[[], Any]) -> None:
    in_thread(call)()


def in_an_executor(call: Callable[[], Any]) -> None:
    async def main() -> None:
        await asyncio.get_running_loop().run_in_executor(None, call)

    asyncio.run(main())


def in_a_task(call: Callable[[], Any]) -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(call))

    try:
        asyncio.run(main())
    except* BudgetExceededError as errors:
        refused = errors.exceptions[0]
    raise refused


def in_a_generator(call: Callable[[], Any]) -> None:
    def generate() -> Iterator[Any]:
        yield call()

    next(generate())


def in_an_async_generator(call: Callable[[], Any]) -> None:
    async def generate() -> AsyncIterator[Any]:
        yield call()

    async def main() -> None:
        async for _ in generate():
            pass

    asyncio.run(main())


@pytest.mark.parametrize(
    "way",
    [
        in_the_same_thread,
        in_a_thread,
        in_a_pool,
        in_an_executor,
        in_a_task,
        in_a_generator,
        in_an_async_generator,
    ],
)
def test_a_call_never_waits_for_a_stream_that_was_begun_above_it(
    way: Callable[..., None], gate: Gated, waiting: Waiting, spans: Any
) -> None:
    with otel_cost.budget("run", "r1", limit_usd=BESIDE, sizing="strict"):
        stream = iter(gate.create(max_tokens=LARGE, stream=True))
        with pytest.raises(BudgetExceededError):
            way(gate.create)
        gate.opened.set()
        list(stream)
        way_on = in_thread(gate.create)
        way_on()
    assert not waiting.for_others.acquire(blocking=False)
    assert nothing_is_held()
    assert [call["otel_cost.call.outcome"] for call in spans.calls] == ["refused", "ok", "ok"]


def test_a_call_that_a_hook_makes_does_not_wait_for_the_one_that_it_hooks(
    gate: Gated, waiting: Waiting, spans: Any
) -> None:
    def guardrail(_: httpx2.Request) -> None:
        gate.create()

    client = httpx2.Client(event_hooks={"request": [guardrail]})
    with otel_cost.budget("run", "r1", limit_usd=BESIDE, sizing="strict"), pytest.raises(BudgetExceededError):
        client.post(f"{gate.url}/chat/completions", json={**ASK, "max_tokens": LARGE})
    assert not waiting.for_others.acquire(blocking=False)
    assert gate.asked == []
    assert nothing_is_held()
    assert len(spans.calls) == 2


def test_a_call_waits_for_what_a_finished_task_began(gate: Gated, waiting: Waiting, spans: Any) -> None:
    """A task's calls are its own: what comes after it, beside them, is not below them."""
    with otel_cost.budget("run", "r1", limit_usd=BESIDE, sizing="strict"):
        stream = iter(in_thread(lambda: gate.create(max_tokens=LARGE, stream=True))())
        call = in_thread(gate.create)
        assert waiting.for_others.acquire(timeout=LONGEST)
        gate.opened.set()
        list(stream)
        call()
    assert account("run", "r1").spent_usd == 2 * COST
    assert len(spans.calls) == 2


def test_calls_that_are_settled_are_forgotten(gate: Gated, spans: Any) -> None:
    gate.opened.set()
    with otel_cost.budget("run", "r1", limit_usd=1), ThreadPoolExecutor(1) as pool:
        for _ in range(5):
            gate.create()
        assert len(lineage._begun.get()) == 1
        assert lineage.begun_above() == ()
        pool.submit(gate.create).result()
        assert pool.submit(lineage._begun.get).result() == ()
    assert len(spans.calls) == 6


# --- giving up -----------------------------------------------------------------------------------------------------
def is_given_up(gate: Gated, spans: Any, error: str) -> None:
    """The call that waited was not sent, cost nothing and holds nothing; the other one is not disturbed."""
    assert len(gate.asked) == 1
    (given_up,) = spans.calls
    assert (given_up["otel_cost.call.outcome"], given_up["otel_cost.call.attempts"]) == ("refused", 0)
    assert (given_up["error.type"], given_up["otel_cost.cost.amount"]) == (error, "0.000000")
    assert account("run", "r1").under_way == 1
    assert MEMORY.bell._tasks == set()


def test_a_waiting_thread_can_be_interrupted(gate: Gated, waiting: Waiting, spans: Any) -> None:
    main = threading.get_ident()

    def interrupt() -> None:
        assert waiting.for_others.acquire(timeout=LONGEST)
        signal.pthread_kill(main, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with otel_cost.budget("run", "r1", limit_usd=BESIDE, sizing="strict"):
            first = in_thread(lambda: gate.create(max_tokens=LARGE))
            assert gate.arrived.wait(LONGEST)
            interrupted = in_thread(interrupt)
            with pytest.raises(KeyboardInterrupt):
                gate.create()
            interrupted()
    finally:
        signal.signal(signal.SIGINT, before)
    is_given_up(gate, spans, "KeyboardInterrupt")
    gate.opened.set()
    first()
    assert nothing_is_held()


async def cancelled(call: asyncio.Task[Any], waiting: Waiting) -> None:
    assert await asyncio.to_thread(waiting.for_others.acquire, timeout=LONGEST)
    call.cancel()
    await call


async def timed_out(call: asyncio.Task[Any], waiting: Waiting) -> None:
    assert await asyncio.to_thread(waiting.for_others.acquire, timeout=LONGEST)
    await asyncio.wait_for(call, 0.01)


@pytest.mark.parametrize(("way", "error"), [(cancelled, asyncio.CancelledError), (timed_out, TimeoutError)])
def test_a_waiting_task_can_be_cancelled(
    way: Callable[..., Any], error: type[BaseException], gate: Gated, waiting: Waiting, spans: Any
) -> None:
    async def main() -> None:
        with pytest.raises(error):
            await way(asyncio.create_task(gate.create_async()), waiting)

    with otel_cost.budget("run", "r1", limit_usd=BESIDE, sizing="strict"):
        first = in_thread(lambda: gate.create(max_tokens=LARGE))
        assert gate.arrived.wait(LONGEST)
        asyncio.run(main())
    is_given_up(gate, spans, "CancelledError")
    gate.opened.set()
    first()
    assert nothing_is_held()


def test_a_waiting_task_of_trio_can_be_cancelled(gate: Gated, waiting: Waiting, spans: Any) -> None:
    async def call() -> None:
        async with httpx2.AsyncClient() as client:
            await client.post(f"{gate.url}/chat/completions", json={**ASK, "max_tokens": 100})

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            await trio.to_thread.run_sync(waiting.for_others.acquire)
            nursery.cancel_scope.cancel()

    with otel_cost.budget("run", "r1", limit_usd=BESIDE, sizing="strict"):
        first = in_thread(lambda: gate.create(max_tokens=LARGE))
        assert gate.arrived.wait(LONGEST)
        trio.run(main)
    is_given_up(gate, spans, "Cancelled")
    gate.opened.set()
    first()


def test_a_waiting_call_whose_loop_is_gone_is_given_up(gate: Gated, waiting: Waiting, spans: Any) -> None:
    """A coroutine that nobody goes on with ends in the garbage."""

    async def main() -> None:
        coroutine = gate.create_async()
        step: Any = coroutine.send(None)
        while not waiting.for_others.acquire(blocking=False):
            await asyncio.wait([step])
            step = coroutine.send(None)
        coroutine.close()

    with otel_cost.budget("run", "r1", limit_usd=BESIDE, sizing="strict"):
        first = in_thread(lambda: gate.create(max_tokens=LARGE))
        assert gate.arrived.wait(LONGEST)
        asyncio.run(main())
    is_given_up(gate, spans, "GeneratorExit")
    gate.opened.set()
    first()


# --- stores that processes share -----------------------------------------------------------------------------------
class Shared(MemoryStore):
    """A store that is asked over a network, and answers when a test lets it."""

    blocks = True
    poll_seconds = 0.01

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.answers, self.released = threading.Event(), threading.Event(), threading.Event()
        self.fails = False

    def reserve(self, claims: tuple[Claim, ...]) -> Hold | Decision:
        self.asked.set()
        assert self.answers.wait(LONGEST)
        if self.fails:
            raise OSError("the store cannot be reached")
        return super().reserve(claims)

    def release(self, hold: Hold) -> None:
        super().release(hold)
        self.released.set()


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Shared:
    store = Shared()
    monkeypatch.setattr(admission, "store", lambda: store)
    return store


def test_a_hold_that_a_cancelled_task_does_not_hear_of_is_given_back(gate: Gated, shared: Shared, spans: Any) -> None:
    async def main() -> None:
        call = asyncio.create_task(gate.create_async())
        assert await asyncio.to_thread(shared.asked.wait, LONGEST)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        shared.answers.set()
        assert await asyncio.to_thread(shared.released.wait, LONGEST)

    with otel_cost.budget("run", "r1", limit_usd=1):
        asyncio.run(main())
    (standing,) = shared.standings()
    assert (standing.held, standing.under_way, standing.spent) == (0, 0, 0)
    assert gate.asked == []
    assert spans.call["error.type"] == "CancelledError"


def test_a_span_that_starts_in_a_loop_does_not_wait_for_a_store_that_is_silent(shared: Shared) -> None:
    async def main() -> None:
        admission.check((Budget("run", "r1", Limit.of_usd("1")),), "gpt-4o")  # would wait for ever
        shared.answers.set()
        assert await asyncio.to_thread(shared.released.wait, LONGEST)  # what was held for it all the same

    asyncio.run(main())
    (standing,) = shared.standings()
    assert (standing.held, standing.under_way, standing.spent) == (0, 0, 0)


def test_a_call_waits_for_others_in_a_store_that_rings_no_bell(
    gate: Gated, shared: Shared, waiting: Waiting, spans: Any
) -> None:
    shared.answers.set()
    with otel_cost.budget("run", "r1", limit_usd=BESIDE, sizing="strict"):
        first = in_thread(lambda: gate.create(max_tokens=LARGE))
        assert gate.arrived.wait(LONGEST)
        second = in_thread(gate.create)
        for _ in range(3):
            assert waiting.for_others.acquire(timeout=LONGEST)
        gate.opened.set()
        first()
        second()
    (standing,) = shared.standings()
    assert (standing.held, standing.under_way, standing.spent) == (0, 0, 2 * COST)
    assert len(spans.calls) == 2
