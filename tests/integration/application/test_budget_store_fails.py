"""A store that fails in a way that nobody foresaw breaks no call of the application."""

from collections.abc import Iterator
from typing import Any

import pytest

import otel_cost
from otel_cost import safety
from otel_cost.budgets import admission
from otel_cost.budgets.memory import MemoryStore

from . import gated
from .gated import Gated


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gated]:
    with gated.running(monkeypatch) as running:
        running.opened.set()
        yield running


class Broken(MemoryStore):
    def reserve(self, *_: Any) -> Any:
        raise OSError("the disk is full")

    settle = charge = reserve


def test_the_call_goes_on(gate: Gated, spans: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "store", Broken)
    with otel_cost.budget("run", "r1", limit_usd=1):
        assert gate.create().choices
    assert spans.call["otel_cost.call.outcome"] == "ok"
    assert spans.call["otel_cost.cost.amount"] == "0.001025"
    assert safety.failures() == {
        "holding a call against its budgets": 1,
        "charging a call to its budgets": 1,
    }
