"""The seam: httpx and httpx2 clients, sync and async, wrapped where a request leaves and its response passes by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import wrapt
from opentelemetry import context

from otel_cost import attribution, semconv
from otel_cost.instrumentation import attempts
from otel_cost.instrumentation.open_calls import close
from otel_cost.live_span import in_sdk_call
from otel_cost.safety import guard, report
from otel_cost.usage import is_providers, reader_of, recognise

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from types import TracebackType

    from otel_cost.instrumentation.attempts import Attempts
    from otel_cost.instrumentation.call import Call
    from otel_cost.usage import Request

HTTP_MODULES = ("httpx", "httpx2")
_FIRST_ERROR_STATUS = 400
_wrapped: set[type] = set()


def wrap_http(module: Any) -> None:
    """Wrap the clients of httpx or httpx2. Under ``httpx2.alias_httpx()`` both are one module, wrapped once."""
    if module.Client in _wrapped:
        return
    _wrapped.add(module.Client)
    sync_tee = type("SyncTee", (_SyncTee, module.SyncByteStream), {})
    async_tee = type("AsyncTee", (_AsyncTee, module.AsyncByteStream), {})

    def send(wrapped: Callable[..., Any], _: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        exchange = _exchange(args, kwargs)
        if exchange is None:
            return wrapped(*args, **kwargs)
        with exchange:
            response = wrapped(*args, **kwargs)
        return exchange.answered(response, sync_tee)

    async def send_async(
        wrapped: Callable[..., Awaitable[Any]], _: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        exchange = _exchange(args, kwargs)
        if exchange is None:
            return await wrapped(*args, **kwargs)
        with exchange:
            response = await wrapped(*args, **kwargs)
        return exchange.answered(response, async_tee)

    wrapt.wrap_function_wrapper(module, "Client.send", send)
    wrapt.wrap_function_wrapper(module, "AsyncClient.send", send_async)


def _exchange(args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Exchange | _Aside | None:
    """The exchange that a client is about to make, where it is one with a model or its provider.

    Raises:
        BudgetExceededError: it may not be made.
    """
    with guard("looking at a request"):
        request = args[0] if args else kwargs["request"]
        asked = _asked(request)
        if asked is None:
            return _Aside(request) if in_sdk_call() or is_providers(str(request.url)) else None
        call, around = attempts.begin(asked)
        return _Exchange(request, asked, call, around)
    return None


def _asked(request: Any) -> Request | None:
    if request.method != "POST":
        return None
    try:
        body = request.content
    except Exception:  # noqa: BLE001 - httpx and httpx2 each have an error of their own for a body that is a stream
        body = b""
    return recognise(request.method, str(request.url), body)


class _Aside:
    """Another request to a provider, such as for its list of models: who pays is none of the provider's business."""

    def __init__(self, request: Any) -> None:
        self._request = request

    def __enter__(self) -> None:
        with guard("stripping baggage"):
            _strip_baggage(self._request.headers)
        self._token = context.attach(attribution.without_ours(context.get_current()))

    def __exit__(self, *_: object) -> None:
        context.detach(self._token)

    def answered(self, response: Any, _: type) -> Any:
        """`response`, as it is."""
        return response


class _Exchange:
    """One HTTP request of a call, and its response."""

    def __init__(self, request: Any, asked: Request, call: Call, around: Attempts | None) -> None:
        self._request, self._asked, self._call, self._around = request, asked, call, around

    def __enter__(self) -> None:
        with guard("stripping baggage"):
            _strip_baggage(self._request.headers)
        self._token = context.attach(self._call.sends())

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        context.detach(self._token)
        self._call.in_flight = False
        if error is not None:
            self._failed(error=error)

    def answered(self, response: Any, tee: type) -> Any:
        """Read `response`, now if its body is here, else as it passes by. Returns it."""
        try:
            if response.status_code >= _FIRST_ERROR_STATUS:
                self._failed(status=response.status_code)
            elif response.is_closed:  # read already, by the client or by somebody's hook: its content is decoded
                headers = {"content-type": response.headers.get("content-type", "")}
                self._call.read(reader_of(self._asked.wire_format, headers), response.content)
            else:
                reader = reader_of(self._asked.wire_format, response.headers)
                response.stream = tee(response.stream, self._call)
                self._call.answered(reader)
        except Exception as error:  # noqa: BLE001 - the boundary: whatever fails here, the application gets its response
            report("reading a response", error)
            self._call.unreadable()
        return response

    def _failed(self, *, error: BaseException | None = None, status: int | None = None) -> None:
        with guard("noting a failed attempt"):
            self._call.attempt_failed(error, status)
            if self._around is None:  # else the SDK may try again, and the call ends when it gives up
                self._call.fails()


def _strip_baggage(headers: Any) -> None:
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
