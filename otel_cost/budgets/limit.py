"""A budget: a limit for one id of a dimension."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

import msgspec

from otel_cost import money, semconv

_MOST_DIGITS = 15


class Limit(msgspec.Struct, frozen=True):
    """How much may be spent.

    Attributes:
        amount: US dollars, or tokens (input and output together) where `in_tokens`.
        in_tokens: which of the two.
        flaw: why it could not be read, so that nothing may be spent; None mostly.
    """

    amount: Decimal
    in_tokens: bool = False
    flaw: str | None = None

    @property
    def unit(self) -> str:
        """``USD`` or ``tokens``."""
        return semconv.TOKENS if self.in_tokens else money.CURRENCY

    @property
    def text(self) -> str:
        """As baggage carries it: ``0.05``, ``20000tok``."""
        return f"{self.amount}{semconv.TOKENS_SUFFIX}" if self.in_tokens else f"{self.amount.normalize():f}"

    @classmethod
    @lru_cache(maxsize=4096)
    def parse(cls, text: str) -> Limit:
        """The limit that baggage carries as `text`.

        Raises:
            ValueError: no limit, and how one is written.
        """
        plain = text.strip()
        if plain.endswith(semconv.TOKENS_SUFFIX):
            return cls.of_tokens(plain.removesuffix(semconv.TOKENS_SUFFIX))
        try:
            money.usd(plain)
        except ValueError as error:
            raise ValueError(f"{error}, or like 20000{semconv.TOKENS_SUFFIX} for tokens") from None
        return cls.of_usd(plain)

    @classmethod
    def of_usd(cls, amount: Decimal | int | str) -> Limit:
        """A limit of `amount` US dollars.

        Raises:
            ValueError: negative, or no amount of money.
        """
        limit = money.usd(amount)
        if limit < 0:
            raise ValueError(f"a budget of {amount} USD: it must not be negative")
        return cls(limit)

    @classmethod
    def of_tokens(cls, count: int | str) -> Limit:
        """A limit of `count` tokens.

        Raises:
            ValueError: negative, or no whole number.
        """
        digits = str(count).strip()
        if not digits.isascii() or not digits.isdigit() or len(digits) > _MOST_DIGITS:
            raise ValueError(f"a budget of {count!r} tokens: write a whole number, as in 20000{semconv.TOKENS_SUFFIX}")
        return cls(Decimal(digits), in_tokens=True)
