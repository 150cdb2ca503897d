"""How many spans a second get into the books, over real OTLP/gRPC, with the sender on the same machine.

    python benchmarks/ingest.py [--spans N] [--turns N] [--traffic KIND ...] [--sides SIDE ...] [--phoenix SPANS]
    python benchmarks/ingest.py --through 10000000 [--traffic KIND ...]

The same requests (``ingest_payloads.py``) from one sender in a process of its own (``ingest_sender.py``) go in turns to

- ``only received``, a gRPC server in Python that throws away what comes, and ``only parsed``, one that parses it with
  protobuf before: the limit;
- ``otel-cost``, a real ``otel-cost serve``; any further name among the ``--sides`` is a commit, whose code serves then;
- ``Phoenix`` from PyPI, in an environment of its own under .cache: once for each kind, with far fewer spans.

A span counts when it is in the file. An answer of otel-cost says that: with the last one the service is killed, and
what its file holds is counted and added up. Phoenix's file is asked until they are all there. The rate is that of new
spans; 1 request in 100 is sent a second time. Each receiver gets some requests before the clock runs.

Beside the rate stands the processor time that a span took of the receiver and of the sender, which depends less on what
else the machine does, and the most memory that the receiver held (RSS). Linux only.

``--through`` sends one long stream to the last of the sides, and shows the rate and the memory on the way.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ingest_receivers import HERE, OURS, PARSED, PHOENIX, RECEIVED, memory, processor_time, receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest_receivers import Receiver

TRAFFIC = ("priced", "foreign", "mixed")
STEPS = {100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000}
FIRST = 100_000


@dataclass(frozen=True)
class Run:
    """What a receiver did with one stream of spans."""

    spans: int
    seconds: float
    received_us: float
    """Processor time that a span took of the receiver; the next one, of the sender."""
    sent_us: float
    peak: float
    verdict: str

    @property
    def rate(self) -> float:
        return self.spans / self.seconds


# --- a run ---------------------------------------------------------------------------------------------------------
@contextmanager
def sender(there: Receiver, traffic: str, of: argparse.Namespace) -> Iterator[subprocess.Popen[str]]:
    asked = {"address": there.address, "traffic": traffic, "batch": of.batch, "in_flight": of.in_flight}
    command = [sys.executable, str(HERE / "ingest_sender.py"), json.dumps(asked)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            hear(process)
            yield process
        finally:
            process.kill()


def hear(sending: subprocess.Popen[str]) -> dict[str, Any]:
    assert sending.stdout is not None
    return dict(json.loads(sending.stdout.readline() or sys.exit("the sender ended")))


def send(sending: subprocess.Popen[str], requests: int) -> Iterator[dict[str, Any]]:
    """What the sender says on the way, until all are acknowledged."""
    assert sending.stdin is not None
    sending.stdin.write(f"{requests}\n")
    sending.stdin.flush()
    told: dict[str, Any] = {}
    while "calls" not in told:
        told = hear(sending)
        yield told


def run(side: str, traffic: str, spans: int, of: argparse.Namespace) -> Run:
    """One stream of spans to a new receiver of `side`."""
    requests, warm = -(-spans // of.batch), 1 if side == PHOENIX else of.in_flight
    spans = requests * of.batch
    with receiver(side) as there, sender(there, traffic, of) as sending:
        list(send(sending, warm))
        there.await_spans(warm * of.batch)
        pids = there.process.pid, sending.pid
        before = [processor_time(pid) for pid in pids]
        started = time.perf_counter()
        watch = Watch(there, of)
        for told in send(sending, requests):
            watch.see(told)
        there.await_spans((warm + requests) * of.batch)
        seconds = time.perf_counter() - started
        used = [(processor_time(pid) - was) / spans * 1e6 for pid, was in zip(pids, before, strict=True)]
        peak = memory(there.process.pid, "VmHWM")
        there.kill()
        return Run(spans, seconds, *used, peak, verdict=", ".join(verdicts(there, told)))


def verdicts(there: Receiver, told: dict[str, Any]) -> Iterator[str]:
    if told["refused"]:
        yield f"{told['refused']} refused for a while"
    if told["partial"]:
        yield f"{told['partial']} answers with rejected spans"
    if booked := there.verdict(told):
        yield booked


class Watch:
    """Shows what a receiver does on its way through a long stream, where that is asked."""

    def __init__(self, there: Receiver, of: argparse.Namespace) -> None:
        self._there, self._upto = there, of.through
        self._seen = [(0, 0.0, processor_time(there.process.pid))]
        self._shown = 0
        if self._upto:
            print(f"{'spans':>12} {'spans/s':>9} {'receiver':>12} {'RSS now':>9} {'at most':>9} {'file':>9}")

    def see(self, told: dict[str, Any]) -> None:
        spans, pid = told["spans"], self._there.process.pid
        self._seen.append((spans, told["seconds"], processor_time(pid)))
        if self._upto and ("calls" in told or any(self._seen[-2][0] < step <= spans for step in STEPS)):
            rate, used = self._between(self._shown, spans)
            now, most = memory(pid, "VmRSS"), memory(pid, "VmHWM")
            print(
                f"{spans:12,} {rate:9,.0f} {used:9.1f} us {now:6.0f} MB {most:6.0f} MB {self._there.size():6.0f} MB",
                flush=True,
            )
            self._shown = spans
        if self._upto and "calls" in told:
            self._sum_up(spans)

    def _between(self, low: int, high: int) -> tuple[float, float]:
        """Spans a second, and processor time a span, between two points."""
        first = [seen for seen in self._seen if seen[0] <= low][-1]
        last = next(seen for seen in self._seen if seen[0] >= high)
        spans = last[0] - first[0]
        return spans / (last[1] - first[1]), (last[2] - first[2]) / spans * 1e6

    def _sum_up(self, spans: int) -> None:
        early, late = self._between(0, FIRST), self._between(spans * 9 // 10, spans)
        print(
            f"the last tenth beside the first {FIRST:,}: {late[0]:,.0f}/s and {early[0]:,.0f}/s, "
            f"ratio {late[0] / early[0]:.2f}; by processor time {early[1] / late[1]:.2f}"
        )


# --- the table -----------------------------------------------------------------------------------------------------
def show(side: str, runs: list[Run], limit: float, peer: float) -> None:
    """One line: medians over the turns, and the most memory."""
    rates = sorted(each.rate for each in runs)
    rate = statistics.median(rates)
    received, sent = (statistics.median(getattr(each, name) for each in runs) for name in ("received_us", "sent_us"))
    print(
        f"  {side:14} {rate:9,.0f}/s (turns from {rates[0]:,.0f} to {rates[-1]:,.0f})  {rate / limit:4.2f} of the limit"
        f"  {rate / peer:5,.0f} times Phoenix  processor {received:8.1f} us + sender's {sent:4.1f} us"
        f"  memory {max(each.peak for each in runs):5.0f} MB"
    )


def compare(traffic: str, of: argparse.Namespace) -> None:
    runs: dict[str, list[Run]] = {side: [] for side in of.sides}
    for turn in range(of.turns):
        for side in of.sides if turn % 2 else reversed(of.sides):
            runs[side].append(run(side, traffic, of.spans, of))
    if of.phoenix:
        runs[PHOENIX] = [run(PHOENIX, traffic, of.phoenix, of)]
    rates = {side: statistics.median(each.rate for each in made) for side, made in runs.items()}
    print(f"{traffic}: {of.spans:,} spans in requests of {of.batch}, {of.in_flight} in flight", flush=True)
    for side, made in runs.items():
        show(side, made, rates.get(PARSED, float("nan")), rates.get(PHOENIX, float("nan")))
        for verdict in sorted({each.verdict for each in made} - {""}):
            print(f"  {'':14} {verdict}")
    sys.stdout.flush()


def main() -> None:
    options = argparse.ArgumentParser(usage=__doc__)
    options.add_argument("--traffic", nargs="+", choices=TRAFFIC, default=TRAFFIC)
    options.add_argument("--spans", type=int, default=500_000)
    options.add_argument("--turns", type=int, default=3)
    options.add_argument("--sides", nargs="+", default=[RECEIVED, PARSED, OURS])
    options.add_argument("--phoenix", type=int, default=2_000)
    options.add_argument("--through", type=int, default=0)
    options.add_argument("--batch", type=int, default=512)
    options.add_argument("--in-flight", type=int, default=32)
    of = options.parse_args()
    for traffic in of.traffic:
        if of.through:
            print(f"{traffic}: {of.through:,} spans in requests of {of.batch}, {of.in_flight} in flight", flush=True)
            made = run(of.sides[-1], traffic, of.through, of)
            print(f"in all {made.rate:,.0f}/s, {made.received_us:.1f} us + {made.sent_us:.1f} us, {made.verdict}")
        else:
            compare(traffic, of)


if __name__ == "__main__":
    main()
