"""A request that a client is about to send, as each client's wrap shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import MutableMapping


class Outgoing(Protocol):
    """A request that a client is about to send."""

    @property
    def method(self) -> str:
        """The method, in upper case."""

    @property
    def url(self) -> str:
        """Where it goes."""

    @property
    def headers(self) -> MutableMapping[str, str]:
        """What it carries, by name in whatever case; a change of it is sent."""

    def body(self) -> bytes:
        """What it carries; empty where that is a stream that can be read only once."""

    def ask_instead(self, body: bytes) -> bool:
        """Have `body` sent instead of what the application asks, whatever `replace_body` does to it then.

        The application's own request stays as it is. Returns whether that is done.
        """

    def replace_body(self, body: bytes) -> bool:
        """Have `body` sent instead, and its length with it; the application's own request stays as it is.

        Returns whether that is done. It must not be where what the answer's `Passing.feed` and `rest` return, and the
        body that `answered_whole` returns, cannot take the place of what came off the wire.
        """
