"""What the tests of frameworks share: one event loop a module, and what each of a module's calls must say."""

from __future__ import annotations

import asyncio
import contextvars
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

import otel_cost

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

WHO = {"project": "atlas", "stage": "draft", "team": "blue"}


@pytest.fixture(scope="module")
def _runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner
        runner.run(_hang_up())


async def _hang_up() -> None:
    """Close the connections that the frameworks would keep for the next time."""
    for transport in list(asyncio.get_running_loop()._transports.values()):  # type: ignore[attr-defined] # nobody tells them
        transport.abort()
    await asyncio.sleep(0)


@pytest.fixture
def run(_runner: asyncio.Runner) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine. A module's all run in one event loop, for the frameworks keep their async clients."""
    return lambda coroutine: _runner.run(coroutine, context=contextvars.copy_context())


@pytest.fixture
def costs_of(spans: Any) -> Callable[[Callable[[], object]], list[Decimal]]:
    """Do something that `WHO` pays for, and tell what its calls cost, each known and charged to `WHO`."""

    def costs(way: Callable[[], object]) -> list[Decimal]:
        with otel_cost.attribute(**WHO):
            way()
        for call in spans.calls:
            assert (call["otel_cost.cost.status"], call["otel_cost.call.outcome"]) == ("known", "ok")
            assert {name: call.get(f"otel_cost.{name}") for name in WHO} == WHO
        return [Decimal(call["otel_cost.cost.amount"]) for call in spans.calls]

    return costs
