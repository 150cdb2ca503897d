"""A store that processes share, against a server that can be taken away."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Collection, Sequence
from decimal import Decimal

import pytest

from otel_cost import safety
from otel_cost.budgets import Budget, Claim, Hold, Limit, Spend, Verdict
from otel_cost.budgets import outbox as outboxes
from otel_cost.budgets.outage import Outage, StoreGoneError
from otel_cost.budgets.outbox import Outbox
from otel_cost.budgets.rule import Key
from otel_cost.budgets.shared import Booking, SharedStore
from otel_cost.budgets.tree import Decision, Standing, Tree

RUN = Budget("run", "r1", Limit.of_usd("1"))
TOKENS = Budget("run", "r1", Limit.of_tokens(100))
WHERE = "store.example"


class Server:
    """Keeps accounts in this process, and answers as long as it is not `gone`."""

    where = WHERE

    def __init__(self) -> None:
        self.tree, self.gone, self.booked, self.forks = Tree(), "", [], 0
        self.held: set[str] = set()
        self.lock = threading.Lock()

    def answers(self) -> None:
        if self.gone:
            raise StoreGoneError(self.gone)

    def reserve(self, hold: Hold, lease_seconds: float) -> Decision | None:
        self.answers()
        assert hold.id
        assert lease_seconds > 0
        with self.lock:
            self.held.add(hold.id)
            return self.tree.reserve(hold.claims)

    def book(self, bookings: Sequence[Booking]) -> Sequence[Sequence[Standing]]:
        self.answers()
        with self.lock:
            return [self._book(each) for each in bookings]

    def _book(self, booking: Booking) -> Sequence[Standing]:
        self.booked.append(booking)
        if booking.kind == "release" or booking.spend is None:
            if booking.id in self.held:
                self.tree.release(booking.claims)
            return ()
        return getattr(self.tree, booking.kind)(booking.claims, booking.spend)

    def put_limit(self, key: Key, limit: Limit) -> None:
        self.answers()
        self.tree.put_limit(key, limit)

    def stop(self, key: Key, reason: str) -> None:
        self.answers()
        self.tree.stop(key, reason)

    def resume(self, key: Key) -> None:
        self.answers()
        self.tree.resume(key)

    def standings(self, keys: Collection[Key] | None = None) -> Sequence[Standing]:
        self.answers()
        return list(self.tree.standings(keys))

    def forked(self) -> None:
        self.forks += 1

    def close(self) -> None:
        """Nothing is kept open."""


def claim(amount: str | int | None, budget: Budget = RUN, *, passes: bool = False) -> Claim:
    exact = Decimal(amount) if isinstance(amount, str) else amount
    return Claim(budget, budget.key(), exact, passes=passes)


def usd(amount: str) -> Spend:
    return Spend(Decimal(amount), 0)


def held(answer: Hold | Decision) -> Hold:
    assert isinstance(answer, Hold), answer
    return answer


def refused(answer: Hold | Decision) -> Decision:
    assert isinstance(answer, Decision), answer
    return answer


def spent(store: SharedStore) -> Decimal | int:
    (found,) = store.standings()
    return found.spent


def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is gone is asked again at once."""
    monkeypatch.setattr("otel_cost.budgets.shared._TRY_AGAIN_SECONDS", 0.0)


def test_a_hold_is_asked_for_and_what_becomes_of_it_is_told_once_it_is_booked() -> None:
    told: list[tuple[Booking, Sequence[Standing]]] = []
    store = SharedStore(Server(), None, lambda *heard: told.append(heard))
    assert store.blocks
    ticket = store.bell.ticket()
    assert list(store.settle(held(store.reserve((claim("0.6"),))), usd("0.25"))) == []
    store.charge((claim(0),), usd("0.5"))
    assert spent(store) == Decimal("0.75")
    assert store.bell.after(ticket, 10).block() is True
    assert [(booking.kind, standings[0].spent) for booking, standings in told] == [
        ("settle", Decimal("0.25")),
        ("charge", Decimal("0.75")),
    ]
    assert refused(store.reserve((claim("0.6"),))).verdict is Verdict.EXCEEDED


def test_what_is_given_back_is_not_spent_and_people_are_heard() -> None:
    store = SharedStore(server := Server(), None)
    hold = held(store.reserve((claim("0.6"),)))
    store.release(hold)
    assert store.flush(10)
    assert [(each.kind, each.id) for each in server.booked] == [("release", hold.id)]
    store.put_limit(RUN.key(), Limit.of_usd("0.1"))
    assert refused(store.reserve((claim("0.5"),))).standing.limit == Limit.of_usd("0.1")
    store.stop(RUN.key(), "enough")
    assert refused(store.reserve((claim("0"),))).standing.stopped == "enough"
    store.resume(RUN.key())
    held(store.reserve((claim("0"),)))


def test_without_an_allowance_nothing_leaves_while_the_server_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    store = SharedStore(server := Server(), None)
    server.gone = "Connection refused"
    for _ in range(2):  # the second without asking
        decision = refused(store.reserve((claim("0.1", passes=True), claim("0.1", TOKENS))))
        assert (decision.verdict, decision.claim.budget) == (Verdict.STOPPED, TOKENS)
        assert decision.standing.stopped == f"the budget store at {WHERE} does not answer (Connection refused)"
    with pytest.raises(StoreGoneError):
        store.standings()
    assert caplog.messages == [
        (
            f"the budget store at {WHERE} does not answer: Connection refused. "
            "Until it does, calls under a budget are refused"
        )
    ]


class FinalError(StoreGoneError):
    is_final = True


class Picky(Server):
    """Refuses whatever is about one run."""

    def reserve(self, hold: Hold, lease_seconds: float) -> Decision | None:
        self.looks_at(hold.claims)
        return super().reserve(hold, lease_seconds)

    def book(self, bookings: Sequence[Booking]) -> Sequence[Sequence[Standing]]:
        for booking in bookings:
            self.looks_at(booking.claims)
        return super().book(bookings)

    def looks_at(self, claims: Sequence[Claim]) -> None:
        if any(each.key.id == "odd" for each in claims):
            raise FinalError("no such id")


def test_what_the_server_refuses_holds_up_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    store = SharedStore(Picky(), Limit.of_usd("1"))
    odd = claim("0.1", Budget("run", "odd", Limit.of_usd("1")))
    stopped = refused(store.reserve((odd,)))
    assert stopped.verdict is Verdict.STOPPED
    assert "refuses it: no such id" in str(stopped.standing.stopped)
    hold = held(store.reserve((claim("0.1"),)))  # not by the allowance: the server is there
    store.charge((odd,), usd("0.2"))
    store.settle(hold, usd("0.3"))
    assert spent(store) == Decimal("0.3")
    assert [record.message for record in caplog.records] == [
        f"the budget store at {WHERE} does not book a call: no such id"
    ]


def test_a_budget_that_only_warns_lets_calls_pass_while_the_server_is_gone() -> None:
    store = SharedStore(server := Server(), None)
    server.gone = "Connection refused"
    held(store.reserve((claim("0.1", passes=True),)))


def test_what_is_spent_of_the_allowance_is_charged_when_the_server_is_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    at_once(monkeypatch)
    store = SharedStore(server := Server(), Limit.of_usd("0.5"))
    before = held(store.reserve((claim("0.2"),)))
    server.gone = "Connection refused"
    first, other = (held(store.reserve((claim("0.2"), claim(70, TOKENS)))) for _ in range(2))
    assert "is less" in (refused(store.reserve((claim("0.2"),))).standing.stopped or "")
    assert "nobody can hold this call" in (refused(store.reserve((claim(5, TOKENS),))).standing.stopped or "")
    store.settle(before, usd("0.05"))
    store.release(other)
    store.settle(first, usd("0.25"))
    last = held(store.reserve((claim("0.25"),)))  # 0.25 spent of the 0.50, and nothing is held
    refused(store.reserve((claim("0.000001"),)))
    server.gone = ""
    assert store.flush(10)
    assert spent_of(server, RUN.key()) == Decimal("0.30")
    store.settle(last, usd("0.25"))
    assert store.flush(10)
    assert spent_of(server, RUN.key()) == Decimal("0.55")
    assert "charge" in {each.kind for each in server.booked}
    assert caplog.messages[-1] == f"the budget store at {WHERE} answers again"
    server.gone = "Connection refused"  # and each time has the whole allowance
    held(store.reserve((claim("0.5"),)))


def spent_of(server: Server, key: Key) -> Decimal | int:
    return next(each.spent for each in server.standings() if each.key == key)


def test_an_allowance_is_no_way_around_a_limit_that_is_less_than_the_call() -> None:
    server = Server()
    server.gone = "Connection refused"
    store = SharedStore(server, Limit.of_usd("5"))
    small, flawed = Budget("run", "r2", Limit.of_usd("0.05")), Budget("run", "r3", Limit(Decimal(0), flaw="forged"))
    stopped = refused(store.reserve((claim("0.1"), claim("0.1", small))))
    assert stopped.claim.budget == small
    assert "beyond the whole limit" in str(stopped.standing.stopped)
    assert refused(store.reserve((claim("0", flawed, passes=True),))).claim.budget == flawed
    held(store.reserve((claim("0.05", small),)))


def test_an_allowance_in_tokens_holds_tokens() -> None:
    outage = Outage(WHERE, Limit.of_tokens(100))
    outage.begins("gone")
    hold = held(outage.reserve((claim("0.2"), claim(70, TOKENS))))
    reason = refused(outage.reserve((claim("0.2"), claim(40, TOKENS)))).standing.stopped or ""
    assert "100 tokens that may be spent meanwhile is less" in reason
    assert outage.settle(hold, Spend(Decimal("0.2"), 60))
    assert not outage.settle(hold, None)
    held(outage.reserve((claim(40, TOKENS),)))


def test_in_a_forked_child_nothing_of_the_parent_is_held() -> None:
    store = SharedStore(server := Server(), Limit.of_usd("0.5"))
    server.gone = "Connection refused"
    held(store.reserve((claim("0.5"),)))
    store.forked()
    assert server.forks == 1
    held(store.reserve((claim("0.5"),)))


# --- what waits to be sent -----------------------------------------------------------------------------------------
class Gate:
    """Where things are sent to; shut, it takes none."""

    def __init__(self) -> None:
        self.came: list[int] = []
        self.open, self.tries = True, threading.Semaphore(0)
        self.fails: Exception | None = None

    def take(self, items: Sequence[int]) -> None:
        self.tries.release()
        if not self.open:
            raise StoreGoneError("shut")
        if self.fails is not None:
            error, self.fails = self.fails, None
            raise error
        self.came += items


def test_things_go_in_their_order_and_again_until_they_are_taken() -> None:
    gate = Gate()
    outbox: Outbox[int] = Outbox(gate.take, 0.001)
    assert outbox.flush(10)
    gate.open = False
    outbox.put(1)
    assert not outbox.flush(10)
    for number in range(2, 500):
        outbox.put(number)
    for _ in range(3):
        assert gate.tries.acquire(timeout=10)
    gate.open = True
    assert outbox.flush(10)
    assert gate.came == list(range(1, 500))


def test_whoever_waits_for_what_was_put_has_it_tried_at_once() -> None:
    gate = Gate()
    gate.open = False
    outbox: Outbox[int] = Outbox(gate.take, 600)
    outbox.put(1)
    assert gate.tries.acquire(timeout=10)
    assert not outbox.flush(10)
    gate.open = True
    assert outbox.flush(10)
    assert gate.came == [1]


def test_what_cannot_be_sent_for_another_reason_holds_up_nothing() -> None:
    gate = Gate()
    gate.fails = ValueError("such a booking cannot be")
    outbox: Outbox[int] = Outbox(gate.take, 600)
    outbox.put(1)
    assert outbox.flush(10)
    outbox.put(2)
    assert outbox.flush(10)
    assert gate.came == [2]
    assert safety.failures() == {"booking what calls have spent": 1}


def test_the_oldest_is_given_up_where_too_much_waits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outboxes, "_MOST_WAITING", 3)
    gate = Gate()
    gate.open = False
    outbox: Outbox[int] = Outbox(gate.take, 600)
    outbox.put(1)
    assert not outbox.flush(10)
    for number in range(2, 6):
        outbox.put(number)
    gate.open = True
    outbox.flush(10)
    assert 1 not in gate.came
    assert gate.came[-1] == 5
    assert "given up: the budget store has not answered for too long" in caplog.text


def test_where_no_thread_can_be_started_nothing_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", cannot)
    outbox: Outbox[int] = Outbox(Gate().take, 600)
    outbox.put(1)
    assert not outbox.flush(600)
    assert not outbox.flush(600)


def test_a_thread_that_is_busy_is_not_waited_for_longer_than_asked() -> None:
    goes_on = threading.Event()
    outbox: Outbox[int] = Outbox(lambda _: bool(goes_on.wait(10)), 600)
    outbox.put(1)
    assert not outbox.flush(0)
    goes_on.set()
    assert outbox.flush(10)


def test_a_put_that_garbage_collection_makes_amid_a_put_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    outbox: Outbox[int] = Outbox(gate.take, 600)

    class Stream:
        def __init__(self, ends: Callable[[], None]) -> None:
            self.itself, self.ends = self, ends

        def __del__(self) -> None:
            self.ends()

    start = threading.Thread.start

    def collects_first(thread: threading.Thread) -> None:
        Stream(lambda: outbox.put(2))
        gc.collect()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", collects_first)
    outbox.put(1)
    assert outbox.flush(10)
    assert sorted(gate.came) == [1, 2]


def test_a_stop_is_lifted_and_a_lost_call_put_right() -> None:
    tree = Tree()
    assert tree.reserve((claim("0.4"), claim(40, TOKENS))) is None
    tree.settle((claim("0.4"), claim(40, TOKENS)), Spend(None, None))
    found = tree.correct((claim("0.4"), claim(40, TOKENS)), Spend(Decimal("0.1"), 10))
    assert [(each.spent, each.held, each.calls) for each in found] == [(Decimal("0.1"), 0, 1), (10, 0, 1)]


def test_a_real_fork_sends_nothing_of_the_parent() -> None:
    store = SharedStore(server := Server(), None)
    server.gone = "Connection refused"
    store.charge((claim(0),), usd("1"))
    safety.after_fork_in_child(store.forked)
    child = os.fork()
    if child == 0:  # pragma: no cover - the child exits before it could say so
        server.gone = ""
        flushed = store.flush(10)
        os._exit(0 if flushed and not server.booked else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
