"""What requests to the ledger service carry, and what it must show: tokens and certificates."""

from __future__ import annotations

import ssl
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from otel_cost import settings

if TYPE_CHECKING:
    from pathlib import Path

    from otel_cost.settings import Variable

_NOBODY_VOUCHES: Final = frozenset({18, 19, 20, 21})
"""OpenSSL's numbers for a certificate that is its own issuer, or whose issuer the machine does not know."""


def tokens(variable: Variable) -> tuple[str, ...] | None:
    """The tokens of the right that `variable` is for, or else those for all rights; None where there are none."""
    own: tuple[str, ...] | None = settings.get(variable)
    found: tuple[str, ...] | None = settings.get(settings.TOKEN) if own is None else own
    return found


def headers(variable: Variable) -> dict[str, str]:
    """The headers by which a request shows that it has the right that `variable` is for."""
    found = tokens(variable)
    return {"Authorization": f"Bearer {found[0]}"} if found else {}


def tls() -> ssl.SSLContext | None:
    """What checks the service's certificate, where it is not one that the machine trusts anyway.

    Raises:
        OSError: the file of ``OTEL_COST_CERTIFICATE`` cannot be read, or holds no certificate.
    """
    path = settings.get(settings.CERTIFICATE)
    try:
        return None if path is None else _trusting(path)
    except OSError as error:
        reason = f"{settings.CERTIFICATE.name}={path} cannot be read as a certificate: {error.strerror or error}"
        raise OSError(error.errno, reason) from None


def hint(error: BaseException | None) -> str:
    """What to do about a service without TLS, or whose certificate nobody vouches for, to be said behind `error`."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _NOBODY_VOUCHES:
            return f". {settings.CERTIFICATE.name} names the file of its certificate, or of who vouches for it"
        if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
            return ". It speaks no TLS: write http://"
        error = error.__cause__ or error.__context__
    return ""


@lru_cache(maxsize=1)  # reading takes longer than a request
def _trusting(path: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=path)
