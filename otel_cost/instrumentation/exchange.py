"""One HTTP request of a call and its response, whichever client it leaves by.

A client's wrap says what is about to leave (`Outgoing`), sends it inside the `with` block that `begin` returns, asks
whether it must go out once more (`Aside.is_refused`), and then says what came back: a body that is here already, or one
that passes by, piece by piece (`Passing`).
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from opentelemetry import context

from otel_cost import attribution, own_hosts
from otel_cost.instrumentation import attempts, include_usage
from otel_cost.instrumentation.failure import Failure
from otel_cost.instrumentation.include_usage import UsageCut
from otel_cost.instrumentation.passing import Answer, CutAnswer, ErrorAnswer
from otel_cost.instrumentation.retrieval import RetrievedAnswer, settle
from otel_cost.live_span import in_sdk_call
from otel_cost.safety import guard, report
from otel_cost.usage import is_providers, place_at, read_whole, reader_of
from otel_cost.usage.decoding import decoder_of

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from contextlib import AbstractContextManager
    from types import TracebackType

    from opentelemetry.context import Context

    from otel_cost.budgets import Steps
    from otel_cost.instrumentation.attempts import Attempts
    from otel_cost.instrumentation.call import Call
    from otel_cost.instrumentation.outgoing import Outgoing
    from otel_cost.instrumentation.passing import Passing
    from otel_cost.usage import Request
    from otel_cost.usage.reading import Reader

_SUCCESS = range(200, 300)
_ACCEPTED = 202  # to a poll: the answer is not there yet
_NO_CONTENT = 204
_EVENTS = "text/event-stream"
_METHODS = frozenset({"GET", "POST"})
_IN_FLIGHT = context.create_key("otel_cost.in-flight")


def begin(outgoing: Outgoing) -> Steps[Exchange | Aside | None]:
    """The exchange that `outgoing` opens, where it is one with a model or its provider.

    Its call may have to wait for others, or for a person.

    One client may send by way of another, such as httpx by way of aiohttp. That is one exchange: the outer client's.

    Raises:
        BudgetExceededError: it may not leave.
    """
    with guard("looking at a request"):
        around: Any = context.get_value(_IN_FLIGHT)
        if around is not None and around.is_sent_by(outgoing):
            return None
        asked = _asked(outgoing)
        if asked is None:
            return Aside(outgoing.url, outgoing.headers) if _must_keep(outgoing) else None
        if asked.retrieves is not None:
            return Retrieval(outgoing, asked)
        call, around = yield from attempts.begin(asked, outgoing)
        return Exchange(outgoing, call.request, call, around).asks_for_usage()
    return None


def _asked(outgoing: Outgoing) -> Request | None:
    """What `outgoing` asks a model for, if anything. The body of what goes elsewhere is not even taken."""
    method = outgoing.method
    place = place_at(method, outgoing.url) if method in _METHODS else None
    if place is None:
        return None
    return place.request(outgoing.body() if method == "POST" else b"")


def is_looked_at(request: object) -> bool:
    """Whether the client's `request` is the very one that the exchange around it has begun with."""
    around: Any = context.get_value(_IN_FLIGHT)
    return around is not None and getattr(around._outgoing, "request", None) is request  # noqa: SLF001 - of this module


def hop(request: Any) -> AbstractContextManager[None]:
    """Around the `request` of a client to one host, where it follows redirects: the next host may be a stranger's."""
    with guard("looking at where a request goes"):
        if attribution.is_told(request.headers) and not own_hosts.is_own(url := str(request.url)):
            return Aside(url, request.headers)
    return _NOTHING_TO_KEEP


_NOTHING_TO_KEEP: Final = nullcontext()


def _must_keep(outgoing: Outgoing) -> bool:
    """Whether `outgoing` would tell who pays to a host whose business that is not."""
    return attribution.is_told(outgoing.headers) and _is_kept_from(outgoing.url)


def _is_kept_from(url: str) -> bool:
    """Whether who pays is none of the business of the host of `url`: a stranger, or one that serves models."""
    if not own_hosts.is_own(url):
        return True
    return (in_sdk_call() or is_providers(url)) and not own_hosts.is_listed(url)


class Aside:
    """A request that must not tell who pays: to a stranger, or to a provider, such as for its list of models."""

    def __init__(self, url: str, headers: MutableMapping[str, str]) -> None:
        self._token: Any = None
        self._keeps = True
        with guard("keeping who pays from a stranger"):
            self._keeps = attribution.is_told(headers) and not own_hosts.is_listed(url)
            if self._keeps:
                attribution.strip(headers)

    def __enter__(self) -> None:
        with guard("keeping who pays from a stranger"):
            current = context.get_current()
            self._token = context.attach(self._around_it(attribution.without_ours(current) if self._keeps else current))

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if self._token is not None:
            context.detach(self._token)

    def may_be_refused(self, status: int) -> bool:  # noqa: ARG002 - for an exchange of a call only
        """Whether an answer with `status` may be about what we added: then the wrap asks `is_refused`."""
        return False

    def is_refused(self, body: bytes) -> bool:  # noqa: ARG002 - for an exchange of a call only
        """Whether the answer `body` is about what we added. Then what the application said is to be sent, once more."""
        return False

    def answered(self, status: int, headers: MutableMapping[str, str]) -> Passing | None:  # noqa: ARG002 - likewise
        """The response's head is here. Returns what its body must be shown to, as it comes off the wire, if anything.

        Where that decodes the body, ``content-encoding`` and ``content-length`` are taken out of `headers`.
        """
        return None

    def answered_whole(self, status: int, headers: Mapping[str, str], body: bytes) -> bytes:  # noqa: ARG002 - likewise
        """The response is here, read already and its content decoded. Returns what of `body` the application gets."""
        return body

    def _around_it(self, current: Context) -> Context:
        return current


class Retrieval(Aside):
    """A request for what another one asked: a poll, or a stream that is resumed."""

    def __init__(self, outgoing: Outgoing, asked: Request) -> None:
        super().__init__(outgoing.url, outgoing.headers)
        self._outgoing, self._asked = outgoing, asked
        self._in_flight = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        super().__exit__(kind, error, at)
        self._in_flight = False

    def is_sent_by(self, inner: Outgoing) -> bool:
        """Whether `inner` is this request, handed on to another client."""
        return self._in_flight and _is_same_elsewhere(self._outgoing, inner)

    def answered(self, status: int, headers: MutableMapping[str, str]) -> Passing | None:
        """The response's head is here: what it states is counted when it has passed by."""
        if status in _SUCCESS and status != _ACCEPTED:
            with guard("reading a response"):
                return RetrievedAnswer(self._asked, reader_of(self._asked.wire_format, headers))
        return None

    def answered_whole(self, status: int, headers: Mapping[str, str], body: bytes) -> bytes:
        """The whole response is here: what it states is counted."""
        if status in _SUCCESS and status != _ACCEPTED:
            with guard("reading a response"):
                settle(self._asked, read_whole(self._asked.wire_format, headers, body))
        return body

    def _around_it(self, current: Context) -> Context:
        return context.set_value(_IN_FLIGHT, self, current)


class Exchange(Aside):
    """One HTTP request of a call, and its response."""

    def __init__(self, outgoing: Outgoing, asked: Request, call: Call, around: Attempts | None) -> None:
        super().__init__(outgoing.url, outgoing.headers)
        self._outgoing, self._asked, self._call, self._around = outgoing, asked, call, around
        self._cuts = False

    def asks_for_usage(self) -> Exchange:
        """Put the question for usage into the request, where it is wanted and not there yet. Returns itself."""
        if not self._asked.stream:
            return self
        with guard("asking a stream for its usage"):
            more = include_usage.asking(self._asked, self._outgoing.url, self._outgoing.headers)
            if more is not None and self._outgoing.replace_body(more):
                self._cuts = True
                self._outgoing.headers["accept-encoding"] = "identity"  # what is encoded we must decode, to cut it
        return self

    def is_sent_by(self, inner: Outgoing) -> bool:
        """Whether `inner` is this request, handed on to another client, and not another call of a hook."""
        if not self._call.in_flight:
            return False
        mine = self._outgoing
        body = inner.body() if inner.method == "POST" else b""
        if body and body == mine.body():
            return True
        return _is_same_elsewhere(mine, inner)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        super().__exit__(kind, error, at)
        self._call.in_flight = False
        if error is not None:
            self._failed(Failure.of_error(error))

    def may_be_refused(self, status: int) -> bool:
        """Whether an answer with `status` may be about the question for usage."""
        return self._cuts and include_usage.may_refuse(status)

    def is_refused(self, body: bytes) -> bool:
        """Whether the error `body` is. Nobody is asked twice."""
        with guard("looking at an error"):
            if include_usage.refuses(self._outgoing.url, body):
                self._cuts = False
                self._call.sends_again()
                return True
        return False

    def answered(self, status: int, headers: MutableMapping[str, str]) -> Passing | None:
        """The response's head is here: what fails is noted, what answers is read as it passes by."""
        try:
            encoding = headers.get("content-encoding", "")
            if status not in _SUCCESS:
                failure = self._failed(Failure.of_status(status, headers), ends_call=False)
                return ErrorAnswer(self._call, failure, encoding, ends_call=self._around is None)
            if status == _NO_CONTENT:
                self._call.read(read_whole(self._asked.wire_format, headers, b""))
                return None
            if not (self._cuts and headers.get("content-type", "").startswith(_EVENTS)):
                return Answer(self._call, self._reads(headers))
            decoder, reader = decoder_of(encoding), self._reads(plain(headers))
            for name in ("content-encoding", "content-length"):
                headers.pop(name, None)
            return CutAnswer(self._call, reader, decoder, UsageCut())
        except Exception as error:  # noqa: BLE001 - the boundary: whatever fails here, the application gets its response
            self._unreadable(error)
            return None

    def answered_whole(self, status: int, headers: Mapping[str, str], body: bytes) -> bytes:
        """The whole response is here: the call ends with it, unless it failed and the SDK may try again."""
        try:
            if status not in _SUCCESS:
                self._failed(Failure.of_status(status, headers, body))
                return body
            self._call.read(read_whole(self._asked.wire_format, headers, body))
            if self._cuts and headers.get("content-type", "").startswith(_EVENTS):
                cut = UsageCut()
                return cut.feed(body) + cut.rest()
        except Exception as error:  # noqa: BLE001 - the boundary
            self._unreadable(error)
        return body

    def _around_it(self, current: Context) -> Context:
        return context.set_value(_IN_FLIGHT, self, self._call.sends(current))

    def _reads(self, headers: Mapping[str, str]) -> Reader:
        """What reads the answer that came with `headers`, as the call knows now."""
        reader = reader_of(self._asked.wire_format, headers)
        self._call.answered(reader)
        return reader

    def _unreadable(self, error: Exception) -> None:
        report("reading a response", error)
        self._call.unreadable()

    def _failed(self, failure: Failure, *, ends_call: bool = True) -> Failure:
        with guard("noting a failed attempt"):
            self._call.attempt_failed(failure)
            if ends_call and self._around is None:  # else the SDK may try again, and the call ends when it gives up
                self._call.fails()
        return failure


def _is_same_elsewhere(mine: Outgoing, inner: Outgoing) -> bool:
    """Whether `inner`, of another client, goes where `mine` goes."""
    return type(inner) is not type(mine) and unquote(inner.url) == unquote(mine.url)


def plain(headers: Mapping[str, str]) -> dict[str, str]:
    """What `headers` say of a body whose content is decoded, names in lower case."""
    return {name.lower(): value for name, value in headers.items() if name.lower() != "content-encoding"}
