"""An answer that another request asked for, stated again: a poll of a background response, a run, a resumed stream.

It is no call of its own. What it states ends the call that waits for it, once. Where this process has never seen that
call, another one made it, and whoever asks first counts it; unless the other one waited for the answer, and so counted
it itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_cost import counted
from otel_cost.instrumentation import background, open_calls
from otel_cost.instrumentation.call import Call
from otel_cost.safety import guard

if TYPE_CHECKING:
    from otel_cost.usage import Reading, Request
    from otel_cost.usage.reading import Reader


def settle(request: Request, reading: Reading) -> None:
    """Count what the answer to `request` states, unless it is counted already or still to be stated."""
    open_calls.end_abandoned()
    response_id = request.retrieves or ""
    if reading.pending or not reading.complete:
        return
    waiting = background.taken(response_id)
    if waiting is not None:
        waiting.hears(reading)
    elif reading.usage is not None and reading.is_fetched and not _is_known(response_id):
        Call.found(request).hears(reading)


def _is_known(response_id: str) -> bool:
    """Whether this process has counted the response of that id, or is about to."""
    return counted.is_settled(response_id) or open_calls.has(response_id)


class RetrievedAnswer:
    """Such an answer as it passes by.

    Attributes:
        ended: whether it has passed by.
    """

    def __init__(self, request: Request, reader: Reader) -> None:
        self._request, self._reader = request, reader
        self.ended = False

    def feed(self, piece: bytes) -> bytes:
        """Read `piece`; the application gets it as it is."""
        with guard("reading a piece of a response"):
            self._reader.feed(piece)
        return piece

    def rest(self) -> bytes:
        """Nothing is held back."""
        return b""

    def stream_ends(self, error: BaseException | None = None) -> None:  # noqa: ARG002 - what it stated, it stated
        """What it stated is counted."""
        if self.ended:
            return
        self.ended = True
        with guard("reading a response"):
            settle(self._request, self._reader.reading())
