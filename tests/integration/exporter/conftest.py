"""What the tests of the ledger service share. Spans are built with one module, `exporter_building`."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from otel_cost.cli import main
from otel_cost_exporter.access.address import Address
from otel_cost_exporter.service import Options, Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from click.testing import Result

sys.path.append(str(Path(__file__).resolve().parents[2] / "unit" / "exporter"))

FREE = Address("127.0.0.1", 0)


@dataclass(frozen=True)
class Serving:
    """A ledger service in a process of its own."""

    process: subprocess.Popen[str]
    grpc: str
    url: str
    said: str


@pytest.fixture
def ledger_file(tmp_path: Path) -> Path:
    return tmp_path / "books.duckdb"


@pytest.fixture
def spool_folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def service(ledger_file: Path, spool_folder: Path) -> Iterator[Service]:
    """A service in this process, on free ports."""
    with Service(Options(ledger=ledger_file, spool=spool_folder, grpc=FREE, http=FREE)) as running:
        yield running


@pytest.fixture
def serving(ledger_file: Path, spool_folder: Path, bin_folder: Path) -> Callable[[], AbstractContextManager[Serving]]:
    """Start `otel-cost serve` on free ports; it is ended with the block, if it has not ended by itself."""

    @contextmanager
    def start() -> Iterator[Serving]:
        ports = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
        command = [bin_folder / "otel-cost", "serve", "--ledger", ledger_file, "--spool", spool_folder, *ports]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                said = "".join(process.stdout.readline() for _ in range(5))
                grpc = re.search(r"OTLP/gRPC +(\S+)", said)
                http = re.search(r"OTLP/HTTP +(\S+)/v1/traces", said)
                assert grpc, said
                assert http, said
                yield Serving(process, grpc[1], http[1], said)
            finally:
                if process.poll() is None:
                    process.terminate()
                process.communicate(timeout=20)

    return start


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, ledger_file: Path, spool_folder: Path) -> Callable[..., Result]:
    """Run `otel-cost` in this process, with a ledger and spool of its own and no service to be found."""
    monkeypatch.setenv("OTEL_COST_LEDGER", str(ledger_file))
    monkeypatch.setenv("OTEL_COST_SPOOL", str(spool_folder))
    monkeypatch.setenv("OTEL_COST_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("COLUMNS", "100")

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments, catch_exceptions=False)

    return invoke
