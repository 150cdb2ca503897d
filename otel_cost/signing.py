"""Signed budgets: a limit in baggage that only who has the key can have written, for one id, until a moment.

``0.50@1795420800.x3Jt...`` is the limit, when it expires in seconds since 1970, and an HMAC-SHA256 of both, of the
dimension and of the id, in base64 for URLs. Where `OTEL_COST_BUDGET_KEY` has keys, one of them must have signed.
"""

from __future__ import annotations

import json
import logging
import re
import time
from base64 import urlsafe_b64encode
from collections import Counter
from functools import lru_cache
from typing import Final, NamedTuple

from opentelemetry import metrics

from otel_cost import semconv, settings

_logger = logging.getLogger(__name__)
OWN_SECONDS: Final = 24 * 3600
"""How long what our own code signs holds: it is signed anew whenever a block is entered."""
_PURPOSE: Final = "otel-cost budget 1"
_SIGNED: Final = re.compile(r"([^@]*)@([0-9]{1,12})\.([A-Za-z0-9_-]{43})")
_MOST_SAID: Final = 1000
_said: set[tuple[str, str, str]] = set()
_rejected: Counter[str] = Counter()


class Signed(NamedTuple):
    """A limit that was signed, as it is written, and when it expires."""

    limit: str
    expires: float


class RejectedError(ValueError):
    """A budget whose signature is not what it must be."""


@lru_cache(maxsize=1)
def keys() -> tuple[str, ...] | None:
    """The keys that this process takes; the first signs. None where no budget must be signed."""
    found: tuple[str, ...] | None = settings.get(settings.BUDGET_KEY)
    return found


def sign(dimension: str, id: str, limit: str, seconds: float) -> str:  # noqa: A002 - what it is
    """`limit`, signed for one id of `dimension` for so many seconds from now; as it is where there is no key."""
    taken = keys()
    if not taken:
        return limit
    expires = str(int(time.time() + seconds))
    return f"{limit}@{expires}.{_signature(taken[0], dimension, id, limit, expires)}"


def sign_anew(dimension: str, old: str | None, new: str, value: str) -> str:
    """The budget `value` of the id `old`, signed for the id `new`; as it is where it is not signed as it must be."""
    try:
        limit = read(dimension, old, value).limit
    except RejectedError:
        return value
    return sign(dimension, new, limit, OWN_SECONDS)


def limit_of(value: str) -> str:
    """The limit of the budget `value`, signed or not, whoever signed it."""
    found = _SIGNED.fullmatch(value)
    return found[1] if found is not None else value


def read(dimension: str, id: str | None, value: str) -> Signed:  # noqa: A002 - what it is
    """What the budget `value` of one id of `dimension` says, where one of our keys has signed it.

    Raises:
        RejectedError: none has, not for this id, or for a time that is over.
    """
    signed = _read(keys() or (), dimension, id or "", value)
    if isinstance(signed, Signed) and signed.expires > time.time():
        return signed
    reason = "expired" if isinstance(signed, Signed) else signed
    _count(dimension, id or "", value, reason)
    raise RejectedError(_REASONS[reason])


_REASONS: Final = {
    "unsigned": f"it is not signed, and {settings.BUDGET_KEY.name} asks for that: see otel-cost budget sign",
    "forged": "its signature is not ours: it was made with another key, for another id, or something was changed",
    "expired": "the time that it was signed for is over: have it signed anew",
}


@lru_cache(maxsize=4096)
def _read(taken: tuple[str, ...], dimension: str, id: str, value: str) -> Signed | str:  # noqa: A002 - what it is
    """What is signed; or why it is not."""
    from hmac import compare_digest  # noqa: PLC0415 - few processes need it

    found = _SIGNED.fullmatch(value)
    if found is None:
        return "unsigned"
    limit, expires, signature = found.groups()
    fits = [compare_digest(_signature(key, dimension, id, limit, expires), signature) for key in taken]
    return Signed(limit, float(expires)) if any(fits) else "forged"


def _signature(key: str, dimension: str, id: str, limit: str, expires: str) -> str:  # noqa: A002 - what it is
    import hmac  # noqa: PLC0415 - few processes need it

    message = json.dumps([_PURPOSE, dimension, id, limit, expires])
    return urlsafe_b64encode(hmac.digest(key.encode(), message.encode(), "sha256")).decode().rstrip("=")


def rejected() -> dict[str, int]:
    """How many budgets this process did not take, by reason: ``unsigned``, ``forged``, ``expired``."""
    return dict(_rejected)


def _count(dimension: str, id: str, value: str, reason: str) -> None:  # noqa: A002 - what it is
    """Each budget once, as long as there are not too many to remember."""
    if (dimension, id, value) in _said:
        return
    _rejected[reason] += 1
    _counter().add(1, {"reason": reason})
    if len(_said) < _MOST_SAID:
        _said.add((dimension, id, value))
        _logger.warning(
            "the budget of %s %r in baggage lets nothing through: %s", dimension, id or "(none)", _REASONS[reason]
        )


@lru_cache(maxsize=1)
def _counter() -> metrics.Counter:
    return metrics.get_meter("otel_cost").create_counter(
        semconv.METRIC_REJECTED, "{budget}", "Budgets in baggage that are not signed as they must be."
    )
