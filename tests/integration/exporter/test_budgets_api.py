"""Budgets over HTTP: what processes and people ask the service."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests
from exporter_building import call, request

from otel_cost.budgets import service as service_module
from otel_cost.budgets.limit import Limit
from otel_cost.budgets.outage import StoreGoneError
from otel_cost.budgets.rule import Budget, Key, Policy
from otel_cost.budgets.service import RefusedError, ServiceServer, who
from otel_cost.budgets.shared import Booking
from otel_cost.budgets.tree import Claim, Decision, Hold, Spend, Verdict
from otel_cost.budgets.window import Window
from otel_cost_exporter.budgets.written import Written
from otel_cost_exporter.errors import LedgerDownError
from otel_cost_exporter.service import Service

NOBODY = "http://127.0.0.1:9"
EVERYTHING = Policy("pause", "stage", "safety_factor", Decimal("1.5"), "rate", Decimal(3), (Decimal("0.5"),), 5.0)
RUN = Budget("run", "r/1 ü", Limit.of_usd("1"), policy=EVERYTHING)
TOKENS = Budget("run", "r/1 ü", Limit.of_tokens(5000))
DAY = Budget("project", "p", Limit.of_usd("1"), Window.of("day", "Europe/Berlin"))


@pytest.fixture
def server(service: Service) -> Iterator[ServiceServer]:
    with closing(ServiceServer(service.url)) as running:
        yield running


def ask(service: Service, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    answer = requests.request(method, f"{service.url}/v1/budgets{path}", json=body, timeout=10)
    assert answer.status_code == status, answer.text
    return answer.json()


def claim(amount: str | int | None, budget: Budget = RUN, **more: Any) -> Claim:
    exact = Decimal(amount) if isinstance(amount, str) else amount
    return Claim(budget, budget.key(), exact, **more)


def settled(hold: str, *claims: Claim, usd: str | None, tokens: int | None = 0) -> Booking:
    return Booking("settle", hold, claims, Spend(None if usd is None else Decimal(usd), tokens))


def test_a_call_from_reserve_to_settle(server: ServiceServer) -> None:
    claims = (claim("0.3"), claim(600, TOKENS), claim("0.3", DAY))
    assert server.reserve(Hold(claims, "h1"), 60) is None
    (standings,) = server.book([settled("h1", *claims, usd="0.500000000001", tokens=700)])
    assert [(each.key, each.spent, each.held, each.calls) for each in standings] == [
        (RUN.key(), Decimal("0.500000000001"), 0, 1),
        (TOKENS.key(), 700, 0, 1),
        (DAY.key(), Decimal("0.500000000001"), 0, 1),
    ]
    assert [each.crossed for each in standings] == [(Decimal("0.5"),), (), ()]
    assert list(server.book([settled("h1", *claims, usd="0.5")])) == [[]]


def test_bookings_of_all_kinds_go_in_their_order(server: ServiceServer) -> None:
    for hold in ("h1", "h2", "h3"):
        assert server.reserve(Hold((claim("0.1", DAY),), hold), 60) is None
    day = (claim("0.1", DAY),)
    answers = server.book(
        [
            settled("h1", *day, usd="0.05"),
            settled("h2", *day, usd=None, tokens=None),
            Booking("release", "h3", day, None),
            Booking("charge", "c1", day, Spend(Decimal("0.25"), None, calls=0)),
            Booking("charge", "c1", day, Spend(Decimal("0.25"), None, calls=0)),
        ]
    )
    assert [[(each.spent, each.calls) for each in standings] for standings in answers] == [
        [(Decimal("0.05"), 1)],
        [(Decimal("0.15"), 2)],
        [],
        [(Decimal("0.40"), 2)],
        [],
    ]


def test_a_refusal_says_which_budget_and_how_it_stands(server: ServiceServer) -> None:
    flawed = Budget("run", "bad", Limit(Decimal(0), flaw="it cannot be read"))
    unknown = claim(None, DAY, reason="no price is known")
    for claims, verdict, decided in (
        ((claim(9, TOKENS), claim("1.5")), Verdict.FITS, 1),  # held by safety factor: it is what is spent that counts
        ((claim(9, TOKENS), claim(5000, TOKENS, own=9)), Verdict.EXCEEDED, 1),
        ((claim(9, TOKENS), unknown), Verdict.UNKNOWN, 1),
        ((claim("0", flawed), claim(9, TOKENS)), Verdict.STOPPED, 0),
    ):
        decision = server.reserve(Hold(claims, f"h-{verdict}"), 60)
        if verdict is Verdict.FITS:
            assert decision is None
            continue
        assert isinstance(decision, Decision)
        assert (decision.verdict, decision.claim) == (verdict, claims[decided])
        assert decision.standing.key == claims[decided].key


def test_people_are_heard_by_name(server: ServiceServer, service: Service) -> None:
    assert server.reserve(Hold((claim("0"),), "h1"), 60) is None
    server.put_limit(RUN.key(), Limit.of_usd("2.5"))
    server.stop(RUN.key(), "enough")
    (row,) = ask(service, "GET", "/run/r%2F1%20%C3%BC")["budgets"]
    assert (row["state"], row["reason"], row["limit"]) == ("stopped", f"stopped by {who()}: enough", "2.500000")
    assert (row["limit_put"]["limit"], row["limit_put"]["by"], row["stop"]["reason"]) == ("2.5", who(), "enough")
    (standing,) = server.standings()
    assert (standing.limit, standing.stopped, standing.under_way) == (
        Limit.of_usd("2.5"),
        f"stopped by {who()}: enough",
        1,
    )
    server.resume(RUN.key())
    (row,) = ask(service, "GET", "/run/r%2F1%20%C3%BC")["budgets"]
    assert (row["state"], row["stop"], row["under_way"]) == ("open", None, 1)


def test_a_budget_is_listed_with_what_calls_in_the_books_say(service: Service, server: ServiceServer) -> None:
    spans = (
        call(1, otel_cost__run="r1", otel_cost__budget__run="0.05"),
        call(2, otel_cost__run="r2", otel_cost__budget__run="20000tok"),
    )
    headers = {"content-type": "application/x-protobuf"}
    requests.post(f"{service.url}/v1/traces", request(*spans), headers=headers, timeout=10).raise_for_status()
    shared = Budget("run", "r1", Limit.of_usd("0.05"))
    server.reserve(Hold((claim("0.03", shared), claim(700, TOKENS)), "h1"), 60)
    found = {row["id"]: row for row in ask(service, "GET", "")["budgets"]}
    assert found["r1"] == {
        "dimension": "run",
        "id": "r1",
        "unit": "USD",
        "window": "life",
        "period": "",
        "limit": "0.050000",
        "spent": "0.004500",
        "held": "0.030000",
        "remaining": "0.015500",
        "state": "open",
        "calls": 1,
        "under_way": 1,
        "on_exceed": "raise",
        "reason": None,
        "limit_put": None,
        "stop": None,
        "limit_usd": "0.050000",
        "limit_tokens": None,
        "spent_usd": "0.004500",
        "spent_tokens": 1200,
        "unknown_calls": 0,
        "refused_calls": 0,
        "last_seen": "2026-03-02T12:00:00Z",
    }
    assert (found["r2"]["limit"], found["r2"]["spent"], found["r2"]["remaining"]) == ("20000", "1200", "18800")
    assert (found["r/1 ü"]["held"], found["r/1 ü"]["spent_tokens"], found["r/1 ü"]["last_seen"]) == ("700", 0, None)


def test_the_most_used_budgets_are_listed_up_to_a_limit(service: Service, server: ServiceServer) -> None:
    """A call costs 0.0045 USD. What has an account stands where that says, also if the books know less of it."""
    limits = {"r1": "0.009", "r2": "0.045", "r3": "0.45", "r4": "4.5"}
    spans = [call(n, otel_cost__run=run, otel_cost__budget__run=limits[run]) for n, run in enumerate(limits, 1)]
    headers = {"content-type": "application/x-protobuf"}
    requests.post(f"{service.url}/v1/traces", request(*spans), headers=headers, timeout=10).raise_for_status()
    ahead = claim("0.36", Budget("run", "r3", Limit.of_usd("0.45")))
    server.reserve(Hold((ahead,), "h1"), 60)
    server.book([settled("h1", ahead, usd="0.36")])
    server.reserve(Hold((claim("0.1"),), "h2"), 60)  # of which no call is in the books
    everything = ask(service, "GET", "")
    assert [row["id"] for row in everything["budgets"]] == ["r3", "r1", "r2", "r4", "r/1 ü"]
    assert everything["more_rows"] == 0
    for limit in (1, 2, 3, 4, 5, 6):
        page = ask(service, "GET", f"?limit={limit}")
        assert page["budgets"] == everything["budgets"][:limit]
        assert page["more_rows"] == max(0, 5 - limit)
    assert "no whole number" in ask(service, "GET", "?limit=0", status=400)["detail"]


def test_of_several_budgets_a_person_says_which(service: Service, server: ServiceServer) -> None:
    month = Budget("project", "p", Limit.of_usd("9"), Window.of("month"))
    server.reserve(Hold((claim("0", DAY), claim("0", month)), "h1"), 60)
    refused = ask(service, "PUT", "/project/p/limit", {"limit": "20", "by": "ada"}, 409)
    assert refused == {"detail": "project 'p' has 2 budgets in USD (day, month): say for which window"}
    rows = ask(service, "PUT", "/project/p/limit", {"limit": "20", "by": "ada", "window": "month"})["budgets"]
    assert {row["window"]: row["limit"] for row in rows} == {"day": "1.000000", "month": "20.000000"}
    refused = ask(service, "PUT", "/project/p/limit", {"limit": "20", "by": "ada", "window": "hour"}, 409)
    assert refused == {"detail": "project 'p' has no budget in USD by hour that calls have named so far"}
    ask(service, "PUT", "/project/p/limit", {"limit": "20tok", "by": "ada", "window": "life"})


def test_a_process_that_keeps_its_accounts_itself_asks_what_was_spent_and_decided(service: Service) -> None:
    headers = {"content-type": "application/x-protobuf"}
    spans = request(call(1, otel_cost__run="r1"), call(2, otel_cost__run="r1", start=1_800_000_000 * 10**9))
    requests.post(f"{service.url}/v1/traces", spans, headers=headers, timeout=10).raise_for_status()
    key = {"dimension": "run", "id": "r1", "unit": "USD"}
    before = {**key, "before": "2026-03-03T00:00:00+00:00"}
    tokens = {**before, "unit": "tokens", "paused": True}
    nothing = {"limit_put": None, "stop": None}
    assert ask(service, "POST", "/accounts", {"accounts": [before, tokens, key]})["accounts"] == [
        {**nothing, "spent": "0.004500", "calls": 1},
        {**nothing, "spent": "1200", "calls": 1},
        nothing,
    ]
    assert {row["unit"]: row["state"] for row in ask(service, "GET", "/run/r1")["budgets"]} == {"tokens": "paused"}
    ask(service, "PUT", "/run/r1/limit", {"limit": "8", "by": "ada"})
    ask(service, "POST", "/run/r1/stop", {"by": "ada"})
    (found,) = ask(service, "POST", "/accounts", {"accounts": [key]})["accounts"]
    assert (found["limit_put"]["limit"], found["stop"]["reason"]) == ("8", "stopped by ada")


def test_a_budget_by_window_that_a_process_keeps_itself_stands_as_such(service: Service) -> None:
    """Calls in the books name its limit, and not its window; what was spent before it counts no more."""
    period = Window.of("month", "Europe/Berlin").period()
    began = datetime.fromisoformat(period.split(" ")[1])
    spans = [
        call(number, otel_cost__project="p", otel_cost__budget__project="0.05", start=int(at.timestamp() * 10**9))
        for number, at in enumerate((began - timedelta(seconds=1), began), 1)
    ]
    headers = {"content-type": "application/x-protobuf"}
    requests.post(f"{service.url}/v1/traces", request(*spans), headers=headers, timeout=10).raise_for_status()
    (row,) = ask(service, "GET", "/project/p")["budgets"]
    assert (row["window"], row["spent"]) == ("life", "0.009000")

    asked = {"dimension": "project", "id": "p", "unit": "USD", "period": period, "limit": "0.05", "paused": True}
    ask(service, "POST", "/accounts", {"accounts": [asked]})
    (row,) = ask(service, "GET", "/project/p")["budgets"]
    assert (row["window"], row["period"], row["limit"], row["spent"], row["calls"], row["state"]) == (
        *("month", period, "0.050000", "0.004500", 1, "paused"),
    )
    ask(service, "PUT", "/project/p/limit", {"limit": "20", "by": "ada"})  # there is only one that this can be for
    later = call(3, otel_cost__project="p", start=int(began.timestamp() * 10**9))
    requests.post(f"{service.url}/v1/traces", request(later), headers=headers, timeout=10).raise_for_status()
    (row,) = ask(service, "GET", "/project/p")["budgets"]
    assert (row["window"], row["limit"], row["spent"], row["calls"]) == ("month", "20.000000", "0.009000", 2)


def test_a_run_that_is_stopped_while_it_waits_keeps_its_limit(service: Service) -> None:
    asked = {"dimension": "run", "id": "r1", "unit": "USD", "limit": "0.05", "paused": True}
    ask(service, "POST", "/accounts", {"accounts": [asked]})
    (row,) = ask(service, "POST", "/run/r1/stop", {"by": "ada"})["budgets"]
    assert (row["limit"], row["remaining"], row["state"]) == ("0.050000", "0.050000", "stopped")


def test_a_stop_before_any_call_can_be_lifted(service: Service) -> None:
    ask(service, "POST", "/run/r1/stop", {"by": "ada"})
    assert ask(service, "POST", "/run/r1/resume", {"by": "ada"}) == {"budgets": []}
    assert ask(service, "GET", "")["budgets"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "detail"),
    [
        ("GET", "/run/r9", None, 404, "no budget of run 'r9' is known: no call has brought one so far"),
        ("POST", "/run/r9/resume", {"by": "ada"}, 404, "no budget of run 'r9' is known"),
        ("GET", "?x=1", None, 400, "parameter 'x' is unknown"),
        ("PUT", "/run/r9/limit", {"limit": "much", "by": "ada"}, 400, "limit: Value error, 'much' is not an amount"),
        ("PUT", "/run/r9/limit", {"limit": "8"}, 400, "by: Field required"),
        ("PUT", "/Run/r9/limit", {"limit": "8", "by": "ada"}, 400, "'Run' is no dimension: use lower-case letters"),
        ("POST", "/cost/r9/stop", {"by": "ada"}, 400, "'cost' is reserved"),
        ("POST", "/reserve", {"hold": "h", "claims": []}, 400, "claims: List should have at least 1 item"),
        ("POST", "/accounts", {"accounts": [{"dimension": "a", "id": "b", "unit": "EUR"}]}, 400, "accounts.0.unit: "),
        (
            "POST",
            "/accounts",
            {"accounts": [{"dimension": "a", "id": "b", "unit": "USD", "period": "day"}]},
            400,
            "accounts.0.period: ",
        ),
    ],
)
def test_what_cannot_be_is_said_in_one_line(  # noqa: PLR0917 - its parameters are a table
    service: Service, method: str, path: str, body: Any, status: int, detail: str
) -> None:
    answer = ask(service, method, path, body, status)
    assert isinstance(answer["detail"], str)
    assert answer["detail"].startswith(detail)


def test_a_body_that_is_no_json_is_said(service: Service) -> None:
    answer = requests.post(f"{service.url}/v1/budgets/reserve", b"{", timeout=10)
    assert (answer.status_code, answer.json()["detail"][:4]) == (400, "body")


def test_what_cannot_be_written_down_is_not_done(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*_: object) -> None:
        raise LedgerDownError("budgets cannot be written: No space left on device")

    monkeypatch.setattr(Written, "write_order", cannot)
    for method, path, body in (
        ("PUT", "/run/r9/limit", {"limit": "8", "by": "ada"}),
        ("POST", "/run/r9/stop", {"by": "ada"}),
    ):
        answer = ask(service, method, path, body, 503)
        assert answer == {"detail": "budgets cannot be written: No space left on device"}
    assert ask(service, "GET", "")["budgets"] == []


def test_the_api_is_described_for_programs(service: Service) -> None:
    described = requests.get(f"{service.url}/v1/openapi.json", timeout=10).json()
    assert {path for path in described["paths"] if path.startswith("/v1/budgets")} == {
        "/v1/budgets",
        "/v1/budgets/events",
        "/v1/budgets/reserve",
        "/v1/budgets/settle",
        "/v1/budgets/release",
        "/v1/budgets/charge",
        "/v1/budgets/accounts",
        "/v1/budgets/{dimension}/{id}",
        "/v1/budgets/{dimension}/{id}/limit",
        "/v1/budgets/{dimension}/{id}/stop",
        "/v1/budgets/{dimension}/{id}/resume",
    }
    assert {"Reserve", "Settle", "BudgetRow", "Policy"} <= set(described["components"]["schemas"])


def test_schemas_of_public_shapes_are_published(service: Service) -> None:
    found = requests.get(f"{service.url}/v1/schemas", timeout=10).json()["schemas"]
    assert found["BudgetStatus"]["properties"]["held"]["type"] == "string"


def test_a_hundred_threads_are_let_through_as_far_as_the_limit_goes(server: ServiceServer) -> None:
    """Each over a connection of its own, all at once; what is refused waits or not, and holds nothing."""
    ten = Budget("run", "many", Limit.of_usd("1"))
    start = threading.Barrier(20)

    def call_of(number: int) -> bool:
        if number < 20:
            start.wait(10)
        return server.reserve(Hold((claim("0.1", ten),), f"h{number}"), 60) is None

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(call_of, range(100))) == 10
    (standing,) = server.standings()
    assert (standing.held, standing.under_way) == (1, 10)


# --- the connection ------------------------------------------------------------------------------------------------
def test_a_connection_is_kept_and_made_anew_where_the_service_closed_it(server: ServiceServer) -> None:
    idle = server._service._idle
    assert server.reserve(Hold((claim("0", DAY),), "h1"), 60) is None
    (kept,) = idle
    assert server.reserve(Hold((claim("0", DAY),), "h2"), 60) is None
    assert idle == [kept]
    kept.sock.shutdown(socket.SHUT_RDWR)
    assert server.reserve(Hold((claim("0", DAY),), "h3"), 60) is None
    assert len(idle) == 1
    assert idle != [kept]
    server.forked()
    assert idle == []


def test_more_connections_than_are_used_mostly_are_not_kept(
    server: ServiceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_cost.budgets.service._MOST_IDLE", 0)
    server.standings()
    assert server._service._idle == []


def test_a_service_that_will_not_is_not_gone(server: ServiceServer) -> None:
    for _ in range(2):  # over a new connection, and over the one that is kept
        with pytest.raises(RefusedError, match="is reserved") as caught:
            server.stop(Key("cost", "x", "USD"), "")
        assert caught.value.status == 400
    assert len(server._service._idle) == 1


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """A server that answers each connection with the next of `answers`, and then closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for answer in answers:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join(10)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: "


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "Remote end closed connection without response"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-OpenSSH"),
        (HEAD + b"2\r\n\r\n[]", "what answers there is no ledger service"),
        (HEAD + b"5\r\n\r\nhello", "what answers there is no ledger service"),
        (HEAD + b"99\r\n\r\n{}", "IncompleteRead"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}", "what answers there is no ledger service"),
        (
            b'HTTP/1.1 404 Not Found\r\nContent-Length: 22\r\n\r\n{"detail":"Not Found"}',
            "what answers there is no ledger service",
        ),
    ],
)
def test_who_answers_something_else_is_no_service(answer: bytes, reason: str) -> None:
    with (
        answering(answer) as url,
        closing(ServiceServer(url)) as server,
        pytest.raises(StoreGoneError, match=reason),
    ):
        server.standings()


def test_who_does_not_answer_in_time_is_gone() -> None:
    with pytest.raises(StoreGoneError, match="Connection refused"):
        ServiceServer(NOBODY).standings()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        hanging = service_module.Service(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout_seconds=0.01)
        with pytest.raises(StoreGoneError, match="no answer came in time"):
            hanging.ask("GET", "/v1/budgets")
    tls = ServiceServer(NOBODY.replace("http:", "https:"))
    with pytest.raises(StoreGoneError, match="Connection refused"):
        tls.standings()


def test_who_decides_has_a_name_even_where_the_user_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert who() == f"somebody@{socket.gethostname()}"
