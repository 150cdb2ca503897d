"""However a process ends, the calls that it made are exported before."""

import multiprocessing.util
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otel_cost import endings
from otel_cost_exporter.demo.stand_in import StandIn

from .test_bootstrap import calls_of

COST = "0.004500"  # gpt-4o: 1000 x 2.50 + 200 x 10, per million
ASK = """
import multiprocessing, os, signal, sys, time
from concurrent.futures import ProcessPoolExecutor

import openai


def ask(_=None, **more):
    client = openai.OpenAI()
    return client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "[stand-in input=1000,output=200]"}], **more
    )


def ask_and_say(_=None):
    ask()
"""
CHILDREN = {
    "a process": """
    children = [context.Process(target=ask) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
""",
    "a pool that is closed": """
    pool = context.Pool(2)
    pool.map(ask_and_say, range(2))
    pool.close()
    pool.join()
""",
    "an executor": """
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        list(pool.map(ask_and_say, range(2)))
""",
}


@pytest.fixture
def app(bin_folder: Path, tmp_path: Path, provider: StandIn) -> Callable[[str], subprocess.Popen[str]]:
    """Start a program under ``opentelemetry-instrument``; its spans come to its output."""
    # Where coverage measures a program, it has a handler of SIGTERM of its own there.
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}

    def start(program: str) -> subprocess.Popen[str]:
        path = tmp_path / "app.py"
        path.write_text(ASK + program)
        return subprocess.Popen(
            [bin_folder / "opentelemetry-instrument", "--traces_exporter", "console", sys.executable, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Longer than any test: what is exported is so because the process ended.
            env={**unmeasured, **provider.environ, "OTEL_BSP_SCHEDULE_DELAY": "600000"},
        )

    return start


def told_to_end(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a program says that is told to end as soon as it says that it has asked: its output and its errors."""
    assert process.stdout
    assert process.stdout.readline() == "asked\n"
    process.terminate()
    return process.communicate(timeout=120)


@pytest.mark.parametrize("kind", CHILDREN)
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_child_of_multiprocessing_loses_no_call(
    app: Callable[[str], subprocess.Popen[str]], method: str, kind: str
) -> None:
    program = f"""
if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
{CHILDREN[kind]}
"""
    output, errors = app(program).communicate(timeout=120)
    assert [call["attributes"]["otel_cost.cost.amount"] for call in calls_of(output)] == [COST, COST], errors


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_pools_workers_can_be_terminated_as_ever(app: Callable[[str], subprocess.Popen[str]], method: str) -> None:
    program = f"""
def handler(_):
    ask()
    return signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


if __name__ == "__main__":
    for _ in range(5):
        with multiprocessing.get_context({method!r}).Pool(2) as pool:
            print(pool.map(handler, range(2)), file=sys.stderr)
"""
    process = app(program)
    _, errors = process.communicate(timeout=500)
    assert process.returncode == 0, errors
    assert errors.count("[True, True]") == 5, errors


def test_a_process_that_is_told_to_end_loses_no_call_and_ends_as_ever(
    app: Callable[[str], subprocess.Popen[str]],
) -> None:
    process = app("""
ask()
stream = ask(stream=True, stream_options={"include_usage": True})
next(stream)
print("asked", flush=True)
time.sleep(600)
""")
    output, errors = told_to_end(process)
    assert process.returncode == -signal.SIGTERM, errors
    assert [call["attributes"]["otel_cost.call.outcome"] for call in calls_of(output)] == ["ok", "cut"], errors


def test_a_process_that_is_told_to_end_while_it_ends_sends_its_last_spans_first(
    app: Callable[[str], subprocess.Popen[str]],
) -> None:
    process = app("""
from opentelemetry.sdk.trace.export import ConsoleSpanExporter
export = ConsoleSpanExporter.export


def told_amid(self, spans):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.2)
    return export(self, spans)


ConsoleSpanExporter.export = told_amid
ask()
""")
    output, errors = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGTERM, errors
    assert len(calls_of(output)) == 1


def test_a_program_with_a_handler_of_its_own_keeps_it(app: Callable[[str], subprocess.Popen[str]]) -> None:
    process = app("""
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
ask()
print("asked", flush=True)
time.sleep(600)
""")
    output, errors = told_to_end(process)
    assert process.returncode == 3, errors
    assert len(calls_of(output)) == 1


@pytest.fixture
def default_handler() -> Iterator[None]:
    """SIGTERM as it is in a process that nobody has told otherwise."""
    numbers = (signal.SIGTERM, signal.SIGALRM)
    before = [(number, signal.signal(number, signal.SIG_DFL)) for number in numbers]
    yield
    signal.alarm(0)
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.usefixtures("default_handler")
def test_the_handler_of_sigterm_flushes_and_makes_way(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(endings, "end_all", lambda: done.append("flushed"))
    monkeypatch.setattr(os, "kill", lambda _, number: done.append(signal.Signals(number).name))
    endings.watch()
    assert signal.getsignal(signal.SIGTERM) is endings._terminated
    signal.raise_signal(signal.SIGTERM)
    assert done == ["flushed", "SIGTERM"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.alarm(0) > 0


@pytest.mark.usefixtures("default_handler")
def test_an_exit_is_finished_before_sigterm_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def told_amid() -> None:
        signal.raise_signal(signal.SIGTERM)
        done.append("flushed")

    monkeypatch.setattr(endings, "end_all", told_amid)
    monkeypatch.setattr(os, "kill", lambda _, number: done.append(signal.Signals(number).name))
    endings.watch()
    endings._exits()
    assert done == ["flushed", "SIGTERM"]


@pytest.mark.usefixtures("default_handler")
def test_a_child_of_multiprocessing_is_left_to_its_pool() -> None:
    endings.watch()
    endings._begin_child(multiprocessing.util)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_process_does_not_wait_for_ever_for_its_last_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    for_ever = threading.Event()
    monkeypatch.setattr(endings, "_FLUSH_SECONDS", 0.01)
    monkeypatch.setattr(endings, "end_all", for_ever.wait)
    endings._flush_in_time()
    (flush,) = [thread for thread in threading.enumerate() if thread.name == "otel-cost-flush"]
    for_ever.set()
    flush.join()
