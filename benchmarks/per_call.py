"""What otel-cost adds to one call on the caller's path, and with ``--peers`` what its peers add, in one run, in turns.

    python benchmarks/per_call.py [--peers] [CALLS]

Each peer runs in processes of its own (``per_call_worker.py``), in several rounds that alternate, and is compared with
the bare openai SDK of its own process. OpenLIT holds openai at an older version than ours: it gets an environment of
its own under .cache/benchmarks, made with uv from openlit.txt. All of them are set up as they are by default.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / ".cache"
ROUNDS = 4
OURS = ("otel-cost", "a bare span")
PEERS = ("openlit", "openllmetry", "openinference")
LIMITS_MS = {"one call": 0.1}
QUIET = {"OTEL_TRACES_EXPORTER": "none", "TRACELOOP_TELEMETRY": "false"}

Turns = dict[str, list[list[float]]]


def python_of(peer: str) -> Path | str:
    """The interpreter that has `peer`."""
    if peer != "openlit":
        return sys.executable
    folder, local = CACHE / "benchmarks" / peer, CACHE / "uv-env" / "bin" / "uv"
    uv = str(local) if local.exists() else "uv"
    if not (folder / "pyvenv.cfg").exists():
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run([uv, "pip", "sync", "-q", "--python", str(python), str(HERE / "openlit.txt")], check=True)
    return python


def measure(peer: str, python: Path | str, calls: int) -> dict[str, Turns]:
    command = [str(python), str(HERE / "per_call_worker.py"), peer, str(calls)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **QUIET})
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return] # peers print too


def show(what: str, peer: str, turns: Turns) -> None:
    """One line: medians over the turns, each compared with the bare turn beside it."""
    pairs = list(zip(turns["bare"], turns["with"], strict=True))
    bare, ours = (sorted(taken for turn in turns[side] for taken in turn[:-1]) for side in ("bare", "with"))
    added = statistics.median(statistics.median(b[:-1]) - statistics.median(a[:-1]) for a, b in pairs)
    processor = statistics.median(b[-1] - a[-1] for a, b in pairs)
    p99 = ours[len(ours) * 99 // 100] - bare[len(bare) * 99 // 100]
    base = statistics.median(bare)
    limit = f"  {added / LIMITS_MS[what]:5.2f} of the {LIMITS_MS[what]} ms aimed at" if what in LIMITS_MS else ""
    print(
        f"{what:32} {peer:14} bare p50 {base:6.3f} ms  added p50 {added:+7.3f} ms  p99 {p99:+7.3f} ms  "
        f"processor {processor:+7.3f} ms  ratio {1 + added / base:5.2f}{limit}"
    )


def main() -> None:
    numbers = [int(argument) for argument in sys.argv[1:] if argument.isdigit()]
    calls = numbers[0] if numbers else 1000
    pythons = {peer: python_of(peer) for peer in (*OURS, *(PEERS if "--peers" in sys.argv else ()))}
    found: dict[tuple[str, str], Turns] = {}
    for _ in range(ROUNDS):
        for peer, python in pythons.items():
            for what, turns in measure(peer, python, calls // ROUNDS).items():
                pooled: Any = found.setdefault((what, peer), {"bare": [], "with": []})
                for side in pooled:
                    pooled[side] += turns[side]
    for what, peer in sorted(found, key=lambda key: key[0]):
        show(what, peer, found[what, peer])


if __name__ == "__main__":
    main()
