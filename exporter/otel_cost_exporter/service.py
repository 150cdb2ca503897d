"""The ledger service: the books, OTLP in over gRPC and HTTP, the read API, and the spool that drains into them."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from otel_cost_exporter import spool
from otel_cost_exporter.access.address import GRPC, HTTP
from otel_cost_exporter.access.tokens import OPEN
from otel_cost_exporter.answers.reader import Reader
from otel_cost_exporter.api.app import app
from otel_cost_exporter.api.guard import Guard
from otel_cost_exporter.api.server import HttpServer
from otel_cost_exporter.budgets.accounts import Accounts
from otel_cost_exporter.budgets.written import Written
from otel_cost_exporter.keeping.retention import FOREVER, Pruner
from otel_cost_exporter.receiver.grpc import GrpcReceiver
from otel_cost_exporter.receiver.intake import Intake
from otel_cost_exporter.writing.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

    from otel_cost_exporter.access.address import Address
    from otel_cost_exporter.access.tls import Tls
    from otel_cost_exporter.access.tokens import Tokens
    from otel_cost_exporter.keeping.retention import Retention

_GRACE_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Options:
    """What a service works with.

    Attributes:
        ledger: the DuckDB file.
        spool: the folder from which segments are drained; None drains none.
        grpc: where it listens for OTLP/gRPC; port 0 takes a free one.
        http: where it listens for OTLP/HTTP and questions; port 0 takes a free one.
        tokens: who may do what.
        tls: the certificate that both ports show; None speaks without TLS.
        retention: how long it keeps calls and their sums.
    """

    ledger: Path
    spool: Path | None = None
    grpc: Address = GRPC
    http: Address = HTTP
    tokens: Tokens = OPEN
    tls: Tls | None = None
    retention: Retention = FOREVER


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
            pruner = Pruner(self.ledger, options.retention)
            stack.callback(pruner.stop)
            self.reader: Final = Reader(self.ledger.database)
            self.accounts: Final = stack.enter_context(closing(Accounts(Written(self.ledger.database, self.reader))))
            self.intake: Final = Intake(self.ledger)
            receiver = GrpcReceiver(self.intake, options.grpc, options.tokens, options.tls)
            stack.callback(receiver.stop, _GRACE_SECONDS)
            guarded = Guard(app(self.ledger, self.reader, self.accounts, self.intake, options.spool), options.tokens)
            server = HttpServer(guarded, options.http, _GRACE_SECONDS, options.tls)
            stack.callback(server.stop)
            if options.spool is not None:
                drainer = spool.Drainer(options.spool, self.ledger)
                stack.callback(drainer.stop)
                drainer.start()
            pruner.start()
            receiver.start()
            server.start()
            self.grpc: Final = receiver.address
            self.http: Final = server.address
            self._scheme: Final = "http" if options.tls is None else "https"
            self._started: Final = stack.pop_all()

    @property
    def url(self) -> str:
        """Where its HTTP side is."""
        return f"{self._scheme}://{self.http}"

    def close(self) -> None:
        """Answer what is under way, commit what waits, close the file."""
        self._started.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
