from __future__ import annotations

import importlib.util
import os
import signal
import socket
import stat
import subprocess
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from otel_cost import settings
from otel_cost_dashboard import commands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Start = Callable[..., subprocess.Popen[str]]


SECONDS = 120
"""How long to wait for what happens at once on a machine that has nothing else to do."""


@pytest.fixture
def start(bin_folder: Path, tmp_path: Path) -> Iterator[Start]:
    """Start `otel-cost dashboard`, with a browser that notes which address it was given."""
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opening\nmv {tmp_path}/opening {tmp_path}/opened\n')
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str, **environ: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [bin_folder / "otel-cost", "dashboard", *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "BROWSER": str(browser), **environ},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.terminate()  # a kill would leave its child
        process.communicate(timeout=SECONDS)


def page_of(process: subprocess.Popen[str]) -> int:
    """The process of the page that the command `process` shows."""
    ask = ["ps", "-o", "pid=,args=", "--ppid", str(process.pid)]
    children = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.splitlines()
    (found,) = [child for child in children if "streamlit" in child]
    return int(found.split()[0])


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_says_where_it_is_and_ends_with_nothing_left(
    start: Start, nobody: str, ending: signal.Signals, tmp_path: Path
) -> None:
    process = start("--port", "0", **{settings.URL.name: nobody})
    assert process.stdout is not None
    page = process.stdout.readline().removeprefix("Cost explorer: ").strip()
    assert process.stdout.readline() == f"Ledger service: {nobody}\n"
    port = int(page.removeprefix("http://127.0.0.1:"))
    socket.create_connection(("127.0.0.1", port), timeout=SECONDS).close()
    opened = tmp_path / "opened"
    deadline = time.monotonic() + SECONDS
    while not opened.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert opened.read_text().strip() == page
    child = page_of(process)
    process.send_signal(ending)
    assert process.wait(SECONDS) == 0
    assert not alive(child)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=SECONDS)


def test_a_port_in_use_is_one_clear_line(nobody: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(commands.dashboard, ["--url", nobody, "--port", str(port)])
    assert result.exit_code == 1
    assert result.output == (
        f"Error: port {port} of 127.0.0.1 cannot be used (Address already in use): choose another with --port, "
        "or --port 0\n"
    )


def test_a_bad_url_is_one_clear_line() -> None:
    result = CliRunner().invoke(commands.dashboard, ["--url", "ledger:4318"])
    assert result.exit_code == 2
    assert "'ledger:4318': it must be a URL like http://127.0.0.1:4318" in result.output


def test_without_streamlit_it_says_which_extra_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    result = CliRunner().invoke(commands.dashboard)
    assert result.exit_code == 1
    assert result.output == "Error: the cost explorer needs more packages: pip install 'otel-cost[dashboard]'\n"


def test_a_page_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nobody: str) -> None:
    monkeypatch.setattr(commands, "_APP", tmp_path / "gone.py")
    result = CliRunner().invoke(commands.dashboard, ["--url", nobody, "--port", "0", "--no-browser"])
    assert result.exit_code == 1
    assert "the cost explorer did not start: it ended with status" in result.output


def test_a_page_that_does_not_answer_is_ended(monkeypatch: pytest.MonkeyPatch, nobody: str) -> None:
    monkeypatch.setattr(commands, "_START_SECONDS", 0.0)
    result = CliRunner().invoke(commands.dashboard, ["--url", nobody, "--port", "0", "--no-browser"])
    assert result.exit_code == 1
    assert "did not answer at port" in result.output


def test_a_page_that_ends_by_itself_is_an_error(start: Start, nobody: str) -> None:
    process = start("--url", nobody, "--port", "0", "--no-browser")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Cost explorer: ")
    os.kill(page_of(process), signal.SIGKILL)
    assert process.wait(SECONDS) == 1


def test_a_browser_that_stays_open_does_not_keep_it_running(start: Start, nobody: str) -> None:
    process = start("--url", nobody, "--port", "0", BROWSER="sleep 600 %s")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Cost explorer: ")
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == 0


def test_a_signal_before_the_page_is_up_ends_it(monkeypatch: pytest.MonkeyPatch, nobody: str) -> None:
    def interrupted(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
        assert arguments
        signal.raise_signal(signal.SIGINT)
        started.append(subprocess.Popen(["sleep", "600"], **options))  # type: ignore[call-overload]
        return started[-1]

    started: list[subprocess.Popen[bytes]] = []
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(commands, "subprocess", SimpleNamespace(**{**vars(subprocess), "Popen": interrupted}))
    result = CliRunner().invoke(commands.dashboard, ["--url", nobody, "--port", "0"])
    assert (result.exit_code, result.output) == (0, "")
    assert [child.returncode for child in started] == [-signal.SIGTERM]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with commands._asked_to_end() as asked:
            signal.raise_signal(signal.SIGHUP)
        assert asked == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_where_somebody_takes_its_free_port_it_takes_another(
    monkeypatch: pytest.MonkeyPatch, nobody: str, capfd: pytest.CaptureFixture[str]
) -> None:
    chosen: list[int] = []

    def free_port(port: int) -> int:
        chosen.append(found(port) if chosen else taken)
        return chosen[-1]

    def comes_up(*arguments: Any) -> bool:
        if chosen == [taken]:
            return really_comes_up(*arguments)
        signal.raise_signal(signal.SIGTERM)
        return True

    found, really_comes_up = commands._free_port, commands._comes_up
    monkeypatch.setattr(commands, "_free_port", free_port)
    monkeypatch.setattr(commands, "_comes_up", comes_up)
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        taken = somebody.getsockname()[1]
        result = CliRunner().invoke(commands.dashboard, ["--url", nobody, "--port", "0", "--no-browser"])
    assert result.exit_code == 0
    assert f"Port {taken} is not available" in capfd.readouterr().err
    assert result.output.startswith(f"Cost explorer: http://127.0.0.1:{chosen[-1]}\n")
    assert chosen[-1] != taken


def test_a_child_that_does_not_heed_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_STOP_SECONDS", 0.1)
    stubborn = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    child = subprocess.Popen(["sh", "-c", stubborn], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    commands._end(child)
    child.stdout.close()
    assert child.returncode == -signal.SIGKILL
