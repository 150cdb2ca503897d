"""The HTTP server, in a thread of its own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import uvicorn

from otel_cost_exporter.errors import AddressError

if TYPE_CHECKING:
    import socket

    from fastapi import FastAPI

    from otel_cost_exporter.address import Address

_START_SECONDS: Final = 30


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

    Raises:
        AddressError: the address cannot be listened on.
    """

    def __init__(self, app: FastAPI, address: Address, grace: int) -> None:
        self._socket: Final = address.listen("HTTP", "--http")
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
