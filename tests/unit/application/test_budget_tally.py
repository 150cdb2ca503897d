"""What the calls of this process have spent of each budget, line by line."""

import gc
import os
import threading
from collections.abc import Iterator
from decimal import Decimal

import pytest

from otel_cost import Usage
from otel_cost.budgets import tally
from otel_cost.budgets.line import Line
from otel_cost.budgets.rule import Key
from otel_cost.budgets.tally import PROCESS, Account, Of
from otel_cost.pricing import Cost

RUN, RUN_IN_TOKENS = Key("run", "r1", "USD"), Key("run", "r1", "tokens")
PROJECT = Key("project", "p", "USD", "day 2026-11-23")
KNOWN = Cost(Decimal("0.0105"), "known", "local", "prices/1")


@pytest.fixture(autouse=True)
def _nothing_tallied() -> Iterator[None]:
    tally.clear()
    yield
    tally.clear()


def call(cost: Cost = KNOWN, *keys: Key, model: str = "gpt-5", **dimensions: str) -> None:
    usages = (Usage(input_tokens=100, output_tokens=20), Usage(input_tokens=7, output_tokens=3))
    tally.add_call(keys or (RUN,), dimensions, provider="openai", model=model, usages=usages, cost=cost)


def figures(line: Line) -> tuple[object, ...]:
    return line.calls, line.input_tokens, line.output_tokens, line.cost, line.known, line.estimated, line.unknown


def of(key: Key | Account) -> dict[Of, tuple[object, ...]]:
    account = Account.of(key) if isinstance(key, Key) else key
    return {what: figures(line) for what, line in tally.lines(tally.tally(account))}


def test_a_line_for_each_stage_role_model_and_provider() -> None:
    call(stage="draft", role="writer")
    call(KNOWN.estimated("no price for sound"), stage="draft", role="writer")
    call(Cost.unknown("no price"), stage="draft", role="writer", model="other")
    call()
    assert of(RUN) == {
        Of("draft", "writer", "gpt-5", "openai"): (2, 214, 46, Decimal("0.0210"), 1, 1, 0),
        Of("draft", "writer", "other", "openai"): (1, 107, 23, Decimal(0), 0, 0, 1),
        Of(None, None, "gpt-5", "openai"): (1, 107, 23, Decimal("0.0105"), 1, 0, 0),
    }


def test_limits_in_both_units_share_a_tally_and_periods_do_not() -> None:
    call(KNOWN, RUN, RUN_IN_TOKENS, PROJECT)
    call(KNOWN, PROJECT._replace(period="day 2026-11-24"))
    assert [count for count, *_ in of(RUN).values()] == [1]
    assert of(RUN) == of(RUN_IN_TOKENS) == of(PROJECT)


def test_charges_have_lines_of_their_own() -> None:
    tally.add_charge((RUN,), {"stage": "search"}, "web_search", Decimal(2), Cost(Decimal("0.02"), "known", "local"))
    tally.add_charge((RUN,), {"stage": "search"}, "web_search", Decimal("0.5"), Cost.unknown("no price"))
    ((what, line),) = tally.lines(tally.tally(Account.of(RUN)))
    assert what == Of(stage="search", charge="web_search")
    assert (line.charges, line.units, *figures(line)) == (2, Decimal("2.5"), 0, 0, 0, Decimal("0.02"), 1, 0, 1)


def test_refusals_are_counted_with_the_limit_that_they_met() -> None:
    assert (tally.tally(Account.of(RUN)).refused, tally.tally(Account.of(RUN)).refused_at) == (0, {})
    tally.add_refusal(RUN, Decimal("0.05"))
    tally.watch_process()
    tally.add_refusal(RUN_IN_TOKENS, Decimal(900))
    assert (tally.tally(Account.of(RUN)).refused, tally.tally(Account.of(RUN)).refused_at) == (
        2,
        {"USD": Decimal("0.05"), "tokens": 900},
    )
    before = tally.tally(Account.of(RUN)).refused_at.copy()
    tally.add_refusal(RUN, None)
    assert (tally.tally(Account.of(RUN)).refused, tally.tally(Account.of(RUN)).refused_at) == (3, before)
    assert tally.tally(PROCESS).refused == 2


def test_the_process_has_one_where_somebody_wants_it() -> None:
    tally.add_call((), {}, provider="openai", model="gpt-5", usages=(), cost=KNOWN)
    tally.add_charge((), {}, "gpu", Decimal(1), KNOWN)
    assert of(PROCESS) == {}
    tally.watch_process()
    tally.add_call((), {}, provider="openai", model="gpt-5", usages=(), cost=KNOWN)
    assert of(PROCESS) == {Of(model="gpt-5", provider="openai"): (1, 0, 0, Decimal("0.0105"), 1, 0, 0)}


def test_what_was_read_does_not_change_and_what_is_kept_does() -> None:
    kept = tally.tally(Account.of(RUN))
    call()
    before = tally.lines(kept)
    call()
    assert [line.calls for _, line in before] == [1]
    assert [line.calls for _, line in tally.lines(kept)] == [2]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "_MOST_TALLIES", 2)
    monkeypatch.setattr(tally, "_MOST_LINES", 2)
    for number in range(5):
        call(KNOWN, RUN, model=f"m{number}")
    assert of(RUN) == {
        Of(model="m0", provider="openai"): (1, 107, 23, Decimal("0.0105"), 1, 0, 0),
        Of(model="m1", provider="openai"): (1, 107, 23, Decimal("0.0105"), 1, 0, 0),
        Of(model="other", provider="other"): (3, 321, 69, Decimal("0.0315"), 3, 0, 0),
    }
    others = [RUN._replace(id=f"other-{number}") for number in range(3)]
    held = tally.tally(Account.of(others[0]))
    for key in (RUN, others[1], RUN):
        call(KNOWN, key)
    call(KNOWN, others[2])
    assert tally.accounts() == {Account.of(RUN), Account.of(others[2])}
    assert sum(int(str(count)) for count, *_ in of(RUN).values()) == 7
    assert of(others[1]) == {}
    assert tally.tally(Account.of(others[0])) is held


def test_threads_lose_nothing() -> None:
    threads = [threading.Thread(target=lambda: [call() for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert of(RUN) == {Of(model="gpt-5", provider="openai"): (800, 85600, 18400, Decimal("8.4"), 800, 0, 0)}


def test_a_call_that_ends_in_a_garbage_collection_is_added() -> None:
    class Ends:
        def __del__(self) -> None:
            call()

    with tally._lock:
        ends = Ends()
        ends.itself = ends  # type: ignore[attr-defined]
        del ends
        gc.collect()
    assert [count for count, *_ in of(RUN).values()] == [1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_goes_on_though_the_lock_was_held() -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with tally._lock:
            held.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    child = os.fork()
    if not child:
        call()
        os._exit(0 if [count for count, *_ in of(RUN).values()] == [1] else 1)
    _, status = os.waitpid(child, 0)
    done.set()
    holder.join()
    assert os.waitstatus_to_exitcode(status) == 0
