#!/usr/bin/env python3
"""Set up the checkout and do one thing in it. Needs Python 3.11+ and nothing else.

    python3 dev.py demo [ARGS]   run the demo (otel-cost demo)
    python3 dev.py test [ARGS]   run every check and test, as CI does; with ARGS only pytest, with these arguments
    python3 dev.py run COMMAND   run a command inside the environment
    python3 dev.py sync          set up the environment and stop

Everything is installed inside the checkout (.venv, .cache), from the locked versions. A second run finds it there and
needs no network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
STAMP = VENV / ".synced"
UV_VERSION = "0.13.9"


def main(arguments: list[str]) -> int:
    """Do what the command line says; the exit status of what ran."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever has an older Python deserves a sentence
        print(f"otel-cost needs Python 3.11 or newer, this is {sys.version.split()[0]}: run python3.11 dev.py ...")
        return 2
    what, rest = (arguments[0], arguments[1:]) if arguments else ("help", [])
    if what not in {"demo", "test", "run", "sync"} or (what == "run" and not rest):
        print(__doc__)
        return 0 if what == "help" else 2
    sync()
    if what == "demo":
        return run("otel-cost", "demo", *rest)
    if what == "run":
        return run(*rest)
    if what == "test":
        return test(rest)
    return 0


def sync() -> None:
    """Bring the environment to the locked versions, unless it is there already."""
    wanted = hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in ("uv.lock", "pyproject.toml", "dev.py")))
    if STAMP.exists() and STAMP.read_text() == wanted.hexdigest():
        return
    print("Setting up .venv from uv.lock ...", flush=True)
    uv = ROOT / ".cache" / "uv-env"
    if not (uv / "pyvenv.cfg").exists():
        subprocess.run([sys.executable, "-m", "venv", str(uv)], check=True)
    scripts = uv / ("Scripts" if os.name == "nt" else "bin")
    install_uv = [str(scripts / "python"), "-m", "pip", "install", "-q", f"uv=={UV_VERSION}"]
    sync_all = [str(scripts / "uv"), "sync", "--locked", "--all-extras", "--quiet", "--python", sys.executable]
    for step in (install_uv, sync_all):
        environ = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(VENV)}
        if subprocess.run(step, cwd=ROOT, check=False, env=environ).returncode:
            sys.exit(
                f"Setting up failed at: {' '.join(step)}\nThe first run needs the package index. Then run it again."
            )
    STAMP.write_text(wanted.hexdigest())


def run(command: str, *arguments: str, cwd: Path = ROOT, programs: Path = BIN, **environ: str) -> int:
    """Run `command` with an environment's `programs` first on the path; its exit status."""
    path = os.pathsep.join([str(programs), str(ROOT / ".cache" / "uv-env" / BIN.name), os.environ.get("PATH", "")])
    environ = {**os.environ, "PATH": path, "VIRTUAL_ENV": str(programs.parent), **environ}
    environ.pop("PYTHONHOME", None)
    program = next((str(p) for p in (programs / command, programs / f"{command}.exe") if p.exists()), command)
    process = subprocess.Popen([program, *arguments], cwd=cwd, env=environ)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            pass  # the program got it too, and cleans up


CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("lint-imports",),
)
WHEEL = ROOT / ".cache" / "wheel"
CONFIG = str(ROOT / "pyproject.toml")
FORMER_DUCKDB = "1.5.5"
SQL_TESTS = ("tests/unit/exporter", "tests/property/exporter", "tests/integration/exporter/test_estimate.py")
PARALLEL = ("-p", "no:cacheprovider", "-n", "auto", "--dist", "loadfile")
# Thousands of tests start processes, servers and browsers on a machine that others use too. One that failed runs once
# more, and is named as rerun at the end whatever comes of it: a defect of the test to mend, not of the change.
ONCE_MORE = ("--reruns", "1", "-rfER")


def test(arguments: list[str]) -> int:
    """Every check, every test on the built wheel, and the SQL's on an older DuckDB; with arguments pytest alone."""
    if arguments:
        return run("pytest", *arguments)
    for step in CHECKS:
        print("$", *step, flush=True)
        if status := run(*step):
            return status
    print("$ pytest, on the built wheel", flush=True)
    return test_wheel() or test_former_duckdb()


def test_wheel() -> int:
    """The tests on the wheel that users get, in an environment of its own, and how much of it they cover."""
    shutil.rmtree(WHEEL, ignore_errors=True)
    programs, requirements = WHEEL / "env" / BIN.name, str(WHEEL / "requirements.txt")
    python = str(programs / "python")
    uv("build", "-q", "--wheel", "-o", str(WHEEL))
    uv("export", "-q", "--locked", "--all-extras", "--no-emit-project", "-o", requirements)
    uv("venv", "-q", "--python", sys.executable, str(WHEEL / "env"))
    uv("pip", "install", "-q", "--python", python, "-r", requirements)
    uv("pip", "install", "-q", "--python", python, "--no-deps", str(next(WHEEL.glob("*.whl"))))
    pytest = ["pytest", f"--rootdir={ROOT}", "-c", CONFIG, *PARALLEL, *ONCE_MORE]
    # Not from the checkout's root: the folder that Python starts in can be imported from.
    measured = ["run", f"--rcfile={CONFIG}", "-m", *pytest, str(ROOT / "tests")]
    status = run("coverage", *measured, cwd=WHEEL, programs=programs, OTEL_COST_TESTED="wheel")
    # From the root: there the installed files become the checkout's.
    return status or run("coverage", "combine", "-q", str(WHEEL)) or run("coverage", "report")


def test_former_duckdb() -> int:
    """The tests of the ledger's SQL again, on the oldest DuckDB that it runs on."""
    print(f"$ the tests of SQL, on duckdb {FORMER_DUCKDB}", flush=True)
    former = ROOT / ".cache" / f"duckdb-{FORMER_DUCKDB}"
    if not former.exists():
        uv("pip", "install", "-q", "--no-deps", "--target", str(former), f"duckdb=={FORMER_DUCKDB}")
    # The path comes before the environment's own packages.
    return run("pytest", "-q", *PARALLEL, *ONCE_MORE, *SQL_TESTS, PYTHONPATH=str(former))


def uv(*arguments: str) -> None:
    """Run uv, without network where what it needs has been downloaded before."""
    program = str(ROOT / ".cache" / "uv-env" / BIN.name / "uv")
    offline = subprocess.run([program, "--offline", *arguments], check=False, cwd=ROOT, capture_output=True)
    if offline.returncode and subprocess.run([program, *arguments], check=False, cwd=ROOT).returncode:
        sys.exit(f"failed: uv {' '.join(arguments)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
