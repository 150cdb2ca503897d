"""The demo's programs start, are found wanting in one line, and never outlive their block."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import click
import pytest

from otel_cost_exporter.demo import processes

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

SERVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = {"/ok": (200, b'{"calls": 3}'), "/busy": (503, b"the books are busy")}.get(self.path, (404, b""))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(f"Listening on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
"""


def serving(folder: Path, program: str = SERVER) -> AbstractContextManager[processes.Service]:
    command = [sys.executable, "-c", program]
    return processes.serving("the test service", command, os.environ, says="Listening on ", log=folder / "log")


def test_a_service_runs_as_long_as_its_block(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        service.check()
        assert service.get("/ok") == {"calls": 3}
        with pytest.raises(click.ClickException, match="the test service answered 503 to /busy: the books are busy"):
            service.get("/busy")
    assert service.process.returncode == -signal.SIGTERM
    with pytest.raises(click.ClickException, match=f"the test service does not answer at {service.url}"):
        service.get("/ok")
    with pytest.raises(click.ClickException, match="ended with status -15: Listening on"):
        service.check()


def test_a_service_ends_with_a_block_that_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), serving(tmp_path) as service:
        _ = 1 / 0
    assert service.process.returncode == -signal.SIGTERM


def test_a_service_that_does_not_start_says_why(tmp_path: Path) -> None:
    broken = "import sys; print('one'); sys.exit('the ledger is in use')"
    with pytest.raises(click.ClickException, match="the test service ended with status 1: the ledger is in use"):
        serving(tmp_path, broken).__enter__()


def test_a_service_that_ends_without_a_word_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="the test service ended with status 0: it said nothing"):
        serving(tmp_path, "pass").__enter__()


def test_a_service_that_never_says_where_it_is_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_START_SECONDS", 0.2)
    with pytest.raises(click.ClickException, match=r"did not say where it listens within 0.2 s"):
        serving(tmp_path, "import time; time.sleep(600)").__enter__()


def test_a_program_that_does_not_end_when_asked_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_STOP_SECONDS", 0.2)
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", stubborn]
    with processes.running(command, os.environ, stdout=subprocess.PIPE) as process:
        assert process.stdout
        with process.stdout as output:
            assert output.readline() == b"1\n"
    assert process.returncode == -signal.SIGKILL


SLOWLY = """
import sys, time
for text in ("one\\ntw", "o\\n", "\\n", "three"):
    sys.stdout.write(text)
    sys.stdout.flush()
    time.sleep(0.1)
"""


def test_lines_come_whole_and_to_the_last(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", SLOWLY]
    with log.open("wb") as output, processes.running(command, os.environ, stdout=output) as process:
        assert list(processes.lines_of(process, log)) == ["one", "two", "", "three"]
    assert process.returncode == 0


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
def test_signals_end_the_block_where_it_waits_and_are_put_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with processes.signals_end_the_block():
        signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            processes.pause(0)
    assert signal.getsignal(number) is before


def test_a_signal_that_comes_in_the_last_step_is_not_lost() -> None:
    with pytest.raises(KeyboardInterrupt), processes.signals_end_the_block():
        signal.raise_signal(signal.SIGTERM)
    processes.pause(0)  # and not heeded twice


def test_a_signal_does_not_hide_what_failed() -> None:
    with pytest.raises(ZeroDivisionError), processes.signals_end_the_block():
        _ = signal.raise_signal(signal.SIGTERM) or 1 / 0  # type: ignore[func-returns-value]
    processes.pause(0)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with processes.signals_end_the_block():
            signal.raise_signal(signal.SIGHUP)
            processes.pause(0)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("step", ["__init__", "wait"])
def test_a_signal_that_comes_while_a_program_starts_or_ends_loses_no_program(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    started = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            started.append(self)
            if step == "__init__":
                signal.raise_signal(signal.SIGINT)

        def wait(self, timeout: float | None = None) -> int:
            if step == "wait":
                signal.raise_signal(signal.SIGINT)
            return super().wait(timeout)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with (
        pytest.raises(KeyboardInterrupt),
        processes.signals_end_the_block(),
        processes.running(sleep, os.environ, stdout=subprocess.DEVNULL),
    ):
        processes.pause(0)
    assert [process.returncode for process in started] == [-signal.SIGTERM]


def test_a_program_that_cannot_start_is_an_error() -> None:
    with pytest.raises(FileNotFoundError), processes.running(["/no/such"], os.environ, stdout=subprocess.DEVNULL):
        pass


def test_signals_are_left_alone_outside_the_main_thread() -> None:
    seen = []

    def work() -> None:
        with processes.signals_end_the_block():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_programs_are_found_beside_python_or_missed_with_a_reason() -> None:
    assert processes.program("opentelemetry-instrument").endswith("opentelemetry-instrument")
    with pytest.raises(click.ClickException, match="no-such-program is neither in"):
        processes.program("no-such-program")
