"""``otel-cost budget``, as a person types it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from otel_cost.budgets import chosen
from otel_cost.budgets.limit import Limit
from otel_cost.budgets.outage import StoreGoneError
from otel_cost.budgets.rule import Budget
from otel_cost.budgets.service import ServiceServer, who
from otel_cost.budgets.tree import Claim, Hold, Standing, Tree
from otel_cost.budgets.window import Window
from otel_cost.cli import main
from otel_cost_exporter.service import Service

NOBODY = "http://127.0.0.1:9"
Run = Callable[..., Result]

RUN = Budget("run", "r1", Limit.of_usd("5"))
DAY = Budget("project", "p" * 60, Limit.of_tokens(20_000), Window.of("day", "Europe/Berlin"))
MONTH = Budget("project", "p" * 60, Limit.of_tokens(90_000), Window.of("month", "Europe/Berlin"))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("OTEL_COST_URL", NOBODY)
    monkeypatch.delenv("OTEL_COST_BUDGET_STORE", raising=False)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["budget", *arguments], catch_exceptions=False)

    return invoke


def hold(server: Any, budget: Budget, amount: str, name: str) -> None:
    exact = int(amount) if budget.limit.in_tokens else Decimal(amount)
    assert server.reserve(Hold((Claim(budget, budget.key(), exact),), name), 60) is None


@pytest.fixture
def told(service: Service, monkeypatch: pytest.MonkeyPatch, run: Run) -> Run:
    """A service with three budgets, at OTEL_COST_URL."""
    monkeypatch.setenv("OTEL_COST_URL", service.url)
    with closing(ServiceServer(service.url)) as server:
        for number, (budget, amount) in enumerate([(RUN, "4"), (DAY, "5000"), (MONTH, "5000")]):
            hold(server, budget, amount, f"h{number}")
    return run


def test_a_budget_is_raised_stopped_and_resumed(told: Run) -> None:
    done = told("raise", "run", "r1", "--to", "8")
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert lines[0].split() == ["budget", "run", "r1"]
    assert lines[2].startswith(f"limit      8.000000 USD, put by {who()} at 20")
    assert lines[3:] == [
        "spent      0.000000 USD by 0 calls",
        "held       4.000000 USD by 1 call under way",
        "remaining  4.000000 USD",
    ]
    assert f"state      stopped by {who()}: enough" in told("stop", "run", "r1", "--reason", "enough").output
    assert "state      open" in told("resume", "run", "r1").output
    shown = json.loads(told("show", "run", "r1", "--json").output)
    assert [(row["limit"], row["state"]) for row in shown["budgets"]] == [("8.000000", "open")]


def test_a_limit_of_an_id_that_nobody_has_used_is_put_and_said(told: Run) -> None:
    done = told("raise", "run", "typo", "--to", "8")
    assert done.exit_code == 0
    assert "limit      8.000000 USD" in done.stdout
    assert done.stderr == (
        "no budget of run 'typo' is known: no call has brought one so far. This limit holds from the first\n"
    )


def test_a_stop_of_an_id_that_has_no_budget_says_what_it_does_not_stop(told: Run) -> None:
    done = told("stop", "run", "typo")
    assert done.exit_code == 0
    assert f"state      stopped by {who()}\n" in done.stdout
    assert done.stderr == (
        "no budget of run 'typo' is known: no call has brought one so far. The stop holds for calls under a budget of "
        "this id; calls under none go on\n"
    )
    assert not told("stop", "run", "r1").stderr
    lifted = told("resume", "run", "typo")
    assert (lifted.exit_code, lifted.output) == (
        0,
        "run typo is no longer stopped; no call has brought a budget of it so far\n",
    )
    told("stop", "run", "typo")
    assert json.loads(told("resume", "run", "typo", "--json").output) == {"budgets": []}


def test_of_several_windows_one_is_named(told: Run) -> None:
    done = told("raise", "project", "p" * 60, "--to", "30000tok")
    assert done.exit_code == 1
    assert "has 2 budgets in tokens (day, month): say for which window" in done.output
    output = told("raise", "project", "p" * 60, "--to", "30000tok", "--window", "day").output
    assert "limit      30000 tokens, put by" in output
    assert "limit      90000 tokens\n" in output


def test_what_is_listed_can_be_read_by_programs_and_by_people(told: Run) -> None:
    rows = json.loads(told("list", "--json").output)["budgets"]
    assert {(row["dimension"], row["window"]): row["held"] for row in rows} == {
        ("run", "life"): "4.000000",
        ("project", "day"): "5000",
        ("project", "month"): "5000",
    }
    (line,) = told("list", "--dimension", "run").output.splitlines()[1:]
    assert line.split() == ["run", "r1", "5.0000", "USD", "0.0000", "USD", "4.0000", "USD", "0%", "open"]
    assert f"project {'p' * 60} (day)" in told("list").output
    assert told("list", "--dimension", "scene").output == "No call has brought a budget so far.\n"


def test_a_terminal_of_80_columns_is_enough(service: Service, told: Run, bin_folder: Path) -> None:  # noqa: ARG001 - `told` fills it
    ours, theirs = os.openpty()
    environ = {**os.environ, "COLUMNS": "80", "OTEL_COST_URL": service.url}
    with os.fdopen(ours, "rb") as screen:
        subprocess.run([bin_folder / "otel-cost", "budget", "list"], stdout=theirs, env=environ, check=True, timeout=60)
        os.close(theirs)
        said = read(screen)
    lines = said.decode().splitlines()
    assert len(lines) > 4
    assert max(map(len, lines)) <= 80
    assert sum(line.count("p") for line in lines) > 120  # nothing of the ids is lost


def read(screen: Any) -> bytes:
    said = b""
    try:
        while piece := screen.read1(65536):
            said += piece
    except OSError:  # the other end is closed, as Linux says it
        pass
    return said


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("show", "run", "r9"), 1, "no budget of run 'r9' is known: no call has brought one so far"),
        (("resume", "run", "r9"), 1, "no budget of run 'r9' is known"),
        (("raise", "run", "r9", "--to", "much"), 2, "--to much: 'much' is not an amount of money"),
        (("raise", "cost", "r9", "--to", "8"), 2, "'cost' is reserved"),
    ],
)
def test_what_cannot_be_is_said(told: Run, arguments: tuple[str, ...], status: int, said: str) -> None:
    done = told(*arguments)
    assert done.exit_code == status
    assert said in done.output


def test_where_nobody_answers_it_says_where_it_looked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run("list")
    assert done.exit_code == 1
    assert done.output == (
        f"Error: no ledger service answers at {NOBODY} (Connection refused); start one with otel-cost serve, or name "
        "it with --url or OTEL_COST_URL\n"
    )
    elsewhere = NOBODY.replace("9", "19")
    assert f"answers at {elsewhere} " in run("list", "--url", elsewhere).output
    monkeypatch.setenv("OTEL_COST_BUDGET_STORE", "mysql://x")
    assert "OTEL_COST_BUDGET_STORE=mysql://x: write memory, service, " in run("list").output


# --- another server ------------------------------------------------------------------------------------------------
class Elsewhere:
    """A server of accounts that is no ledger service, as Redis is; tests of Redis hold what it does itself."""

    where = "redis://example"

    def __init__(self) -> None:
        self.tree, self.gone = Tree(), False
        for budget in (RUN, DAY):
            self.tree.reserve((Claim(budget, budget.key(), 4),))
        self.close = lambda: None
        self.put_limit, self.stop, self.resume = self.tree.put_limit, self.tree.stop, self.tree.resume

    def standings(self, _: object = None) -> list[Standing]:
        if self.gone:
            raise StoreGoneError("Connection refused")
        return list(self.tree.standings())


def test_another_server_is_told_the_same(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Elsewhere()
    monkeypatch.setattr(chosen, "server", lambda _: server)
    assert "limit      8.000000 USD\n" in run("raise", "run", "r1", "--to", "8").output
    assert f"state      stopped by {who()}: enough" in run("stop", "run", "r1", "--reason", "enough").output
    assert f"state      stopped by {who()}\n" in run("stop", "run", "r1").output
    assert "state      open" in run("resume", "run", "r1").output
    assert "limit      9 tokens" in run("raise", "project", "p" * 60, "--to", "9tok").output
    assert len(json.loads(run("list", "--json").output)["budgets"]) == 2
    assert "has no budget in USD by hour" in run("raise", "run", "r1", "--to", "8", "--window", "hour").output
    assert "no budget of run 'r9' is known" in run("stop", "run", "r9").output
    server.gone = True
    assert run("list").output == (
        "Error: no budget store answers at redis://example (Connection refused); is Redis running, and is "
        "OTEL_COST_BUDGET_STORE right?\n"
    )
