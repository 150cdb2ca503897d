"""kill -9 of the ledger service, again and again, at random moments under load: what is lost, and what counts twice.

    python benchmarks/kills.py [--kills 200] [--seed N]

Eight senders give numbered calls to a real ``otel-cost serve`` over OTLP/gRPC, and two leave them in its spool. What
has no answer when the service dies is sent again to the next one, and one request in five was acknowledged before. A
third of the calls are of processes without otel-cost, and are priced by the ledger.

In the end the file is opened: every acknowledged call must be there, none twice, the cost must be their sum to the last
digit, and the sums by hour and day must be sums of the calls.
"""

from __future__ import annotations

import argparse
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceResponse,
)

from otel_cost_exporter import segments, spool
from otel_cost_exporter.file.database import Database
from otel_cost_exporter.keeping.check import check

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "unit" / "exporter"))
from exporter_building import NOON, SECOND, call, request

if TYPE_CHECKING:
    from collections.abc import Iterator

SENDERS, SPOOLERS, BATCH = 8, 2, 40
LOAD_SECONDS = (0.0, 3.0)
"""A kill comes so long after the service is ready."""
COST = Decimal("0.0045")
FOREIGN = {f"otel_cost__cost__{name}": ... for name in ("status", "amount", "currency")} | {
    "otel_cost__call__outcome": ...
}


def body(first: int) -> bytes:
    """The calls from `first` on, some of them of the second before."""
    return request(
        *(
            call(
                number,
                start=NOON + (number // 100 - number % 3) * SECOND,
                otel_cost__run=f"run-{number % 50}",
                gen_ai__response__id=f"r-{number}",
                **(FOREIGN if number % 3 == 0 else {}),
            )
            for number in range(first, first + BATCH)
        )
    )


class Sender(threading.Thread):
    """Sends what comes after `first` until the service is gone."""

    def __init__(self, target: str, first: int, acknowledged: list[int], seed: int) -> None:
        super().__init__(daemon=True)
        self.target, self.next, self.acknowledged = target, first, acknowledged
        self.random = random.Random(seed)  # noqa: S311 - no secret

    def run(self) -> None:
        with grpc.insecure_channel(self.target) as channel:
            export = channel.unary_unary(
                "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                request_serializer=None,
                response_deserializer=ExportTraceServiceResponse.FromString,
            )
            try:
                while True:
                    if self.acknowledged and self.random.random() < 0.2:
                        export(body(self.random.choice(self.acknowledged)), timeout=60)
                    answer = export(body(self.next), timeout=60)
                    assert not answer.partial_success.rejected_spans, answer
                    self.acknowledged.append(self.next)
                    self.next += BATCH
            except grpc.RpcError:
                return


@contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    program = Path(sys.executable).with_name("otel-cost")
    ports = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
    command = [program, "serve", "--ledger", folder / "books.duckdb", "--spool", folder / "spool", *ports]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if found := re.search(r"OTLP/gRPC +(\S+)", line):
                    yield process, found[1]
                    break
        finally:
            process.kill()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    of = parser.parse_args()
    chance = random.Random(of.seed)  # noqa: S311 - no secret
    acknowledged: list[list[int]] = [[] for _ in range(SENDERS + SPOOLERS)]
    firsts = [10_000_000 * (place + 1) for place in range(SENDERS + SPOOLERS)]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spool.prepare(folder / "spool")
        for kill in range(of.kills):
            with serving(folder) as (process, target):
                senders = [
                    Sender(target, firsts[place], acknowledged[place], chance.randrange(2**32))
                    for place in range(SENDERS)
                ]
                for sender in senders:
                    sender.start()
                for place in range(SENDERS, SENDERS + SPOOLERS):
                    segments.write(folder / "spool", body(firsts[place]))
                    acknowledged[place].append(firsts[place])
                    firsts[place] += BATCH
                time.sleep(chance.uniform(*LOAD_SECONDS))
                process.send_signal(signal.SIGKILL)
                process.wait()
                for place, sender in enumerate(senders):
                    sender.join()
                    firsts[place] = sender.next
            if (kill + 1) % 10 == 0:
                count = sum(map(len, acknowledged)) * BATCH
                print(f"{kill + 1} kills, {count:,} calls acknowledged, {time.monotonic() - started:.0f} s", flush=True)
        with serving(folder) as (process, _):
            while spool.waiting(folder / "spool"):
                time.sleep(0.1)
            process.send_signal(signal.SIGTERM)
            process.wait()
        return verdict(folder / "books.duckdb", acknowledged, firsts, of)


def verdict(path: Path, acknowledged: list[list[int]], firsts: list[int], of: argparse.Namespace) -> int:
    wanted = {number for firsts_of in acknowledged for first in firsts_of for number in range(first, first + BATCH)}
    under_way = {number for first in firsts for number in range(first, first + BATCH)}
    with duckdb.connect(path, read_only=True) as connection:
        found = [number for (number,) in connection.execute("SELECT span_id FROM calls").fetchall()]
        ((cost,),) = connection.execute("SELECT sum(cost) FROM calls").fetchall()
    database = Database(path, read_only=True)
    differences = check(database).number
    database.close()
    lost, twice, strange = wanted - set(found), len(found) - len(set(found)), set(found) - wanted - under_way
    print(f"{of.kills} x kill -9 (seed {of.seed}), {len(wanted):,} calls acknowledged, {len(found):,} in the file")
    print(f"acknowledged and lost    {len(lost)}")
    print(f"counted twice            {twice}")
    print(f"never sent               {len(strange)}")
    print(f"cost                     {cost} USD, {'as it must be' if cost == COST * len(found) else 'WRONG'}")
    print(f"sums that are wrong      {differences}")
    return 1 if lost or twice or strange or differences or cost != COST * len(found) else 0


if __name__ == "__main__":
    sys.exit(main())
