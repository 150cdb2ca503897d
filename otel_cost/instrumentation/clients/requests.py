"""requests: a session's request with the redirects that it follows. It sends by urllib3, whose responses are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import wrapt

from otel_cost.instrumentation.clients.bodies import bytes_of
from otel_cost.instrumentation.clients.urllib3 import show
from otel_cost.instrumentation.exchange import begin, plain
from otel_cost.safety import guard

if TYPE_CHECKING:
    from collections.abc import Callable


def wrap(module: Any) -> None:
    """Wrap a session where it sends."""
    wrapt.wrap_function_wrapper(module, "Session.send", _send)


def _send(wrapped: Callable[..., Any], session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    exchange = begin(_Outgoing(args[0] if args else kwargs["request"]))
    if exchange is None:
        return wrapped(*args, **kwargs)
    with exchange:
        response = wrapped(*args, **kwargs)
    with guard("reading a response"):
        if kwargs.get("stream", session.stream):
            show(exchange, response.raw, response.status_code, response.headers)
        else:
            exchange.answered_whole(response.status_code, plain(response.headers), response.content)
    return response


class _Outgoing:
    """A prepared request."""

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
        return bytes_of(self._request.body)

    def replace_body(self, _: bytes) -> bool:
        return False
