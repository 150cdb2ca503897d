"""OTLP/gRPC in: ``TraceService/Export``, ``LogsService/Export`` and ``MetricsService/Export``."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

import grpc

from otel_cost_exporter.access.address import Address
from otel_cost_exporter.access.tokens import WRITE
from otel_cost_exporter.errors import AddressError
from otel_cost_exporter.receiver.encodings import LARGEST_REQUEST, unpack_message
from otel_cost_exporter.receiver.intake import LONGEST_READ, LONGEST_WAIT, PATIENCE
from otel_cost_exporter.receiver.overdue import Overdue
from otel_cost_exporter.receiver.refusal import refusal_of
from otel_cost_exporter.receiver.signals import SIGNALS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from otel_cost_exporter.access.tls import Tls
    from otel_cost_exporter.access.tokens import Tokens
    from otel_cost_exporter.decode.parcel import Receipt
    from otel_cost_exporter.receiver.intake import Intake
    from otel_cost_exporter.receiver.refusal import Refusal
    from otel_cost_exporter.receiver.signals import Signal

_THREADS: Final = 32  # each waits for a commit most of its time
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", LARGEST_REQUEST),  # beyond it gRPC itself answers RESOURCE_EXHAUSTED
    ("grpc.per_message_decompression", 0),  # it would unpack whatever it is sent, of any size: we do it, up to a limit
    ("grpc.max_concurrent_streams", 100),  # of one connection: its sender keeps what is more
    ("grpc.http2.bdp_probe", 0),  # else, from a fast sender, it takes in whole requests before we read them
    ("grpc.so_reuseport", 0),  # a port that another service has is an error, not a share of its traffic
    ("grpc.keepalive_time_ms", 60_000),  # a sender that is gone without a word does not hold its place for ever
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # senders that look after their connection are welcome
)
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class GrpcReceiver:
    """Listens for OTLP/gRPC on `address` and hands requests to `intake`.

    Args:
        tokens: who may write.
        tls: the certificate to show; None speaks without TLS.

    Raises:
        AddressError: the address cannot be listened on.
        CertificateError: the certificate or its key cannot be used.
    """

    def __init__(self, intake: Intake, address: Address, tokens: Tokens, tls: Tls | None) -> None:
        self._server: Final = grpc.server(
            ThreadPoolExecutor(_THREADS, thread_name_prefix="otel-cost-grpc"),
            options=_OPTIONS,
            compression=grpc.Compression.NoCompression,
        )
        self._overdue: Final = Overdue(LONGEST_READ)
        for signal in SIGNALS:
            # As a stream of one request, it is looked at before it is read: who may send, and whether there is room.
            # Without a deserializer the bytes come: HTTP and gRPC are decoded, and fail, in one way.
            export = grpc.stream_unary_rpc_method_handler(partial(_export, intake, tokens, self._overdue, signal))
            service = grpc.method_handlers_generic_handler(signal.service, {"Export": export})
            self._server.add_generic_rpc_handlers((service,))
        # gRPC gives no reason, and logs one of its own: a plain socket says in our words what is wrong.
        with address.listen("OTLP/gRPC", "--grpc") as tried:
            found = str(Address(*tried.getsockname()[:2]).with_port(address.port))
        try:
            port = (
                self._server.add_insecure_port(found)
                if tls is None
                else self._server.add_secure_port(found, tls.credentials())
            )
        except RuntimeError:
            raise AddressError(f"{address} cannot be listened on for OTLP/gRPC. Choose with --grpc") from None
        self.address: Final = address.with_port(port)

    def start(self) -> None:
        """Begin to answer."""
        self._overdue.start()
        self._server.start()

    def stop(self, grace: float) -> None:
        """Take no more requests, and give those under way `grace` seconds to be answered."""
        self._server.stop(grace).wait()
        self._overdue.stop()


def _export(  # noqa: PLR0917 - gRPC gives the last two
    intake: Intake,
    tokens: Tokens,
    overdue: Overdue,
    signal: Signal,
    requests: Iterator[bytes],
    context: grpc.ServicerContext,
) -> bytes:
    try:
        tokens.check({WRITE}, dict(context.invocation_metadata()).get("authorization"))
        receipt = _take(intake, signal, _read(requests, overdue, context)).result(LONGEST_WAIT)
        return intake.answer(signal, receipt).SerializeToString()
    except grpc.RpcError:  # the sender is gone, or has sent what gRPC does not take: it has its answer
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, its sender has the calls still, and may send them again
        return _refuse(context, refusal_of(error))


def _read(requests: Iterator[bytes], overdue: Overdue, context: grpc.ServicerContext) -> Iterator[bytes]:
    """The request, once it is asked for. One that does not come in time is cancelled, so that it is sent again."""
    with overdue.unless_over(context.cancel):
        request = next(requests, b"")
    yield request


def _take(intake: Intake, signal: Signal, requests: Iterator[bytes]) -> Future[Receipt]:
    """Read the request and queue it. Its size is known only then, so it has the place of a large one till then."""
    with intake.room.ask(LARGEST_REQUEST) as place:
        place.wait(PATIENCE)
        parcel = signal.walk(unpack_message(next(requests, b"")))  # which nobody holds any more while this waits
        place.shrink(parcel.size)
        return intake.take(parcel)


def _refuse(context: grpc.ServicerContext, refusal: Refusal) -> bytes:
    context.set_trailing_metadata((("grpc-status-details-bin", refusal.status().SerializeToString()),))
    context.set_code(_CODES[refusal.code])
    context.set_details(refusal.message)
    return b""  # which nobody reads
