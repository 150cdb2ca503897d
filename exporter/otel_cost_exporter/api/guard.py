"""In front of the HTTP side: whoever asks must show the token for it, before anything of the request is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from otel_cost_exporter.access.tokens import BUDGETS, KEEP, READ, WRITE
from otel_cost_exporter.errors import ForbiddenError, UnknownSenderError
from otel_cost_exporter.receiver.encodings import LARGEST_REQUEST
from otel_cost_exporter.receiver.http import content_type, refused
from otel_cost_exporter.receiver.signals import SIGNALS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from otel_cost_exporter.access.tokens import Tokens

HEALTH_PATH: Final = "/healthz"
_DESCRIPTIONS: Final = frozenset({"/docs", "/v1/openapi.json"})
_BUDGETS_PATH: Final = "/v1/budgets"
_KEEPING_PATH: Final = "/v1/ledger/"
_ASKING: Final = frozenset({"GET", "HEAD"})
_OTLP_PATHS: Final = frozenset(path for signal in SIGNALS for path in signal.paths)


class Guard:
    """Hands requests on to `app` whose senders have the right to them by `tokens`.

    Whether the service is well, everybody may ask; ``request.state.may_read`` tells whether to say more. So may
    everybody read what can be asked, which says nothing of the books.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app, self._tokens = app, tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        headers, path = Headers(scope=scope), scope["path"]
        try:
            self._tokens.check(_rights(scope["method"], path), headers.get("authorization"))
        except (UnknownSenderError, ForbiddenError) as error:
            if path not in {HEALTH_PATH, *_DESCRIPTIONS}:
                if path in _OTLP_PATHS and scope["method"] not in _ASKING:
                    answer = refused(error, content_type(headers.get("content-type", "")))
                else:
                    answer = JSONResponse({"detail": str(error)}, 403 if isinstance(error, ForbiddenError) else 401)
                if isinstance(error, UnknownSenderError):
                    answer.headers["WWW-Authenticate"] = "Bearer"
                await answer(scope, receive, send)
                return
            scope.setdefault("state", {})["may_read"] = False
        await self._app(scope, receive if path in _OTLP_PATHS else _limited(receive), send)


def _limited(receive: Receive) -> Receive:
    """`receive` until it has had more of a body than is taken at once. The receivers of OTLP see to that themselves."""
    taken = 0

    async def receive_some() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > LARGEST_REQUEST:
            raise HTTPException(413, f"more than {LARGEST_REQUEST} bytes are not taken at once")
        return message

    return receive_some


def _rights(method: str, path: str) -> set[str]:
    """The rights of which one is enough for a request."""
    if path.startswith(_BUDGETS_PATH):
        return {READ, BUDGETS} if method in _ASKING else {BUDGETS}
    if path.startswith(_KEEPING_PATH):
        return {KEEP}
    if path == HEALTH_PATH:
        return {READ, KEEP}
    return {READ} if method in _ASKING else {WRITE}
