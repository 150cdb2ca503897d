"""aiohttp sessions, by which aiobotocore and google-genai send too. What the response's content gives is read."""

from __future__ import annotations

from asyncio import IncompleteReadError
from typing import TYPE_CHECKING, Any

import wrapt

from otel_cost.budgets import finish_async
from otel_cost.instrumentation.clients.bodies import bytes_of
from otel_cost.instrumentation.exchange import begin, hop, plain
from otel_cost.instrumentation.open_calls import close
from otel_cost.safety import guard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from otel_cost.instrumentation.exchange import Aside

_FIRST_ERROR_STATUS = 400


def wrap(module: Any) -> None:
    """Wrap a session's request, with the redirects that it follows."""

    async def request(
        wrapped: Callable[..., Awaitable[Any]], session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        outgoing = _Outgoing(session, args, kwargs)
        exchange = await finish_async(begin(outgoing))
        if exchange is None:
            return await wrapped(*args, **kwargs)
        answered = None
        with exchange:
            try:
                response = await wrapped(*args, **kwargs)
            except module.ClientResponseError as error:  # the application asked for one where the status is an error
                if error.status < _FIRST_ERROR_STATUS:
                    raise
                answered = error
        if answered is not None:
            exchange.answered_whole(answered.status, plain(answered.headers or {}), b"")
            raise answered
        with guard("reading a response"):
            _read(exchange, response, is_decoded=outgoing.is_decoded)
        return response

    wrapt.wrap_function_wrapper(module, "ClientSession._request", request)
    wrapt.wrap_function_wrapper(module, "ClientRequest.send", _send)


async def _send(wrapped: Callable[..., Awaitable[Any]], request: Any, args: tuple[Any, ...], _: object) -> Any:
    """One request as it goes out, with the session's own headers and what tracing added; a redirect leads to others."""
    with hop(request):
        return await wrapped(*args)


class _Outgoing:
    """A request that a session is asked for."""

    def __init__(self, session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._session, self._kwargs = session, kwargs
        self._stated = dict(zip(("method", "str_or_url"), args, strict=False))

    @property
    def method(self) -> str:
        return str(self._stated.get("method") or self._kwargs["method"]).upper()

    @property
    def url(self) -> str:
        url = self._stated.get("str_or_url") or self._kwargs["str_or_url"]
        return str(self._session._build_url(url))  # noqa: SLF001 - a session may have a base URL

    @property
    def headers(self) -> Any:
        defaults = self._session.headers
        own = self._kwargs["headers"] = type(defaults)(self._kwargs.get("headers") or ())
        return defaults if "baggage" in defaults and "baggage" not in own else own

    @property
    def is_decoded(self) -> bool:
        """Whether what the response gives has its content decoded."""
        stated = self._kwargs.get("auto_decompress")
        return bool(self._session.auto_decompress if stated is None else stated)

    def body(self) -> bytes:
        if (document := self._kwargs.get("json")) is None:
            return bytes_of(self._kwargs.get("data"))
        try:
            return bytes_of(self._session.json_serialize(document))
        except (TypeError, ValueError):  # which the application is about to hear from the session
            return b""

    def ask_instead(self, body: bytes) -> bool:
        self.headers.setdefault("content-type", "application/json")
        self._kwargs.pop("json", None)
        self._kwargs["data"] = body
        return True

    def replace_body(self, _: bytes) -> bool:
        return False


def _read(exchange: Aside, response: Any, *, is_decoded: bool) -> None:
    """Have `response` read, now if somebody's middleware has read it already, else as it passes by."""
    headers = plain(response.headers) if is_decoded else response.headers
    body = response._body  # noqa: SLF001 - to ask for it is to read it
    if body is not None:
        exchange.answered_whole(response.status, headers, body)
    elif (call := exchange.answered(response.status, headers)) is not None:
        response.content = _Content(response.content, call)


def _shown(method: str) -> Any:
    """The content's `method`, what it gives shown to the call."""

    async def read(self: _Content, *args: Any, **kwargs: Any) -> Any:
        try:
            piece = await getattr(self.__wrapped__, method)(*args, **kwargs)
        except BaseException as error:
            self._self_broke(error)
            raise
        self._self_show(piece[0] if isinstance(piece, tuple) else piece)
        return piece

    return read


def _iterating(method: str) -> Any:
    """The content's `method`, whose iterator reads by the methods of our own."""

    def iterate(self: _Content, *args: Any) -> Any:
        return getattr(type(self.__wrapped__), method)(self, *args)

    return iterate


class _Content(wrapt.BaseObjectProxy[Any]):
    """Lets a response's bytes pass unchanged and unbuffered, and shows each piece to the call."""

    def __init__(self, content: Any, call: Any) -> None:
        super().__init__(content)
        self._self_passing = call

    read, readany, readchunk = _shown("read"), _shown("readany"), _shown("readchunk")
    readline, readuntil, readexactly = _shown("readline"), _shown("readuntil"), _shown("readexactly")
    iter_any, iter_chunked, iter_chunks = _iterating("iter_any"), _iterating("iter_chunked"), _iterating("iter_chunks")
    __aiter__ = _iterating("__aiter__")

    def read_nowait(self, *args: Any) -> bytes:
        piece: bytes = self.__wrapped__.read_nowait(*args)
        self._self_show(piece)
        return piece

    def set_exception(self, *args: Any) -> None:
        """The response is released or closed."""
        self.__wrapped__.set_exception(*args)
        close(self._self_passing)

    def __del__(self) -> None:
        close(self._self_passing)

    def _self_show(self, piece: bytes) -> None:
        with guard("reading a piece of a response"):
            if piece:
                self._self_passing.feed(piece)
            if self.__wrapped__.at_eof():
                self._self_passing.stream_ends()

    def _self_broke(self, error: BaseException) -> None:
        """A read failed. Where only the wait for it was cancelled or timed out, the response can be read on."""
        if isinstance(error, IncompleteReadError):
            self._self_show(error.partial)
        elif self.__wrapped__.exception() is not None:
            self._self_passing.stream_ends(error)
