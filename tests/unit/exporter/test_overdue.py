"""What takes too long is broken off, and what does not is left alone."""

from __future__ import annotations

import threading

import pytest

from otel_cost_exporter.receiver.overdue import Overdue


def test_what_takes_too_long_is_broken_off_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_cost_exporter.receiver.overdue._LOOK_EVERY_SECONDS", 0.001)
    overdue, broken_off = Overdue(0.05), list[str]()
    over = threading.Event()
    overdue.start()
    with overdue.unless_over(lambda: broken_off.append("quick")):
        pass

    def break_off() -> None:
        broken_off.append("slow")
        over.set()

    with overdue.unless_over(break_off):
        assert over.wait(60)
    overdue.stop()
    assert broken_off == ["slow"]


def test_it_may_be_stopped_before_it_began() -> None:
    Overdue(1).stop()
