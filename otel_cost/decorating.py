"""A block around a function, however that runs: at once, awaited, or in steps.

Between two steps of a generator it is its caller's context that holds, so what changes the context is entered for each
step anew.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, nullcontext
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

Function = TypeVar("Function", bound="Callable[..., Any]")


class Around(Protocol):
    """What stands around one call of a function."""

    def whole(self) -> AbstractContextManager[Any]:
        """Around all of it. It may change the context only for a moment."""

    def whole_async(self) -> AbstractAsyncContextManager[Any]:
        """The same where it may wait in an event loop."""

    def step(self) -> AbstractContextManager[Any]:
        """Around each step of a generator, or all of another function."""


class Block(ABC):
    """An `Around` that is a ``with`` block too, sync and async, and a decorator; for one block or each call."""

    def __init__(self) -> None:
        self._entered: Any = None

    @abstractmethod
    def again(self) -> Self:
        """Another like it."""

    @abstractmethod
    def whole(self) -> AbstractContextManager[Any]:
        """See `Around`."""

    @asynccontextmanager
    async def whole_async(self) -> AsyncIterator[None]:
        """See `Around`."""
        with self.whole():
            yield

    @abstractmethod
    def step(self) -> AbstractContextManager[Any]:
        """See `Around`."""

    def __enter__(self) -> Self:
        self._enter_once()
        with ExitStack() as stack:
            stack.enter_context(self.whole())
            stack.enter_context(self.step())
            self._entered = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> bool | None:
        return cast("bool | None", self._entered.__exit__(*error))

    async def __aenter__(self) -> Self:
        self._enter_once()
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.whole_async())
            stack.enter_context(self.step())
            self._entered = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> bool | None:
        return cast("bool | None", await self._entered.__aexit__(*error))

    def __call__(self, function: Function) -> Function:
        """`function`, each call of which is inside such a block: sync, async or a generator."""
        return decorated(function, self.again)

    def _enter_once(self) -> None:
        if self._entered is not None:
            raise RuntimeError("this block is entered already: make a new one for each `with`")


def around(function: Function, make: Callable[[], AbstractContextManager[Any]]) -> Function:
    """`function`, with a block that `make` gives around each call, or each step of a generator."""
    return decorated(function, lambda: _Steps(make))


class _Steps:
    """Nothing is around the whole of a call."""

    def __init__(self, make: Callable[[], AbstractContextManager[Any]]) -> None:
        self._make = make

    def whole(self) -> nullcontext[None]:
        return nullcontext()

    def whole_async(self) -> nullcontext[None]:
        return nullcontext()

    def step(self) -> AbstractContextManager[Any]:
        return self._make()


def decorated(function: Function, begin: Callable[[], Around]) -> Function:
    """`function`, with what `begin` gives around each call."""
    if inspect.isasyncgenfunction(function):
        return cast("Function", _around_async_generator(function, begin))
    if inspect.isgeneratorfunction(function):
        return cast("Function", _around_generator(function, begin))
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            call = begin()
            async with call.whole_async():
                with call.step():
                    return await function(*args, **kwargs)

        return cast("Function", awaited)

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        call = begin()
        with call.whole(), call.step():
            return function(*args, **kwargs)

    return cast("Function", called)


def _around_generator(function: Callable[..., Any], begin: Callable[[], Around]) -> Any:
    @wraps(function)
    def stepped(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        call = begin()
        with call.whole():
            return (yield from _in_steps(function(*args, **kwargs), call.step))

    return stepped


def _in_steps(steps: Generator[Any, Any, Any], step: Callable[[], Any]) -> Generator[Any, Any, Any]:
    resume: Callable[[], Any] = partial(next, steps)
    while True:
        with step():
            try:
                value = resume()
            except StopIteration as done:
                return done.value
        try:
            resume = partial(steps.send, (yield value))
        except GeneratorExit:
            with step():
                steps.close()
            raise
        except BaseException as error:  # noqa: BLE001 - what is thrown in, is the function's
            resume = partial(steps.throw, error)


def _around_async_generator(function: Callable[..., Any], begin: Callable[[], Around]) -> Any:
    @wraps(function)
    async def stepped(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        call, steps = begin(), function(*args, **kwargs)
        resume: Callable[[], Any] = steps.__anext__
        async with call.whole_async():
            while True:
                with call.step():
                    try:
                        value = await resume()
                    except StopAsyncIteration:
                        return
                try:
                    resume = partial(steps.asend, (yield value))
                except GeneratorExit:
                    with call.step():
                        await steps.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 - likewise
                    resume = partial(steps.athrow, error)

    return stepped
