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
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = {"/ok": (200, b'{"calls": 3}'), "/busy": (503, b"the books are busy")}.get(self.path, (404, b""))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def serving(folder: Path, program: str = SERVER, **kwargs: Any) -> AbstractContextManager[processes.Service]:
    port = processes.free_ports(1)[0]
    command = [sys.executable, "-c", program, str(port)]
    options = {"port": port, "health": "/ok", "log": folder / "log", **kwargs}
    return processes.serving("the test service", command, os.environ, **options)


def test_a_service_runs_as_long_as_its_block(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        service.check()
        assert service.get("/ok") == {"calls": 3}
        with pytest.raises(click.ClickException, match="the test service answered 503 to /busy: the books are busy"):
            service.get("/busy")
    assert service.process.returncode == -signal.SIGTERM
    with pytest.raises(click.ClickException, match=f"the test service does not answer at {service.url}"):
        service.get("/ok")
    with pytest.raises(click.ClickException, match="ended with status -15: it said nothing"):
        service.check()


def test_a_service_ends_with_a_block_that_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), serving(tmp_path) as service:
        _ = 1 / 0
    assert service.process.returncode == -signal.SIGTERM


def test_a_service_that_does_not_start_says_why(tmp_path: Path) -> None:
    broken = "import sys; print('one'); sys.exit('the ledger is in use')"
    with pytest.raises(click.ClickException, match="the test service ended with status 1: the ledger is in use"):
        serving(tmp_path, broken).__enter__()


def test_a_service_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_START_SECONDS", 0.2)
    with pytest.raises(click.ClickException, match=r"gave no answer at http://127.0.0.1:\d+ within 0.2 s"):
        serving(tmp_path, "import time; time.sleep(60)").__enter__()


def test_a_program_that_does_not_end_when_asked_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_STOP_SECONDS", 0.2)
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", stubborn]
    with processes.running(command, os.environ, stdout=subprocess.PIPE) as process:
        assert process.stdout
        with process.stdout as output:
            assert output.readline() == b"1\n"
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_end_the_block_and_are_put_back(name: str) -> None:
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), processes.signals_end_the_block():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_a_signal_that_comes_while_a_program_starts_loses_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            started.append(self)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    with (
        pytest.raises(KeyboardInterrupt),
        processes.signals_end_the_block(),
        processes.running(sleep, os.environ, stdout=subprocess.DEVNULL),
    ):
        pytest.fail("the signal was forgotten")
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


def test_free_ports_differ() -> None:
    assert len(set(processes.free_ports(5))) == 5
