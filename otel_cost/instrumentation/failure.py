"""An attempt that brought no answer: how it failed, and by which code of the provider's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from otel_cost.usage.error_code import code_in, is_code

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from decimal import Decimal

NOT_SENT: Final = frozenset(
    {
        *("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol", "LocalProtocolError"),
        *("ClientConnectorError", "ClientConnectorDNSError", "ClientConnectorCertificateError"),
        *("ClientProxyConnectionError", "ConnectionTimeoutError", "InvalidUrlClientError"),
        *("NewConnectionError", "NameResolutionError", "ConnectTimeoutError", "EndpointConnectionError"),
        *("Refused", "BudgetExceededError"),
    }
)
"""Errors after which the provider has seen nothing of the request: of httpx and httpx2; of aiohttp; of urllib3 and what
is above it; and of a call that a hook or a transport wanted to make first."""
_BROKEN_OFF: Final = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)
_AWS_ERROR: Final = "x-amzn-errortype"


class Failure(msgspec.Struct):
    """How one attempt failed.

    Attributes:
        name: the HTTP status of the answer, or the type of the error: value of ``error.type``.
        answered: whether the provider answered, with an error.
        given_up: whether nobody waits for the answer any more, rather than that it failed.
        not_sent: whether the provider has seen nothing of the request.
        code: the provider's own code for it, such as ``insufficient_quota``; None while none was seen.
        may_have_cost: where it broke off, what it may have cost in US dollars; None where nobody can tell.
    """

    name: str
    answered: bool = False
    given_up: bool = False
    not_sent: bool = False
    code: str | None = None
    may_have_cost: Decimal | None = None

    @classmethod
    def of_status(cls, status: int, headers: Mapping[str, str], body: bytes = b"") -> Failure:
        """The provider answered with an error."""
        return cls(str(status), answered=True, code=_aws_code(headers) or code_in(body))

    @classmethod
    def of_error(cls, error: BaseException | None) -> Failure:
        """No answer came."""
        names = {type(found).__name__ for found in _with_reasons(error)}
        not_sent = not NOT_SENT.isdisjoint(names)
        return cls(type(error).__name__, given_up=isinstance(error, _BROKEN_OFF), not_sent=not_sent)

    @property
    def broke_off(self) -> bool:
        """Whether the provider may have seen the request, and may charge for it, though no answer came."""
        return not self.answered and not self.not_sent

    def __str__(self) -> str:
        return f"{self.name} {self.code}" if self.code else self.name


def _with_reasons(error: BaseException | None) -> Iterator[BaseException]:
    """`error`, and those that it names as its reason, as requests and urllib3 do; not what was being handled then."""
    while error is not None:
        yield error
        reason = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        error = reason if isinstance(reason, BaseException) and reason is not error else None


def _aws_code(headers: Mapping[str, str]) -> str | None:
    """AWS states its code in a header, behind it sometimes a colon and a URL."""
    code = headers.get(_AWS_ERROR, "").partition(":")[0]
    return code if is_code(code) else None
