"""What `budget(...)` gives: a block, a decorator, and the account of what was spent, in it and after it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import openai
import pytest

import otel_cost
from otel_cost import BudgetExceededError, CostReport, Guard, attribute, budget, safety, status
from otel_cost.budgets import guard as guards
from otel_cost.budgets.chosen import MEMORY
from otel_cost_exporter.demo.stand_in import StandIn

COST = Decimal("0.0045")  # gpt-4o: 1000 x 2.50 + 200 x 10, per million

pytestmark = pytest.mark.usefixtures("spans", "provider")


def ask(model: str = "gpt-4o", *, input_tokens: int = 1000, output: int = 200) -> None:
    content = f"[stand-in input={input_tokens},output={output}]"
    with openai.OpenAI() as client:
        client.chat.completions.create(model=model, max_tokens=output, messages=[{"role": "user", "content": content}])


def asks_twice() -> None:
    ask()
    ask()


async def ask_async() -> None:
    async with openai.AsyncOpenAI() as client:
        await client.chat.completions.create(
            model="gpt-4o", max_tokens=200, messages=[{"role": "user", "content": "[stand-in input=1000,output=200]"}]
        )


def test_a_guard_says_how_its_budget_stands_in_the_block_and_after_it() -> None:
    with budget("run", "r1", limit_usd="0.02", warn_at=[0.25, 0.5]) as guard:
        assert (guard.status().state, guard.status().remaining) == ("open", Decimal("0.02"))
        ask()
        assert (guard.status().state, guard.status().spent, guard.status().calls) == ("open", COST, 1)
        ask()
        assert (guard.status().state, guard.status().remaining) == ("warned", Decimal("0.011"))
        (held,) = status()
        assert held == guard.status()
    assert (guard.status().spent, guard.status().remaining) == (2 * COST, Decimal("0.011"))
    assert status() == []
    assert guard.refusal is None
    assert guard.report().outcome == "completed"


def test_money_is_exact_whatever_the_application_rounds_to() -> None:
    # gpt-4o: 1234 x 2.50 + 567 x 10, per million: 0.008755 a call
    with localcontext(prec=2), budget("run", "r1", limit_usd="0.1") as guard:
        for _ in range(3):
            ask(input_tokens=1234, output=567)
        otel_cost.charge("gpu", units="1.25", cost_usd="0.012345")
        stands, report = guard.status(), guard.report()
    assert (stands.spent, stands.remaining) == (Decimal("0.038610"), Decimal("0.061390"))
    assert (report.total.cost_usd, report.charges[0].units) == (Decimal("0.038610"), Decimal("1.25"))


def test_a_budget_without_calls_has_its_whole_limit_left() -> None:
    with budget("run", "r1", limit_tokens=900) as guard:
        (found,) = status()
        assert (found.unit, found.limit, found.spent, found.remaining, found.calls) == ("tokens", 900, 0, 900, 0)
        assert json.loads(found.model_dump_json())["remaining"] == "900"
        assert guard.report().total.calls == 0


def test_the_report_adds_up_by_stage_model_role_and_provider(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "cost_report.json"
    with budget("run", "r1", limit_usd="1", on_unknown="allow", report=path) as guard:
        assert not path.exists()
        with attribute(stage="draft", role="writer"):
            ask()
            ask("gpt-4o-mini", input_tokens=2000, output=1000)  # 2000 x 0.15 + 1000 x 0.60, per million: 0.0009
        with attribute(stage="review"):
            ask()
        ask("no-such-model", input_tokens=7, output=3)
    written = json.loads(path.read_text())
    assert list(tmp_path.joinpath("reports").iterdir()) == [path]
    assert (written["outcome"], written["refusal"], written["refused_calls"]) == ("completed", None, 0)
    assert written["started"] < written["written"]
    assert written["total"] == sums(4, 4007, 1403, "0.009900", known=3, unknown=1)
    assert written["by_stage"] == [
        {"name": "draft", **sums(2, 3000, 1200, "0.005400", known=2)},
        {"name": "review", **sums(1, 1000, 200, "0.004500", known=1)},
        {"name": None, **sums(1, 7, 3, "0.000000", unknown=1)},
    ]
    assert [(part["name"], part["cost_usd"]) for part in written["by_model"]] == [
        ("gpt-4o", "0.009000"),
        ("gpt-4o-mini", "0.000900"),
        ("no-such-model", "0.000000"),
    ]
    assert [(part["name"], part["cost_usd"]) for part in written["by_role"]] == [
        ("writer", "0.005400"),
        (None, "0.004500"),
    ]
    assert written["by_provider"] == [{"name": "openai", **sums(4, 4007, 1403, "0.009900", known=3, unknown=1)}]
    assert written["charges"] == []
    stands = written["budget"]
    assert (stands["limit"], stands["unit"], stands["calls"]) == ("1.000000", "USD", 4)
    assert Decimal(stands["spent"]) + Decimal(stands["remaining"]) == 1
    assert CostReport.model_validate(written).total == guard.report().total


def sums(
    calls: int, inputs: int, outputs: int, cost: str, *, known: int = 0, estimated: int = 0, unknown: int = 0
) -> dict[str, Any]:
    return {
        "calls": calls,
        "input_tokens": inputs,
        "output_tokens": outputs,
        "cost_usd": cost,
        "known": known,
        "estimated": estimated,
        "unknown": unknown,
    }


def test_a_refusal_that_leaves_saves_the_checkpoint_once_and_then_writes_the_report(
    provider: StandIn, tmp_path: Path
) -> None:
    path, saved = tmp_path / "cost_report.json", []

    def save(guard: Guard) -> None:
        assert not path.exists()
        saved.append((guard.status().state, guard.report().outcome, len(provider.requests), *status()))

    guard = budget("run", "r1", limit_usd="0.005", sizing="strict", on_exhausted=save, report=path)
    with pytest.raises(BudgetExceededError) as refused, guard:
        asks_twice()
    assert guard.refusal is refused.value
    ((state, outcome, sent, stands),) = saved
    assert (state, outcome, sent, stands.id) == ("exhausted", "budget_exceeded", 1, "r1")
    written = json.loads(path.read_text())
    assert (written["outcome"], written["refused_calls"]) == ("budget_exceeded", 1)
    assert written["refusal"] == str(refused.value)
    assert written["budget"]["state"] == "exhausted"
    assert (written["budget"]["spent"], written["budget"]["remaining"]) == ("0.004500", "0.000500")


def test_a_refusal_that_stays_in_the_block_saves_nothing_and_the_status_tells() -> None:
    saved: list[Guard] = []
    with budget("run", "r1", limit_usd="0.005", sizing="strict", on_exhausted=saved.append) as guard:
        ask()
        with pytest.raises(BudgetExceededError):
            ask()
        assert guard.status().state == "exhausted"
        MEMORY.put_limit(guard._budget.key(), otel_cost.budgets.Limit.of_usd("0.02"))
        assert guard.status().state == "open"
        ask()
    assert saved == []
    assert guard.report().refused_calls == 1
    assert guard.report().outcome == "completed"


def test_what_a_person_stops_is_not_exhausted_once_it_is_resumed() -> None:
    with budget("run", "r1", limit_usd="1", sizing="strict") as guard:
        ask()
        MEMORY.stop(guard._budget.key(), "enough")
        with pytest.raises(BudgetExceededError, match="enough"):
            ask()
        assert guard.status().state == "stopped"
        MEMORY.resume(guard._budget.key())
        assert guard.status().state == "open"


def test_an_inner_refusal_saves_the_checkpoints_of_all_blocks_that_it_leaves() -> None:
    saved: list[Guard] = []
    outer = budget("project", "p", limit_usd="1", on_exhausted=saved.append)
    inner = budget("run", "r1", limit_usd="0.001", on_exhausted=saved.append)
    with pytest.raises(BudgetExceededError), outer, inner:
        ask()
    assert saved == [inner, outer]
    assert (inner.status().state, outer.status().state) == ("exhausted", "open")


def test_a_refusal_among_other_tasks_is_one() -> None:
    saved: list[Guard] = []

    async def go() -> None:
        async with budget("run", "r1", limit_usd="0.001", on_exhausted=saved.append), asyncio.TaskGroup() as group:
            group.create_task(ask_async())

    with pytest.raises(ExceptionGroup):
        asyncio.run(go())
    assert [isinstance(guard.refusal, BudgetExceededError) for guard in saved] == [True]
    assert guards._refusal_in(ExceptionGroup("others", [ValueError()])) is None


def test_a_checkpoint_that_fails_hides_no_refusal() -> None:
    def save(guard: Guard) -> None:
        raise OSError(f"no space left for {guard}")

    with pytest.raises(BudgetExceededError), budget("run", "r1", limit_usd="0.001", on_exhausted=save):
        ask()
    assert safety.failures() == {"saving a checkpoint (on_exhausted)": 1}


def test_another_error_is_a_failure_and_no_refusal(tmp_path: Path) -> None:
    path, saved = tmp_path / "cost_report.json", []
    with (
        pytest.raises(ValueError, match="other"),
        budget("run", "r1", limit_usd=1, on_exhausted=saved.append, report=path),
    ):
        raise ValueError("other")
    assert saved == []
    assert json.loads(path.read_text())["outcome"] == "failed"


def test_a_report_that_cannot_be_written_is_said_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with budget("run", "r1", limit_usd=1, report=tmp_path / "file" / "cost_report.json"):
        pass
    (place,) = safety.failures()
    assert place.startswith("writing the report ")
    folder = tmp_path / "folder"
    folder.mkdir()
    with budget("run", "r1", limit_usd=1, report=folder):
        pass
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_guard_is_for_one_block() -> None:
    guard = budget("run", "r1", limit_usd=1)
    with guard, pytest.raises(RuntimeError, match="make a new one for each"), guard:
        pass


def test_it_decorates_a_function() -> None:
    @budget("run", "r1", limit_usd="0.01", sizing="strict")
    def work(times: int) -> Any:
        for _ in range(times):
            ask()
        return status()[0].spent

    assert [work(1), work(1)] == [COST, 2 * COST]
    with pytest.raises(BudgetExceededError):
        work(1)
    assert status() == []


def test_it_decorates_a_coroutine_function() -> None:
    @budget("run", "r1", limit_usd="0.01", sizing="strict")
    async def work() -> Any:
        await ask_async()
        return status()[0].spent

    async def both() -> list[Any]:
        return list(await asyncio.gather(work(), work()))

    assert max(asyncio.run(both())) == 2 * COST


def test_it_decorates_a_generator(tmp_path: Path) -> None:
    saved: list[Guard] = []
    path = tmp_path / "cost_report.json"

    @budget("run", "r1", limit_usd="0.01", sizing="strict", on_exhausted=saved.append, report=path)
    def work() -> Iterator[Any]:
        while True:
            ask()
            yield status()[0].spent

    steps = work()
    assert [next(steps), status(), next(steps)] == [COST, [], 2 * COST]
    assert not path.exists()
    with pytest.raises(BudgetExceededError):
        next(steps)
    assert len(saved) == 1
    assert json.loads(path.read_text())["outcome"] == "budget_exceeded"
    work().close()
    steps = work()
    with pytest.raises(BudgetExceededError):
        next(steps)


def test_it_decorates_a_generator_that_is_closed_early(tmp_path: Path) -> None:
    path = tmp_path / "cost_report.json"

    @budget("run", "r1", limit_usd="0.01", report=path)
    def work() -> Iterator[None]:
        yield ask()

    steps = work()
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    assert json.loads(path.read_text())["outcome"] == "completed"


def test_it_decorates_an_async_generator(tmp_path: Path) -> None:
    path = tmp_path / "cost_report.json"

    @budget("run", "r1", limit_usd="0.01", sizing="strict", report=path)
    async def work() -> AsyncIterator[Any]:
        while True:
            await ask_async()
            yield status()[0].spent

    async def go() -> list[Any]:
        found: list[Any] = []
        try:
            async for spent in work():
                found += [spent, *status()]
        except BudgetExceededError as error:
            found.append(error.id)
        return found

    assert asyncio.run(go()) == [COST, 2 * COST, "r1"]
    assert json.loads(path.read_text())["outcome"] == "budget_exceeded"


def test_a_process_has_a_report_of_all_that_it_spent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cost_report.json"
    guards.watch_process()
    guards.write_reports()
    monkeypatch.setenv("OTEL_COST_REPORT", str(path))
    guards.watch_process()
    with budget("run", "r1", limit_usd=1, report=tmp_path / "guard.json"):
        ask()
        guards.write_reports()
        assert json.loads((tmp_path / "guard.json").read_text())["outcome"] == "interrupted"
    ask()  # under no budget
    guards.write_reports()
    written = json.loads(path.read_text())
    assert written["total"] == sums(2, 2000, 400, "0.009000", known=2)
    assert [(found["id"], found["spent"]) for found in written["budgets"]] == [("r1", "0.004500")]
    assert written["budget"] is None


PROGRAM = """
import os, signal, sys
from tests_ask import ask
import otel_cost

with otel_cost.attribute(stage="draft"):
    with otel_cost.budget("run", "r1", limit_usd="0.005", report="guard.json"):
        ask()
        {ends}
"""
ENDS = {
    "by itself": ("pass", "completed"),
    "in a refusal": ("ask()", "budget_exceeded"),
    "in an error": ("raise ValueError", "failed"),
    "told to": ("os.kill(os.getpid(), signal.SIGTERM)", "interrupted"),
}


@pytest.mark.parametrize("how", ENDS)
def test_reports_are_written_however_the_process_ends(
    bin_folder: Path, tmp_path: Path, provider: StandIn, how: str
) -> None:
    end, outcome = ENDS[how]
    (tmp_path / "tests_ask.py").write_text(
        "import openai\n"
        "def ask():\n"
        "    content = '[stand-in input=1000,output=200]'\n"
        "    messages = [{'role': 'user', 'content': content}]\n"
        "    openai.OpenAI().chat.completions.create(model='gpt-4o', max_tokens=200, messages=messages)\n"
    )
    (tmp_path / "app.py").write_text(PROGRAM.format(ends=end))
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    ended = subprocess.run(
        [bin_folder / "opentelemetry-instrument", "--traces_exporter", "none", sys.executable, "app.py"],
        env={**unmeasured, **provider.environ, "OTEL_COST_REPORT": "process.json"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == {"by itself": 0, "told to": -signal.SIGTERM}.get(how, 1), ended.stderr
    guard, process = (json.loads((tmp_path / name).read_text()) for name in ("guard.json", "process.json"))
    assert guard["outcome"] == outcome
    assert process["budget"] is None
    assert [(found["id"], found["spent"]) for found in process["budgets"]] == [("r1", "0.004500")]
    for report in (guard, process):
        assert report["by_stage"] == [{"name": "draft", **sums(1, 1000, 200, "0.004500", known=1)}]
        assert report["refused_calls"] == (how == "in a refusal")
