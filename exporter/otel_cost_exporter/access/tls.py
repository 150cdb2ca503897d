"""The certificate that a service shows on its ports."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from otel_cost_exporter.errors import CertificateError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Tls:
    """A certificate and its key, each a file in PEM.

    Attributes:
        certificate: the certificate, followed by those that vouch for it.
        key: its key, without a password.

    Raises:
        CertificateError: they cannot be used.
    """

    certificate: Path
    key: Path

    def __post_init__(self) -> None:
        self.context()

    def context(self) -> ssl.SSLContext:
        """What Python's servers speak TLS with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.certificate, self.key, password="")  # without one OpenSSL asks on the terminal
        except ssl.SSLError as error:
            reason = error.reason or str(error)
            raise CertificateError(
                f"certificate {self.certificate} with key {self.key} cannot be used for TLS: {reason}. "
                "Both must be in PEM, belong together, and the key must have no password"
            ) from None
        except OSError as error:
            raise CertificateError(
                f"certificate {self.certificate} with key {self.key} cannot be read: {error.strerror or error}"
            ) from None
        return context

    def credentials(self) -> grpc.ServerCredentials:
        """What gRPC's server speaks TLS with."""
        return grpc.ssl_server_credentials([(self.key.read_bytes(), self.certificate.read_bytes())])
