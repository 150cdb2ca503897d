"""urllib3, by which boto3 and requests send, and many generated clients.

A response has its class replaced by one that shows each piece that is read to the call: whoever holds the response
reads it by the methods that it always had.
"""

from __future__ import annotations

from functools import lru_cache, partial
from inspect import signature
from typing import TYPE_CHECKING, Any

import wrapt

from otel_cost.budgets import finish
from otel_cost.instrumentation.clients.bodies import bytes_of
from otel_cost.instrumentation.exchange import begin, plain
from otel_cost.instrumentation.open_calls import close
from otel_cost.safety import guard
from otel_cost.usage.decoding import decoder_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from otel_cost.instrumentation.exchange import Aside

_PORTS = {"http": 80, "https": 443}


def wrap(module: Any) -> None:
    """Wrap where a request enters urllib3: a manager, which follows redirects, or a pool of connections to one host."""
    for opener in (module.PoolManager, module.HTTPConnectionPool):
        names = tuple(signature(opener.urlopen).parameters)[1:]
        wrapt.wrap_function_wrapper(opener, "urlopen", partial(_open, names))


def _open(
    names: tuple[str, ...], wrapped: Callable[..., Any], opener: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    kwargs = {**dict(zip(names, args, strict=False)), **kwargs}
    exchange = finish(begin(_Outgoing(opener, kwargs)))
    if exchange is None:
        return wrapped(**kwargs)
    with exchange:
        response = wrapped(**kwargs)
    with guard("reading a response"):
        if kwargs.get("preload_content", True):
            exchange.answered_whole(response.status, plain(response.headers), response.data)
        else:
            show(exchange, response, response.status, response.headers)
    return response


class _Outgoing:
    """A request of a manager or a pool."""

    def __init__(self, opener: Any, kwargs: dict[str, Any]) -> None:
        self._opener, self._kwargs = opener, kwargs
        self._own: Any = None

    @property
    def method(self) -> str:
        return str(self._kwargs["method"]).upper()

    @property
    def url(self) -> str:
        url = str(self._kwargs["url"])
        if not url.startswith("/"):
            return url  # a manager's, or a pool's that is a proxy
        host = f"[{self._opener.host}]" if ":" in self._opener.host else self._opener.host
        port = "" if self._opener.port in (None, _PORTS.get(self._opener.scheme)) else f":{self._opener.port}"
        return f"{self._opener.scheme}://{host}{port}{url}"

    @property
    def headers(self) -> Any:
        headers = self._kwargs.get("headers")
        if headers is None or headers is not self._own:  # the caller's or the pool's own stay as they are
            self._own = self._kwargs["headers"] = (self._opener.headers if headers is None else headers).copy()
        return self._own

    def body(self) -> bytes:
        return bytes_of(self._kwargs.get("body"))

    def ask_instead(self, body: bytes) -> bool:
        self._kwargs["body"] = body
        for name in [name for name in self.headers if name.lower() == "content-length"]:
            self.headers[name] = str(len(body))
        return True

    def replace_body(self, _: bytes) -> bool:
        return False


def show(exchange: Aside, response: Any, status: int, headers: Mapping[str, str]) -> None:
    """Have `response`, which came with `status` and `headers`, read as it passes by."""
    passing = exchange.answered(status, plain(headers))
    if passing is None:
        return
    try:
        response_type: type = type(response)
        response._otel_cost_passing = passing  # noqa: SLF001 - on an instance whose class is ours from here on
        response._otel_cost_decoder = None  # noqa: SLF001
        response.__class__ = _tee(response_type)
    except Exception:  # it is none of urllib3's: an adapter of the application's own made it
        close(passing)
        raise


@lru_cache(maxsize=32)
def _tee(response_type: type) -> type:
    return type(response_type.__name__, (_Tee, response_type), {"__module__": response_type.__module__})


class _Tee:
    """Lets a response's bytes pass unchanged and unbuffered, and shows each piece to the call."""

    headers: Any
    decode_content: bool
    _otel_cost_passing: Any
    _otel_cost_decoder: Any

    def read(self, *args: Any, **kwargs: Any) -> Any:
        piece = self._read("read", *args, **kwargs)
        amount = args[0] if args else kwargs.get("amt")
        if amount is None or amount < 0 or (amount and not piece):
            self._otel_cost_passing.stream_ends()
        return piece

    def read1(self, *args: Any, **kwargs: Any) -> Any:
        piece = self._read("read1", *args, **kwargs)
        if not piece and (args[0] if args else kwargs.get("amt")) != 0:
            self._otel_cost_passing.stream_ends()
        return piece

    def read_chunked(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        try:
            for piece in super().read_chunked(*args, **kwargs):  # type: ignore[misc] # the response's own
                self._show(piece, decoded=bool(_decode_content(*args, **kwargs)))
                yield piece
        except GeneratorExit:
            close(self._otel_cost_passing)  # what reads a chunk closes the connection where it is left
            raise
        except BaseException as error:
            self._otel_cost_passing.stream_ends(error)
            raise
        self._otel_cost_passing.stream_ends()

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        yield from super().stream(*args, **kwargs)  # type: ignore[misc] # the response's own; it reads by the others
        self._otel_cost_passing.stream_ends()

    def close(self) -> None:
        try:
            super().close()  # type: ignore[misc] # the response's own
        finally:
            close(self._otel_cost_passing)

    def __del__(self) -> None:
        # Its own closes it only where nothing below is closed yet, and the collector may take what is below first.
        close(self._otel_cost_passing)
        super().__del__()  # type: ignore[misc] # the response's own

    def _read(self, method: str, *args: Any, **kwargs: Any) -> Any:
        try:
            piece = getattr(super(), method)(*args, **kwargs)
        except BaseException as error:
            self._otel_cost_passing.stream_ends(error)
            raise
        decode = _decode_content(*args, **kwargs)
        self._show(piece, decoded=self.decode_content if decode is None else decode)
        return piece

    def _show(self, piece: bytes, *, decoded: bool) -> None:
        """Show `piece`, its content decoded where the reader did not ask for that."""
        if not piece:
            return
        with guard("reading a piece of a response"):
            if not decoded:
                if self._otel_cost_decoder is None:
                    self._otel_cost_decoder = decoder_of(self.headers.get("content-encoding", ""))
                piece = self._otel_cost_decoder.decode(piece)
            self._otel_cost_passing.feed(piece)


def _decode_content(_: Any = None, decode_content: Any = None, *__: Any, **___: Any) -> bool | None:
    """Of a read's arguments, whether its content is to be decoded; None where they do not say."""
    return None if decode_content is None else bool(decode_content)
