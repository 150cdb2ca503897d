"""The sender of ``ingest.py``, a process of its own: so many requests in flight, over OTLP/gRPC.

    python benchmarks/ingest_sender.py JSON

Says ``{}`` once its requests are made. Sends as many as a line of its input tells, says how far it is now and then, and
then what it has sent since it began, each time a line of JSON. A request that is refused for now is sent again, as OTLP
has it. One request in 100 is sent once more after it was acknowledged, as after an answer that was lost on its way.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from decimal import Decimal
from queue import SimpleQueue
from typing import Any

import grpc
from ingest_payloads import Requests

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
CONNECTIONS = 4
RESEND_EVERY = 100
PAUSE_SECONDS = 0.05  # after a refusal
MOST_IN_VAIN = 1_000  # refusals in a row
REPORT_SPANS = 20_000
FOR_NOW = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED)

Sent = tuple[int, bytes]
"""A request: its number and its body."""


class Sender:
    """Sends requests of so many spans each to `address`, and knows what it has sent."""

    def __init__(self, address: str, traffic: str, batch: int, in_flight: int) -> None:
        self._requests = Requests(traffic, batch)
        self._batch, self._most = batch, in_flight
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1))
        channels = [grpc.insecure_channel(address, options) for _ in range(CONNECTIONS)]
        for channel in channels:
            grpc.channel_ready_future(channel).result(60)
        self._exports = [channel.unary_unary(EXPORT) for channel in channels]
        self._finished: SimpleQueue[tuple[Sent, grpc.Future]] = SimpleQueue()
        self._again: deque[Sent] = deque()
        self._made = self._in_flight = self._in_vain = self._refused = self._resent = self._partial = self._calls = 0
        self._cost = Decimal(0)
        self._acknowledged: set[int] = set()

    def send(self, count: int) -> None:
        """Send `count` more requests, until all are acknowledged."""
        before, upto, reported = len(self._acknowledged), self._made + count, 0
        started = time.perf_counter()
        while self._made < upto or self._again or self._in_flight:
            while self._in_flight < self._most and (self._again or self._made < upto):
                self._fly(self._again.popleft() if self._again else self._make())
            self._land(*self._finished.get())
            spans = (len(self._acknowledged) - before) * self._batch
            if spans - reported >= REPORT_SPANS:
                reported = spans
                say(spans=spans, seconds=time.perf_counter() - started)
        say(spans=count * self._batch, seconds=time.perf_counter() - started, **self.totals())

    def totals(self) -> dict[str, Any]:
        """What it has sent since it was made: the calls in it and what they cost, and what became of the requests."""
        return {
            "calls": self._calls,
            "cost": str(self._cost),
            "refused": self._refused,
            "resent": self._resent,
            "partial": self._partial,
        }

    def _make(self) -> Sent:
        number = self._made
        self._made += 1
        return number, self._requests.body(number)

    def _fly(self, sent: Sent) -> None:
        self._in_flight += 1
        flying = self._exports[sent[0] % CONNECTIONS].future(sent[1], timeout=120)
        flying.add_done_callback(lambda done: self._finished.put((sent, done)))

    def _land(self, sent: Sent, done: grpc.Future) -> None:
        number = sent[0]
        self._in_flight -= 1
        code = done.code()
        if code in FOR_NOW:
            self._refused += 1
            self._in_vain += 1
            if self._in_vain > MOST_IN_VAIN:
                sys.exit(f"nothing is taken any more: {code} {done.details()}")
            self._again.append(sent)
            time.sleep(PAUSE_SECONDS)
            return
        self._in_vain = 0
        if code is not grpc.StatusCode.OK:
            sys.exit(f"request {number}: {code} {done.details()}")
        self._partial += bool(done.result())
        if number in self._acknowledged:
            return
        self._acknowledged.add(number)
        self._calls += self._requests.calls(number)
        self._cost += self._requests.cost(number)
        if number % RESEND_EVERY == RESEND_EVERY - 1:
            self._resent += 1
            self._again.append(sent)


def say(**line: Any) -> None:
    print(json.dumps(line), flush=True)


def main() -> None:
    sender = Sender(**json.loads(sys.argv[1]))
    say()
    for line in sys.stdin:
        sender.send(int(line))


if __name__ == "__main__":
    main()
