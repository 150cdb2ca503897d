"""The ledger service: the books, OTLP in over gRPC and HTTP, the read API, and the spool that drains into them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from otel_cost_exporter import spool
from otel_cost_exporter.address import Address
from otel_cost_exporter.api.app import app
from otel_cost_exporter.api.server import HttpServer
from otel_cost_exporter.ledger import Ledger
from otel_cost_exporter.reader import Reader
from otel_cost_exporter.receiver.grpc import GrpcReceiver
from otel_cost_exporter.receiver.intake import Intake

if TYPE_CHECKING:
    from pathlib import Path

GRPC: Final = Address("127.0.0.1", 4317)
HTTP: Final = Address("127.0.0.1", 4318)
_GRACE_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Options:
    """What a service works with.

    Attributes:
        ledger: the DuckDB file.
        spool: the folder from which segments are drained; None drains none.
        grpc: where it listens for OTLP/gRPC; port 0 takes a free one.
        http: where it listens for OTLP/HTTP and questions; port 0 takes a free one.
    """

    ledger: Path
    spool: Path | None = None
    grpc: Address = GRPC
    http: Address = HTTP


class Service:
    """A ledger service that answers from the moment it is made until it is closed; also a context manager.

    Attributes:
        grpc: where it really listens for OTLP/gRPC.
        http: where it really listens for OTLP/HTTP and questions.

    Raises:
        LedgerFileError: the ledger cannot be opened; `LedgerLockedError` where another process has it.
        AddressError: a port cannot be listened on.
        SpoolError: the spool cannot be made, read or written.
    """

    def __init__(self, options: Options) -> None:
        if options.spool is not None:
            spool.prepare(options.spool)
        with ExitStack() as stack:  # what was started is stopped in reverse: first the senders, last the books
            self.ledger: Final = stack.enter_context(Ledger(options.ledger))
            self.reader: Final = Reader(self.ledger.connection)
            intake = Intake(self.ledger)
            receiver = GrpcReceiver(intake, options.grpc)
            stack.callback(receiver.stop, _GRACE_SECONDS)
            server = HttpServer(app(self.ledger, self.reader, intake), options.http, _GRACE_SECONDS)
            stack.callback(server.stop)
            if options.spool is not None:
                drainer = spool.Drainer(options.spool, self.ledger)
                stack.callback(drainer.stop)
                drainer.start()
            receiver.start()
            server.start()
            self.grpc: Final = receiver.address
            self.http: Final = server.address
            self._started: Final = stack.pop_all()

    @property
    def url(self) -> str:
        """Where its HTTP side is."""
        return f"http://{self.http}"

    def close(self) -> None:
        """Answer what is under way, commit what waits, close the file."""
        self._started.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
