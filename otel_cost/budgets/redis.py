"""Budgets in Redis: processes on many machines share them, exactly, for one round trip to reserve and one to settle.

The decisions are those of `tree.Tree`, in ``redis.lua``, which Redis runs as one step; a test holds the two together.
"""

from __future__ import annotations

import json
from decimal import Decimal
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from opentelemetry.instrumentation.utils import suppress_instrumentation
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from otel_cost import money, semconv
from otel_cost.budgets.limit import Limit
from otel_cost.budgets.outage import StoreGoneError
from otel_cost.budgets.rule import Key
from otel_cost.budgets.tree import Decision, Standing, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from otel_cost.budgets.shared import Booking
    from otel_cost.budgets.tree import Amount, Claim, Hold

_TIMEOUT_SECONDS: Final = 2.0
_PART: Final = 1_000_000
_WHOLE_PER_USD: Final = 1_000_000
_SCRIPT: Final = files(__package__).joinpath("redis.lua").read_text()
_ACCOUNTS: Final = "{otel-cost}:accounts"
_ACCOUNT: Final = "{otel-cost}:account:"
_EXCEEDED: Final = {"downgrade": Verdict.DOWNGRADED, "pause": Verdict.PAUSED}


class RedisServer:
    """Accounts in the Redis at `url`, such as ``redis://localhost:6379/0``. See `shared.Server`."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.where = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
        self._url = url
        self.forked()

    def forked(self) -> None:
        """In a forked child: connections are the parent's."""
        self._redis: Any = Redis.from_url(
            self._url,
            decode_responses=True,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 1),  # a connection that Redis has closed meanwhile; each step counts once
        )
        self._script: Any = self._redis.register_script(_SCRIPT)

    def close(self) -> None:
        """Close the connections that are kept."""
        self._redis.close()

    def reserve(self, hold: Hold, lease_seconds: float) -> Decision | None:
        """Hold all claims of `hold`, or none: then why. One that is held already is held once."""
        held = [{"key": _name(claim.key), "amount": _pair(claim, claim.amount or 0)} for claim in hold.claims]
        verdict, *why = self._step(
            "reserve",
            {
                "id": hold.id,
                "lease": int(lease_seconds * 1000),
                "claims": [_asked(claim) for claim in hold.claims],
                "text": json.dumps(held),
            },
        )
        if verdict == Verdict.FITS:
            return None
        at, standing = why
        claim = hold.claims[at - 1]
        return Decision(Verdict(verdict), claim, _standing(claim.key, standing, claim.budget.limit))

    def book(self, bookings: Sequence[Booking]) -> Sequence[Sequence[Standing]]:
        """Book each of `bookings` that is not booked yet; for each, how its accounts stand then."""
        answers = self._step("book", {"bookings": [_booked(booking) for booking in bookings]})
        return [
            [
                _standing(claim.key, standing, claim.budget.limit, claim.budget.policy.warn_at)
                for claim, standing in zip(booking.claims, standings, strict=True)
            ]
            for booking, standings in zip(bookings, answers, strict=True)
        ]

    def put_limit(self, key: Key, limit: Limit) -> None:
        """What a person decides takes the place of whatever limit calls bring, and lifts a stop."""
        self._step("put_limit", {"key": _name(key), "limit": _pair_of(key, limit.amount), "text": limit.text})

    def stop(self, key: Key, reason: str) -> None:
        """Let nothing through any more."""
        self._step("stop", {"key": _name(key), "reason": reason})

    def resume(self, key: Key) -> None:
        """Lift a stop."""
        self._step("resume", {"key": _name(key)})

    def standings(self, keys: Collection[Key] | None = None) -> Sequence[Standing]:
        """How each account stands that a call has asked for, the one last used first; or those of `keys` only."""
        try:
            with suppress_instrumentation():
                names = self._redis.zrevrange(_ACCOUNTS, 0, -1) if keys is None else [_name(key) for key in keys]
                pipeline = self._redis.pipeline(transaction=False)
                for name in names:
                    pipeline.hgetall(f"{_ACCOUNT}{name}")
                accounts = zip(names, pipeline.execute(), strict=True)
        except RedisError as error:
            raise _gone(error) from error
        return [_kept(Key(*json.loads(name)), found) for name, found in accounts if "limit_text" in found]

    def _step(self, name: str, asked: dict[str, Any]) -> Any:
        try:
            with suppress_instrumentation():  # the application's traces are not about what we keep
                return self._script(args=[name, json.dumps(asked)])
        except RedisError as error:
            raise _gone(error) from error


def _gone(error: RedisError) -> StoreGoneError:
    """What Redis or its client says, as part of a sentence."""
    return StoreGoneError(str(error).removesuffix("."))


# --- as the script reads it ----------------------------------------------------------------------------------------
def _name(key: Key) -> str:
    return json.dumps(key, separators=(",", ":"), ensure_ascii=False)


def _pair(claim: Claim, amount: Amount) -> tuple[int, int]:
    return _pair_of(claim.key, amount)


@money.exactly
def _pair_of(key: Key, amount: Amount) -> tuple[int, int]:
    """An amount as two whole numbers, see the script."""
    if key.unit == semconv.TOKENS:
        return int(amount), 0
    return divmod(int(money.usd(amount).scaleb(money.DECIMALS)), _PART)


def _asked(claim: Claim) -> dict[str, Any]:
    limit, policy = claim.budget.limit, claim.budget.policy
    factor = {"factor": float(policy.safety_factor)} if policy.sizing == "safety_factor" else {}
    return factor | {
        "key": _name(claim.key),
        "amount": _pair(claim, claim.amount or 0),
        "known": claim.amount is not None,
        "own": _pair(claim, claim.own),
        "passes": claim.passes,
        "exceeded": int(_EXCEEDED.get(policy.on_exceed, Verdict.EXCEEDED)),
        "limit": _pair(claim, limit.amount),
        "limit_text": limit.text,
        "flawed": limit.flaw is not None,
    }


def _booked(booking: Booking) -> dict[str, Any]:
    return {
        "kind": booking.kind,
        "id": booking.id,
        "calls": booking.spend.calls if booking.spend is not None else 0,
        "claims": [
            {
                "key": _name(claim.key),
                "amount": _pair(claim, claim.amount or 0),
                "spent": _pair(claim, booking.spend.of(claim) if booking.spend is not None else 0),
                "limit": _pair(claim, claim.budget.limit.amount),
                "limit_text": claim.budget.limit.text,
                "warn_at": [float(share) for share in claim.budget.policy.warn_at],
            }
            for claim in booking.claims
        ],
    }


# --- as the script answers -----------------------------------------------------------------------------------------
@money.exactly
def _amount(key: Key, whole: str, part: str) -> Amount:
    if key.unit == semconv.TOKENS:
        return int(whole)
    return Decimal(int(whole) * _PART + int(part)).scaleb(-money.DECIMALS)


def _standing(key: Key, found: list[Any], limit: Limit, shares: tuple[Decimal, ...] = ()) -> Standing:
    spent, spent_part, held, held_part, under_way, calls, limit_text, stopped, crossed = found
    return Standing(
        key,
        Limit.parse(limit_text) if limit_text else limit,
        _amount(key, spent, spent_part),
        _amount(key, held, held_part),
        int(under_way),
        int(calls),
        stopped or None,
        tuple(shares[at - 1] for at in crossed),
    )


def _kept(key: Key, found: dict[str, str]) -> Standing:
    """How an account stands by the fields of its hash."""
    return Standing(
        key,
        Limit.parse(found["limit_text"]),
        _amount(key, found["spent"], found["spent_part"]),
        _amount(key, found["held"], found["held_part"]),
        int(found["under_way"]),
        int(found["calls"]),
        found.get("stopped"),
    )
