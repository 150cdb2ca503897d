"""What otel-cost adds to the start of an instrumented application: the same app without it beside it, in one run.

    python benchmarks/startup.py [RUNS]

Two environments are made under .cache/benchmarks, alike but for otel-cost: the OpenTelemetry SDK with its distro, the
httpx instrumentation, the OTLP exporter, and openai. Each run starts ``opentelemetry-instrument`` with an app that
imports openai, in one and then in the other. Processor time is the steadier of the two figures on a shared machine.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".cache" / "benchmarks"
PACKAGES = (
    "opentelemetry-distro==0.66b2",
    "opentelemetry-instrumentation-httpx==0.66b2",
    "opentelemetry-exporter-otlp==1.45.2",
    "openai>=3.54,<4",
)
QUIET = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}


def uv(*arguments: str) -> None:
    local = ROOT / ".cache" / "uv-env" / "bin" / "uv"
    subprocess.run([local if local.exists() else "uv", *arguments], check=True)


def environment(name: str, *more: str) -> Path:
    """The program folder of the environment `name`, made where it is not there."""
    folder = FOLDER / name
    if not (folder / "pyvenv.cfg").exists():
        uv("venv", "-q", "--python", sys.executable, str(folder))
    uv("pip", "install", "-q", "--python", str(folder / "bin" / "python"), *PACKAGES, *more)
    return folder / "bin"


def start(programs: Path) -> tuple[float, float]:
    """Milliseconds that the app takes from start to exit: by the clock, and of processor time."""
    began = time.perf_counter()
    command = [programs / "opentelemetry-instrument", programs / "python", "-c", "import openai"]
    process = subprocess.Popen(command, env={**os.environ, **QUIET})
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    process.returncode = 0
    return (time.perf_counter() - began) * 1000, (usage.ru_utime + usage.ru_stime) * 1000


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    without, with_us = environment("without"), environment("with", str(ROOT))
    pairs = [(start(without), start(with_us)) for _ in range(runs + 1)][1:]  # the first one compiles
    for name, column in (("wall", 0), ("processor", 1)):
        bare, ours = (statistics.median(pair[side][column] for pair in pairs) for side in (0, 1))
        added = statistics.median(pair[1][column] - pair[0][column] for pair in pairs)
        print(
            f"start of an instrumented app, {name:9} time, median of {runs}: without {bare:.0f} ms, "
            f"with otel-cost {ours:.0f} ms, added {added:+.0f} ms, ratio {ours / bare:.3f}"
        )


if __name__ == "__main__":
    main()
