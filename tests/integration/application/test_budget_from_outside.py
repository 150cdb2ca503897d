"""A budget that arrives in a request's baggage bounds what the request may spend: a real server, a real client.

A call is 10 input tokens at 2.50 and 100 output tokens at 10, per million: 0.001025 USD. Before it leaves, its 100
bytes or so of request are held as input too, so a budget of 0.003 lets two calls through.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from otel_cost_exporter.demo.stand_in import StandIn

APP = Path(__file__).parent / "apps" / "server.py"


@contextmanager
def serving(bin_folder: Path, provider: StandIn, **environ: str) -> Iterator[str]:
    server = subprocess.Popen(
        [bin_folder / "opentelemetry-instrument", sys.executable, APP],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **provider.environ, "OTEL_TRACES_EXPORTER": "none", **environ},
    )
    try:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{server.stdout.readline().split()[0]}"
    finally:
        server.terminate()
        server.wait(20)
        server.stdout.close()  # type: ignore[union-attr] # it is a pipe


@pytest.fixture(scope="module", params=["fastapi", "none"], ids=["instrumented", "FastAPI's own telemetry"])
def server(request: pytest.FixtureRequest, bin_folder: Path, _provider: StandIn) -> Iterator[str]:
    disabled = "none" if request.param == "fastapi" else "fastapi"
    with serving(bin_folder, _provider, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=disabled) as url:
        yield url


def get(url: str, path: str, calls: int, baggage: str | None) -> list[Any]:
    headers = {} if baggage is None else {"baggage": baggage}
    response = httpx2.get(f"{url}{path}", params={"calls": calls}, headers=headers, timeout=60)
    answers: list[Any] = response.raise_for_status().json()
    return answers


@pytest.mark.parametrize("path", ["/await", "/gather", "/sync", "/threads", "/pool", "/outgoing"])
def test_a_request_spends_no_more_than_its_baggage_allows(path: str, server: str, provider: StandIn) -> None:
    run = f"{path[1:]}-{server.rpartition(':')[2]}"
    answers = get(server, path, 6, f"otel_cost.run={run},otel_cost.budget.run=0.003")
    refused = [answer["refused"] for answer in answers if answer["refused"]]
    assert len(provider.requests) == 2
    assert len(refused) == 4
    scope, identity, limit, _, call = refused[-1]
    assert (scope, identity) == ("run", run)
    assert float(limit) == 0.003
    assert 0.001025 < float(call) < 0.0013
    if path not in {"/gather", "/pool"}:  # there, others are still under way when it is refused
        assert float(refused[-1][3]) == 0.00205
    assert "otel_cost" not in str([request.headers for request in provider.requests])


def test_the_same_run_goes_on_where_it_was_and_another_is_its_own(server: str, provider: StandIn) -> None:
    run = f"again-{server.rpartition(':')[2]}"
    for expected in (2, 0):
        provider.requests.clear()
        get(server, "/await", 3, f"otel_cost.run={run},otel_cost.budget.run=0.003")
        assert len(provider.requests) == expected
    get(server, "/await", 3, f"otel_cost.run=other-{run},otel_cost.budget.run=0.003")
    assert len(provider.requests) == 2


def test_a_budget_without_an_id_is_each_requests_own(server: str, provider: StandIn) -> None:
    for _ in range(2):
        provider.requests.clear()
        answers = get(server, "/await", 3, "otel_cost.budget.run=0.003")
        assert len(provider.requests) == 2
        assert answers[-1]["refused"][1].startswith("trace-")


def test_a_request_without_a_budget_is_not_bounded(server: str, provider: StandIn) -> None:
    assert all(answer["refused"] is None for answer in get(server, "/await", 5, None))
    assert len(provider.requests) == 5


def test_outside_only_tightens_what_the_process_was_given(bin_folder: Path, provider: StandIn) -> None:
    given = "otel_cost.run=service,otel_cost.budget.run=0.003"
    with serving(bin_folder, provider, BAGGAGE=given) as url:
        answers = get(url, "/await", 4, "otel_cost.run=mine,otel_cost.budget.run=1000")
        assert len(provider.requests) == 2
        assert answers[-1]["refused"][1] == "service"
