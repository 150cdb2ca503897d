"""More comes than can be written: senders are slowed down, memory is bounded, what is acknowledged is in the books."""

from __future__ import annotations

import gzip
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import grpc
import pytest
import requests
from exporter_building import call, request

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from conftest import Serving

    Send = Callable[[Serving, bytes, str], str]

PROTOBUF = {"content-type": "application/x-protobuf"}
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LARGEST = 16 * 1024 * 1024
SENDERS = 24
MOST_MEMORY = 500 * 1024 * 1024
"""What the service may take in all, of which it takes some 220 MB before anything comes."""
FOR_NOW = frozenset({"503", "UNAVAILABLE"})
TOO_LARGE = frozenset({"413", "RESOURCE_EXHAUSTED"})


def over_http(service: Serving, body: bytes, encoding: str) -> str:
    headers = PROTOBUF | ({"content-encoding": encoding} if encoding else {})
    return str(requests.post(f"{service.url}/v1/traces", body, headers=headers, timeout=120).status_code)


def over_grpc(service: Serving, body: bytes, _: str) -> str:
    with grpc.insecure_channel(service.grpc, options=[("grpc.max_send_message_length", -1)]) as channel:
        try:
            channel.unary_unary(EXPORT)(body, timeout=120)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "200"


def until_final(send: Send, service: Serving, body: bytes, encoding: str = "") -> str:
    """The answer to `body`, which is sent again as long as it is refused for now."""
    for _ in range(200):
        answer = send(service, body, encoding)
        if answer not in FOR_NOW:
            return answer
    return "given up"


def peak_memory(process: int) -> int:
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        pytest.skip("nothing here tells how much memory a process has taken")
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def test_a_flood_is_slowed_down_and_not_swallowed(
    serving: Callable[[], AbstractContextManager[Serving]], ledger_file: Path
) -> None:
    """Each sender has one call of its own among megabytes of what is none, and a few bytes that unpack to very many."""
    other = call(1, otel_cost__cost__status=..., some__text="x" * (LARGEST - 10_000))
    filler = request(other, otel_cost__version="1")
    bomb = gzip.compress(bytes(LARGEST), 1) * 8
    taken, refused, health = list[str](), list[str](), list[str]()

    def flood(service: Serving, number: int) -> None:
        send = over_grpc if number % 2 else over_http
        taken.append(until_final(send, service, request(call(1000 + number)) + filler))
        refused.append(until_final(send, service, bomb, "gzip"))

    with serving() as service:
        threads = [threading.Thread(target=flood, args=(service, number)) for number in range(SENDERS)]
        for thread in threads:
            thread.start()
        for thread in threads:  # whoever asks is answered all the while
            health.append(requests.get(f"{service.url}/healthz", timeout=60).json()["status"])
            thread.join(300)
        memory = peak_memory(service.process.pid)
    assert (set(taken), len(taken), set(health)) == ({"200"}, SENDERS, {"ok"})
    assert (set(refused) <= TOO_LARGE, len(refused)) == (True, SENDERS)
    assert memory < MOST_MEMORY
    with duckdb.connect(str(ledger_file), read_only=True) as books:
        (found,) = books.execute("SELECT count(*), sum(cost)::VARCHAR FROM calls").fetchall()
    assert found == (SENDERS, "0.108000000000")  # 24 times 0.0045
