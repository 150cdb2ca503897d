"""Where the prices come from: the published table and our own facts, read late, in a thread off every call's path."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from otel_cost.pricing import catalogue, tables
from otel_cost.safety import after_fork_in_child

if TYPE_CHECKING:
    from otel_cost.pricing.tables import Table

_loaded = threading.Event()
_begun = threading.Event()


@dataclass(frozen=True, slots=True)
class Written:
    """The tables that go over the published prices, and a number that is another whenever they are."""

    generation: int
    tables: tuple[Table, ...]


def are_loaded() -> bool:
    """Whether the prices are in memory, so that `price` answers in microseconds."""
    return _loaded.is_set()


def load_in_background() -> None:
    """Begin to load the prices, once; returns at once."""
    if not _begun.is_set():
        _begun.set()
        threading.Thread(target=_load, name="otel-cost-prices", daemon=True).start()


def _load() -> None:
    catalogue.load()
    written()
    _loaded.set()


def written() -> Written:
    """The tables as they stand now."""
    return Written(0, (facts(),))


@lru_cache(maxsize=1)
def facts() -> Table:
    """Our own table of what the published one gets wrong or lacks."""
    return tables.read_shipped((files("otel_cost.pricing") / "facts.toml").read_text("utf-8"))


def _forked() -> None:
    global _begun  # noqa: PLW0603 - replaced once, in the child, where no thread loads anything
    _begun = threading.Event()


after_fork_in_child(_forked)
