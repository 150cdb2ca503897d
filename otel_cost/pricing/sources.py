"""Where the prices come from: the published table, our own facts, and what the user names; read late, and kept fresh.

One thread reads them, off every call's path. Where the user names a file or a URL, it stays and looks whether that
changed.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from otel_cost import settings
from otel_cost.pricing.importing import late
from otel_cost.safety import after_fork_in_child, guard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_cost.pricing.own import PriceFile, PriceUrl
    from otel_cost.pricing.tables import Table

_generations = count()


class Written(msgspec.Struct, frozen=True):
    """The tables that go over the published prices.

    Attributes:
        generation: a number that is another whenever they are.
        tables: our own, and over it the user's.
        awaited: whether the user names prices of which none have come yet.
    """

    generation: int
    tables: tuple[Table, ...]
    awaited: bool = False


class _Sources:
    """What this process knows of prices.

    Attributes:
        loaded: set once everything is in memory.
        written: the tables; None until they are first needed.
    """

    def __init__(self) -> None:
        self.loaded = threading.Event()
        self.written: Written | None = None
        self._begun = threading.Lock()  # held for good by the first that begins
        self._lock = threading.Lock()
        self._own: PriceFile | PriceUrl | None = None

    def begin(self) -> None:
        """Have a thread load it all, and keep it fresh where there is something to keep; once.

        With the first call and not before: while an application imports its modules, a thread that imports others can
        get in the way of that, and either can be handed half a module.
        """
        if self._begun.acquire(blocking=False):
            threading.Thread(target=self._run, name="otel-cost-prices", daemon=True).start()

    def _run(self) -> None:
        with guard("loading prices"):
            late("catalogue").load()
            self.read()
            self.loaded.set()
        while self._own is not None and self is _sources:
            with guard("refreshing prices"):
                self._refresh(self._own)
            time.sleep(self._own.every)

    def read(self) -> Written:
        """The tables, read now where nobody did before."""
        with self._lock:
            if self.written is None:
                self._own = _own()
                first = self._own.first() if self._own is not None else None
                found = (facts(), *((first,) if first else ()))
                self.written = Written(next(_generations), found, self._own is not None and first is None)
            written = self.written
        if self._own is not None:
            self.begin()
        return written

    def _refresh(self, own: PriceFile | PriceUrl) -> None:
        written = self.read()
        now = written.tables[1] if len(written.tables) > 1 else None
        if (found := own.look(now)) is not None:
            self.written = Written(next(_generations), (written.tables[0], found))


def _own() -> PriceFile | PriceUrl | None:
    place = settings.get(settings.PRICES)
    if place is None:
        return None
    own = late("own")  # which few processes need
    found: PriceFile | PriceUrl = (
        own.PriceFile(place) if isinstance(place, Path) else own.PriceUrl(place, settings.get(settings.PRICES_REFRESH))
    )
    return found


@lru_cache(maxsize=1)
def facts() -> Table:
    """Our own table of what the published one gets wrong or lacks."""
    table: Table = late("tables").read_shipped(Path(__file__).with_name("facts.toml").read_text("utf-8"))
    return table


_sources = _Sources()
_instead: ContextVar[Written | None] = ContextVar("otel_cost_prices_instead", default=None)


def are_loaded() -> bool:
    """Whether the prices are in memory, so that `price` answers in microseconds."""
    return _sources.loaded.is_set()


def load_in_background() -> None:
    """Begin to load the prices, once; returns at once."""
    _sources.begin()


def written() -> Written:
    """The tables as they stand now."""
    return _instead.get() or _sources.written or _sources.read()


@contextmanager
def using(table: Table) -> Iterator[None]:
    """Within it, and in this thread alone, `table` stands in the place of the user's own prices."""
    token = _instead.set(Written(next(_generations), (facts(), table)))
    try:
        yield
    finally:
        _instead.reset(token)


def begin_anew() -> None:
    """Forget what was read: in a forked child, where no thread of the parent loads or looks after anything."""
    global _sources  # noqa: PLW0603 - replaced as a whole, locks and all
    loaded = _sources.loaded.is_set()
    _sources = _Sources()
    if loaded:
        _sources.loaded.set()


after_fork_in_child(begin_anew)
