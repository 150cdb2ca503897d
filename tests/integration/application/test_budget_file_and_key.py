"""Budgets of the user's file, and signed ones: real programs, a real server, a real client.

A call is 10 input tokens at 2.50 and 100 output tokens at 10, per million: 0.001025 USD. Before it leaves it holds a
little more, so a budget of 0.003 lets two calls through.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from opentelemetry import trace

import otel_cost
from otel_cost_exporter.demo.stand_in import StandIn

APP = Path(__file__).parent / "apps" / "server.py"
KEY, OTHER = "one-key-of-32-characters-or-more!", "other-key-of-32-characters-or-so"
MESSAGES: Any = [{"role": "user", "content": "[stand-in input=10,output=100]"}]
PROGRAM = f"""
import openai
with openai.OpenAI() as client:
    for number in range(4):
        client.chat.completions.create(model="gpt-4o", max_tokens=100, messages={MESSAGES!r})
        print(number, flush=True)
"""


def run(bin_folder: Path, provider: StandIn, budgets: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [bin_folder / "otel-cost", "run", *arguments, "--", sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={
            **os.environ,
            **provider.environ,
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_COST_BUDGETS": str(budgets),
            "OTEL_COST_URL": "http://127.0.0.1:9",
        },
    )


def test_a_file_bounds_a_program_that_knows_nothing_of_it(bin_folder: Path, provider: StandIn, tmp_path: Path) -> None:
    path = tmp_path / "budgets.toml"
    path.write_text('[[budget]]\ndimension = "project"\nmatch = "team-*"\nlimit_usd = 0.003\nwindow = "month"\n')
    bound = run(bin_folder, provider, path, "--set", "project=team-a")
    assert bound.stdout.split() == ["0", "1"], bound.stderr
    assert "budget of project 'team-a' (0.003000 USD) refused a call to 'gpt-4o': 0.002050 USD spent" in bound.stderr
    assert len(provider.requests) == 2
    free = run(bin_folder, provider, path, "--set", "project=other")
    assert free.stdout.split() == ["0", "1", "2", "3"], free.stderr


def test_a_file_that_cannot_be_read_lets_nothing_through_and_says_why(
    bin_folder: Path, provider: StandIn, tmp_path: Path
) -> None:
    path = tmp_path / "budgets.toml"
    path.write_text('[[budget]]\ndimension = "project"\nlimit_usd = "lots"\n')
    done = run(bin_folder, provider, path)
    assert done.stdout == ""
    assert provider.requests == []
    flaw = f"OTEL_COST_BUDGETS: {path}:3: limit_usd: 'lots' is not an amount of money: write it like 0.05"
    assert f"{flaw}. It lets nothing through" in done.stderr.strip().splitlines()[-1]
    assert f"{flaw}\n" in done.stderr  # in the log, as the program starts


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


@pytest.fixture(scope="module")
def server(bin_folder: Path, _provider: StandIn) -> Iterator[str]:
    """A service that takes budgets signed with `KEY`."""
    with serving(bin_folder, _provider, OTEL_COST_BUDGET_KEY=f"{KEY},{OTHER}-old") as url:
        yield url


def get(url: str, path: str, calls: int, baggage: str | None = None) -> list[Any]:
    headers = {} if baggage is None else {"baggage": baggage}
    response = httpx2.get(f"{url}{path}", params={"calls": calls}, headers=headers, timeout=60)
    answers: list[Any] = response.raise_for_status().json()
    return answers


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has the key."""
    monkeypatch.setenv("OTEL_COST_BUDGET_KEY", KEY)


@pytest.mark.usefixtures("gateway", "spans")
@pytest.mark.parametrize("path", ["/await", "/outgoing"])
def test_a_signed_budget_bounds_a_request_and_those_that_it_makes(path: str, server: str, provider: StandIn) -> None:
    run_id = f"signed{path[1:]}"
    value = otel_cost.sign_budget("run", run_id, limit_usd="0.003")
    answers = get(server, path, 4, f"otel_cost.run={run_id},otel_cost.budget.run={value}")
    assert [bool(answer["refused"]) for answer in answers] == [False, False, True, True]
    assert len(provider.requests) == 2


@pytest.mark.usefixtures("gateway", "spans")
def test_one_that_is_not_signed_as_it_must_be_lets_nothing_through(server: str, provider: StandIn) -> None:
    value = otel_cost.sign_budget("run", "forged", limit_usd="0.003")
    for baggage in (
        "otel_cost.run=forged,otel_cost.budget.run=1000",
        f"otel_cost.run=forged,otel_cost.budget.run=1000{value[value.index('@') :]}",
        f"otel_cost.run=other,otel_cost.budget.run={value}",
        f"otel_cost.budget.run={value}",
    ):
        assert all(answer["refused"] for answer in get(server, "/await", 2, baggage))
    assert provider.requests == []
    get(server, "/await", 1)
    assert len(provider.requests) == 1


@pytest.mark.usefixtures("gateway", "spans")
def test_what_code_sets_is_signed_on_its_way_to_another_service(server: str, provider: StandIn) -> None:
    with otel_cost.budget("run", "of-code", limit_usd="0.003"):
        answers = get(server, "/await", 4)
        assert [bool(answer["refused"]) for answer in answers] == [False, False, True, True]
        provider.requests.clear()
        with otel_cost.attribute(run="inner"):
            assert not any(answer["refused"] for answer in get(server, "/await", 2))
        with openai.OpenAI() as client:
            client.chat.completions.create(model="gpt-4o", max_tokens=100, messages=MESSAGES)
    assert len(provider.requests) == 3
    assert "otel_cost" not in str([request.headers for request in provider.requests])


@pytest.mark.usefixtures("spans")
def test_what_code_sets_with_another_key_lets_nothing_through(
    server: str, provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_COST_BUDGET_KEY", OTHER)
    with otel_cost.budget("run", "of-code", limit_usd="0.003"):
        assert all(answer["refused"] for answer in get(server, "/await", 2))
    assert provider.requests == []


@pytest.mark.usefixtures("spans")
def test_the_processs_own_budget_needs_no_signature(bin_folder: Path, provider: StandIn) -> None:
    given = "otel_cost.run=service,otel_cost.budget.run=0.003"
    with serving(bin_folder, provider, BAGGAGE=given, OTEL_COST_BUDGET_KEY=KEY) as url:
        answers = get(url, "/await", 4)
    assert [bool(answer["refused"]) for answer in answers] == [False, False, True, True]
    assert answers[-1]["refused"][1] == "service"


@pytest.mark.usefixtures("spans")
def test_the_spans_of_other_clients_are_held_against_the_file_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in the baggage, and nothing of a request to be seen: only the span says that it is a call."""
    monkeypatch.setenv("OTEL_COST_BUDGETS", str(tmp_path / "missing.toml"))
    tracer = trace.get_tracer("some.instrumentation")
    with tracer.start_as_current_span("a tool", attributes={"gen_ai.operation.name": "execute_tool"}):
        call = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
        with pytest.raises(otel_cost.BudgetExceededError, match=r"OTEL_COST_BUDGETS: .* cannot be read: "):
            tracer.start_span("chat gpt-4o", attributes=call)
