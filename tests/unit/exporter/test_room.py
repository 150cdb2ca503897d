"""Room for requests: handed out in turn, given back whatever happens."""

from __future__ import annotations

import threading

import pytest

from otel_cost_exporter.errors import LedgerBusyError
from otel_cost_exporter.receiver.room import Room


def test_what_is_handed_out_is_bounded_and_comes_back() -> None:
    room = Room(100)
    with room.ask(60) as first, room.ask(60) as second:
        first.wait(0)
        assert not second.granted.done()
        first.shrink(40)
        second.wait(0)
        assert room.taken == 100
    assert room.taken == 0


def test_it_is_handed_out_in_turn() -> None:
    """A large request is not passed by small ones for ever."""
    room = Room(100)
    with room.ask(50), room.ask(100) as large, room.ask(10) as small:
        assert (large.granted.done(), small.granted.done()) == (False, False)
        with pytest.raises(LedgerBusyError, match="send this again in a moment"):
            large.wait(0)
    assert room.taken == 0


def test_who_gives_up_lets_the_next_one_in() -> None:
    room = Room(100)
    with room.ask(50) as holding:
        with room.ask(100) as large:
            small = room.ask(10)
            assert not small.granted.done()
        assert not large.granted.done()
        small.wait(0)
        assert room.taken == holding.size + 10


def test_a_place_that_was_given_up_as_it_was_granted_comes_back() -> None:
    room = Room(100)
    with room.ask(100), room.ask(100) as late:
        late.granted.cancel()
    assert room.taken == 0


def test_whoever_asks_for_more_than_all_gets_all() -> None:
    room = Room(100)
    with room.ask(1000) as place:
        place.wait(0)
        assert (place.size, room.taken) == (100, 100)


def test_threads_wait_for_each_other() -> None:
    room, most, lock = Room(100), 0, threading.Lock()

    def use() -> None:
        nonlocal most
        for _ in range(200):
            with room.ask(40) as place:
                place.wait(60)
                with lock:
                    most = max(most, room.taken)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (most <= 100, room.taken) == (True, 0)
