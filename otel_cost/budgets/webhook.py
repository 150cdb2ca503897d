"""Events of budgets to a URL of the user's, such as a Slack channel's: sent by a thread, so no call waits for it."""

from __future__ import annotations

import json
import logging
import threading
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPException
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from opentelemetry import context
from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_cost import settings
from otel_cost.safety import after_fork_in_child, guard

if TYPE_CHECKING:
    from otel_cost.budgets.events import BudgetEvent

_logger = logging.getLogger(__name__)
_MOST_WAITING: Final = 1000
_TIMEOUT_SECONDS: Final = 10.0
_PAUSES: Final = (1.0, 4.0)
"""Seconds between the tries."""
_TRANSIENT: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


class _Sender:
    """Sends events one after another, each a few times where that may help."""

    def __init__(self) -> None:
        # The garbage collector may put into it amid a put, which no other queue allows.
        self._waiting: SimpleQueue[tuple[str, bytes] | Future[None]] = SimpleQueue()
        self._ends = threading.Event()
        self._starting = threading.RLock()
        self._thread: threading.Thread | None = None
        self._lost = 0

    def put(self, url: str, body: bytes) -> None:
        if self._waiting.qsize() >= _MOST_WAITING:
            self._note(url, f"{_MOST_WAITING} others wait")
            return
        self._waiting.put((url, body))
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="otel-cost-webhook", daemon=True)
                self._thread.start()

    def flush(self, seconds: float) -> None:
        """Wait until what was put has gone, or has been tried; from now on without pauses: the process ends."""
        if self._thread is None:
            return
        self._ends.set()
        sent: Future[None] = Future()
        self._waiting.put(sent)
        with suppress(TimeoutError):
            sent.result(seconds)

    def _run(self) -> None:
        # What instruments urllib neither makes spans of our requests nor gives them baggage of whoever was first.
        context.attach(context.Context())
        with suppress_instrumentation():
            while True:
                item = self._waiting.get()
                if isinstance(item, Future):
                    item.set_result(None)
                    continue
                with guard("sending a budget's event to the webhook"):
                    self._note(item[0], self._send(*item))

    def _send(self, url: str, body: bytes) -> str | None:
        """Why it did not arrive; None where it did."""
        failure, may_help = _post(url, body)
        for pause in _PAUSES:
            if not may_help:
                break
            self._ends.wait(pause)
            failure, may_help = _post(url, body)
        return failure

    def _note(self, url: str, failure: str | None) -> None:
        """Log the first of a row of failures, and that it is over."""
        if failure is None:
            if self._lost:
                _logger.warning("the webhook takes events again; %d were lost", self._lost)
            self._lost = 0
            return
        self._lost += 1
        level = logging.WARNING if self._lost == 1 else logging.DEBUG
        host = urlsplit(url).hostname  # its path may be a secret
        _logger.log(level, "%s: an event of a budget did not reach %s: %s", settings.WEBHOOK.name, host, failure)


def _post(url: str, body: bytes) -> tuple[str | None, bool]:
    """Why `body` did not arrive, None where it did; and whether another try may help."""
    request = Request(url, body, {"content-type": "application/json", "user-agent": "otel-cost"})  # noqa: S310 - settings takes http and https only
    try:
        with urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
            answer.read()
    except HTTPError as error:
        error.close()
        return f"the answer is {error.code} {error.reason}", error.code >= 500 or error.code in _TRANSIENT  # noqa: PLR2004
    except (OSError, HTTPException) as error:
        return str(error.reason if isinstance(error, URLError) else error) or type(error).__name__, True
    return None, False


def body_of(event: BudgetEvent) -> bytes:
    """What is sent: JSON with a ``text`` that chats show, and each fact by itself."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"text": event.message, "event": event.kind, "time": at, **event.fields()}).encode()


_sender = _Sender()


def send(url: str, event: BudgetEvent) -> None:
    """Send `event` to `url`; returns at once."""
    _sender.put(url, body_of(event))


def flush(seconds: float) -> None:
    """Wait until all events have gone, and not longer than that: the process ends."""
    _sender.flush(seconds)


def _forked() -> None:
    """What waits is the parent's to send."""
    global _sender  # noqa: PLW0603 - replaced as a whole, locks and all
    _sender = _Sender()


after_fork_in_child(_forked)
