"""What passes a budget, and what is left of it: otel-cost and its peers, each against the same demand, in one run.

    python benchmarks/budgets.py [REDIS_URL]

A provider of the benchmark's own answers with sizes drawn from a seed and keeps the books that count: what it has
charged for. Each side runs in a process of its own (``budgets_worker.py``), sends by the openai SDK, and is told a
limit that the demand exceeds. The peers have an environment of their own under .cache/benchmarks, made with uv from
budget_peers.txt. With the URL of a Redis, four processes share one budget there.

Before that, what a reserve and a settle cost with four nested budgets: in memory, of the 20 us aimed at; and in Redis,
beside a bare round trip to it.

Three demands: 100 equal calls with a budget for ten and a half; 100 calls of random sizes with a budget for half of
them; and the same with 1 in 100 failing and 5 in 100 given up by the application while the provider works on.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import time
import urllib.request
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from otel_cost.budgets import Budget, Claim, Hold, Limit, Spend
from otel_cost.budgets.memory import MemoryStore
from otel_cost.budgets.shared import Booking

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / ".cache"
INPUT_USD, OUTPUT_USD = Decimal("0.0000025"), Decimal("0.00001")  # a token of gpt-4o
CALLS, PROCESSES = 100, 4
DELAY_SECONDS, STALL_SECONDS = 0.05, 2.0
OURS = ("otel-cost strict", "otel-cost expected")
PEERS = ("shekel", "agentbudget", "tokencap", "spendguard")
SHARING = ("otel-cost strict", "otel-cost expected", "shekel", "tokencap")
"""Those that can keep a budget in Redis."""


# --- the demand ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Call:
    """What one call turns out to be."""

    input_tokens: int
    output_tokens: int
    fails: bool = False
    stalls: bool = False

    @property
    def usd(self) -> Decimal:
        return Decimal(0) if self.fails else self.input_tokens * INPUT_USD + self.output_tokens * OUTPUT_USD

    @property
    def tokens(self) -> int:
        return 0 if self.fails else self.input_tokens + self.output_tokens


MAX_TOKENS = 400


def call(demand: str, number: int) -> Call:
    """Call `number` of `demand`, the same in every run. Its prompt is so many times ``"word "``."""
    drawn = random.Random(f"{demand} {number}")  # noqa: S311 - sizes, no secrets
    if demand == "equal":
        return Call(10, MAX_TOKENS)
    found = Call(drawn.randint(20, 200), drawn.randint(10, MAX_TOKENS))
    if demand == "random":
        return found
    lot = drawn.random()
    return Call(found.input_tokens, found.output_tokens, fails=lot < 0.01, stalls=0.01 <= lot < 0.06)


def limits(demand: str) -> tuple[Decimal, int]:
    """The budget that a demand is to be held to, in USD and in tokens."""
    calls = [call(demand, number) for number in range(CALLS)]
    if demand == "equal":
        return calls[0].usd * Decimal("10.5"), calls[0].tokens * 21 // 2
    return sum((each.usd for each in calls), Decimal(0)) / 2, sum(each.tokens for each in calls) // 2


# --- the provider --------------------------------------------------------------------------------------------------
charged: dict[str, dict[str, object]] = {}


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Calls to /RUN/DEMAND/v1/chat/completions, whose ``user`` is their number; the books of a run at GET /RUN."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, path, _ = head.split(" ", 2)
            if method == "GET":
                reply(writer, 200, charged.get(path[1:], {"sent": 0, "usd": "0", "tokens": 0}))
                continue
            length = next(line for line in head.lower().split("\r\n") if line.startswith("content-length"))
            asked = json.loads(await reader.readexactly(int(length.partition(":")[2])))
            _, run, demand, _ = path.split("/", 3)
            made = call(demand, int(asked["user"]))
            book(run, made)
            await asyncio.sleep(STALL_SECONDS if made.stalls else DELAY_SECONDS)
            if made.fails:
                reply(writer, 500, {"error": {"message": "it fails", "type": "server_error"}})
            else:
                reply(writer, 200, completion(made))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def book(run: str, made: Call) -> None:
    books = charged.setdefault(run, {"sent": 0, "usd": "0", "tokens": 0})
    books["sent"] = int(str(books["sent"])) + 1
    books["usd"] = str(Decimal(str(books["usd"])) + made.usd)
    books["tokens"] = int(str(books["tokens"])) + made.tokens


def reply(writer: asyncio.StreamWriter, status: int, body: object) -> None:
    text = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} OK\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n"
    writer.write(head.encode() + text)


def completion(made: Call) -> dict[str, object]:
    usage = {"prompt_tokens": made.input_tokens, "completion_tokens": made.output_tokens, "total_tokens": made.tokens}
    message = {"role": "assistant", "content": "word " * made.output_tokens}
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": usage,
    }


async def serve() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# --- the sides -----------------------------------------------------------------------------------------------------
def python_of(side: str) -> Path | str:
    """The interpreter that has `side`."""
    if side in OURS:
        return sys.executable
    folder, local = CACHE / "benchmarks" / "budget-peers", CACHE / "uv-env" / "bin" / "uv"
    uv = str(local) if local.exists() else "uv"
    if not (folder / "pyvenv.cfg").exists():
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
        subprocess.run(
            [uv, "pip", "sync", "-q", "--python", str(folder / "bin/python"), str(HERE / "budget_peers.txt")],
            check=True,
        )
    return folder / "bin" / "python"


def run(side: str, way: str, demand: str, provider: str, redis: str | None = None) -> None:
    """One side against one demand: a line."""
    name = uuid.uuid4().hex
    usd, tokens = limits(demand)
    processes = PROCESSES if redis else 1
    environment = {
        **os.environ,
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_COST_ENDPOINTS": f"{provider}=openai",
        "OTEL_COST_URL": "http://127.0.0.1:9",
        **({"OTEL_COST_BUDGET_STORE": redis} if redis else {}),
    }
    started = time.perf_counter()
    with ExitStack() as stack:
        for part in range(processes):
            of = {
                "side": side,
                "way": way,
                "base_url": f"{provider}/{name}/{demand}/v1",
                "run": name,
                "usd": str(usd),
                "tokens": tokens,
                "numbers": list(range(part, CALLS, processes)),
                "max_tokens": MAX_TOKENS,
                "inputs": [call(demand, number).input_tokens for number in range(CALLS)],
                "redis": redis,
            }
            command = [str(python_of(side)), str(HERE / "budgets_worker.py"), json.dumps(of)]
            stack.enter_context(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL))
    taken = time.perf_counter() - started
    with urllib.request.urlopen(f"{provider}/{name}") as books:  # noqa: S310 - our own server
        truth = json.load(books)
    in_tokens = side == "tokencap"
    spent, limit = (Decimal(truth["tokens"]), Decimal(tokens)) if in_tokens else (Decimal(truth["usd"]), usd)
    over = max(spent - limit, Decimal(0)) / limit
    print(
        f"{demand:8} {way:10} {side:20} sent {truth['sent']:3} of {CALLS}   used {spent / limit:7.1%}   "
        f"over {over:7.1%}   {taken:5.1f} s",
        flush=True,
    )


# --- what the gate costs -------------------------------------------------------------------------------------------
def nested() -> tuple[Claim, ...]:
    budgets = [Budget(name, "bench", Limit.of_usd("1000000")) for name in ("project", "run", "stage", "role")]
    return tuple(Claim(budget, budget.key(), Decimal("0.005")) for budget in budgets)


def microseconds(step: Callable[[], object], times: int) -> float:
    """The median of many."""
    taken = []
    for _ in range(times):
        started = time.perf_counter_ns()
        step()
        taken.append(time.perf_counter_ns() - started)
    return statistics.median(taken) / 1000


def show_cost(redis: str | None) -> None:
    spend = Spend(Decimal("0.0045"), 1200)
    memory = MemoryStore()

    def in_memory() -> None:
        hold = memory.reserve(nested())
        assert isinstance(hold, Hold)
        memory.settle(hold, spend)

    took = microseconds(in_memory, 20_000)
    print(f"reserve and settle, four nested budgets, in memory {took:6.1f} us  {took / 20:4.2f} of the 20 us aimed at")
    if redis is None:
        return
    from redis import Redis

    from otel_cost.budgets.redis import RedisServer

    server, client = RedisServer(redis), Redis.from_url(redis)
    numbers = count()

    def there() -> None:
        hold = Hold(nested(), f"bench {next(numbers)}")
        assert server.reserve(hold, 600) is None
        server.book([Booking("settle", hold.id, hold.claims, spend)])

    there()  # the script is there now
    client.config_resetstat()
    took, bare = microseconds(there, 2000) / 2, microseconds(client.ping, 2000)
    asked = client.info("commandstats")["cmdstat_evalsha"]["calls"] / 4000
    print(
        f"a reserve or a settle, four nested budgets, in Redis {took:6.1f} us  "
        f"{asked:.0f} round trip, a bare one {bare:.1f} us, ratio {took / bare:.2f}"
    )


def main() -> None:
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
        return
    show_cost(*sys.argv[1:2] or [None])
    server = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        provider = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        print("Used and over are what the provider charged, of the limit (tokencap's in tokens).")
        for demand in ("equal", "random", "mishaps"):
            for way in ("sequence", "threads", "asyncio"):
                for side in (*OURS, *(PEERS if way != "asyncio" else ())):
                    run(side, way, demand, provider)
            for redis in sys.argv[1:]:
                for side in SHARING:
                    run(side, "processes", demand, provider, redis)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
