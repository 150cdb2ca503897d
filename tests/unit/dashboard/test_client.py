from __future__ import annotations

import json
import socket
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from otel_cost_dashboard import client
from otel_cost_dashboard.client import LedgerAnswerError, LedgerError, LedgerUnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from otel_cost_dashboard.client import Ledger
    from otel_cost_exporter.service import Service

    Connect = Callable[[str], Ledger]
    Answering = Callable[..., AbstractContextManager[str]]


def test_a_summary_is_exact(ledger: Ledger) -> None:
    summary = ledger.summary(by=["project"])
    assert [(row.keys, row.figures.cost_usd) for row in summary.rows] == [
        ({"project": "atlas"}, Decimal("0.0150")),
        ({"project": "borealis"}, Decimal("0.0021")),
    ]
    total = summary.total
    assert total.cost_usd == Decimal("0.0171")
    assert total.known_cost_usd == Decimal("0.0150")
    assert total.estimated_cost_usd == Decimal("0.0021")
    assert (total.calls, total.refused_calls, total.cut_calls, total.failed_calls) == (4, 1, 1, 0)
    assert (total.unknown_calls, total.unknown_input_tokens, total.unknown_output_tokens) == (1, 500, 50)


def test_unknown_cost_is_none_and_no_value_is_none(ledger: Ledger) -> None:
    rows = {row.keys["model"]: row for row in ledger.summary(by=["model", "stage"]).rows}
    assert rows["our-own-7b"].figures.cost_usd is None
    assert rows["our-own-7b"].figures.known_cost_usd is None
    assert rows["our-own-7b"].keys["stage"] is None


def test_filters_and_period_reach_the_ledger(ledger: Ledger) -> None:
    assert ledger.summary(filters={"model": ["gpt-4o", "gpt-4o-mini"]}).total.cost_usd == Decimal("0.0066")
    assert ledger.summary(filters={"team": ["red"]}).total.cost_usd == Decimal("0.0045")
    assert ledger.summary(since="10m").total.calls == 0
    assert ledger.summary(until="2026-01-01").total.cost_usd == 0


def test_a_list_can_be_cut_and_says_how_much_is_left(ledger: Ledger) -> None:
    everything, first = ledger.summary(by=["model"]), ledger.summary(by=["model"], limit=1)
    assert (first.rows, first.more_rows, first.total) == (everything.rows[:1], 3, everything.total)
    assert everything.more_rows == 0
    budgets, most_used = ledger.budgets(10), ledger.budgets(1)
    assert (most_used.rows, most_used.more_rows, budgets.more_rows) == (budgets.rows[:1], 1, 0)


def test_budgets_come_with_their_use(ledger: Ledger) -> None:
    tokens, dollars = ledger.budgets(10).rows
    assert (tokens.dimension, tokens.id, tokens.limit_tokens, tokens.limit_usd) == ("run", "r2", 11000, None)
    assert tokens.spent_tokens == 11550
    assert (dollars.id, dollars.limit_usd, dollars.spent_usd) == ("r1", Decimal("0.02"), Decimal("0.015"))
    assert (dollars.calls, dollars.refused_calls) == (2, 1)


def test_dimensions_and_health(ledger: Ledger, service: Service) -> None:
    assert ledger.dimensions() == ("project", "run", "stage", "role", "team")
    assert ledger.health() == client.Health(str(service.ledger.path), 5)


def test_nobody_there_says_where_it_looked(nobody: str, connect: Connect) -> None:
    with pytest.raises(LedgerUnreachableError, match=f"No ledger service answers at {nobody} "):
        connect(nobody).health()


def test_an_impossible_url_is_an_unreachable_ledger(connect: Connect) -> None:
    with pytest.raises(LedgerUnreachableError, match=r"http://127\.0\.0\.1:99999"):
        connect("http://127.0.0.1:99999").health()


def test_an_environments_proxy_is_not_asked_for_loopback(
    ledger: Ledger, nobody: str, monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    monkeypatch.setenv("HTTP_PROXY", nobody)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert connect(ledger.url).health().calls == 5
    with pytest.raises(LedgerUnreachableError):
        connect("http://ledger.invalid:4318").health()


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("[::1]", True), ("localhost", True), ("ledger.example", False)]
)
def test_what_is_loopback(host: str, loopback: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert client._is_loopback(f"http://{host}:4318") is loopback


def test_a_ledger_that_is_too_slow(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TIMEOUT_SECONDS", 0.05)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(LedgerUnreachableError, match=r"did not answer within 0\.05 s"),
    ):
        connect(f"http://127.0.0.1:{silent.getsockname()[1]}").health()


def test_what_the_ledger_refuses_is_told_in_its_words(ledger: Ledger) -> None:
    with pytest.raises(LedgerAnswerError, match=r"answered 400: parameter 'colour' is unknown, allowed are: by, since"):
        ledger.summary(filters={"colour": ["red"]})


def test_a_ledger_that_cannot_write_says_why(answering: Answering, connect: Connect) -> None:
    body = json.dumps({"status": "failing", "ledger": "/l.duckdb", "reason": "disk full"}).encode()
    with answering(503, body) as url:
        assert connect(url).health() == client.Health("/l.duckdb", None, "disk full")
        with pytest.raises(LedgerUnreachableError, match=r"cannot use its books: disk full\."):
            connect(url).dimensions()


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"status": "ok"}',
        b'"ok"',
        b"null",
        b'{"status": "ok", "ledger": "l", "calls": "many"}',
    ],
)
def test_another_service_on_the_port(answering: Answering, body: bytes, connect: Connect) -> None:
    with answering(200, body) as url, pytest.raises(LedgerAnswerError, match=f"{url}/healthz did not answer what"):
        connect(url).health()


@pytest.mark.parametrize("body", [b"", b"gone", b"[1]", b'{"detail": ""}'])
def test_an_error_without_words(answering: Answering, body: bytes, connect: Connect) -> None:
    with (
        answering(404, body) as url,
        pytest.raises(LedgerAnswerError, match=r"/v1/budgets answered 404: Not Found\. Is it"),
    ):
        connect(url).budgets(10)


@pytest.mark.parametrize("amount", [0.0045, "much", True])
def test_money_that_is_no_decimal_string_is_refused(answering: Answering, amount: object, connect: Connect) -> None:
    budget = {"dimension": "run", "id": "r1", "limit_usd": amount, "limit_tokens": None, "spent_usd": "0.1"}
    body = json.dumps({"budgets": [budget]}).encode()
    with answering(200, body) as url, pytest.raises(LedgerError, match="did not answer what the ledger's API promises"):
        connect(url).budgets(10)
