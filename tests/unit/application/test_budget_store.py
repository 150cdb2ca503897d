"""What the tree of accounts decides, and the store of one process that owns one."""

import asyncio
import os
import threading
from decimal import Decimal

import pytest

from otel_cost.budgets import Budget, Claim, Hold, Limit, Policy, Spend, Verdict, tree
from otel_cost.budgets.chosen import MEMORY
from otel_cost.budgets.memory import MemoryStore
from otel_cost.budgets.rule import Key
from otel_cost.budgets.tree import Decision, Standing
from otel_cost.budgets.window import Window

RUN = Budget("run", "r1", Limit.of_usd("1"))
TOKENS = Budget("run", "r1", Limit.of_tokens(100))


def claim(amount: str | int | None, budget: Budget = RUN, *, own: str = "0", passes: bool = False) -> Claim:
    exact = Decimal(amount) if isinstance(amount, str) else amount
    return Claim(budget, budget.key(), exact, Decimal(own), passes, None if amount is not None else "no price is known")


def held(store: MemoryStore, *claims: Claim) -> Hold:
    answer = store.reserve(claims)
    assert isinstance(answer, Hold), answer
    return answer


def refused(store: MemoryStore, *claims: Claim) -> Decision:
    answer = store.reserve(claims)
    assert isinstance(answer, Decision), answer
    return answer


def standing(store: MemoryStore, key: Key = RUN.key()) -> Standing:  # noqa: B008 - a constant
    (found,) = (each for each in store.standings() if each.key == key)
    return found


def usd(amount: str) -> Spend:
    return Spend(Decimal(amount), 0)


# --- one budget ----------------------------------------------------------------------------------------------------
def test_what_fits_to_the_last_digit_is_held_and_what_does_not_is_exceeded() -> None:
    store = MemoryStore()
    store.settle(held(store, claim("0.6")), usd("0.7"))
    answer = refused(store, claim("0.300000000001"))
    assert (answer.verdict, answer.claim.budget) == (Verdict.EXCEEDED, RUN)
    assert (answer.standing.limit, answer.standing.spent, answer.standing.held) == (RUN.limit, Decimal("0.7"), 0)
    held(store, claim("0.3"))


def test_what_does_not_fit_beside_calls_under_way_is_busy_until_they_turn_out_cheaper() -> None:
    store = MemoryStore()
    first = held(store, claim("0.6"))
    assert refused(store, claim("0.5")).verdict is Verdict.BUSY
    store.settle(first, usd("0.1"))
    held(store, claim("0.5"))


def test_what_cannot_get_cheaper_while_a_call_waits_is_not_waited_for() -> None:
    store = MemoryStore()
    held(store, claim("0.6"))
    assert refused(store, claim("0.5", own="0.6")).verdict is Verdict.EXCEEDED
    held(store, claim("0.1"))
    assert refused(store, claim("0.4", own="0.6")).verdict is Verdict.BUSY  # for the other one may be cheaper
    assert refused(store, claim("0.400000000001", own="0.6")).verdict is Verdict.EXCEEDED


@pytest.mark.parametrize(
    ("policy", "verdict"),
    [
        (Policy(), Verdict.EXCEEDED),
        (Policy(on_exceed="pause"), Verdict.PAUSED),
        (Policy(on_exceed="downgrade"), Verdict.DOWNGRADED),
    ],
)
def test_the_policy_says_what_becomes_of_a_call_that_never_fits(policy: Policy, verdict: Verdict) -> None:
    budget = Budget("run", "r1", Limit.of_usd("1"), policy=policy)
    assert refused(MemoryStore(), claim("1.1", budget)).verdict is verdict


def test_a_call_that_passes_is_held_whatever_the_account_says() -> None:
    store = MemoryStore()
    store.settle(held(store, claim("5", passes=True)), usd("6"))
    store.release(held(store, claim(None, passes=True)))
    assert (standing(store).spent, standing(store).held, standing(store).calls) == (6, 0, 1)


def test_so_many_times_what_is_spent_and_held_must_stay_below_the_limit() -> None:
    store = MemoryStore()
    budget = Budget("run", "r1", Limit.of_usd("1"), policy=Policy(sizing="safety_factor"))
    first = held(store, claim("0.7", budget))
    second = held(store, claim("9", budget))  # 1.3 x 0.7 = 0.91, which is below 1
    assert refused(store, claim("0.01", budget)).verdict is Verdict.BUSY
    assert refused(store, claim("0.01", budget, own="9")).verdict is Verdict.EXCEEDED
    store.settle(first, usd("0.7"))
    store.settle(second, usd("0.07"))  # 1.3 x 0.77 = 1.001
    assert refused(store, claim("0.01", budget)).verdict is Verdict.EXCEEDED


def test_what_nobody_can_tell_is_unknown() -> None:
    answer = refused(MemoryStore(), claim(None))
    assert (answer.verdict, answer.claim.reason) == (Verdict.UNKNOWN, "no price is known")


# --- several budgets -----------------------------------------------------------------------------------------------
def test_all_budgets_hold_a_call_or_none() -> None:
    store = MemoryStore()
    stage = Budget("stage", "draft", Limit.of_usd("0.2"))
    answer = refused(store, claim("0.5"), claim("0.5", stage))
    assert (answer.verdict, answer.claim.budget) == (Verdict.EXCEEDED, stage)
    assert (standing(store).held, standing(store).under_way) == (0, 0)
    store.settle(held(store, claim("0.1"), claim("0.1", stage)), usd("0.15"))
    assert standing(store).spent == standing(store, stage.key()).spent == Decimal("0.15")


def test_the_worst_of_their_answers_counts() -> None:
    store = MemoryStore()
    held(store, claim("0.6"))
    pausing = Budget("stage", "draft", Limit.of_usd("0.2"), policy=Policy(on_exceed="pause"))
    raising = Budget("project", "p", Limit.of_usd("0.3"))
    assert refused(store, claim("0.5"), claim("0.5", pausing)).verdict is Verdict.PAUSED
    assert refused(store, claim("0.5", pausing), claim("0.5", raising)).claim.budget is raising


def test_tokens_and_dollars_are_accounts_of_their_own() -> None:
    store = MemoryStore()
    store.settle(held(store, claim("0.5"), claim(60, TOKENS)), Spend(Decimal("0.25"), 70))
    assert (standing(store).spent, standing(store, TOKENS.key()).spent) == (Decimal("0.25"), 70)
    answer = refused(store, claim("0.5"), claim(31, TOKENS))
    assert (answer.claim.budget, answer.standing.spent) == (TOKENS, 70)


def test_each_period_of_a_window_is_an_account_of_its_own() -> None:
    store = MemoryStore()
    daily = Budget("run", "r1", Limit.of_usd("1"), Window("day", "Europe/Berlin"))
    late = claim("0.8", daily)._replace(key=daily.key()._replace(period="day 2026-11-22T00:00:00+01:00"))
    under_way = held(store, late)
    held(store, claim("0.8", daily))
    assert refused(store, claim("0.3", daily)).verdict is Verdict.BUSY
    store.settle(under_way, usd("0.1"))  # to the day on which it left
    assert refused(store, claim("0.3", daily)).verdict is Verdict.BUSY
    assert standing(store, late.key).spent == Decimal("0.1")


# --- what a call has spent -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("budget", "spend", "spent"),
    [
        (RUN, Spend(Decimal("0.2"), 70), Decimal("0.2")),
        (RUN, Spend(None, 70), Decimal("0.5")),  # what was held for it: the provider may charge for it
        (RUN, Spend(None, None), Decimal("0.5")),
        (TOKENS, Spend(None, 70), 70),
        (TOKENS, Spend(Decimal("0.2"), None), 50),
        # 70 tokens at 3 USD per million
        (Budget("run", "r1", RUN.limit, policy=Policy(unknown_rate=Decimal(3))), Spend(None, 70), Decimal("0.00021")),
        (Budget("run", "r1", RUN.limit, policy=Policy(unknown_rate=Decimal(3))), Spend(None, None), Decimal("0.5")),
    ],
)
def test_where_nobody_knows_what_a_call_spent_it_is_what_was_held(
    budget: Budget, spend: Spend, spent: Decimal | int
) -> None:
    store = MemoryStore()
    (found,) = store.settle(held(store, claim(50 if budget.limit.in_tokens else "0.5", budget)), spend)
    assert (found.spent, found.held, found.under_way, found.calls) == (spent, 0, 0, 1)


def test_what_nothing_was_held_for_is_booked_all_the_same() -> None:
    store = MemoryStore()
    store.charge((claim("0"),), usd("3"))
    assert (standing(store).spent, standing(store).held, standing(store).calls) == (3, 0, 1)
    assert store.charge((claim(None),), Spend(None, None))[0].spent == 3


def test_what_ends_no_call_is_not_counted_as_one() -> None:
    store = MemoryStore()
    store.settle(held(store, claim("0.3")), Spend(None, None, calls=0))  # an attempt that broke off; the call goes on
    store.settle(held(store, claim("0.3")), usd("0.2"))
    (found,) = store.charge((claim("0"),), Spend(Decimal("0.5"), 0, calls=0))
    assert (found.spent, found.calls) == (Decimal("1.0"), 1)


def test_what_was_given_back_was_not_spent() -> None:
    store = MemoryStore()
    store.release(held(store, claim("1")))
    assert (standing(store).spent, standing(store).held, standing(store).calls) == (0, 0, 0)
    held(store, claim("1"))


def test_each_share_to_warn_at_is_crossed_once() -> None:
    store = MemoryStore()
    budget = Budget("run", "r1", Limit.of_usd(10), policy=Policy(warn_at=(Decimal("0.5"), Decimal("0.8"), Decimal(1))))
    crossed = [store.charge((claim("0", budget),), usd(amount))[0].crossed for amount in ("4", "1", "0", "5", "1")]
    assert crossed == [(), (Decimal("0.5"),), (), (Decimal("0.8"), Decimal(1)), ()]


def test_a_small_limit_that_somebody_brings_does_not_silence_the_real_one() -> None:
    store = MemoryStore()
    small, real = (
        Budget("run", "r1", Limit.of_usd(limit), policy=Policy(warn_at=(Decimal("0.5"), Decimal(1))))
        for limit in (1, 10)
    )
    assert store.charge((claim("0", small),), usd("2"))[0].crossed == (Decimal("0.5"), Decimal(1))
    assert store.charge((claim("0", real),), usd("2"))[0].crossed == ()
    assert store.charge((claim("0", real),), usd("1"))[0].crossed == (Decimal("0.5"),)
    store.put_limit(real.key(), Limit.of_usd(20))
    assert store.charge((claim("0", real),), usd("4"))[0].crossed == ()
    assert store.charge((claim("0", real),), usd("1"))[0].crossed == (Decimal("0.5"),)


# --- what a person decides -----------------------------------------------------------------------------------------
def test_a_limit_that_a_person_puts_holds_whatever_calls_bring() -> None:
    store = MemoryStore()
    store.settle(held(store, claim("1")), usd("1"))
    store.put_limit(RUN.key(), Limit.of_usd(3))
    assert refused(store, claim("2.1")).standing.limit == Limit.of_usd(3)
    held(store, claim("2"))


def test_one_that_is_stopped_lets_nothing_through_until_a_limit_is_put() -> None:
    store = MemoryStore()
    store.stop(RUN.key(), "stopped by ann")
    answer = refused(store, claim("0.1", passes=True))
    assert (answer.verdict, answer.standing.stopped) == (Verdict.STOPPED, "stopped by ann")
    store.put_limit(RUN.key(), RUN.limit)
    held(store, claim("0.1"))


def test_one_that_cannot_be_read_lets_nothing_through() -> None:
    flawed = Budget("run", "r1", Limit(Decimal(0), flaw="no number"))
    assert refused(MemoryStore(), claim("0", flawed)).verdict is Verdict.STOPPED


def test_an_account_begins_with_what_others_have_spent() -> None:
    store = MemoryStore()
    store.seed(RUN.key(), Decimal("0.75"), 3)
    assert refused(store, claim("0.26")).verdict is Verdict.EXCEEDED
    held(store, claim("0.25"))
    assert (standing(store).spent, standing(store).calls) == (Decimal("0.75"), 3)


def test_how_some_accounts_stand() -> None:
    store = MemoryStore()
    held(store, claim("0.5"), claim(60, TOKENS))
    assert [each.held for each in store.standings([TOKENS.key(), Key("run", "other", "USD")])] == [60]


def test_what_nobody_has_asked_yet_has_no_standing() -> None:
    store = MemoryStore()
    store.stop(RUN.key(), "stopped by ann")
    store.seed(TOKENS.key(), 5, 1)
    assert store.standings() == []


# --- threads, loops, processes -------------------------------------------------------------------------------------
def test_a_hundred_threads_never_pass_the_limit() -> None:
    store, outcomes = MemoryStore(), []

    def call() -> None:
        answer = store.reserve((claim("0.1"),))
        if isinstance(answer, Hold):
            store.settle(answer, usd("0.1"))
        outcomes.append(isinstance(answer, Hold))

    threads = [threading.Thread(target=call) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= outcomes.count(True) <= 10
    assert standing(store).spent == outcomes.count(True) * Decimal("0.1")


def test_the_bell_wakes_threads_and_loops_that_wait() -> None:
    store = MemoryStore()
    hold = held(store, claim("1"))
    ticket = store.bell.ticket()
    woken: list[object] = []
    waiting = threading.Barrier(3)

    def wait() -> None:
        step = store.bell.after(ticket, None)
        waiting.wait()
        woken.append(step.block())

    def loop() -> None:
        async def wait_there() -> None:
            step = store.bell.after(ticket, None)
            waiting.wait()
            woken.append(await step.wait())

        asyncio.run(wait_there())

    threads = [threading.Thread(target=each) for each in (wait, loop)]
    for thread in threads:
        thread.start()
    waiting.wait()
    store.settle(hold, usd("0"))
    for thread in threads:
        thread.join()
    assert woken == [True, True]


def test_who_waits_long_enough_hears_that_nothing_rang() -> None:
    bell = MemoryStore().bell
    assert bell.after(bell.ticket(), 0).block() is False
    assert asyncio.run(bell.after(bell.ticket(), 0).wait()) is False


def test_idle_accounts_are_forgotten_the_oldest_first_and_busy_ones_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "_MOST_ACCOUNTS", 2)
    store = MemoryStore()
    names = ("busy", "idle", "later", "last")
    budgets = {name: Budget("run", name, Limit.of_usd(9)) for name in names}
    held(store, claim("1", budgets["busy"]))
    for name in names[1:]:
        store.charge((claim("0", budgets[name]),), usd("1"))
    kept = [each.key.id for each in store.standings()]
    assert "busy" in kept
    assert "last" in kept
    assert "idle" not in kept
    store.clear()
    assert store.standings() == []


def test_a_forked_child_keeps_what_was_spent_and_drops_what_its_parent_holds() -> None:
    MEMORY.clear()
    MEMORY.settle(held(MEMORY, claim("0.25")), usd("0.25"))
    held(MEMORY, claim("0.5"))
    child = os.fork()
    if child == 0:  # pragma: no cover - the child exits before it could say so
        found = standing(MEMORY)
        os._exit(0 if (found.spent, found.held, found.under_way) == (Decimal("0.25"), 0, 0) else 1)
    _, status = os.waitpid(child, 0)
    MEMORY.clear()
    assert os.waitstatus_to_exitcode(status) == 0


def test_in_a_forked_child_no_lock_is_held() -> None:
    store = MemoryStore()
    held(store, claim("0.5"))
    store.forked()
    held(store, claim("1"))
