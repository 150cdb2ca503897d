"""One HTTP request of a call and its response, whichever client it leaves by.

A client's wrap says what is about to leave (`Outgoing`), sends it inside the `with` block that `begin` returns, and
then says what came back: a body that is here already, or one that is fed to the call as it passes by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import context

from otel_cost import attribution, semconv
from otel_cost.instrumentation import attempts
from otel_cost.live_span import in_sdk_call
from otel_cost.safety import guard, report
from otel_cost.usage import is_providers, reader_of, recognise

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from types import TracebackType

    from opentelemetry.context import Context

    from otel_cost.instrumentation.attempts import Attempts
    from otel_cost.instrumentation.call import Call
    from otel_cost.usage import Request

_FIRST_ERROR_STATUS = 400


class Outgoing(Protocol):
    """A request that a client is about to send."""

    @property
    def method(self) -> str:
        """The method, in upper case."""

    @property
    def url(self) -> str:
        """Where it goes."""

    @property
    def headers(self) -> MutableMapping[str, str]:
        """What it carries, by name in whatever case; a change of it is sent."""

    def body(self) -> bytes:
        """What it carries; empty where that is a stream that can be read only once."""


def begin(outgoing: Outgoing) -> Exchange | Aside | None:
    """The exchange that `outgoing` opens, where it is one with a model or its provider.

    Raises:
        BudgetExceededError: it may not leave.
    """
    with guard("looking at a request"):
        asked = recognise(outgoing.method, outgoing.url, outgoing.body()) if outgoing.method == "POST" else None
        if asked is None:
            return Aside(outgoing) if in_sdk_call() or is_providers(outgoing.url) else None
        call, around = attempts.begin(asked)
        return Exchange(outgoing, asked, call, around)
    return None


class Aside:
    """Another request to a provider, such as for its list of models: who pays is none of the provider's business."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._token: Any = None

    def __enter__(self) -> None:
        with guard("keeping who pays from a provider"):
            _strip_baggage(self._outgoing.headers)
            self._token = context.attach(self._context())

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if self._token is not None:
            context.detach(self._token)

    def answered(self, status: int, headers: Mapping[str, str]) -> Call | None:  # noqa: ARG002 - for a call's only
        """Nothing is read of it."""
        return None

    def answered_whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Nothing is read of it."""

    def _context(self) -> Context:
        return attribution.without_ours(context.get_current())


class Exchange(Aside):
    """One HTTP request of a call, and its response."""

    def __init__(self, outgoing: Outgoing, asked: Request, call: Call, around: Attempts | None) -> None:
        super().__init__(outgoing)
        self._asked, self._call, self._around = asked, call, around

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        super().__exit__(kind, error, at)
        self._call.in_flight = False
        if error is not None:
            self._failed(error=error)

    def answered(self, status: int, headers: Mapping[str, str]) -> Call | None:
        """The response's head is here. Returns the call that its body must be fed to, as it came off the wire."""
        try:
            if status >= _FIRST_ERROR_STATUS:
                self._failed(status=status)
                return None
            self._call.answered(reader_of(self._asked.wire_format, headers))
        except Exception as error:  # noqa: BLE001 - the boundary: whatever fails here, the application gets its response
            self._unreadable(error)
            return None
        return self._call

    def answered_whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """The response is here, read already and its content decoded: by the client, or by somebody's hook."""
        try:
            if status >= _FIRST_ERROR_STATUS:
                self._failed(status=status)
                return
            plain = {"content-type": headers.get("content-type", "")}
            self._call.read(reader_of(self._asked.wire_format, plain), body)
        except Exception as error:  # noqa: BLE001 - the boundary
            self._unreadable(error)

    def _context(self) -> Context:
        return self._call.sends()

    def _unreadable(self, error: Exception) -> None:
        report("reading a response", error)
        self._call.unreadable()

    def _failed(self, *, error: BaseException | None = None, status: int | None = None) -> None:
        with guard("noting a failed attempt"):
            self._call.attempt_failed(error, status)
            if self._around is None:  # else the SDK may try again, and the call ends when it gives up
                self._call.fails()


def _strip_baggage(headers: MutableMapping[str, str]) -> None:
    """Take our members out of a baggage header that somebody put on the request already."""
    value = headers.get("baggage")
    if value is None or semconv.PREFIX not in value:
        return
    members = [member.strip() for member in value.split(",")]
    kept = [member for member in members if not member.startswith(semconv.PREFIX)]
    if kept:
        headers["baggage"] = ",".join(kept)
    else:
        del headers["baggage"]
