"""httpx and httpx2 clients, sync and async, wrapped where a request leaves and its response passes by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import wrapt

from otel_cost.instrumentation.exchange import begin
from otel_cost.instrumentation.open_calls import close
from otel_cost.safety import guard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from otel_cost.instrumentation.call import Call
    from otel_cost.instrumentation.exchange import Aside

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
        exchange = begin(_Outgoing(args[0] if args else kwargs["request"]))
        if exchange is None:
            return wrapped(*args, **kwargs)
        with exchange:
            response = wrapped(*args, **kwargs)
        return _read(exchange, response, sync_tee)

    async def send_async(
        wrapped: Callable[..., Awaitable[Any]], _: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        exchange = begin(_Outgoing(args[0] if args else kwargs["request"]))
        if exchange is None:
            return await wrapped(*args, **kwargs)
        with exchange:
            response = await wrapped(*args, **kwargs)
        return _read(exchange, response, async_tee)

    wrapt.wrap_function_wrapper(module, "Client.send", send)
    wrapt.wrap_function_wrapper(module, "AsyncClient.send", send_async)


class _Outgoing:
    """A request of httpx or httpx2."""

    __slots__ = ("_request",)

    def __init__(self, request: Any) -> None:
        self._request = request

    @property
    def method(self) -> str:
        return str(self._request.method)

    @property
    def url(self) -> str:
        return str(self._request.url)

    @property
    def headers(self) -> Any:
        return self._request.headers

    def body(self) -> bytes:
        try:
            return bytes(self._request.content)
        except Exception:  # noqa: BLE001 - httpx and httpx2 each have an error of their own for a body that is a stream
            return b""


def _read(exchange: Aside, response: Any, tee: type) -> Any:
    """Have `response` read, now if its body is here, else as it passes by. Returns it."""
    with guard("reading a response"):
        if response.is_closed:
            exchange.answered_whole(response.status_code, response.headers, response.content)
        elif (call := exchange.answered(response.status_code, response.headers)) is not None:
            response.stream = tee(response.stream, call)
    return response


class _Tee:
    """Lets a response's bytes pass unchanged and unbuffered, and shows each piece to the call."""

    def __init__(self, stream: Any, call: Call) -> None:
        self._stream, self._call = stream, call

    @property
    def elapsed(self) -> Any:
        """The client reads how long the response took from its stream."""
        return getattr(self._stream, "elapsed", None)

    def _piece(self, piece: bytes) -> None:
        with guard("reading a piece of a response"):
            self._call.feed(piece)

    def __del__(self) -> None:
        close(self._call)


class _SyncTee(_Tee):
    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._stream:
                self._piece(piece)
                yield piece
        except GeneratorExit:
            raise  # garbage collected or closed; `close` or `__del__` ends the call
        except BaseException as error:
            self._call.stream_ends(error)
            raise
        self._call.stream_ends()

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            close(self._call)


class _AsyncTee(_Tee):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._stream:
                self._piece(piece)
                yield piece
        except GeneratorExit:
            raise  # garbage collected or closed; `aclose` or `__del__` ends the call
        except BaseException as error:
            self._call.stream_ends(error)
            raise
        self._call.stream_ends()

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            close(self._call)
