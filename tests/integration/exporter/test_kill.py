"""kill -9 of a serving process, again and again: what was acknowledged is there, and once."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import grpc
from exporter_building import call, request
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from otel_cost_exporter import segments, spool
from otel_cost_exporter.file.database import Database
from otel_cost_exporter.keeping.check import check

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

ROUNDS = 3
SENDERS = 4
SECONDS = 120
"""How long to wait for what takes a few on a machine that has nothing else to do."""


def until(holds: Callable[[], bool]) -> None:
    """Wait until `holds()`."""
    give_up = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.01)


class Sender(threading.Thread):
    """Sends batches of two calls, each numbered, until the service is gone; remembers what was acknowledged.

    Each batch brings the last one once more, as a sender does that has heard no answer.
    """

    def __init__(self, target: str, first: int) -> None:
        super().__init__(daemon=True)
        self.target, self.next = target, first
        self.acknowledged: list[int] = []

    def run(self) -> None:
        with grpc.insecure_channel(self.target) as channel:
            stub = TraceServiceStub(channel)
            while True:
                pair = (self.next, self.next + 1)
                again = self.acknowledged[-2:]
                body = request(*(call(number, otel_cost__run=f"run-{number % 7}") for number in (*again, *pair)))
                try:
                    stub.Export(ExportTraceServiceRequest.FromString(body), timeout=10)
                except grpc.RpcError:
                    return  # the same pair is sent again to the next service, as a sender would
                self.acknowledged.extend(pair)
                self.next += 2


def test_no_acknowledged_call_is_lost_and_none_counts_twice(
    serving: Callable[[], AbstractContextManager], ledger_file: Path, spool_folder: Path
) -> None:
    firsts = [sender * 1_000_000 + 1 for sender in range(SENDERS)]
    acknowledged: set[int] = set()
    for round_number in range(ROUNDS):
        spooled = 10_000_000 + round_number
        segments.write(spool_folder, request(call(spooled)))
        acknowledged.add(spooled)  # left in the spool: durable from then on
        with serving() as running:
            senders = [Sender(running.grpc, first) for first in firsts]
            for sender in senders:
                sender.start()
            until(lambda senders=senders: sum(len(sender.acknowledged) for sender in senders) >= 60)
            running.process.kill()
            for sender in senders:
                sender.join(SECONDS)
                acknowledged.update(sender.acknowledged)
            firsts = [sender.next for sender in senders]
    with serving():
        until(lambda: not spool.waiting(spool_folder))

    database = Database(ledger_file, read_only=True)
    assert check(database).number == 0  # the sums are sums of the calls
    with database.cursor() as cursor:
        numbers = [number for (number,) in cursor.execute("SELECT span_id FROM calls").fetchall()]
    database.close()
    assert len(acknowledged) >= ROUNDS * 60
    # Every acknowledged call, and of those under way at a kill at most each once.
    under_way = {number for first in firsts for number in (first, first + 1)}
    assert acknowledged <= set(numbers) <= acknowledged | under_way
    assert len(numbers) == len(set(numbers))
