"""The receivers that ``ingest.py`` compares, each in a process of its own with nothing in its file yet.

    python benchmarks/ingest_receivers.py SIDE

serves one of the two that keep nothing.
"""

from __future__ import annotations

import os
import re
import socket
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / ".cache"
RECEIVED, PARSED, OURS, PHOENIX = "only received", "only parsed", "otel-cost", "Phoenix"
"""Any other side is a commit: the otel-cost of that time."""
TICKS = os.sysconf("SC_CLK_TCK")
BOOKED = "SELECT count(*), count(DISTINCT (trace_id, span_id)), sum(cost) FROM calls"
PHOENIX_QUIET = {
    "PHOENIX_TELEMETRY_ENABLED": "false",
    "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
    "PHOENIX_DISABLE_AGENT_ASSISTANT": "true",
    "PHOENIX_ENABLE_MCP_SERVER": "false",
}


@dataclass(frozen=True)
class Receiver:
    """A receiver that runs."""

    side: str
    process: subprocess.Popen[bytes]
    folder: Path
    address: str

    def await_spans(self, count: int) -> None:
        """Wait until so many are in its file, where its answers do not say so."""
        while self.side == PHOENIX and self._in_phoenix() < count:
            time.sleep(0.1)

    def _in_phoenix(self) -> int:
        with closing(sqlite3.connect(f"file:{self.folder}/phoenix.db?mode=ro", uri=True)) as file:
            return int(file.execute("SELECT count(*) FROM spans").fetchone()[0])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def verdict(self, told: dict[str, Any]) -> str:
        """Whether the file of a killed otel-cost holds what its sender says."""
        if self.side in (RECEIVED, PARSED, PHOENIX):
            return ""
        with duckdb.connect(str(self.folder / "ledger.duckdb")) as file:
            ((rows, different, cost),) = file.execute(BOOKED).fetchall()
        exact = rows == different == told["calls"] and cost == Decimal(told["cost"])
        if exact:
            return f"{rows:,} calls, each once, {cost.normalize()} USD"
        return (
            f"WRONG: {rows:,} calls, {different:,} different, {cost} USD; of {told['calls']:,} and {told['cost']} USD"
        )

    def size(self) -> float:
        """Megabytes of its file and what belongs to it."""
        return sum(each.stat().st_size for each in self.folder.glob("ledger.duckdb*")) / 1e6


def processor_time(pid: int) -> float:
    """Seconds that a process has run, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid: int, what: str) -> float:
    """Megabytes: ``VmRSS`` now, ``VmHWM`` the most of it so far."""
    found = re.search(rf"^{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else 0.0


@contextmanager
def receiver(side: str) -> Iterator[Receiver]:
    """A new receiver of `side`, for itself alone."""
    scratch = CACHE / "benchmarks"
    scratch.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PHOENIX_"))}
    with tempfile.TemporaryDirectory(prefix="ingest-", dir=scratch) as made:
        folder, port = Path(made), free_port()
        command, variables = of_side(side, folder, port)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, env={**kept, **variables}, stdout=log, stderr=subprocess.STDOUT)
        try:
            said = hear(
                process, folder / "log", r"Uvicorn running on (\S+)" if side == PHOENIX else r"OTLP/gRPC\s+(\S+)"
            )
            yield Receiver(side, process, folder, f"127.0.0.1:{port}" if side == PHOENIX else said)
        finally:
            process.kill()
            process.wait()


def of_side(side: str, folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    """The command of a side, and its variables. Phoenix must be told the port; the others take one."""
    if side in (RECEIVED, PARSED):
        return [sys.executable, __file__, side], {}
    if side == PHOENIX:
        listening = {"PHOENIX_HOST": "127.0.0.1", "PHOENIX_PORT": "0", "PHOENIX_GRPC_PORT": str(port)}
        return [phoenix(), "serve"], {**PHOENIX_QUIET, **listening, "PHOENIX_WORKING_DIR": str(folder)}
    files = ["--ledger", str(folder / "ledger.duckdb"), "--spool", str(folder / "spool")]
    options = [*files, "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]
    if side == OURS:
        return [str(Path(sys.executable).parent / "otel-cost"), "serve", *options], {}
    code = checked_out(side)
    commands = tomllib.loads((code / "pyproject.toml").read_text())["project"]["entry-points"]["otel_cost.commands"]
    module, _, name = commands["serve"].partition(":")
    return [sys.executable, "-c", f"from {module} import {name}; {name}()", *options], {
        "PYTHONPATH": f"{code}{os.pathsep}{code / 'exporter'}"
    }


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def hear(process: subprocess.Popen[bytes], log: Path, pattern: str) -> str:
    """What `pattern` found in its output, as soon as it is there."""
    while not (found := re.search(pattern, log.read_text(errors="replace"))):
        if process.poll() is not None:
            sys.exit(f"the receiver ended:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.05)
    return found[1]


def phoenix() -> str:
    """Phoenix's program, in an environment that the end-to-end tests have, too."""
    install = HERE.parent / "tests" / "e2e" / "backends" / "install.py"
    done = subprocess.run([sys.executable, str(install), "phoenix"], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def checked_out(commit: str) -> Path:
    """The code of an earlier commit."""
    folder = CACHE / "benchmarks" / f"code-{git('rev-parse', commit).decode().strip()}"
    if not folder.exists():
        with tarfile.open(
            fileobj=BytesIO(git("archive", commit, "otel_cost", "exporter", "pyproject.toml"))
        ) as archive:
            archive.extractall(folder, filter="data")
    return folder


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=HERE.parent, stdout=subprocess.PIPE, check=True).stdout


def main() -> None:
    """Take OTLP/gRPC on a free port and throw it away, parsed or not."""

    def export(body: bytes, _: grpc.ServicerContext) -> bytes:
        if sys.argv[1] == PARSED:
            ExportTraceServiceRequest.FromString(body)
        return b""

    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    handler = grpc.method_handlers_generic_handler(service, {"Export": grpc.unary_unary_rpc_method_handler(export)})
    options = (("grpc.max_receive_message_length", -1),)
    server = grpc.server(ThreadPoolExecutor(32), handlers=(handler,), options=options)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"OTLP/gRPC  127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
