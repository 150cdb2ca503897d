"""The accounts that processes share, on a ledger in a file, with a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from exporter_building import NOON, call, parcel, unknown

from otel_cost.budgets.limit import Limit
from otel_cost.budgets.rule import Budget, Key, Policy
from otel_cost.budgets.tree import Claim, Spend, Standing, Verdict
from otel_cost.budgets.window import Window
from otel_cost_exporter.answers.reader import Reader
from otel_cost_exporter.budgets import accounts as module
from otel_cost_exporter.budgets.accounts import Accounts, Status
from otel_cost_exporter.budgets.written import Written
from otel_cost_exporter.errors import LedgerDownError
from otel_cost_exporter.writing.ledger import Ledger

RUN = Budget("run", "r1", Limit.of_usd("1"))
TOKENS = Budget("run", "r1", Limit.of_tokens(5000))
DAY = Budget("project", "p", Limit.of_usd("1"), Window.of("day", "Europe/Berlin"))
START = NOON / 1e9


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


Begin = Callable[[], contextmanager]


@pytest.fixture
def begin(tmp_path: Path, clock: Clock) -> Begin:
    """Start a service's accounts, as often as one likes, on the same file."""

    @contextmanager
    def running() -> Iterator[Accounts]:
        with (
            Ledger(tmp_path / "books.duckdb") as ledger,
            closing(Accounts(Written(ledger.database, Reader(ledger.database)), clock)) as accounts,
        ):
            accounts.ledger = ledger  # type: ignore[attr-defined]
            yield accounts

    return running


@pytest.fixture
def accounts(begin: Begin) -> Iterator[Accounts]:
    with begin() as running:
        yield running


def claim(amount: str | int | None, budget: Budget = RUN) -> Claim:
    exact = Decimal(amount) if isinstance(amount, str) else amount
    at = datetime.fromtimestamp(START, UTC)
    return Claim(budget, budget.key()._replace(period=budget.window.period(at)), exact)


def usd(amount: str) -> Spend:
    return Spend(Decimal(amount), 0)


def status(accounts: Accounts, budget: Budget = RUN) -> Status:
    wanted = claim(0, budget).key
    (found,) = (each for each in accounts.statuses() if each.standing.key == wanted)
    return found


def stands(accounts: Accounts, budget: Budget = RUN) -> tuple[object, object, int]:
    standing = status(accounts, budget).standing
    return standing.spent, standing.held, standing.calls


def fill(accounts: Accounts, *spans: object) -> None:
    accounts.ledger.add(parcel(*spans)).result(10)  # type: ignore[arg-type, attr-defined]


def test_a_hold_is_held_once_and_settled_once_however_often_it_is_sent(accounts: Accounts) -> None:
    for _ in range(2):
        assert accounts.reserve("h1", [claim("0.6"), claim(600, TOKENS)], 60) is None
    assert stands(accounts) == (0, Decimal("0.6"), 0)
    for times in range(2):
        standings = accounts.settle("h1", [claim("0.6"), claim(600, TOKENS)], Spend(Decimal("0.25"), 300))
        assert [each.spent for each in standings] == ([] if times else [Decimal("0.25"), 300])
    assert (stands(accounts), stands(accounts, TOKENS)) == ((Decimal("0.25"), 0, 1), (300, 0, 1))
    assert accounts.reserve("h1", [claim("0.6")], 60) is None  # sent before it was settled, and late
    assert stands(accounts) == (Decimal("0.25"), 0, 1)


def test_what_does_not_fit_is_held_nowhere(accounts: Accounts) -> None:
    assert accounts.reserve("h1", [claim("0.6"), claim(600, TOKENS)], 60) is None
    decision = accounts.reserve("h2", [claim("0.6"), claim(600, TOKENS)], 60)
    assert decision is not None
    assert (decision.verdict, decision.claim.budget) == (Verdict.BUSY, RUN)
    assert stands(accounts, TOKENS)[1] == 600
    accounts.release("h1")
    accounts.release("h1")
    assert stands(accounts, TOKENS) == (0, 0, 0)
    assert accounts.reserve("h2", [claim("0.6"), claim(600, TOKENS)], 60) is None


def test_a_hold_that_is_given_back_before_it_comes_is_not_held(accounts: Accounts) -> None:
    accounts.release("h1")
    assert accounts.reserve("h1", [claim("0.6")], 60) is None
    assert accounts.statuses() == []


def test_what_a_dead_process_held_is_spent_when_its_lease_ends(accounts: Accounts, clock: Clock) -> None:
    assert accounts.reserve("h1", [claim("0.6"), claim(600, TOKENS)], 60) is None
    clock.now += 59.9
    assert stands(accounts) == (0, Decimal("0.6"), 0)
    clock.now += 0.1
    assert (stands(accounts), stands(accounts, TOKENS)) == ((Decimal("0.6"), 0, 1), (600, 0, 1))
    decision = accounts.reserve("h2", [claim("0.6")], 60)
    assert decision is not None
    assert decision.verdict is Verdict.EXCEEDED


def test_the_end_of_a_lease_is_nothing_to_a_call_that_has_settled(accounts: Accounts, clock: Clock) -> None:
    accounts.reserve("h1", [claim("0.6")], 60)
    accounts.settle("h1", [claim("0.6")], usd("0.25"))
    clock.now += 61
    assert stands(accounts) == (Decimal("0.25"), 0, 1)


@pytest.mark.parametrize("way", ["settle", "release"])
def test_a_call_that_outlives_its_lease_is_put_right_once(accounts: Accounts, clock: Clock, way: str) -> None:
    claims = [claim("0.6"), claim(600, TOKENS)]
    assert accounts.reserve("h1", claims, 60) is None
    clock.now += 61
    for _ in range(2):
        if way == "settle":
            accounts.settle("h1", claims, Spend(Decimal("0.1"), 100))
        else:
            accounts.release("h1")
    usd, tokens, calls = ("0.1", 100, 1) if way == "settle" else ("0", 0, 0)
    assert stands(accounts) == (Decimal(usd), 0, calls)
    assert stands(accounts, TOKENS) == (tokens, 0, calls)


def test_a_call_whose_cost_nobody_knows_has_spent_what_it_held(accounts: Accounts) -> None:
    accounts.reserve("h1", [claim("0.6")], 60)
    accounts.settle("h1", [claim("0.6")], Spend(None, None))
    assert stands(accounts) == (Decimal("0.6"), 0, 1)


def test_after_a_restart_accounts_go_on_from_what_was_spent(begin: Begin) -> None:
    with begin() as first:
        first.reserve("h1", [claim("0.6"), claim(600, TOKENS), claim("0.6", DAY)], 60)
        first.settle("h1", [claim("0.6"), claim(600, TOKENS), claim("0.6", DAY)], Spend(Decimal("0.000000000001"), 7))
        first.reserve("h2", [claim("0.6")], 60)
    with begin() as second:
        assert {
            key: (found.standing.spent, found.standing.limit)
            for found in second.statuses()
            if (key := found.standing.key)
        } == {
            claim(0).key: (Decimal("0.000000000001"), RUN.limit),
            claim(0, TOKENS).key: (7, TOKENS.limit),
            claim(0, DAY).key: (Decimal("0.000000000001"), DAY.limit),
        }
        second.settle("h2", [claim("0.6")], usd("0.5"))  # begun under the service before
        assert stands(second) == (Decimal("0.500000000001"), 0, 2)


def test_an_account_begins_with_what_calls_in_the_books_have_spent(accounts: Accounts) -> None:
    yesterday = NOON - 13 * 3600 * 10**9  # 23:00 UTC: midnight in Berlin
    fill(
        accounts,
        call(
            1,
            otel_cost__run="r1",
            otel_cost__project="p",
            otel_cost__waste__status="estimated",
            otel_cost__waste__amount="0.1",
        ),
        unknown(2, otel_cost__run="r1"),
        call(3, otel_cost__run="r1", otel_cost__project="p", start=yesterday),
        call(4, otel_cost__run="r1", otel_cost__project="p", start=yesterday - 1_000_000_000),
        call(5, otel_cost__run="other", otel_cost__tenant="acme"),
    )
    tenant = Budget("tenant", "acme", Limit.of_usd(1))
    accounts.reserve(
        "h1", [claim(each, budget) for each, budget in (("0", RUN), (0, TOKENS), ("0", DAY), ("0", tenant))], 60
    )
    assert stands(accounts) == (Decimal("0.1135"), 0, 4)  # three calls with a price, and what broke off
    assert stands(accounts, TOKENS) == (4800, 0, 4)
    assert stands(accounts, DAY) == (Decimal("0.109"), 0, 2)
    assert stands(accounts, tenant) == (Decimal("0.0045"), 0, 1)
    before = datetime.fromtimestamp(START - 3600, UTC)
    assert accounts.past(claim(0).key, before).spent == Decimal("0.009")


def test_an_account_that_was_forgotten_goes_on(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_cost.budgets.tree._MOST_ACCOUNTS", 1)
    accounts.settle("c1", [claim("0")], usd("0.5"))
    accounts.settle("c2", [claim("0", TOKENS)], usd("0.5"))
    accounts.settle("c3", [claim("0")], usd("0.25"))
    assert stands(accounts) == (Decimal("0.75"), 0, 2)


def test_ids_of_traces_come_once_and_are_not_written_down(begin: Begin) -> None:
    trace = Budget("request", "trace-1", Limit.of_usd(1))
    with begin() as first:
        first.settle("c1", [claim("0", trace)], usd("0.5"))
        assert stands(first, trace) == (Decimal("0.5"), 0, 1)
    with begin() as second:
        assert second.statuses() == []


def test_people_put_limits_stop_and_resume_and_a_restart_forgets_nothing(begin: Begin, clock: Clock) -> None:
    with begin() as first:
        assert first.reserve("h1", [claim("1.5")], 60) is not None
        first.put_limit(RUN.key(), Limit.of_usd("2"), "ada")
        assert first.reserve("h1", [claim("1.5")], 60) is None
        clock.now += 1
        first.stop("run", "r1", "enough", "grace")
    with begin() as second:
        decision = second.reserve("h2", [claim("0.1")], 60)
        assert decision is not None
        assert (decision.verdict, decision.standing.stopped) == (Verdict.STOPPED, "stopped by grace: enough")
        assert decision.standing.limit == Limit.of_usd("2")
        found = status(second)
        assert found.stop is not None
        assert found.limit_put is not None
        assert (found.stop.given_by, found.limit_put.given_by) == ("grace", "ada")
        clock.now += 1
        second.resume("run", "r1", "grace")
        assert second.reserve("h2", [claim("0.1")], 60) is None
        clock.now += 1
        second.stop("run", "r1", "", "grace")
        decision = second.reserve("h3", [claim(1, TOKENS)], 60)  # in whatever unit
        assert decision is not None
        assert decision.standing.stopped == "stopped by grace"
        clock.now += 1
        second.put_limit(RUN.key(), Limit.of_usd("3"), "ada")
    with begin() as third:
        assert (status(third).stop, status(third).standing.limit) == (None, Limit.of_usd("3"))


def test_what_people_decide_ahead_is_there_when_the_first_call_comes(accounts: Accounts) -> None:
    accounts.stop("run", "r2", "", "ada")
    accounts.put_limit(Key("run", "r3", "tokens"), Limit.of_tokens(5), "ada")
    found = {each.standing.key: each.standing for each in accounts.statuses()}
    assert found == {
        Key("run", "r2", "USD"): Standing(Key("run", "r2", "USD"), Limit.of_usd(0), 0, 0, 0, 0, "stopped by ada"),
        Key("run", "r3", "tokens"): Standing(Key("run", "r3", "tokens"), Limit.of_tokens(5), 0, 0, 0, 0, None),
    }
    assert accounts.asks(Key("run", "r2", "tokens"), paused=False)[1] is not None


def test_a_window_that_is_over_is_no_more_among_the_budgets(accounts: Accounts, clock: Clock) -> None:
    accounts.settle("c1", [claim("0", DAY)], usd("0.5"))
    assert stands(accounts, DAY) == (Decimal("0.5"), 0, 1)
    clock.now += 86_400
    assert accounts.statuses() == []


def test_an_account_is_paused_as_long_as_a_call_waits(accounts: Accounts, clock: Clock) -> None:
    pausing = Budget("run", "r1", Limit.of_usd("1"), policy=Policy(on_exceed="pause", warn_at=(Decimal("0.5"),)))
    decision = accounts.reserve("h1", [claim("1.5", pausing)], 60)
    assert decision is not None
    assert decision.verdict is Verdict.PAUSED
    assert (status(accounts).paused, status(accounts).policy) == (True, pausing.policy)
    clock.now += 6
    assert not status(accounts).paused
    accounts.asks(Key("run", "elsewhere", "USD"), paused=True)
    assert status(accounts, Budget("run", "elsewhere", Limit.of_usd(0))).paused


def test_what_cannot_be_written_is_tried_again(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    accounts.settle("c1", [claim("0")], usd("0.5"))
    with monkeypatch.context() as patch:
        patch.setattr(Written, "write_accounts", cannot)
        accounts._write_changed()
    assert "budgets cannot be written: No space left. It is tried again every second" in caplog.text
    accounts._write_changed()
    assert accounts._written.accounts()[0].spent == Decimal("0.5")
    accounts._changed.clear()
    accounts._write_changed()
    accounts.settle("c2", [claim("0")], usd("0.5"))


def cannot(*_: object) -> None:
    raise LedgerDownError("budgets cannot be written: No space left")


def test_a_file_that_takes_no_writes_is_said(tmp_path: Path) -> None:
    path = tmp_path / "books.duckdb"
    Ledger(path).close()
    with duckdb.connect(path, read_only=True) as connection:
        written = Written(connection, Reader(connection))
        with (
            closing(Accounts(written)) as accounts,
            pytest.raises(LedgerDownError, match="budgets cannot be written: "),
        ):
            accounts.stop("run", "r1", "", "ada")


def test_what_changes_while_it_is_written_is_written_again(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Written.write_accounts
    accounts._closing.set()
    accounts._writer.join()
    accounts.settle("c1", [claim("0")], usd("0.5"))

    def amid(*arguments: object) -> None:
        monkeypatch.setattr(Written, "write_accounts", write)
        accounts.settle("c2", [claim("0")], usd("0.25"))
        write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Written, "write_accounts", amid)
    accounts._write_changed()
    assert accounts._written.accounts()[0].spent == Decimal("0.5")
    accounts._write_changed()
    assert accounts._written.accounts()[0].spent == Decimal("0.75")


def test_what_is_remembered_is_bounded(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_ENDED", 2)
    monkeypatch.setattr(module, "_MOST_POLICIES", 2)
    for number in range(4):
        budget = Budget("run", f"r{number}", Limit.of_usd(1))
        accounts.reserve(f"h{number}", [claim("0.1", budget)], 60)
        accounts.release(f"h{number}")
    assert list(accounts._ended) == ["h2", "h3"]
    assert [key.id for key in accounts._policies] == ["r2", "r3"]


def test_accounts_are_written_down_as_they_change(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WRITE_EVERY_SECONDS", 0.001)
    with begin() as running:
        running.settle("c1", [claim("0")], usd("0.5"))
        while running._changed:
            pass
        assert running._written.accounts()[0].spent == Decimal("0.5")
