"""What both receivers share: a request goes to the ledger, and the answer says what became of it."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

from otel_cost_exporter.decode.parcel import Receipt
from otel_cost_exporter.receiver.room import Room

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.message import Message

    from otel_cost_exporter.decode.parcel import Parcel
    from otel_cost_exporter.receiver.signals import Signal
    from otel_cost_exporter.writing.ledger import Ledger

_logger = logging.getLogger(__name__)

ROOM: Final = 48 * 1024 * 1024
"""Bytes that requests may take of memory until the ledger has them."""
PATIENCE: Final = 5.0
"""Seconds that a sender is slowed down where more comes than can be written, before it is asked to come again."""
LONGEST_READ: Final = 10.0
"""Seconds in which a request must come whole: as long as OpenTelemetry's exporters try. Until then it has its place."""
LONGEST_WAIT: Final = 60.0
"""Seconds that a sender is kept waiting for its commit; sending the calls again afterwards does no harm."""
_LINES_SHOWN: Final = 5
_LONGEST_NAME: Final = 100
_MOST_LINES: Final = 100
"""Reasons that are logged: some name what came from outside, and so there may be any number of them."""


class Intake:
    """Takes export requests for `ledger`.

    Attributes:
        room: where requests wait until the ledger has them.
        rejected: how many calls came that cannot stand in the books.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.room: Final = Room(ROOM)
        self.rejected = 0
        self._ledger: Final = ledger
        self._said: Final[set[str]] = set()
        self._lock: Final = threading.Lock()

    def take(self, parcel: Parcel) -> Future[Receipt]:
        """Queue `parcel`, which is what of a request is of use; the future resolves once it is committed.

        Raises:
            LedgerBusyError: too much waits to be written.
            LedgerDownError: the ledger is closing, or cannot be written.
        """
        if parcel.size:
            return self._ledger.add(parcel, PATIENCE)
        nothing: Future[Receipt] = Future()
        nothing.set_result(Receipt(Counter(), Counter()))
        return nothing

    def answer(self, signal: Signal, receipt: Receipt) -> Message:
        """The answer for the sender of what `receipt` is for, which says what was rejected and why."""
        if receipt.rejections or receipt.warnings:
            self._note(receipt)
        message = _message("rejected", receipt.rejections) + _message("warning", receipt.warnings)
        return signal.answer(receipt.rejections.total(), message)

    def _note(self, receipt: Receipt) -> None:
        """Count and log what the answer says too: OpenTelemetry's own exporters for Python do not read it."""
        rejections = [
            f"A call{of} is not in the books: {reason}. otel-cost ledger quarantine lists them"
            for reason in receipt.rejections
            for of in _of(receipt.services.get(reason))
        ]
        with self._lock:
            self.rejected += receipt.rejections.total()
            self._say([*rejections, *(f"A limit counts for nothing: {line}" for line in receipt.warnings)])

    def _say(self, lines: Iterable[str]) -> None:
        """Log each of `lines` once, not for every call, and no more of them than a log can bear."""
        for line in lines:
            if line in self._said or len(self._said) > _MOST_LINES:
                continue
            self._said.add(line)
            if len(self._said) > _MOST_LINES:
                _logger.warning("No further reason is logged. /healthz counts the calls that are not in the books")
            else:
                _logger.warning("%s. Said once", line)


def _of(services: set[str] | None) -> list[str]:
    """Whose calls they are, in words: service by service, where their senders say it."""
    return [f" of {service[:_LONGEST_NAME]!r}" for service in sorted(services)] if services else [""]


def _message(kind: str, lines: Counter[str]) -> str:
    """What happened how often, the most frequent first; not more than a few lines of it."""
    shown = [f"{kind}: {line} ({times}x). " for line, times in lines.most_common(_LINES_SHOWN)]
    left = len(lines) - len(shown)
    return "".join(shown) + (f"And {left} more kinds. " if left else "")
