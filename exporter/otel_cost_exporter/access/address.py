"""Where a service listens."""

from __future__ import annotations

import errno
import ipaddress
import socket
from dataclasses import dataclass, replace
from typing import Final

from otel_cost_exporter.errors import AddressError

_HIGHEST_PORT = 65535
_NOT_HERE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""Errors for an address that this machine does not have, as ``localhost`` has no IPv6 one in some containers."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port; port 0 asks the system for a free one.

    >>> str(Address.parse("127.0.0.1:4317")), str(Address.parse("[::1]:0"))
    ('127.0.0.1:4317', '[::1]:0')
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``HOST:PORT``, where an IPv6 host stands in brackets.

        Raises:
            ValueError: it is something else.
        """
        host, _, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if not host or not port.isdecimal() or int(port) > _HIGHEST_PORT or (":" in host and not bracketed):
            raise ValueError(f"{text!r} is no address: write it like 127.0.0.1:4317 or [::1]:4317")
        return cls(host[1:-1] if bracketed else host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def with_port(self, port: int) -> Address:
        """The same host with another port."""
        return replace(self, port=port)

    def listen(self, purpose: str, option: str) -> socket.socket:
        """A socket that listens on it.

        Args:
            purpose: what for, as an error says it.
            option: the command-line option that chooses another address, for the error.

        Raises:
            AddressError: it cannot be listened on.
        """
        try:
            return _listen(self.host, self.port)
        except UnicodeError:
            reason = "it is no host name"
        except OSError as error:
            reason = error.strerror or str(error)
        raise AddressError(f"{self} cannot be listened on for {purpose}: {reason}. Choose with {option}")


def _listen(host: str, port: int) -> socket.socket:
    """A socket on the first address of `host` that this machine has."""
    *others, last = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for family, *_, where in others:
        try:
            return socket.create_server(where[:2], family=family)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
    return socket.create_server(last[4][:2], family=last[0])


GRPC: Final = Address("127.0.0.1", 4317)
HTTP: Final = Address("127.0.0.1", 4318)
"""Where a service listens unless somebody says otherwise: where OpenTelemetry's exporters send."""
