"""Which hosts may learn who pays: the user's own services, by the look of their names, and those that the user lists.

Nothing is looked up. What a name leads to is the network's affair, so only names that cannot be a stranger's count.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

from otel_cost import settings

_AUTHORITY: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#\\]*)")
_OWN: Final = re.compile(
    r"[^.]+"  # a bare name, as in a Compose file or the same Kubernetes namespace
    r"|.+\.(?:local|localhost|localdomain|internal|intranet|private|corp|home|lan|svc|consul)"
    r"|.+\.home\.arpa"
)
"""Names that the public DNS does not have, or that its rules keep for networks of one's own."""
_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
"""What is an IPv4 address in one of its odd forms, to those who read them: 2130706433 is 127.0.0.1."""


def is_own(url: str) -> bool:
    """Whether `url` is at a service of the user's own: on this machine, in a private network, or listed."""
    authority = _authority(url)
    return _is_own(authority) or _is_listed(authority, settings.get(settings.BAGGAGE_HOSTS))


def is_listed(url: str) -> bool:
    """Whether the user has listed the host of `url` as one that may learn who pays, be it one that serves models."""
    return _is_listed(_authority(url), settings.get(settings.BAGGAGE_HOSTS))


def _authority(url: str) -> str:
    found = _AUTHORITY.match(url)
    return found[1] if found else ""


@lru_cache(maxsize=1024)
def _is_own(authority: str) -> bool:
    host = _host(authority)
    try:
        address = ip_address(host)
    except ValueError:
        return _NUMBER.fullmatch(host) is None and _OWN.fullmatch(host) is not None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return not (address.is_global or address.is_multicast)


@lru_cache(maxsize=1024)
def _is_listed(authority: str, patterns: tuple[str, ...]) -> bool:
    host = _host(authority)
    return any(host == pattern or (pattern[0] == "*" and host.endswith(pattern[1:])) for pattern in patterns)


def _host(authority: str) -> str:
    """The host of `authority`, in lower case, without user, port, brackets and the root's dot."""
    host = authority.rpartition("@")[2].lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].removesuffix(".")
