"""Budgets that processes share in a real Redis: its decisions are the tree's own, exact, once each, whatever breaks."""

import multiprocessing
import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from otel_cost.budgets import Budget, Claim, Hold, Limit, Policy, Spend, Verdict
from otel_cost.budgets.memory import MemoryStore
from otel_cost.budgets.outage import StoreGoneError
from otel_cost.budgets.redis import RedisServer
from otel_cost.budgets.shared import Booking, SharedStore
from otel_cost.budgets.tree import Decision, Standing

from .redis_server import RedisProcess

RUN = Budget("run", "r1", Limit.of_usd("1"))
LEASE = 600.0


@pytest.fixture(scope="module")
def process(need_program: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    found = RedisProcess(need_program("redis-server"), tmp_path_factory.mktemp("redis"))
    yield found
    found.kill()


@pytest.fixture
def server(process: RedisProcess) -> RedisServer:
    process.client().flushall()
    return RedisServer(process.url)


def claim(amount: str | int | None, budget: Budget = RUN, own: str = "0", *, passes: bool = False) -> Claim:
    exact = Decimal(amount) if isinstance(amount, str) else amount
    return Claim(budget, budget.key(), exact, Decimal(own), passes)


def held(server: RedisServer, name: str, *claims: Claim, lease: float = LEASE) -> Hold:
    hold = Hold(claims, name)
    assert server.reserve(hold, lease) is None
    return hold


def book(server: RedisServer, kind: Any, hold: Hold, spend: Spend | None = None) -> list[Standing]:
    (standings,) = server.book([Booking(kind, hold.id, hold.claims, spend)])
    return list(standings)


def usd(amount: str) -> Spend:
    return Spend(Decimal(amount), 0)


# --- decisions -----------------------------------------------------------------------------------------------------
BUDGETS = (
    Budget("project", "atlas", Limit.of_usd("2.500000000001"), policy=Policy(warn_at=(Decimal("0.5"), Decimal(1)))),
    RUN,
    Budget("run", "r1", Limit.of_tokens(100)),
    Budget("run", "ü:\"'", Limit.of_usd("0.70"), policy=Policy(on_exceed="pause")),
    Budget("stage", "draft", Limit.of_usd("0.9"), policy=Policy(on_exceed="downgrade", warn_at=(Decimal("0.8"),))),
    Budget("role", "critic", Limit.of_usd("1.3"), policy=Policy(sizing="safety_factor")),
    Budget("task", "t", Limit(Decimal(0), flaw="no number")),
)


@pytest.mark.parametrize("seed", range(12))
def test_its_answers_are_those_of_the_tree(server: RedisServer, seed: int) -> None:
    """The same steps to both: the same decisions, the same accounts."""
    drawn = random.Random(seed)  # noqa: S311 - a sequence of steps, no secret
    memory = MemoryStore()
    holds: list[tuple[Hold, Hold]] = []
    for number in range(120):
        step = drawn.choice(
            ["reserve", "reserve", "reserve", "settle", "release", "charge", "put_limit", "stop", "resume"]
        )
        budgets = drawn.sample(BUDGETS[:-1] if number % 10 else BUDGETS, drawn.randint(1, 4))
        amount = Decimal(drawn.randint(0, 400_000_000_000)) / 10**12
        claims = tuple(
            Claim(
                budget,
                budget.key(),
                None if drawn.random() < 0.02 else drawn.randint(0, 40) if budget.limit.in_tokens else amount,
                drawn.choice([0, 5]) if budget.limit.in_tokens else Decimal(drawn.choice(["0", "0.2"])),
                drawn.random() < 0.05,
            )
            for budget in budgets
        )
        usd, tokens = drawn.choice([None, amount * drawn.randint(0, 2)]), drawn.choice([None, drawn.randint(0, 50)])
        spend = Spend(usd, tokens, calls=drawn.randint(0, 1))
        key = drawn.choice(BUDGETS).key()
        if step == "reserve":
            there, here = Hold(claims, str(number)), memory.reserve(claims)
            why = server.reserve(there, LEASE)
            assert (why or there) == (here if isinstance(here, Decision) else there)
            if isinstance(here, Hold):
                holds.append((there, here))
        elif step in ("settle", "release") and holds:
            there, here = holds.pop(drawn.randrange(len(holds)))
            if step == "settle":
                assert book(server, "settle", there, spend) == memory.settle(here, spend)
            else:
                book(server, "release", there)
                memory.release(here)
        elif step == "charge":
            assert book(server, "charge", Hold(claims, f"c{number}"), spend) == memory.charge(claims, spend)
        elif step == "put_limit":
            limit = Limit.of_tokens(drawn.randint(0, 200)) if key.unit == "tokens" else Limit.of_usd(amount * 10)
            server.put_limit(key, limit)
            memory.put_limit(key, limit)
        elif step == "stop" and drawn.random() < 0.2:
            server.stop(key, "stopped by ann")
            memory.stop(key, "stopped by ann")
        elif step == "resume":
            server.resume(key)
            memory.resume(key)
    there_all = {each.key: each for each in server.standings() if each.key.dimension != "task"}
    assert there_all == {each.key: each for each in memory.standings() if each.key.dimension != "task"}


def test_money_is_exact_to_the_last_digit_however_much_it_is(server: RedisServer) -> None:
    rich = Budget("project", "rich", Limit.of_usd("900000000.000000000003"))
    book(server, "settle", held(server, "1", claim("900000000", rich)), usd("899999999.999999999999"))
    hold = held(server, "2", claim("0.000000000004", rich))
    answer = server.reserve(Hold((claim("0.000000000001", rich),), "3"), LEASE)
    assert answer is not None
    assert answer.verdict is Verdict.BUSY
    (found,) = book(server, "settle", hold, usd("0.000000000003"))
    assert (found.spent, found.held) == (Decimal("900000000.000000000002"), 0)


# --- once each -----------------------------------------------------------------------------------------------------
def test_what_is_sent_twice_counts_once(server: RedisServer) -> None:
    hold = held(server, "1", claim("0.5"))
    assert server.reserve(hold, LEASE) is None
    charge = Hold((claim("0"),), "2")
    for _ in range(2):
        book(server, "settle", hold, usd("0.25"))
        book(server, "charge", charge, usd("0.125"))
    (found,) = server.standings()
    assert (found.spent, found.held, found.under_way, found.calls) == (Decimal("0.375"), 0, 0, 2)


def test_what_was_given_back_before_it_came_is_not_held(server: RedisServer) -> None:
    hold = Hold((claim("0.5"),), "1")
    book(server, "release", hold)
    assert server.reserve(hold, LEASE) is None
    held(server, "2", claim("1"))


def test_the_hold_of_a_dead_process_is_spent_and_put_right_if_it_lives(server: RedisServer) -> None:
    hold = held(server, "1", claim("0.5"), lease=0)
    gone = held(server, "2", claim("0.25"), lease=0)
    held(server, "3", claim("0.25"))
    (found,) = server.standings()
    assert (found.spent, found.held, found.under_way, found.calls) == (Decimal("0.75"), Decimal("0.25"), 1, 2)
    (found,) = book(server, "settle", hold, usd("0.125"))
    assert (found.spent, found.held, found.calls) == (Decimal("0.375"), Decimal("0.25"), 2)
    book(server, "release", gone)
    (found,) = server.standings()
    assert (found.spent, found.held, found.calls) == (Decimal("0.125"), Decimal("0.25"), 1)


def test_how_some_accounts_stand(server: RedisServer) -> None:
    other = Budget("run", "r2", Limit.of_usd("1"))
    held(server, "1", claim("0.5"), claim("0.5", other))
    missing = other.key()._replace(id="r3")
    assert [each.key for each in server.standings([missing, other.key()])] == [other.key()]


def test_one_round_trip_reserves_and_one_settles(process: RedisProcess, server: RedisServer) -> None:
    nested = tuple(claim("0.1", Budget(name, "x", Limit.of_usd(1))) for name in ("project", "run", "stage", "role"))
    held(server, "warm", *nested)  # the script is there now
    process.client().config_resetstat()
    hold = held(server, "1", *nested)
    book(server, "settle", hold, usd("0.1"))
    asked = process.client().info("commandstats")
    assert asked["cmdstat_evalsha"]["calls"] == 2
    assert not {"cmdstat_eval", "cmdstat_script|load", "cmdstat_multi", "cmdstat_watch"} & asked.keys()


# --- processes -----------------------------------------------------------------------------------------------------
def spend_what_fits(url: str, calls: int) -> int:
    store = SharedStore(RedisServer(url), None)
    sent = 0
    for _ in range(calls):
        answer = store.reserve((claim("0.1"),))
        if isinstance(answer, Hold):
            sent += 1
            store.settle(answer, usd("0.1"))
    assert store.flush(30)
    return sent


def test_processes_together_never_pass_the_limit(process: RedisProcess, server: RedisServer) -> None:
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("fork")) as pool:
        sent = list(pool.map(spend_what_fits, [process.url] * 4, [25] * 4))
    assert sum(sent) == 10
    (found,) = server.standings()
    assert (found.spent, found.held, found.under_way) == (Decimal(1), 0, 0)


def test_a_forked_child_has_connections_of_its_own(server: RedisServer) -> None:
    store = SharedStore(server, None)
    hold = store.reserve((claim("0.5"),))
    assert isinstance(hold, Hold)
    child = os.fork()
    if child == 0:  # pragma: no cover - the child exits before it could say so
        store.forked()
        answer = store.reserve((claim("0.25"),))
        if isinstance(answer, Hold):
            store.settle(answer, usd("0.25"))
        os._exit(0 if isinstance(answer, Hold) and store.flush(30) else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    store.settle(hold, usd("0.5"))
    (found,) = store.standings()
    assert (found.spent, found.held) == (Decimal("0.75"), 0)


# --- when it is gone -----------------------------------------------------------------------------------------------
@pytest.fixture
def mortal(need_program: Callable[..., Path], tmp_path: Path) -> Iterator[RedisProcess]:
    found = RedisProcess(need_program("redis-server"), tmp_path)
    yield found
    found.kill()


def test_killed_and_started_again_it_goes_on_where_it_was(mortal: RedisProcess) -> None:
    store = SharedStore(RedisServer(mortal.url), None)
    hold = store.reserve((claim("0.6"),))
    assert isinstance(hold, Hold)
    mortal.kill()
    store.settle(hold, usd("0.5"))  # nobody waits
    refused = store.reserve((claim("0.1"),))
    assert isinstance(refused, Decision)
    assert refused.verdict is Verdict.STOPPED
    assert "does not answer" in (refused.standing.stopped or "")
    assert ".)" not in (refused.standing.stopped or "")  # what Redis says is part of a sentence
    with pytest.raises(StoreGoneError):
        store.put_limit(RUN.key(), RUN.limit)
    mortal.start()
    while not store.flush(1):
        pass
    (found,) = store.standings()
    assert (found.spent, found.held, found.under_way) == (Decimal("0.5"), 0, 0)


def test_meanwhile_a_stated_allowance_may_be_spent(mortal: RedisProcess) -> None:
    store = SharedStore(RedisServer(mortal.url), Limit.of_usd("0.2"))
    mortal.kill()
    hold = store.reserve((claim("0.15"),))
    assert isinstance(hold, Hold)
    assert isinstance(store.reserve((claim("0.1"),)), Decision)
    store.settle(hold, usd("0.15"))
    mortal.start()
    while not store.flush(1):
        pass
    (found,) = store.standings()
    assert (found.spent, found.held) == (Decimal("0.15"), 0)


def test_a_call_whose_hold_redis_has_lost_is_charged_once(server: RedisServer, process: RedisProcess) -> None:
    hold = held(server, "h1", claim("0.5"))
    process.client().flushall()
    for _ in range(2):
        (standing,) = book(server, "settle", hold, usd("0.3"))
        assert (standing.spent, standing.held, standing.under_way, standing.calls) == (Decimal("0.3"), 0, 0, 1)
