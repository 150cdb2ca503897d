"""The read API over HTTP: the documents that the dashboard and the commands rely on."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
import requests
import uvicorn
from exporter_building import call, refused, request, unknown
from fastapi import FastAPI

from otel_cost_exporter.access.address import Address
from otel_cost_exporter.api import server
from otel_cost_exporter.errors import AddressError, LedgerFileError
from otel_cost_exporter.service import Options, Service
from otel_cost_exporter.writing.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path


def get(service: Service, path: str, status: int = 200) -> Any:
    answer = requests.get(service.url + path, timeout=10)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    return answer.json()


def send(service: Service, body: bytes) -> None:
    headers = {"content-type": "application/x-protobuf"}
    requests.post(f"{service.url}/v1/traces", body, headers=headers, timeout=10).raise_for_status()


def test_a_summary_as_the_contract_says(service: Service) -> None:
    send(
        service,
        request(
            call(1, otel_cost__project="a", otel_cost__stage="draft"),
            unknown(2, otel_cost__project="b"),
            refused(3, otel_cost__project="a"),
            call(4, otel_cost__project="c"),
        ),
    )
    answer = get(
        service, "/v1/summary?by=model&by=stage&project=a&project=b&since=2026-03-01&until=2026-03-03T00:00:00Z"
    )
    figures = {
        "failed_calls": 0,
        "cut_calls": 0,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
        "estimated_cost_usd": "0.000000",
        "estimated_calls": 0,
        "waste_usd": "0.000000",
        "unknown_waste_calls": 0,
    }
    drafted = {
        "calls": 1,
        "refused_calls": 0,
        "input_tokens": 1000,
        "output_tokens": 200,
        "cost_usd": "0.004500",
        "unknown_calls": 0,
        "unknown_input_tokens": 0,
        "unknown_output_tokens": 0,
    }
    open_cost = {"unknown_calls": 1, "unknown_input_tokens": 1000, "unknown_output_tokens": 200}
    assert answer == {
        "rows": [
            {"model": "gpt-4o", "stage": "draft", **figures, **drafted},
            {"model": "gpt-4o", "stage": None, **figures, **drafted, **open_cost, "cost_usd": None, "refused_calls": 1},
        ],
        "total": {
            **figures,
            **drafted,
            **open_cost,
            "calls": 2,
            "refused_calls": 1,
            "input_tokens": 2000,
            "output_tokens": 400,
        },
        "more_rows": 0,
        "complete_since": None,
    }


def test_budgets_dimensions_and_health(service: Service, ledger_file: Path) -> None:
    assert get(service, "/healthz") == {
        "status": "ok",
        "ledger": str(ledger_file),
        "rejected_calls": 0,
        "bytes_under_way": 0,
        "spool_segments": 0,
        "spool_set_aside": 0,
        "calls": 0,
    }
    send(service, request(call(1, otel_cost__run="r1", otel_cost__budget__run="0.05", otel_cost__tenant="acme")))
    assert get(service, "/healthz")["calls"] == 1
    assert get(service, "/v1/dimensions") == {"dimensions": ["run", "tenant"]}
    (budget,) = get(service, "/v1/budgets")["budgets"]
    assert {name: budget[name] for name in ("dimension", "id", "limit", "spent", "calls")} == {
        "dimension": "run",
        "id": "r1",
        "limit": "0.050000",
        "spent": "0.004500",
        "calls": 1,
    }


def test_an_unknown_parameter_is_named(service: Service) -> None:
    detail = get(service, "/v1/summary?stagee=a", 400)["detail"]
    assert detail.startswith("parameter 'stagee' is unknown, allowed are: by, since, until, tz, limit, project, plan")
    assert get(service, "/v1/nothing", 404) == {"detail": "Not Found"}


def test_what_takes_no_parameter_refuses_one_and_a_time_is_given_once(service: Service) -> None:
    detail = get(service, "/v1/budgets/run/r1?x=1&y=2&x=3", 400)["detail"]
    assert detail == "parameters 'x', 'y' are unknown, none is allowed here"
    for path, allowed in (("budgets", "allowed are: limit"), ("dimensions", "none is allowed here")):
        assert get(service, f"/v1/{path}?since=", 400)["detail"] == f"parameter 'since' is unknown, {allowed}"
    assert get(service, "/v1/summary?since=24h&since=1h", 400)["detail"] == "since is given more than once"


@pytest.mark.parametrize("path", ["ledger/reprice", "budgets/reserve"])
def test_a_body_that_is_too_large_is_not_read_to_its_end(service: Service, path: str) -> None:
    chunks = iter([b'{"since": "', *[b" " * 2**20] * 17])
    answer = requests.post(f"{service.url}/v1/{path}", chunks, headers={"content-type": "application/json"}, timeout=30)
    assert (answer.status_code, answer.json()["detail"]) == (413, "more than 16777216 bytes are not taken at once")


def test_health_says_why_the_books_cannot_be_written(
    service: Service, ledger_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ledger, "failure", "No space left on device")
    assert get(service, "/healthz", 503) == {
        "status": "failing",
        "ledger": str(ledger_file),
        "rejected_calls": 0,
        "bytes_under_way": 0,
        "spool_segments": 0,
        "spool_set_aside": 0,
        "reason": "No space left on device",
    }
    monkeypatch.undo()
    assert get(service, "/healthz")["status"] == "ok"


@pytest.mark.parametrize("which", ["grpc", "http"])
def test_a_port_in_use_is_one_clear_line_and_nothing_stays_open(
    ledger_file: Path, which: str, capfd: pytest.CaptureFixture[str]
) -> None:
    free = {"grpc": Address("127.0.0.1", 0), "http": Address("127.0.0.1", 0)}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(AddressError, match=rf"{address} cannot be listened on for .*--{which}"):
            Service(Options(ledger_file, **(free | {which: address})))
    assert capfd.readouterr() == ("", "")  # nor has gRPC said anything of its own
    with Service(Options(ledger_file, **free)) as service:
        assert get(service, "/healthz")["status"] == "ok"


@pytest.mark.parametrize("option", ["grpc", "http"])
def test_a_host_that_cannot_be_found_is_one_clear_line(ledger_file: Path, option: str) -> None:
    where = {"grpc": Address("127.0.0.1", 0), "http": Address("127.0.0.1", 0)} | {option: Address("nobody.invalid", 0)}
    with pytest.raises(AddressError, match=rf"nobody.invalid:0 cannot be listened on for .*--{option}"):
        Service(Options(ledger_file, **where))


def test_a_port_that_goes_between_two_looks_is_one_clear_line(
    ledger_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        monkeypatch.setattr(Address, "listen", lambda *_: taken.dup())
        with pytest.raises(AddressError, match=f"{address} cannot be listened on for OTLP/gRPC. Choose with --grpc"):
            Service(Options(ledger_file, grpc=address))


def test_a_server_that_does_not_come_up_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def without_a_word(self: uvicorn.Server, sockets: list[socket.socket] | None = None) -> None:
        await uvicorn.Server.startup(self, sockets=sockets)

    monkeypatch.setattr(server._Server, "startup", without_a_word)
    monkeypatch.setattr(server, "_START_SECONDS", 0.01)
    slow = server.HttpServer(FastAPI(), Address("127.0.0.1", 0), grace=1, tls=None)
    with pytest.raises(AddressError, match=f"the HTTP server on {slow.address} did not come up"):
        slow.start()
    slow.stop()
    server.HttpServer(FastAPI(), Address("127.0.0.1", 0), grace=1, tls=None).stop()  # one that was never started


def test_an_answer_does_not_wait_for_the_network() -> None:
    """An answer goes in two pieces. Held back, the second one waits until the first is acknowledged: 40 ms."""
    listening = server.HttpServer(FastAPI(), Address("127.0.0.1", 0), grace=1, tls=None)
    assert listening._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    listening.stop()


def test_a_ledger_that_cannot_be_opened_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(LedgerFileError):
        Service(Options(tmp_path, grpc=Address("127.0.0.1", 0), http=Address("127.0.0.1", 0)))
