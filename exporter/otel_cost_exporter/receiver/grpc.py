"""OTLP/gRPC in: ``TraceService/Export``."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import grpc

from otel_cost_exporter.address import Address
from otel_cost_exporter.errors import AddressError, LedgerBusyError, LedgerDownError, MalformedError
from otel_cost_exporter.receiver.intake import LARGEST_REQUEST, LONGEST_WAIT

if TYPE_CHECKING:
    from otel_cost_exporter.receiver.intake import Intake

_SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"
_THREADS: Final = 32  # each waits for a commit most of its time
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", LARGEST_REQUEST),  # beyond it gRPC itself answers RESOURCE_EXHAUSTED
    ("grpc.so_reuseport", 0),  # a port that another service has is an error, not a share of its traffic
)


class GrpcReceiver:
    """Listens for OTLP/gRPC on `address` and hands requests to `intake`.

    Raises:
        AddressError: the address cannot be listened on.
    """

    def __init__(self, intake: Intake, address: Address) -> None:
        self._server: Final = grpc.server(
            ThreadPoolExecutor(_THREADS, thread_name_prefix="otel-cost-grpc"),
            options=_OPTIONS,
            compression=grpc.Compression.NoCompression,
        )
        # Without a deserializer the handler gets the bytes: HTTP and gRPC are decoded, and fail, in one way.
        export = grpc.unary_unary_rpc_method_handler(lambda body, context: _export(intake, body, context))
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Export": export}),))
        # gRPC gives no reason, and logs one of its own: a plain socket says in our words what is wrong.
        with address.listen("OTLP/gRPC", "--grpc") as tried:
            found = Address(*tried.getsockname()[:2])
        try:
            port = self._server.add_insecure_port(str(found.with_port(address.port)))
        except RuntimeError:
            raise AddressError(f"{address} cannot be listened on for OTLP/gRPC. Choose with --grpc") from None
        self.address: Final = address.with_port(port)

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def stop(self, grace: float) -> None:
        """Take no more requests, and give those under way `grace` seconds to be answered."""
        self._server.stop(grace).wait()


def _export(intake: Intake, body: bytes, context: grpc.ServicerContext) -> bytes:
    try:
        committed, answer = intake.take(body)
        committed.result(LONGEST_WAIT)
    except MalformedError as error:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
    except (LedgerBusyError, LedgerDownError) as error:
        context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
    except TimeoutError:
        context.abort(grpc.StatusCode.UNAVAILABLE, "the calls are not written yet: send them again")
    return answer
