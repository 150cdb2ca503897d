"""``otel-cost demo``, as a person runs it."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from otel_cost_exporter.demo import stand_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Demo = Callable[..., subprocess.Popen[str]]

# Project / run, stage / role, model, calls, tokens in, tokens out, cost in USD, refused calls. The tokens are a quarter
# of the prompts' characters and what the stand-in answers to them; the prices are the vendors' own per million tokens.
SPENT = [
    # (19 + 20 + 18 + 21) x 4 USD + (38 + 27 + 31 + 74) x 20 USD
    "novel / night-7 write / novelist claude-opus-5-5 4 78 170 0.003712 1",
    # 39 x 2 USD + 44 x 10 USD
    "newsletter / issue-42 draft / writer claude-sonnet-5-5 1 39 44 0.000518",
    # 87 x 0.75 USD + 77 x 4.50 USD
    "newsletter / issue-42 review / editor gpt-5.4-mini 1 87 77 0.00041175",
    # 88 x 0.75 USD + 72 x 4.50 USD
    "newsletter / issue-42 research / librarian gpt-5.4-mini 1 88 72 0.000390",
    # (33 + 33 + 33) x 0.20 USD + (54 + 31 + 33) x 1.25 USD
    "support / monday triage / dispatcher gpt-5.4-nano 3 99 118 0.0001673",
    # 34 x 1 USD + 26 x 5 USD
    "support / monday reply / clerk claude-haiku-4-5 1 34 26 0.000164",
    # 71 x 0.02 USD
    "newsletter / issue-42 research / librarian text-embedding-3-small 1 71 0 0.00000142",
    "Total 12 496 507 0.00536447 1",
]


SECONDS = 240
"""How long to wait for what takes a few on a machine that has nothing else to do."""


@pytest.fixture
def demo(tmp_path: Path, bin_folder: Path) -> Iterator[Demo]:
    """Start ``otel-cost demo`` with its folders below `tmp_path`. In the end nothing that it started may be running."""
    mark = uuid.uuid4().hex
    started = []

    def start(*arguments: str, **environ: str) -> subprocess.Popen[str]:
        vendors = ("OPENAI_", "ANTHROPIC_", "OTEL_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(vendors)}
        process = subprocess.Popen(
            [bin_folder / "otel-cost", "demo", *arguments],
            env={**kept, "TMPDIR": str(tmp_path), "HOME": str(tmp_path), "DEMO_TEST_MARK": mark, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        assert process.stdout
        process.stdout.close()
        if process.poll() is None:
            process.terminate()
            process.wait(SECONDS)
    deadline = time.monotonic() + SECONDS
    while (left := running_with(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)  # a browser, for which nobody waits
    assert left == []


def running_with(mark: str) -> list[str]:
    """The command lines of processes that have `mark` in their environment, where the system can tell."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # it ended meanwhile, or is somebody else's
            continue
    return found


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """What it prints up to the line that contains `text`."""
    said = ""
    assert process.stdout
    for line in process.stdout:
        said += line
        if text in line:
            return said
    pytest.fail(f"it ended without saying {text!r}:\n{said}")


def rows(said: str) -> list[str]:
    """The lines of `said`, with one space where there are many."""
    return [" ".join(line.split()) for line in said.splitlines()]


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = process.communicate(timeout=SECONDS)
    return process.returncode, said


def test_once_prints_what_was_spent_by_whom(demo: Demo, tmp_path: Path) -> None:
    status, said = ended(demo("--once", OPENAI_API_KEY="real-key-that-stays-home", HTTP_PROXY="http://127.0.0.1:1"))
    assert status == 0, said
    assert "Stand-in LLM provider on http://127.0.0.1:" in said
    assert "no vendor is called and nothing is charged" in said
    assert [row for row in rows(said) if row in SPENT] == SPENT, said
    assert "stopped after 4 chapters: budget of run 'night-7' (0.004700 USD) refused a call" in said
    assert re.search(r"Budget of run night-7: 0.003712 of 0.0047\d* USD spent, 1 call was refused.", said), said
    assert list(tmp_path.glob("otel-cost-demo-*")) == []


def test_it_stays_until_ctrl_c_with_the_explorer_open(demo: Demo, tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}.part\nmv {opened}.part {opened}\n')
    browser.chmod(0o755)
    process = demo(BROWSER=f"{browser} %s")
    said = read_until(process, "Ctrl-C ends it.")
    urls = dict(re.findall(r"^(Cost explorer|Ledger service): (http://[\d.:]+)", said, re.MULTILINE))
    assert "Streamlit" in httpx2.get(urls["Cost explorer"], trust_env=False, timeout=SECONDS).text
    summary: dict[str, Any] = httpx2.get(
        f"{urls['Ledger service']}/v1/summary", trust_env=False, timeout=SECONDS
    ).json()
    assert summary["total"]["cost_usd"] == "0.00536447"
    deadline = time.monotonic() + SECONDS
    while not opened.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert opened.read_text() == urls["Cost explorer"]
    process.send_signal(signal.SIGINT)
    status, said = ended(process)
    assert status == 0, said
    (ledger,) = tmp_path.glob("otel-cost-demo-*/ledger.duckdb")
    assert f"The books stay: otel-cost serve --ledger {ledger}" in said


@pytest.mark.parametrize("arguments", [("--once",), ()], ids=["once", "to-stay"])
def test_a_signal_ends_it_while_it_works(demo: Demo, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    process = demo(*arguments)
    read_until(process, "Running the agent")
    process.terminate()
    status, said = ended(process)
    assert (status, said.splitlines()[-1]) == (130, "Stopped, and nothing is left behind.")
    assert list(tmp_path.glob("otel-cost-demo-*")) == []


def test_a_taken_port_is_one_clear_line_at_once(demo: Demo) -> None:
    with stand_in.running() as somebody_else:
        port = somebody_else.url.rpartition(":")[2]
        status, said = ended(demo("--port", port))
    assert status == 1
    assert said == (
        f"Error: port {port} of 127.0.0.1 cannot be used ({os.strerror(errno.EADDRINUSE)}): "
        "choose another with --port, or leave it out\n"
    )


def test_live_needs_a_key(demo: Demo) -> None:
    status, said = ended(demo("--once", "--live", OPENAI_API_KEY=""))
    assert status == 1
    assert said == ("Error: --live needs OPENAI_API_KEY or ANTHROPIC_API_KEY: set one of them, or leave --live out\n")


def test_live_uses_the_key_that_is_there(demo: Demo) -> None:
    with stand_in.running() as vendor:
        environ = {**vendor.environ, "OPENAI_API_KEY": "my-own"}
        del environ["ANTHROPIC_API_KEY"]
        status, said = ended(demo("--once", "--live", **environ))
    assert status == 0, said
    assert "LIVE: the agent calls OpenAI with your key. This spends real money" in said
    assert "ANTHROPIC_API_KEY is not set: what needs Anthropic is left out." in said
    assert {request.headers["authorization"] for request in vendor.requests} == {"Bearer my-own"}
    assert len(vendor.requests) == 6
    # 0.00041175 + 0.000390 + 0.0001673 + 0.00000142
    assert "Total 6 345 267 0.00097047" in rows(said)
