"""Waiting, in threads and in event loops alike, without one line written twice.

What may have to wait is a generator of `Step`s: it yields what it waits for, is sent what came of it, and returns its
result. `finish` runs one in a thread, `finish_async` in an event loop of asyncio or Trio; neither holds a lock or a
connection meanwhile.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from otel_cost.safety import after_fork_in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from types import ModuleType

Result = TypeVar("Result")
_LOOKS_EVERY_SECONDS: Final = 1.0


class Step(Protocol):
    """One thing to wait for."""

    def block(self) -> Any:
        """Wait in a thread; what came of it."""

    async def wait(self) -> Any:
        """Wait in an event loop; what came of it."""


Steps = Generator[Step, Any, Result]


def finish(steps: Steps[Result]) -> Result:
    """The result of `steps`, in a thread."""
    try:
        step = next(steps)
        while True:
            try:
                outcome = step.block()
            except BaseException as error:  # noqa: BLE001 - the steps are told, and let it go on
                step = steps.throw(error)
            else:
                step = steps.send(outcome)
    except StopIteration as done:
        result: Result = done.value
        return result


async def finish_async(steps: Steps[Result]) -> Result:
    """The result of `steps`, in an event loop."""
    try:
        step = next(steps)
        while True:
            try:
                outcome = await step.wait()
            except BaseException as error:  # noqa: BLE001 - likewise; a cancelled task among them
                step = steps.throw(error)
            else:
                step = steps.send(outcome)
    except StopIteration as done:
        result: Result = done.value
        return result


def in_event_loop() -> bool:
    """Whether this is code of an event loop, which nothing may hold up."""
    if _trio() is not None:
        return True
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _make_threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_MOST_JOBS, "otel-cost-budgets")


_MOST_JOBS: Final = 32
_threads = _make_threads()
"""Not those of the event loop, which are few: the application looks up names in them, and may have them all wait."""
_late: Future[None] | None = None
"""What was not done in time, and may not be yet."""


class Job(Generic[Result]):
    """A function that blocks, such as a question to a server: an event loop has a thread do it.

    Args:
        work: the function.
        undo: what becomes of its result where the task that waits for it is cancelled, and so never gets it.
    """

    def __init__(self, work: Callable[[], Result], undo: Callable[[Result], object] | None = None) -> None:
        self._work, self._undo = work, undo
        self._lock = threading.Lock()
        self._done: list[Result] = []
        self._nobody_waits = False

    def block(self) -> Result:
        """Do it here."""
        return self._work()

    def within(self, seconds: float) -> Result | None:
        """Have a thread do it, and wait for that here, where nobody can await it, no longer than so many seconds.

        None where it takes longer. Until it is done then, nobody waits for another: what it asks does not answer.
        """
        global _late  # noqa: PLW0603 - the last one
        if _late is not None and not _late.done():
            return None
        doing = _threads.submit(copy_context().run, self._do)
        if not wait((doing,), seconds).done:
            _late = doing
            self._give_up()
            return None
        doing.result()
        return self._done[0]

    async def wait(self) -> Result:
        """Do it in a thread."""
        trio = _trio()
        try:
            if trio is not None:
                await trio.to_thread.run_sync(self._do, abandon_on_cancel=True)
            else:
                await asyncio.get_running_loop().run_in_executor(_threads, copy_context().run, self._do)
        except BaseException:
            self._give_up()
            raise
        return self._done[0]

    def _do(self) -> None:
        outcome = self._work()
        with self._lock:
            self._done.append(outcome)
        if self._nobody_waits:
            self._undo_what_is_done()

    def _give_up(self) -> None:
        with self._lock:
            self._nobody_waits = True
        self._undo_what_is_done()

    def _undo_what_is_done(self) -> None:
        with self._lock:  # the thread and the task may both come here
            done, self._done = self._done, []
        if self._undo is not None:
            for outcome in done:
                self._undo(outcome)


class Bell:
    """Rings when something may have changed. Whoever waits took a ticket first, so no ring is missed."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._ticket = 0
        self._tasks: set[_Task] = set()

    def ticket(self) -> int:
        """To be taken before one looks."""
        return self._ticket

    def ring(self) -> None:
        """Wake all that wait."""
        with self._changed:
            self._ticket += 1
            self._changed.notify_all()
            tasks, self._tasks = self._tasks, set()
        for task in tasks:
            with suppress(RuntimeError):  # a loop that is closed has nobody waiting
                task.wake()

    def after(self, ticket: int, seconds: float | None) -> Step:
        """A step until it rings after `ticket` was taken, or `seconds` have passed. Came it to that: False."""
        return _Ring(self, ticket, seconds)

    def wait_in_thread(self, ticket: int, seconds: float | None) -> bool:
        """Wait so in a thread. A signal that comes just as a thread begins to wait is handled with its next look."""
        until = time.monotonic() + (float("inf") if seconds is None else seconds)
        with self._changed:
            while self._ticket == ticket and (left := until - time.monotonic()) > 0:
                self._changed.wait(min(left, _LOOKS_EVERY_SECONDS))
            return self._ticket != ticket

    @contextmanager
    def waking(self, task: _Task, ticket: int) -> Iterator[bool]:
        """Have `task` woken inside the ``with`` block; not where it rang since `ticket` was taken: then it is False."""
        with self._changed:
            waits = self._ticket == ticket
            if waits:
                self._tasks.add(task)
        try:
            yield waits
        finally:
            with self._changed:
                self._tasks.discard(task)


class _Ring:
    def __init__(self, bell: Bell, ticket: int, seconds: float | None) -> None:
        self._bell, self._ticket, self._seconds = bell, ticket, seconds

    def block(self) -> bool:
        return self._bell.wait_in_thread(self._ticket, self._seconds)

    async def wait(self) -> bool:
        trio = _trio()
        task: _Task = _AsyncioTask() if trio is None else _TrioTask(trio)
        with self._bell.waking(task, self._ticket) as waits:
            if waits:
                await task.sleep(self._seconds)
        return self._bell.ticket() != self._ticket


class _Task(Protocol):
    """A task of an event loop that waits to be woken."""

    def wake(self) -> None:
        """Have it go on; from any thread."""

    async def sleep(self, seconds: float | None) -> None:
        """Wait for that, and not longer than `seconds`."""


class _AsyncioTask:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken: asyncio.Future[None] = self._loop.create_future()

    def wake(self) -> None:
        self._loop.call_soon_threadsafe(self._wake_here)

    async def sleep(self, seconds: float | None) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken, seconds)

    def _wake_here(self) -> None:
        if not self._woken.done():
            self._woken.set_result(None)


class _TrioTask:
    def __init__(self, trio: ModuleType) -> None:
        self._trio, self._woken, self._loop = trio, trio.Event(), trio.lowlevel.current_trio_token()

    def wake(self) -> None:
        self._loop.run_sync_soon(self._woken.set)

    async def sleep(self, seconds: float | None) -> None:
        with self._trio.move_on_after(float("inf") if seconds is None else seconds):
            await self._woken.wait()


def _trio() -> ModuleType | None:
    """Trio, where this is one of its tasks: httpx runs in its loops too. Else this is asyncio's."""
    trio = sys.modules.get("trio")
    return trio if trio is not None and trio.lowlevel.in_trio_task() else None


def _forked() -> None:
    global _threads, _late
    _threads, _late = _make_threads(), None


after_fork_in_child(_forked)
