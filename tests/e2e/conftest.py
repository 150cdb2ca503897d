"""What the end-to-end tests share: programs that do not outlive their tests, and real tracing backends."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOLD = ("OTEL_", "OTELCOL_", "OPENAI_", "ANTHROPIC_", "PHOENIX_")
"""Variables of whoever runs the tests that the programs under test must not see."""
OURS = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
"""One that all tests run with: applications have not all the instrumentations that the tests have."""


@dataclass(frozen=True)
class Program:
    """A program that a test started; what it prints goes to a file."""

    process: subprocess.Popen[bytes]
    log: Path

    def says(self, pattern: str, seconds: float = 180) -> str:
        """What the first group of `pattern` matched in its output, as soon as it is there."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.log.read_text(errors="replace"))):
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{self.log.stem} did not say {pattern!r}:\n{self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)
        return found[1]

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it with the signal `how`, and wait until it has."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(120)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, bin_folder: Path) -> Iterator[Callable[..., Program]]:
    """Start a program that does not outlive this module's tests; a mere name is one of this environment."""
    programs: list[Program] = []
    kept = {name: value for name, value in os.environ.items() if name == OURS or not name.startswith(TOLD)}

    def starting(name: str | Path, *arguments: str | Path, **environ: str) -> Program:
        command = [str(bin_folder / name), *map(str, arguments)]
        log = tmp_path_factory.mktemp("log") / f"{Path(name).name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env={**kept, **environ}, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        programs.append(Program(process, log))
        return programs[-1]

    yield starting
    for program in programs:
        program.process.terminate()
    for program in programs:
        program.end()


@pytest.fixture
def port() -> Iterator[int]:
    """A port of 127.0.0.1 that is handed out to nobody; only a server that is told to take it can, at any time."""
    with socket.socket() as holding:
        holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # so servers can listen there, as they do it too
        holding.bind(("127.0.0.1", 0))
        yield int(holding.getsockname()[1])


@pytest.fixture(scope="session")
def fetched(root: Path, need_program: Callable[..., Path]) -> Callable[..., Path]:
    """The program that a script of ours fetches or builds, once, into .cache; it needs `tool` for that."""

    def fetch(tool: str, script: str, *arguments: str) -> Path:
        command = [sys.executable, root / script, *arguments]
        (root / ".cache").mkdir(exist_ok=True)
        with (root / ".cache" / "fetching").open("w") as fetching:
            fcntl.flock(fetching, fcntl.LOCK_EX)  # the tests run in several processes
            made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode == 2:
            need_program(tool)
        assert made.returncode == 0, made.stderr
        return Path(made.stdout.strip())

    return fetch


@dataclass(frozen=True)
class Backends:
    """Where the tracing backends answer; and the spans that they hold, their attributes by span id."""

    phoenix: str
    jaeger: str
    jaeger_otlp: str

    def in_phoenix(self) -> dict[str, dict[str, Any]]:
        """All that Phoenix holds."""
        answer = httpx2.get(f"{self.phoenix}/v1/projects/default/spans", params={"limit": 1000}, timeout=60)
        return {span["context"]["span_id"]: span["attributes"] for span in answer.json()["data"]}

    def in_jaeger(self, service: str, **tags: str) -> dict[str, dict[str, Any]]:
        """The traces of `service` in Jaeger; of these the ones with a span that has all of `tags`."""
        asked = {"service": service, "limit": "1000", "tags": json.dumps(tags)}
        traces = httpx2.get(f"{self.jaeger}/api/traces", params=asked, timeout=60).json()["data"]
        spans = [span for trace in traces for span in trace["spans"]]
        return {span["spanID"]: {tag["key"]: tag["value"] for tag in span["tags"]} for span in spans}


@pytest.fixture(scope="module")
def phoenix(
    start: Callable[..., Program], fetched: Callable[..., Path], root: Path, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """Where a Phoenix answers, with nothing in it."""
    program = start(
        fetched("uv", str(root / "tests" / "e2e" / "backends" / "install.py"), "phoenix"),
        "serve",
        PHOENIX_HOST="127.0.0.1",
        PHOENIX_PORT="0",
        PHOENIX_GRPC_PORT="0",
        PHOENIX_WORKING_DIR=str(tmp_path_factory.mktemp("phoenix")),
        PHOENIX_TELEMETRY_ENABLED="false",
        PHOENIX_ALLOW_EXTERNAL_RESOURCES="false",
        PHOENIX_DISABLE_AGENT_ASSISTANT="true",
        PHOENIX_ENABLE_MCP_SERVER="false",
    )
    return program.says(r"Uvicorn running on (http://127\.0\.0\.1:\d+)")


@pytest.fixture(scope="module")
def backends(start: Callable[..., Program], fetched: Callable[..., Path], root: Path, phoenix: str) -> Backends:
    """Phoenix and Jaeger, on free ports, with nothing in them."""
    folder = root / "tests" / "e2e" / "backends"
    jaeger = start(fetched("go", str(folder / "install.py"), "jaeger"), "--config", folder / "jaeger.yaml")
    return Backends(
        phoenix=phoenix,
        jaeger="http://" + jaeger.says(r'Query server started.*"http_addr": "(127\.0\.0\.1:\d+)"'),
        jaeger_otlp="http://" + jaeger.says(r'otlpreceiver.*Starting HTTP server.*"endpoint": "(127\.0\.0\.1:\d+)"'),
    )
