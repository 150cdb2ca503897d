"""requests: a session's request with the redirects that it follows. It sends by urllib3, whose responses are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import wrapt

from otel_cost.budgets import finish
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
    said = args[0] if args else kwargs.pop("request")
    outgoing = _Outgoing(said)
    exchange = finish(begin(outgoing))
    if exchange is None:
        return wrapped(said, **kwargs)
    with exchange:
        response = wrapped(outgoing.request, **kwargs)
    with guard("reading a response"):
        if kwargs.get("stream", session.stream):
            show(exchange, response.raw, response.status_code, response.headers)
        else:
            exchange.answered_whole(response.status_code, plain(response.headers), response.content)
    return response


class _Outgoing:
    """A prepared request.

    Attributes:
        request: what is sent: the application's request, or one that stands for it.
    """

    def __init__(self, request: Any) -> None:
        self.request = request

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
        return bytes_of(self.request.body)

    def ask_instead(self, body: bytes) -> bool:
        self.request = self.request.copy()
        self.request.body = body
        self.request.headers["Content-Length"] = str(len(body))
        return True

    def replace_body(self, _: bytes) -> bool:
        return False
