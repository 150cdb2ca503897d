"""How figures are written for people, once and everywhere alike. What comes back is plain text, never Markdown."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from otel_cost import money

UNKNOWN: Final = "unknown"
"""Shown where calls were made and none has a price. Unknown is not zero."""
NONE: Final = "(none)"
"""Shown for calls that carry no value of a dimension."""
_DECIMALS: Final = 4
_SIGNIFICANT: Final = 3
# Wide enough for DECIMAL(38, 12), the widest sum that the ledger can hand out.
_CONTEXT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)


def usd(amount: Decimal | None) -> str:
    """`amount` in US dollars: four decimals, and for amounts under a cent as many as three digits need.

    >>> usd(Decimal("0.048100")), usd(Decimal("1234.5")), usd(Decimal("0.000000150000")), usd(None)
    ('$0.0481', '$1,234.5000', '$0.00000015', 'unknown')
    """
    if amount is None:
        return UNKNOWN
    decimals = max(_DECIMALS, _SIGNIFICANT - 1 - amount.adjusted()) if amount else _DECIMALS
    rounded = amount.quantize(Decimal(1).scaleb(-decimals), context=_CONTEXT)
    whole, _, fraction = f"{rounded:,f}".partition(".")
    shown = f"{whole}.{fraction.rstrip('0').ljust(_DECIMALS, '0')}"
    return f"-${shown[1:]}" if rounded < 0 else f"${shown}"


def exact_usd(amount: Decimal | None) -> str:
    """`amount` in US dollars to the last digit, just as the ledger writes it."""
    return UNKNOWN if amount is None else money.text(amount)


def count(number: int) -> str:
    """A whole number with thousands set apart.

    >>> count(1234567)
    '1,234,567'
    """
    return f"{number:,}"


def calls(number: int) -> str:
    """A number of calls in words.

    >>> calls(1), calls(2000)
    ('1 call', '2,000 calls')
    """
    return f"{number:,} call" if number == 1 else f"{number:,} calls"


def tokens(number: int) -> str:
    """A number of tokens in words.

    >>> tokens(1), tokens(20000)
    ('1 token', '20,000 tokens')
    """
    return f"{number:,} token" if number == 1 else f"{number:,} tokens"


def share(part: Decimal | int | None, whole: Decimal | int | None) -> str:
    """`part` of `whole` in per cent with one decimal, a dash where there is no such share.

    >>> share(Decimal("0.0481"), Decimal("0.05")), share(1, 0), share(None, 1)
    ('96.2%', '-', '-')
    """
    if part is None or not whole:
        return "-"
    return f"{Decimal(part) * 100 / Decimal(whole):.1f}%"


def name(value: str | None) -> str:
    """The value of a dimension, or words for none."""
    return NONE if value is None else value


def title(dimension: str) -> str:
    """The name of a dimension as a heading.

    >>> title("project"), title("cost_center")
    ('Project', 'Cost center')
    """
    return dimension.replace("_", " ").capitalize()
