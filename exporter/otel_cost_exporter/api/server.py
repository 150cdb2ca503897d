"""The HTTP server, in a thread of its own."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Final

import uvicorn

from otel_cost_exporter.errors import AddressError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from otel_cost_exporter.access.address import Address
    from otel_cost_exporter.access.tls import Tls

_START_SECONDS: Final = 30
_KEEP_ALIVE_SECONDS: Final = 75
"""How long a connection stays open that nobody uses: longer than between two calls of most applications."""


class _Server(uvicorn.Server):
    """Says when it is ready, which uvicorn itself does not."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready: Final = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()


class HttpServer:
    """Serves `app` on `address`.

    Args:
        grace: seconds that requests under way have when it stops.
        tls: the certificate to show; None speaks without TLS.

    Raises:
        AddressError: the address cannot be listened on.
    """

    def __init__(self, app: ASGIApp, address: Address, grace: int, tls: Tls | None) -> None:
        self._socket: Final = address.listen("HTTP", "--http")
        # What it accepts inherits this. Otherwise an answer, which goes in two pieces, takes 40 ms longer.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address: Final = address.with_port(self._socket.getsockname()[1])
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=grace,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            ssl_certfile=None if tls is None else tls.certificate,
            ssl_keyfile=None if tls is None else str(tls.key),
        )
        self._server: Final = _Server(config)
        self._thread: Final = threading.Thread(
            target=self._server.run, args=([self._socket],), name="otel-cost-http", daemon=True
        )

    def start(self) -> None:
        """Begin to answer.

        Raises:
            AddressError: it does not come up.
        """
        self._thread.start()
        if not self._server.ready.wait(_START_SECONDS):
            raise AddressError(f"the HTTP server on {self.address} did not come up: its log says why")

    def stop(self) -> None:
        """Take no more requests, let those under way be answered for the seconds of grace, and close the port."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()
