"""Exact money: `Decimal` US dollars, rounded once and written one way.

Providers publish prices per million tokens with up to six decimals, so twelve decimals hold the price of every single
token exactly. A cost is rounded to them once, half to even, where it is worked out (`usd`); spans, budgets and the
ledger (``DECIMAL(18, 12)``, up to 999,999 USD a call) then all hold the same figure.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation, localcontext
from functools import wraps
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

CURRENCY: Final = "USD"
DECIMALS: Final = 12
_QUANTUM: Final = Decimal(1).scaleb(-DECIMALS)
_CONTEXT: Final = Context(prec=40, rounding=ROUND_HALF_EVEN)
_SHOWN_DECIMALS: Final = 6


def usd(amount: Decimal | int | str) -> Decimal:
    """`amount` in US dollars, rounded to twelve decimals.

    Raises:
        ValueError: not a finite number.
    """
    try:
        value = Decimal(amount)
        if value.is_finite():
            return value.quantize(_QUANTUM, context=_CONTEXT)
    except InvalidOperation:  # no number, or too large a one
        pass
    raise ValueError(f"{amount!r} is not an amount of money: write it like 0.05")


def exactly(function: Callable[P, T]) -> Callable[P, T]:
    """`function`, which adds and multiplies money, whatever the application has its threads round to."""

    @wraps(function)
    def in_our_context(*args: P.args, **kwargs: P.kwargs) -> T:
        with localcontext(_CONTEXT):
            return function(*args, **kwargs)

    return in_our_context


def text(amount: Decimal) -> str:
    """`amount` as a plain decimal string: at least six decimals, more only where they are not zero.

    >>> text(Decimal("0.0045")), text(Decimal("0.000000150000")), text(Decimal(12))
    ('0.004500', '0.00000015', '12.000000')
    """
    digits = f"{amount:f}"
    whole, _, fraction = digits.partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(_SHOWN_DECIMALS, '0')}"
