"""The store that this process keeps its accounts in."""

from __future__ import annotations

import atexit
import logging
import threading
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from otel_cost import settings
from otel_cost.budgets.limit import Limit
from otel_cost.budgets.memory import MemoryStore
from otel_cost.budgets.outage import RefusingStore
from otel_cost.safety import after_fork_in_child

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_cost.budgets.shared import Booking, Server
    from otel_cost.budgets.store import Store
    from otel_cost.budgets.tree import Standing

_logger = logging.getLogger(__name__)

MEMORY: Final = MemoryStore()
"""The store of this process. A forked child starts with what its parent had spent."""
_FLUSH_SECONDS: Final = 5.0

_store: Store | None = None
_choosing = threading.Lock()


def store() -> Store:
    """The store that `OTEL_COST_BUDGET_STORE` names. One that cannot be is one that lets nothing through."""
    global _store  # noqa: PLW0603 - one process, one answer
    if _store is None:
        with _choosing:
            if _store is None:
                _store = _chosen(settings.get(settings.BUDGET_STORE))
    return _store


def server(name: str) -> Server | None:
    """The server that `name`, a value of `OTEL_COST_BUDGET_STORE`, stands for; None for the memory of a process.

    Raises:
        ValueError: there is none; what to write or to do.
    """
    scheme = urlsplit(name).scheme
    if name == "memory":
        return None
    if name == "service" or scheme in {"http", "https"}:
        from otel_cost.budgets.service import ServiceServer  # noqa: PLC0415 - most processes have no need of it

        return ServiceServer(settings.get(settings.URL) if name == "service" else settings.URL.read(name))
    if scheme in {"redis", "rediss", "unix"}:
        try:
            from otel_cost.budgets.redis import RedisServer  # noqa: PLC0415 - likewise, and it may be missing
        except ImportError as error:
            raise ValueError(f"it needs: pip install 'otel-cost[redis]' ({error})") from None
        return RedisServer(name)
    raise ValueError("write memory, service, the URL of a ledger service, or one like redis://127.0.0.1:6379/0")


def flush(seconds: float) -> None:
    """Wait until what calls have spent so far is booked, where it is kept elsewhere; not longer than that."""
    if _store is not None:
        _store.flush(seconds)


def _chosen(name: str) -> Store:
    try:
        found = server(name)
    except ValueError as error:
        flaw = f"{settings.BUDGET_STORE.name}={_without_password(name)}: {error}"
        _logger.warning("%s. Until then, no call under a budget is let through", flaw)
        return RefusingStore(flaw)
    if found is None:
        return MEMORY
    from otel_cost.budgets.shared import SharedStore  # noqa: PLC0415 - most processes have no need of it

    allowance = settings.get(settings.BUDGET_STORE_GONE)
    shared = SharedStore(found, None if allowance is None else Limit.parse(allowance), _tell)
    atexit.register(shared.flush, _FLUSH_SECONDS)
    return shared


def _tell(booking: Booking, standings: Sequence[Standing]) -> None:
    """Tell of shares of limits that a call has reached, once the store has booked it."""
    from otel_cost.budgets.admission import tell  # noqa: PLC0415 - it stands above this

    if booking.spend is not None:
        tell(booking.claims, standings, booking.spend)


def _without_password(name: str) -> str:
    parts = urlsplit(name)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _forked() -> None:
    global _choosing  # noqa: PLW0603 - replaced once, in the child
    _choosing = threading.Lock()
    MEMORY.forked()
    if _store is not None and _store is not MEMORY:
        _store.forked()


after_fork_in_child(_forked)
