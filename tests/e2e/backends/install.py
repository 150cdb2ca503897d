#!/usr/bin/env python3
"""Put a tracing backend, or what cannot share our environment, into .cache, once, and print where its program is.

python tests/e2e/backends/install.py phoenix    from PyPI, in an environment of its own, locked in phoenix.txt
python tests/e2e/backends/install.py openlit    likewise, locked in ../foreign/openlit.txt; the environment's Python
python tests/e2e/backends/install.py jaeger     from its Go modules, as its own go.sum pins them; needs Go 1.26+
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[2] / ".cache"
JAEGER = "github.com/jaegertracing/jaeger@v1.76.0"
"""Its cmd/jaeger is Jaeger 2.13; later releases of Jaeger 2 are no Go modules (their path lacks the /v2)."""


def main(arguments: list[str]) -> int:
    """Print the path of the wanted program; the exit status."""
    backends = {"phoenix": phoenix, "openlit": openlit, "jaeger": jaeger}
    if len(arguments) != 1 or arguments[0] not in backends:
        print(__doc__)
        return 2
    print(backends[arguments[0]]())
    return 0


def phoenix() -> Path:
    """Phoenix's own command."""
    return environment("phoenix", HERE / "phoenix.txt") / "phoenix"


def openlit() -> Path:
    """A Python that has OpenLIT, and what otel-cost needs in an application."""
    return environment("openlit", HERE.parent / "foreign" / "openlit.txt") / "python"


def environment(name: str, locked: Path) -> Path:
    """The programs of an environment with the locked versions and hashes, made unless it is there already."""
    folder = CACHE / name
    lock = hashlib.sha256(locked.read_bytes()).hexdigest()
    if not (stamp := folder / ".synced").exists() or stamp.read_text() != lock:
        uv = shutil.which("uv") or str(CACHE / "uv-env" / "bin" / "uv")
        run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
        run(uv, "pip", "sync", "--quiet", "--require-hashes", "--python", str(folder / "bin" / "python"), str(locked))
        stamp.write_text(lock)
    return folder / "bin"


def jaeger() -> Path:
    """Jaeger, built inside its own module, so that its go.mod and go.sum hold, unless it is there already."""
    program = CACHE / JAEGER.rpartition("/")[2] / "jaeger"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        source = json.loads(run("go", "mod", "download", "-json", JAEGER, cwd=program.parent))["Dir"]
        half = program.with_suffix(".part")
        run("go", "build", "-mod=readonly", "-trimpath", "-ldflags=-s -w", "-o", str(half), "./cmd/jaeger", cwd=source)
        half.replace(program)
    return program


def run(*command: str, cwd: str | Path | None = None) -> str:
    """What `command` printed. Its failure ends this program, with status 2 where it is not there at all."""
    if shutil.which(command[0]) is None:
        print(f"{command[0]} is not installed", file=sys.stderr)
        sys.exit(2)
    done = subprocess.run(
        command, cwd=cwd, stdout=subprocess.PIPE, text=True, check=False, env={**os.environ, "CGO_ENABLED": "0"}
    )
    if done.returncode:
        sys.exit(f"failed: {' '.join(command)}\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
