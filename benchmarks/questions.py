"""How long questions take: python benchmarks/questions.py [--calls N] [--rounds N] [--ingest SPANS_PER_SECOND]

Makes a history of N calls over 90 days with SQL, starts a ledger service on it, sends it spans all the while, and asks
every question that a page asks, over HTTP, as a browser's page would: one after the other, --rounds times, each round
about another run, project, scene and model, and the first round is not counted. Prints the median and the 95th
percentile of each, in ms, how that stands to the limit of 100 ms, and how busy the machine was.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

from ingest_payloads import Requests

from otel_cost_exporter.file import migrate
from otel_cost_exporter.file.database import Database
from otel_cost_exporter.writing.order import put_in_order

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.executable).parent
HISTORY = Path(__file__).with_name("questions_history.sql")
DIMENSIONS = ("project", "run", "session", "stage", "role", "scene")
MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "o4-mini", "claude-sonnet-4-5", "claude-haiku-4-5", "gemini-2.5-pro")
LIMIT_MS = 100
BATCH = 500
AT_ONCE = 500_000
"""Calls whose sums are worked out in one piece."""
PAGES = {
    "overview": "/v1/cost-dashboard?days=30",
    "overview, by model": "/v1/cost-dashboard?days=30&by=model&tz=Europe/Berlin",
    "overview, one project": "/v1/cost-dashboard?days=30&project={project}&by=run",
    "spend by day and model": "/v1/summary?by=day&by=model&since=30d",
    "spend by day, in a zone": "/v1/summary?by=day&by=project&since=30d&tz=America/New_York",
    "spend by hour": "/v1/summary?by=hour&since=48h",
    "all time, by model": "/v1/summary?by=model",
    "all time, by project and provider": "/v1/summary?by=project&by=provider",
    "top runs of all time": "/v1/summary?by=run&limit=10",
    "top runs of 30 days": "/v1/summary?by=run&limit=10&since=30d",
    "runs to choose from": "/v1/summary?by=run&limit=200&since=24h",
    "stages of a project, 7 days": "/v1/summary?by=stage&project={project}&since=7d",
    "stages by role, 7 days": "/v1/summary?by=stage&by=role&since=7d",
    "runs": "/v1/runs?limit=50",
    "runs, by cost": "/v1/runs?limit=50&sort=cost&since=30d",
    "runs, searched": "/v1/runs?limit=50&search={run:08d}",
    "one run": "/v1/runs/run-{run:08d}",
    "one scene, 7 days": "/v1/scenes/{scene}?since=7d",
    "one project": "/v1/projects/{project}",
    "one project, per scene": "/v1/projects/{project}?per=scene",
    "calls": "/v1/calls?limit=100",
    "calls of a run": "/v1/calls?limit=100&run=run-{run:08d}",
    "calls of a project and model": "/v1/calls?limit=100&project={project}&model={model}&since=7d",
    "dearest calls, 7 days": "/v1/calls?limit=100&sort=cost&since=7d",
    "a project by hour and stage": "/v1/summary?by=hour&by=stage&project={project}&since=24h",
    "budgets": "/v1/budgets?limit=50",
    "budgets of a run": "/v1/budgets/run/run-{limited:08d}",
    "health": "/healthz",
    "dimensions": "/v1/dimensions",
}


def history(path: Path, calls: int) -> None:
    """The books at `path`, with `calls` calls and their sums."""
    database = Database(path, read_only=False)
    with closing(database.cursor()) as cursor:
        migrate.upgrade(cursor, path)
        cursor.execute("SET memory_limit = '4GB'")  # to sort all sums at once
        cursor.execute(HISTORY.read_text(encoding="utf-8"), {"calls": calls})
        cursor.execute(
            "INSERT INTO dimensions VALUES ('project'), ('run'), ('session'), ('stage'), ('role'), ('scene')"
        )
        days = max(1, 90 * AT_ONCE // calls)
        for first in range(0, 91, days):
            cursor.execute(
                "CREATE OR REPLACE TEMP TABLE part AS SELECT * FROM calls "
                "WHERE start_ts::DATE >= current_date - $from::INT AND start_ts::DATE < current_date - $until::INT",
                {"from": 90 - first, "until": 90 - first - days},
            )
            cursor.execute("INSERT INTO rollup_hour BY NAME FROM sums_of('part')")
        # As merges leave them: hour by hour, and day by day.
        cursor.execute("CREATE OR REPLACE TABLE sorted AS FROM rollup_hour ORDER BY hour, dimension, id")
        cursor.execute("DELETE FROM rollup_hour; INSERT INTO rollup_hour FROM sorted; DROP TABLE sorted")
        cursor.execute("CREATE TEMP VIEW days AS SELECT hour::DATE AS day, * EXCLUDE (hour) FROM rollup_hour")
        cursor.execute("INSERT INTO rollup_day BY NAME FROM sums_again('days') ORDER BY day, dimension, id")
        cursor.execute(
            "INSERT INTO limits SELECT 'run', run, 5, NULL, max(start_ts) FROM calls "
            "WHERE start_ts > now() AT TIME ZONE 'UTC' - INTERVAL 7 DAY GROUP BY run"
        )
        for what in ("hours", "days"):
            while put_in_order(what, cursor):
                pass
        cursor.execute("CHECKPOINT")
    database.close()


@contextmanager
def serving(path: Path) -> Iterator[http.client.HTTPConnection]:
    """A connection to a service on the books at `path`."""
    free = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--spool", str(path.with_name("spool")))
    command = [BIN / "otel-cost", "serve", "--ledger", path, *free]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stdout or ():
                if found := re.search(r"http://([\d.:]+)", line):
                    yield http.client.HTTPConnection(found[1], timeout=60)
                    break
        finally:
            process.terminate()


class Ingest(threading.Thread):
    """Sends `rate` spans a second to `address` until it is told to stop."""

    def __init__(self, address: str, rate: int) -> None:
        super().__init__(daemon=True)
        self.sent, self.over = 0, threading.Event()
        self._address, self._rate = address, rate
        self._requests = Requests("priced", BATCH)

    def run(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=60)
        headers, began = {"content-type": "application/x-protobuf"}, time.perf_counter()
        while not self.over.wait(max(0.0, self.sent / self._rate - (time.perf_counter() - began))):
            connection.request("POST", "/v1/traces", self._requests.body(self.sent // BATCH), headers)
            answer = connection.getresponse()
            answer.read()
            self.sent += BATCH if answer.status == http.client.OK else 0


def ask(connection: http.client.HTTPConnection, path: str) -> tuple[float, int]:
    """How many ms the answer took, and how large it was."""
    began = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != http.client.OK:
        raise SystemExit(f"{path}: {answer.status} {body[:300]!r}")
    return 1000 * (time.perf_counter() - began), len(body)


def main() -> None:
    options = argparse.ArgumentParser(usage=__doc__)
    options.add_argument("--calls", type=int, default=500_000)
    options.add_argument("--rounds", type=int, default=40)
    options.add_argument("--ingest", type=int, default=5_000, help="spans a second; 0: none")
    options.add_argument("--books", type=Path, help="keep the history there, or take what is there")
    of = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = of.books or Path(folder) / "books.duckdb"
        if not path.exists():
            began = time.perf_counter()
            history(path, of.calls)
            print(f"{of.calls:,} calls made in {time.perf_counter() - began:.0f} s, {path.stat().st_size >> 20} MiB")
        with serving(path) as connection:
            sending = Ingest(f"{connection.host}:{connection.port}", of.ingest)
            if of.ingest:
                sending.start()
            began = time.perf_counter()
            measure(connection, of)
            sending.over.set()
            print(f"meanwhile {sending.sent / (time.perf_counter() - began):,.0f} spans/s came in")


def measure(connection: http.client.HTTPConnection, of: argparse.Namespace) -> None:
    took: dict[str, list[float]] = {name: [] for name in PAGES}
    size, busy = {}, [os.getloadavg()[0]]
    for number in range(of.rounds + 1):
        about = {
            "run": (number * 7919) % max(1, of.calls // 1000 * 16 - 16),
            "limited": max(0, of.calls // 1000 * 16 - 16 - number),
            "project": f"project-{number % 12:02d}",
            "scene": f"scene-{number * 7 % 40:02d}",
            "model": MODELS[number % len(MODELS)],
        }
        for name, path in PAGES.items():
            ms, size[name] = ask(connection, path.format_map(about))
            took[name] += [ms] if number else []
        busy.append(os.getloadavg()[0])
    print(f"{'question':36} {'p50 ms':>8} {'p95 ms':>8} {'of limit':>8} {'bytes':>9}")
    for name, each in took.items():
        tell(name, each, f"{size[name]:9,}")
    tell("all", [ms for each in took.values() for ms in each])
    print(f"load average {min(busy):.1f} to {max(busy):.1f}, on {os.cpu_count()} cores")


def tell(name: str, each: list[float], size: str = "") -> None:
    p95 = quantiles(each, n=20, method="inclusive")[-1]  # never more than the longest
    print(f"{name:36} {median(each):8.1f} {p95:8.1f} {p95 / LIMIT_MS:8.2f} {size}")


if __name__ == "__main__":
    main()
