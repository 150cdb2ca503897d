"""What an application hears of the ledger service about budgets in its memory, and which store it has."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import otel_cost
from otel_cost import safety
from otel_cost.budgets import Budget, Claim, Hold, Limit, Spend, Verdict, chosen, controls, finish, finish_async
from otel_cost.budgets.chosen import MEMORY
from otel_cost.budgets.outage import RefusingStore, StoreGoneError
from otel_cost.budgets.pick import pick
from otel_cost.budgets.rule import PROCESS, Key
from otel_cost.budgets.service import ServiceServer
from otel_cost.budgets.shared import Booking, SharedStore
from otel_cost.budgets.tree import Decision, Standing
from otel_cost.budgets.waiting import Steps
from otel_cost.budgets.window import Window
from otel_cost.live_span import budget_attributes

RUN = Budget("run", "r1", Limit.of_usd("1"))
TOKENS = Budget("run", "r1", Limit.of_tokens(100))
TRACE = Budget("request", "trace-1", Limit.of_usd("1"))
OWN = Budget("run", PROCESS, Limit.of_usd("1"))
NOTHING: dict[str, Any] = {"limit_put": None, "stop": None, "spent": "0", "calls": 0}


class Heard:
    """A service, as far as these tests go: `answers` by unit, what was `asked`, and a status."""

    def __init__(self) -> None:
        self.url, self.status, self.no_service = "", 200, False
        self.asked: list[list[dict[str, Any]]] = []
        self.answers: dict[str, dict[str, Any]] = {"USD": dict(NOTHING), "tokens": dict(NOTHING)}

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(body["accounts"])
        if self.no_service:
            return {}
        return {"accounts": [self.answers[each["unit"]] for each in body["accounts"]], "detail": "not now"}


@contextmanager
def serving(heard: Heard) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # which keeps connections

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(heard.answer(body)).encode()
            self.send_response(heard.status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        heard.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield
        server.shutdown()
        thread.join(10)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    monkeypatch.delenv("OTEL_COST_BUDGET_STORE", raising=False)
    MEMORY.clear()
    with serving(heard := Heard()):
        monkeypatch.setenv("OTEL_COST_URL", heard.url)
        yield heard
        if controls._service is not None:
            controls._service.close()
    MEMORY.clear()


def before(*budgets: Budget) -> bool:
    """Whether a call had to wait for the service."""
    job = controls.before(budgets)
    if job is not None:
        job.block()
    return job is not None


def standing(budget: Budget = RUN) -> Standing:
    (found,) = (each for each in MEMORY.standings() if each.key == budget.key())
    return found


def charge(budget: Budget = RUN, usd: str = "0") -> None:
    MEMORY.charge((Claim(budget, budget.key(), 0),), Spend(Decimal(usd), 0))


def decision(at: str, **what: str) -> dict[str, str]:
    return {"at": at, **what}


def test_an_account_begins_with_what_was_spent_before_and_asks_that_once(heard: Heard) -> None:
    heard.answers["USD"] |= {"spent": "0.7", "calls": 7}
    heard.answers["tokens"] |= {"spent": "70", "calls": 7}
    asked_at = datetime.now(UTC)
    assert before(RUN, TOKENS, TRACE, OWN)
    assert not before(RUN, TOKENS, TRACE, OWN)
    charge(RUN, "0.1")
    charge(TOKENS)
    assert [(each.spent, each.calls) for each in (standing(), standing(TOKENS))] == [(Decimal("0.8"), 8), (70, 8)]
    (asked,) = heard.asked
    assert [(each["unit"], each["paused"]) for each in asked] == [("USD", False), ("tokens", False)]
    assert datetime.fromisoformat(asked[0]["before"]) >= asked_at


def test_before_the_first_call_it_stands_as_it_was_left(
    heard: Heard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    heard.answers["USD"] |= {"spent": "0.7", "calls": 7}
    path = tmp_path / "budgets.toml"
    path.write_text("[[profile]]\nmodels = ['small', 'large']\nshares = [0.5]\n")
    monkeypatch.setenv("OTEL_COST_BUDGETS", str(path))
    with otel_cost.budget("run", "r1", limit_usd=1) as guard:
        assert otel_cost.choose_model() == "small"
        assert (guard.status().spent, guard.status().calls) == (Decimal("0.7"), 7)
        assert [each.remaining for each in otel_cost.status()] == [Decimal("0.3")]
    assert [[each["limit"] for each in asked] for asked in heard.asked] == [["1"]]


def test_calls_that_come_together_ask_together(heard: Heard) -> None:
    heard.answers["USD"] |= {"spent": "0.7", "calls": 7}

    async def calls() -> None:
        await asyncio.gather(*(finish_async(asks()) for _ in range(20)))

    def asks() -> Steps[None]:
        if (job := controls.before([RUN])) is not None:
            yield job

    asyncio.run(calls())
    finish(asks())
    charge()
    assert (standing().spent, len(heard.asked)) == (Decimal("0.7"), 1)


def test_what_this_process_charged_before_it_asked_counts_once(heard: Heard) -> None:
    controls.charged([RUN.key(), TRACE.key(), OWN.key()])
    controls.charged([RUN.key()])
    began = controls._known[RUN.key()].began
    charge(RUN, "0.1")
    heard.answers["USD"] |= {"spent": "0.5", "calls": 5}
    assert began is not None
    assert before(RUN)
    assert heard.asked[0][0]["before"] == began.isoformat()
    assert standing().spent == Decimal("0.6")
    assert not {TRACE.key(), OWN.key()} & controls._known.keys()


def test_what_people_decide_is_heard_every_few_seconds(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "_ASK_EVERY_SECONDS", 0.0)
    before(RUN)
    charge()
    for answer, limit, stopped in (
        ({"limit_put": decision("1", limit="2")}, "2", None),
        ({"stop": decision("2", reason="enough")}, "2", "enough"),
        ({}, "2", "enough"),
        ({"stop": None}, "2", None),
        ({"stop": decision("3", reason="really")}, "2", "really"),
        ({"limit_put": decision("4", limit="3")}, "3", "really"),
        ({"limit_put": decision("5", limit="4"), "stop": None}, "4", None),
    ):
        heard.answers["USD"] |= answer
        assert before(RUN)
        assert (standing().limit, standing().stopped) == (Limit.of_usd(limit), stopped)
    assert "before" not in heard.asked[-1][0]


def test_only_one_call_asks_again(heard: Heard) -> None:
    before(RUN)
    controls._known[RUN.key()].ask_again = 0.0
    assert controls.before([RUN]) is not None
    assert controls.before([RUN]) is None
    assert len(heard.asked) == 1


def test_a_call_that_waits_is_heard_at_once_and_says_that_it_waits(heard: Heard) -> None:
    before(RUN)
    charge()
    ticket = MEMORY.bell.ticket()
    heard.answers["USD"] |= {"limit_put": decision("1", limit="2")}
    controls.refresh([RUN.key()])
    assert standing().limit == Limit.of_usd("2")
    assert heard.asked[-1][0]["paused"] is True
    assert MEMORY.bell.after(ticket, 0).block() is True


def test_where_no_service_answers_an_account_starts_anew_and_stays_so(
    heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    heard.status = 503
    heard.answers["USD"] |= {"spent": "0.7", "calls": 7}
    assert before(RUN)
    assert before(TOKENS)  # which asks nobody
    assert len(heard.asked) == 1
    heard.status, controls._silent_until = 200, 0.0
    controls._known[RUN.key()].ask_again = 0.0
    assert before(RUN)
    charge()
    assert standing().spent == 0
    (said,) = caplog.messages
    assert said == anew(heard.url, "not now")


def anew(url: str, reason: str) -> str:
    return (
        f"the ledger service at {url} does not say what was spent of budgets before: {reason}. In this process they "
        "start anew, as if nothing had been. To be sure, share them: OTEL_COST_BUDGET_STORE=service"
    )


@pytest.mark.usefixtures("heard")
def test_where_a_service_answers_too_late_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(controls, "_TIMEOUT_SECONDS", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as listener:  # takes requests, and never answers
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setenv("OTEL_COST_URL", url)
        for budget in (RUN, TOKENS):
            assert before(budget)
            controls._silent_until = 0.0
        controls._known[RUN.key()].ask_again = 0.0
        assert before(RUN)  # what people decide: of that nothing is lost
    assert caplog.messages == [anew(url, "no answer came in time")]


@pytest.mark.parametrize("who", ["nobody", "somebody else"])
def test_where_no_service_is_there_nothing_is_said(
    heard: Heard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, who: str
) -> None:
    if who == "nobody":
        with socket.create_server(("127.0.0.1", 0)) as listener:
            monkeypatch.setenv("OTEL_COST_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
    else:
        heard.status, heard.no_service = 404, True
    assert before(RUN)
    assert controls._known[RUN.key()].asked
    assert caplog.messages == []


def test_a_call_that_waits_where_nobody_can_reach_it_says_so_once(
    heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    heard.status = 503
    for _ in range(3):
        controls.refresh([RUN.key()])
    (said,) = caplog.messages
    assert said == (
        f"calls wait for somebody to raise a budget, and no ledger service answers at {heard.url}, by which otel-cost "
        "budget raise would reach this process: not now. Start one: otel-cost serve"
    )


def test_what_a_service_answers_that_cannot_be_fails_nothing(heard: Heard) -> None:
    heard.answers["USD"] = {"spent": "much"}
    assert before(RUN)
    controls.refresh([RUN.key()])
    assert set(safety.failures()) == {
        "asking what was spent of budgets before",
        "asking what people decided about budgets",
    }


def test_accounts_elsewhere_need_no_asking(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_COST_BUDGET_STORE", "nowhere")
    assert not before(RUN)
    controls.refresh([RUN.key()])
    assert heard.asked == []


@pytest.mark.usefixtures("heard")
def test_as_many_accounts_are_known_as_the_store_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "_MOST_ACCOUNTS", 1)
    before(RUN)
    before(TOKENS)
    assert list(controls._known) == [TOKENS.key()]


def test_what_was_spent_before_counts_once_however_many_accounts_were_known_since(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controls, "_MOST_ACCOUNTS", 1)
    heard.answers["USD"] |= {"spent": "0.7", "calls": 7}
    before(RUN)
    charge(RUN, "0.1")
    before(TOKENS)
    heard.answers["USD"] |= {"spent": "0.8", "calls": 8}  # what this process has charged is in the books by now
    before(RUN)
    assert (standing().spent, standing().calls) == (Decimal("0.8"), 8)


@pytest.mark.usefixtures("heard")
def test_the_accounts_that_are_in_use_are_known_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "_MOST_ACCOUNTS", 2)
    for budget in (RUN, TOKENS):
        before(budget)
    controls._known[RUN.key()].ask_again = 0.0
    before(RUN)
    before(Budget("run", "r2", Limit.of_usd("1")))
    assert RUN.key() in controls._known


@pytest.mark.usefixtures("heard")
def test_in_a_forked_child_nothing_of_the_parent_is_kept() -> None:
    before(RUN)
    lock = controls._asking
    controls._forked()
    assert controls._asking is not lock
    assert controls._service is not None
    assert controls._service._idle == []
    controls._service = None
    controls._forked()


def test_what_another_call_has_asked_is_not_asked_again(heard: Heard) -> None:
    first, second = controls.before([RUN]), controls.before([RUN])
    assert first is not None
    assert second is not None
    first.block()
    second.block()
    assert len(heard.asked) == 1


@pytest.mark.usefixtures("heard")
def test_a_forked_child_asks_over_connections_of_its_own() -> None:
    before(RUN)
    assert controls._service is not None
    (kept,) = controls._service._idle
    child = os.fork()
    if child == 0:  # pragma: no cover - the child exits before it could say so
        alone = kept.sock is None and not controls._asking.locked() and not before(RUN) and before(TOKENS)
        os._exit(0 if alone else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert kept.sock is not None


# --- which store ---------------------------------------------------------------------------------------------------
def with_store(monkeypatch: pytest.MonkeyPatch, name: str) -> Any:
    monkeypatch.setenv("OTEL_COST_BUDGET_STORE", name)
    return chosen.store()


def test_accounts_are_kept_in_memory_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_COST_BUDGET_STORE", raising=False)
    assert chosen.store() is MEMORY
    chosen.flush(0)
    assert MEMORY.flush(0)


@pytest.mark.parametrize(
    ("name", "where"),
    [("service", "http://127.0.0.1:9"), ("http://Costs.example:80/x/", "http://costs.example/x")],
)
def test_the_service_keeps_them_where_it_is_named(monkeypatch: pytest.MonkeyPatch, name: str, where: str) -> None:
    monkeypatch.setenv("OTEL_COST_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_COST_BUDGET_STORE_GONE", "0.50")
    store = with_store(monkeypatch, name)
    assert isinstance(store, SharedStore)
    assert isinstance(store.server, ServiceServer)
    assert (store.server.where, store._outage._allowance) == (where, Limit.of_usd("0.50"))
    assert chosen.store() is store
    bell = store.bell
    chosen.flush(0)
    chosen._forked()
    assert store.bell is not bell


def test_redis_is_asked_for_by_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "otel_cost.budgets.redis", None)
    store = with_store(monkeypatch, "redis://user:secret@127.0.0.1:9/0")
    found = refused(store)
    assert "OTEL_COST_BUDGET_STORE=redis://127.0.0.1:9/0: it needs: pip install 'otel-cost[redis]'" in found


def refused(store: Any) -> str:
    answer = store.reserve((Claim(TOKENS, TOKENS.key(), 1, passes=True), Claim(RUN, RUN.key(), Decimal(0))))
    assert isinstance(answer, Decision)
    assert (answer.verdict, answer.claim.budget) == (Verdict.STOPPED, RUN)
    return answer.standing.stopped or ""


def test_a_store_that_cannot_be_lets_nothing_through_but_what_passes_anyway(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        store = with_store(monkeypatch, "mysql://x")
    flaw = (
        "OTEL_COST_BUDGET_STORE=mysql://x: write memory, service, the URL of a ledger service, or one like "
        "redis://127.0.0.1:6379/0"
    )
    assert caplog.messages == [f"{flaw}. Until then, no call under a budget is let through"]
    assert isinstance(store, RefusingStore)
    assert refused(store) == flaw
    hold = store.reserve((Claim(RUN, RUN.key(), Decimal(1), passes=True),))
    assert isinstance(hold, Hold)
    assert [
        *store.settle(hold, Spend(None, None)),
        *store.charge(hold.claims, Spend(None, None)),
        *store.standings(),
    ] == []
    store.release(hold)
    store.stop(RUN.key(), "enough")
    for decide in (lambda: store.put_limit(RUN.key(), RUN.limit), lambda: store.resume(RUN.key())):
        with pytest.raises(StoreGoneError, match="mysql"):
            decide()
    assert store.flush(0)
    store.forked()


def test_shares_of_a_limit_that_are_reached_are_told_when_the_store_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr("otel_cost.budgets.events.tell", lambda *heard: told.append(heard))
    claims = (Claim(RUN, RUN.key(), Decimal(1)),)
    reached = Standing(RUN.key(), RUN.limit, Decimal("0.5"), 0, 0, 1, None, (Decimal("0.5"),))
    chosen._tell(Booking("settle", "h", claims, Spend(Decimal("0.5"), 1)), [reached])
    chosen._tell(Booking("settle", "h", claims, Spend(Decimal("0.5"), 1)), [])
    chosen._tell(Booking("release", "h", claims, None), [])
    assert [(each[0], each[1]) for each in told] == [(claims, [reached])]


# --- which account a person means ----------------------------------------------------------------------------------
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
LIFE, DAY = Key("run", "r1", "USD"), Key("run", "r1", "USD", Window.of("day").period(NOW))
OVER = DAY._replace(period=Window.of("day").period(NOW - timedelta(days=1)))


@pytest.mark.parametrize(
    ("known", "window", "found"),
    [
        ([], None, LIFE),
        ([LIFE], None, LIFE),
        ([DAY], None, DAY),
        ([DAY, OVER], None, DAY),
        ([OVER], None, LIFE),
        ([LIFE, DAY], "day", DAY),
        ([DAY], "life", LIFE),
        ([DAY._replace(unit="tokens"), DAY._replace(id="r2")], None, LIFE),
        ([LIFE, DAY], None, r"run 'r1' has 2 budgets in USD \(day, life\): say for which window"),
        ([LIFE], "day", "run 'r1' has no budget in USD by day that calls have named so far"),
    ],
)
def test_the_account_that_a_person_means(known: list[Key], window: str | None, found: Key | str) -> None:
    if isinstance(found, Key):
        assert pick(known, LIFE, window, NOW) == found
    else:
        with pytest.raises(ValueError, match=found):
            pick(known, LIFE, window, NOW)


def test_a_limit_that_cannot_be_read_is_not_told_as_one(heard: Heard) -> None:
    forged = Budget("run", "r1", Limit(Decimal(0), flaw="it is not signed"))
    assert budget_attributes((forged,), {"run": "r1"}) == {"otel_cost.run": "r1"}
    assert budget_attributes((forged, RUN), {"run": "r1"}) == {"otel_cost.run": "r1", "otel_cost.budget.run": "1"}
    assert before(forged)
    assert not any("limit" in each for each in heard.asked[0])
    assert not MEMORY.standings()
