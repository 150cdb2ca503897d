"""httpx and httpx2 clients, sync and async, wrapped where a request leaves and its response passes by."""

from __future__ import annotations

from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from otel_cost.budgets import finish, finish_async
from otel_cost.instrumentation.exchange import begin, hop, is_looked_at
from otel_cost.instrumentation.open_calls import close
from otel_cost.instrumentation.wrapping import put_in_place
from otel_cost.safety import guard
from otel_cost.usage.decoding import decoder_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from otel_cost.instrumentation.exchange import Aside
    from otel_cost.instrumentation.passing import Passing

_wrapped: set[type] = set()


def wrap(module: Any) -> None:
    """Wrap the clients of httpx or httpx2. Under ``httpx2.alias_httpx()`` both are one module, wrapped once."""
    if module.Client in _wrapped:
        return
    _wrapped.add(module.Client)
    sync_tee = type("SyncTee", (_SyncTee, module.SyncByteStream), {})
    async_tee = type("AsyncTee", (_AsyncTee, module.AsyncByteStream), {})
    put_in_place(module, "Client.send", partial(_sending, module, sync_tee))
    put_in_place(module, "AsyncClient.send", partial(_sending_async, module, async_tee))
    put_in_place(module, "Client._send_single_request", _hopping)
    put_in_place(module, "AsyncClient._send_single_request", _hopping_async)


def _sending(module: Any, tee: type, wrapped: Callable[..., Any]) -> Callable[..., Any]:
    """What takes the place of the method that sends."""

    @wraps(wrapped)
    def send(self: Any, request: Any, **options: Any) -> Any:
        outgoing = _Outgoing(module, request)
        exchange = finish(begin(outgoing))
        if exchange is None:
            return wrapped(self, request, **options)
        with exchange:
            response = wrapped(self, outgoing.request, **options)
            if exchange.may_be_refused(response.status_code) and exchange.is_refused(_error(module, response)):
                response = wrapped(self, outgoing.said, **options)
        return _read(exchange, outgoing.hidden_in(response), tee)

    return send


def _sending_async(module: Any, tee: type, wrapped: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(wrapped)
    async def send(self: Any, request: Any, **options: Any) -> Any:
        outgoing = _Outgoing(module, request)
        exchange = await finish_async(begin(outgoing))
        if exchange is None:
            return await wrapped(self, request, **options)
        with exchange:
            response = await wrapped(self, outgoing.request, **options)
            if exchange.may_be_refused(response.status_code):
                error = await _error_async(module, response)
                if exchange.is_refused(error):
                    response = await wrapped(self, outgoing.said, **options)
        return _read(exchange, outgoing.hidden_in(response), tee)

    return send


def _hopping(wrapped: Callable[..., Any]) -> Callable[..., Any]:
    """Around where each request leaves, with those that follow a redirect, be it to a stranger."""

    @wraps(wrapped)
    def hop_to(self: Any, request: Any) -> Any:
        if is_looked_at(request):
            return wrapped(self, request)
        with hop(request):
            return wrapped(self, request)

    return hop_to


def _hopping_async(wrapped: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(wrapped)
    async def hop_to(self: Any, request: Any) -> Any:
        if is_looked_at(request):
            return await wrapped(self, request)
        with hop(request):
            return await wrapped(self, request)

    return hop_to


class _Outgoing:
    """A request of httpx or httpx2.

    Attributes:
        request: what is sent: the application's request, or one that stands for it.
        said: what the application asks, be it for another model.
        url: where it goes.
    """

    __slots__ = ("_applications", "_module", "request", "said", "url")

    def __init__(self, module: Any, request: Any) -> None:
        self._module, self._applications, self.url = module, request, str(request.url)
        self.request = self.said = request

    @property
    def method(self) -> str:
        return str(self.request.method)

    @property
    def headers(self) -> Any:
        return self.request.headers

    def body(self) -> bytes:
        try:
            return bytes(self.request.content)
        except Exception:  # noqa: BLE001 - httpx and httpx2 each have an error of their own for a body that is a stream
            return b""

    def ask_instead(self, body: bytes) -> bool:
        self.replace_body(body)
        self.said = self.request
        return True

    def replace_body(self, body: bytes) -> bool:
        said = self._applications
        headers = self._module.Headers([pair for pair in said.headers.raw if pair[0].lower() != b"content-length"])
        self.request = self._module.Request(
            said.method, said.url, headers=headers, content=body, extensions=said.extensions
        )
        return True

    def hidden_in(self, response: Any) -> Any:
        """`response`, which names the application's own request as the one that it answers."""
        if response.request is self.request or response.request is self.said:
            response.request = self._applications
        return response


def _error(module: Any, response: Any) -> bytes:
    """The body of an error, which the application can read as if nobody had."""
    if response.is_closed:
        return bytes(response.content)
    body = b"".join(response.stream)
    response.stream.close()
    return _put_back(module, response, body)


async def _error_async(module: Any, response: Any) -> bytes:
    if response.is_closed:
        return bytes(response.content)
    body = b"".join([piece async for piece in response.stream])
    await response.stream.aclose()
    return _put_back(module, response, body)


def _put_back(module: Any, response: Any, body: bytes) -> bytes:
    """Let `body`, which came off the wire, be read as if it were still to come. Returns its content, decoded."""
    elapsed = getattr(response.stream, "elapsed", None)
    if elapsed is not None:  # httpx2 leaves it with the stream, httpx with the response
        response.elapsed = elapsed
    response.stream = module.ByteStream(body)
    with guard("reading an error"):
        return decoder_of(response.headers.get("content-encoding", "")).decode(body)
    return b""


def _read(exchange: Aside, response: Any, tee: type) -> Any:
    """Have `response` read, now if its body is here, else as it passes by. Returns it."""
    with guard("reading a response"):
        if response.is_closed:
            body = response.content
            passed = exchange.answered_whole(response.status_code, response.headers, body)
            if passed is not body:
                response._content = passed  # noqa: SLF001 - a body that is read has no other way to change
        elif (passing := exchange.answered(response.status_code, response.headers)) is not None:
            response.stream = tee(response.stream, passing)
    return response


class _Tee:
    """Lets a response's bytes pass, each piece as soon as it is here, and shows them to the call."""

    def __init__(self, stream: Any, passing: Passing) -> None:
        self._stream, self._passing = stream, passing

    @property
    def elapsed(self) -> Any:
        """The client reads how long the response took from its stream."""
        return getattr(self._stream, "elapsed", None)

    def __del__(self) -> None:
        close(self._passing)


class _SyncTee(_Tee):
    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._stream:
                if passed := self._passing.feed(piece):
                    yield passed
            if rest := self._passing.rest():
                yield rest
        except GeneratorExit:
            raise  # garbage collected or closed; `close` or `__del__` ends the call
        except BaseException as error:
            self._passing.stream_ends(error)
            raise
        self._passing.stream_ends()

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            close(self._passing)


class _AsyncTee(_Tee):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._stream:
                if passed := self._passing.feed(piece):
                    yield passed
            if rest := self._passing.rest():
                yield rest
        except GeneratorExit:
            raise  # garbage collected or closed; `aclose` or `__del__` ends the call
        except BaseException as error:
            self._passing.stream_ends(error)
            raise
        self._passing.stream_ends()

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            close(self._passing)
