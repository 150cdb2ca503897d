"""httpx and httpx2 clients, sync and async, wrapped where a request leaves and its response passes by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import wrapt

from otel_cost.instrumentation.exchange import begin, hop
from otel_cost.instrumentation.open_calls import close
from otel_cost.safety import guard
from otel_cost.usage.decoding import decoder_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from otel_cost.instrumentation.exchange import Aside
    from otel_cost.instrumentation.passing import Passing

MODULES = ("httpx", "httpx2")
_wrapped: set[type] = set()


def wrap(module: Any) -> None:
    """Wrap the clients of httpx or httpx2. Under ``httpx2.alias_httpx()`` both are one module, wrapped once."""
    if module.Client in _wrapped:
        return
    _wrapped.add(module.Client)
    sync_tee = type("SyncTee", (_SyncTee, module.SyncByteStream), {})
    async_tee = type("AsyncTee", (_AsyncTee, module.AsyncByteStream), {})

    def send(wrapped: Callable[..., Any], _: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        outgoing = _Outgoing(module, *args, **kwargs)
        exchange = begin(outgoing)
        if exchange is None:
            return wrapped(*args, **kwargs)
        with exchange:
            response = wrapped(outgoing.request, **outgoing.options)
            if exchange.may_be_refused(response.status_code) and exchange.is_refused(_error(module, response)):
                response = wrapped(*args, **kwargs)
        return _read(exchange, outgoing.hidden_in(response), sync_tee)

    async def send_async(
        wrapped: Callable[..., Awaitable[Any]], _: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        outgoing = _Outgoing(module, *args, **kwargs)
        exchange = begin(outgoing)
        if exchange is None:
            return await wrapped(*args, **kwargs)
        with exchange:
            response = await wrapped(outgoing.request, **outgoing.options)
            if exchange.may_be_refused(response.status_code):
                error = await _error_async(module, response)
                if exchange.is_refused(error):
                    response = await wrapped(*args, **kwargs)
        return _read(exchange, outgoing.hidden_in(response), async_tee)

    wrapt.wrap_function_wrapper(module, "Client.send", send)
    wrapt.wrap_function_wrapper(module, "AsyncClient.send", send_async)
    _wrap_hops(module)


def _wrap_hops(module: Any) -> None:
    """Wrap where each request leaves, with those that follow a redirect, be it to a stranger."""

    def hop_to(wrapped: Callable[..., Any], _: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        request = args[0] if args else kwargs["request"]
        with hop(str(request.url), request.headers):
            return wrapped(*args, **kwargs)

    async def hop_to_async(
        wrapped: Callable[..., Awaitable[Any]], _: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        request = args[0] if args else kwargs["request"]
        with hop(str(request.url), request.headers):
            return await wrapped(*args, **kwargs)

    wrapt.wrap_function_wrapper(module, "Client._send_single_request", hop_to)
    wrapt.wrap_function_wrapper(module, "AsyncClient._send_single_request", hop_to_async)


class _Outgoing:
    """A request of httpx or httpx2.

    Attributes:
        request: what is sent: the application's request, or one that stands for it.
        options: what it is sent with.
    """

    __slots__ = ("_module", "_said", "options", "request")

    def __init__(self, module: Any, request: Any, **options: Any) -> None:
        self._module, self._said, self.request, self.options = module, request, request, options

    @property
    def method(self) -> str:
        return str(self.request.method)

    @property
    def url(self) -> str:
        return str(self.request.url)

    @property
    def headers(self) -> Any:
        return self.request.headers

    def body(self) -> bytes:
        try:
            return bytes(self.request.content)
        except Exception:  # noqa: BLE001 - httpx and httpx2 each have an error of their own for a body that is a stream
            return b""

    def replace_body(self, body: bytes) -> bool:
        said = self._said
        headers = self._module.Headers([pair for pair in said.headers.raw if pair[0].lower() != b"content-length"])
        self.request = self._module.Request(
            said.method, said.url, headers=headers, content=body, extensions=said.extensions
        )
        return True

    def hidden_in(self, response: Any) -> Any:
        """`response`, which names the application's own request as the one that it answers."""
        if response.request is self.request:
            response.request = self._said
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
