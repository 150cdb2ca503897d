"""Blocks around functions: sync, async and generators, a fresh one each time."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager

import pytest

from otel_cost import attribute, attribution, budget
from otel_cost.decorating import around


def paying() -> dict[str, str]:
    return attribution.dimensions(attribution.members())


def test_a_function_is_inside_a_block_of_its_own_each_time() -> None:
    @attribute(stage="draft")
    def draft(depth: int) -> list[dict[str, str]]:
        """Drafts."""
        return [paying(), *(draft(depth - 1) if depth else [])]

    assert draft(1) == [{"stage": "draft"}] * 2
    assert draft(0) == [{"stage": "draft"}]
    assert paying() == {}
    assert (draft.__name__, draft.__doc__) == ("draft", "Drafts.")


def test_an_async_function_is_inside_while_it_is_awaited() -> None:
    @attribute(stage="draft")
    async def draft(role: str) -> dict[str, str]:
        with attribute(role=role):
            await asyncio.sleep(0)
            return paying()

    async def both() -> list[dict[str, str]]:
        return [*await asyncio.gather(draft("a"), draft("b")), paying()]

    assert inspect.iscoroutinefunction(draft)
    assert asyncio.run(both()) == [{"stage": "draft", "role": "a"}, {"stage": "draft", "role": "b"}, {}]


def test_a_budget_decorates_too() -> None:
    @budget("run", "r1", limit_usd=1)
    def draft() -> dict[str, str]:
        return paying()

    assert draft() == draft() == {"run": "r1"}


def test_a_generator_is_inside_while_it_runs_and_its_caller_is_not() -> None:
    seen: list[object] = []

    @attribute(stage="draft")
    def drafts() -> Generator[int, str, str]:
        try:
            seen.append((paying(), (yield 1)))
            try:
                yield 2
            except KeyError as error:
                seen.append((paying(), str(error)))
            yield 3
        finally:
            seen.append(paying())
        return "done"

    steps = drafts()
    assert inspect.isgeneratorfunction(drafts)
    assert next(steps) == 1
    assert paying() == {}
    assert steps.send("sent") == 2
    assert steps.throw(KeyError("thrown")) == 3
    with pytest.raises(StopIteration) as ended:
        next(steps)
    assert ended.value.value == "done"
    inside = {"stage": "draft"}
    assert seen == [(inside, "sent"), (inside, "'thrown'"), inside]
    assert paying() == {}


def test_a_generator_that_is_left_cleans_up_inside() -> None:
    seen: list[dict[str, str]] = []

    @attribute(stage="draft")
    def drafts() -> Iterator[int]:
        try:
            yield 1
        finally:
            seen.append(paying())

    steps = drafts()
    next(steps)
    steps.close()  # type: ignore[attr-defined] # it is a generator
    assert seen == [{"stage": "draft"}]


def test_an_async_generator_is_inside_while_it_runs_and_its_caller_is_not() -> None:
    seen: list[object] = []

    @attribute(stage="draft")
    async def drafts() -> AsyncIterator[int]:
        try:
            seen.append((paying(), (yield 1)))
            try:
                yield 2
            except KeyError as error:
                await asyncio.sleep(0)
                seen.append((paying(), str(error)))
            yield 3
        finally:
            seen.append(paying())

    async def through() -> None:
        steps = drafts()
        assert await anext(steps) == 1
        assert paying() == {}
        assert await steps.asend("sent") == 2  # type: ignore[attr-defined] # it is a generator
        assert await steps.athrow(KeyError("thrown")) == 3  # type: ignore[attr-defined] # likewise
        with pytest.raises(StopAsyncIteration):
            await anext(steps)
        left = drafts()
        await anext(left)
        await left.aclose()  # type: ignore[attr-defined] # likewise

    assert inspect.isasyncgenfunction(drafts)
    asyncio.run(through())
    inside = {"stage": "draft"}
    assert seen == [(inside, "sent"), (inside, "'thrown'"), inside, inside]


def test_what_the_function_raises_passes_through_the_block() -> None:
    left: list[str] = []

    @contextmanager
    def block() -> Iterator[None]:
        try:
            yield
        finally:
            left.append("left")

    def fails() -> None:
        raise KeyError("k")

    def fails_later() -> Iterator[int]:
        yield 1
        raise KeyError("k")

    with pytest.raises(KeyError):
        around(fails, block)()
    with pytest.raises(KeyError):
        list(around(fails_later, block)())
    assert left == ["left"] * 3
