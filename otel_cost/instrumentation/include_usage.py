"""Asking a chat stream for its usage, unseen by the application.

A stream in OpenAI's chat format states its usage in a chunk of its own, without choices, and only where the request's
``stream_options.include_usage`` asks for it. Where the application does not, we do, and cut that chunk out of what the
application reads: it expects choices in every chunk.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from otel_cost import settings
from otel_cost.usage.endpoints import TAKES_INCLUDE_USAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_cost.usage import Request

_FIELD: Final = b"stream_options"
_ADDED: Final = b',"stream_options":{"include_usage":true}}'
_SIGNED: Final = ("x-amz-content-sha256", "x-amz-date", "content-digest", "digest", "content-md5")
"""Headers that sign or sum up a body, which must then stay as it is."""
_REFUSALS: Final = frozenset({400, 422})
_MOST_REFUSING: Final = 1000
_refusing: set[str] = set()


def asking(request: Request, url: str, headers: Mapping[str, str]) -> bytes | None:
    """The body of `request` with the question for usage in it; None where it is not to be asked."""
    wanted = request.stream and request.include_usage is None and request.wire_format.usage_on_request
    if not wanted or request.provider not in TAKES_INCLUDE_USAGE or not settings.get(settings.INCLUDE_USAGE):
        return None
    if _endpoint(url) in _refusing or is_signed(headers):
        return None
    body = request.body.strip()
    if not (body.startswith(b"{") and body.endswith(b"}")):  # JSON in UTF-16, which nobody sends
        return None
    return _asking_more(body) if _FIELD in body else body[:-1] + _ADDED


def _asking_more(body: bytes) -> bytes | None:
    """The same where ``stream_options`` is in `body` already, or looks so."""
    fields = json.loads(body)
    options = fields.get("stream_options") or {}
    if not isinstance(options, dict):
        return None
    return json.dumps({**fields, "stream_options": {**options, "include_usage": True}}).encode()


def is_signed(headers: Mapping[str, str]) -> bool:
    """Whether `headers` sign or sum up the body, which must then stay as it is."""
    return any(name in headers for name in _SIGNED)


def may_refuse(status: int) -> bool:
    """Whether an answer with `status` may refuse what we asked."""
    return status in _REFUSALS


def refuses(url: str, error: bytes) -> bool:
    """Whether the body `error` of such an answer does. The endpoint is not asked again then."""
    if _FIELD not in error and b"include_usage" not in error:
        return False
    if len(_refusing) < _MOST_REFUSING:
        _refusing.add(_endpoint(url))
    return True


def _endpoint(url: str) -> str:
    return url.partition("?")[0]


_EVENT_END: Final = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")
_NO_CHOICES: Final = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_LONGEST_CHUNK: Final = 64 * 1024
"""An event that grows beyond is no chunk of usage: the application gets it as it comes."""


class UsageCut:
    """Cuts the chunk of usage out of server-sent events that come in pieces, and holds back no event that is whole."""

    def __init__(self) -> None:
        self._held = b""
        self._after_cr = False
        self._dropping = False

    def feed(self, piece: bytes) -> bytes:
        """What the application gets now that `piece` has come: the events that it completes."""
        if not self._held and not self._after_cr and piece.endswith(b"\n\n") and _NO_CHOICES.search(piece) is None:
            return piece  # whole events, and none of them the usage: what nearly every piece is
        looked = max(0, len(self._held) - 3)  # an event's end has four bytes at most
        self._held += piece
        passed: list[bytes] = []
        if self._after_cr and self._held:  # it ended in CR, of which this may be the LF
            self._after_cr = False
            if self._held.startswith(b"\n"):
                passed.append(b"" if self._dropping else b"\n")
                self._held = self._held[1:]
        start = 0
        while end := _EVENT_END.search(self._held, max(start, looked)):
            event = self._held[start : end.end()]
            self._dropping = _is_usage(event)
            if not self._dropping:
                passed.append(event)
            start = end.end()
        if start:
            self._after_cr = start == len(self._held) and self._held.endswith(b"\r")
            self._held = self._held[start:]
        if len(self._held) > _LONGEST_CHUNK:
            passed.append(self.rest())
        return b"".join(passed)

    def rest(self) -> bytes:
        """What is held back of an event that is not whole; nothing afterwards."""
        held, self._held = self._held, b""
        return held


def _is_usage(event: bytes) -> bool:
    """Whether `event` is the chunk that states the usage and nothing of the answer."""
    if _NO_CHOICES.search(event) is None:
        return False
    data = b"".join(line[5:] for line in event.splitlines() if line.startswith(b"data:"))
    try:
        chunk: Any = json.loads(data)
    except ValueError:
        return False
    return isinstance(chunk, dict) and chunk.get("choices") == [] and isinstance(chunk.get("usage"), dict)
