"""A service on a real disk that is full or cannot be written: a small one, in a mount namespace of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
import requests
from exporter_building import call, request
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UNSHARE = ("unshare", "--user", "--map-root-user", "--mount")
SECONDS = 60
AT_ONCE = 500
MIB = 1024 * 1024


def may_mount() -> bool:
    command = [*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return (
        shutil.which(UNSHARE[0]) is not None
        and not subprocess.run(command, check=False, capture_output=True).returncode
    )


pytestmark = pytest.mark.skipif(not may_mount(), reason="a disk of one's own takes user namespaces")


@contextmanager
def on_a_disk(folder: Path, bin_folder: Path, mount: str) -> Iterator[subprocess.Popen[str]]:
    """`otel-cost serve` with its ledger on a small disk, which is mounted at `folder` for it alone."""
    folder.mkdir()
    serve = f"{bin_folder}/otel-cost serve --ledger {folder}/books.duckdb --spool {folder}-spool"
    command = [*UNSHARE, "sh", "-ec", f"{mount}; exec {serve} --grpc 127.0.0.1:0 --http 127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


class Sender:
    """Sends numbered calls, `AT_ONCE` in a request."""

    def __init__(self, target: str) -> None:
        self.stub = TraceServiceStub(grpc.insecure_channel(target))
        self.acknowledged: set[int] = set()

    def send(self, first: int) -> grpc.StatusCode:
        numbers = range(first, first + AT_ONCE)
        padding = "x" * 300  # a disk is full sooner
        body = request(*(call(number, otel_cost__run=f"{padding}{number}") for number in numbers))
        try:
            self.stub.Export(ExportTraceServiceRequest.FromString(body), timeout=SECONDS)
        except grpc.RpcError as error:
            return error.code()
        self.acknowledged.update(numbers)
        return grpc.StatusCode.OK


def until(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.05)


def test_a_full_disk_refuses_and_goes_on_when_there_is_room(tmp_path: Path, bin_folder: Path) -> None:
    disk = tmp_path / "disk"
    with on_a_disk(disk, bin_folder, f"mount -t tmpfs -o size=56m tmpfs {disk}") as process:
        assert process.stdout is not None
        said = "".join(process.stdout.readline() for _ in range(5))
        target, url = re.findall(r"OTLP/\w+ +(?:http://)?([\d.]+:\d+)", said)
        health = f"http://{url}/healthz"
        seen = Path(f"/proc/{process.pid}/root{disk}")
        sender = Sender(target)
        assert sender.send(1) == grpc.StatusCode.OK
        (seen / "ballast").write_bytes(bytes(48 * MIB))

        # It is filled by what comes, so the write that fails may be any: of the log, or of a checkpoint.
        number, code = 1, grpc.StatusCode.OK
        while code == grpc.StatusCode.OK:
            assert number < 200 * AT_ONCE, "the disk does not get full"
            number += AT_ONCE
            code = sender.send(number)
        assert code == grpc.StatusCode.UNAVAILABLE
        told = requests.get(health, timeout=SECONDS)
        assert (told.status_code, told.json()["status"]) == (503, "failing")
        assert "No space left on device" in told.json()["reason"]
        assert requests.get(f"http://{url}/v1/summary", timeout=SECONDS).status_code in {200, 503}
        assert sender.send(number) == grpc.StatusCode.UNAVAILABLE

        (seen / "ballast").unlink()
        until(lambda: requests.get(health, timeout=SECONDS).status_code == 200)
        assert sender.send(number) == grpc.StatusCode.OK
        assert requests.get(health, timeout=SECONDS).json()["calls"] == len(sender.acknowledged)
        process.kill()
        process.wait()


def test_a_disk_that_cannot_be_written_is_said_at_once(tmp_path: Path, bin_folder: Path) -> None:
    disk = tmp_path / "disk"
    with on_a_disk(disk, bin_folder, f"mount -t tmpfs -o ro,size=8m tmpfs {disk}") as process:
        _, complaint = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert "Read-only file system" in complaint
    assert "Traceback" not in complaint
