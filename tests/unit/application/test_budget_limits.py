"""A limit as baggage carries it."""

from decimal import Decimal

import pytest

from otel_cost.budgets import Limit


@pytest.mark.parametrize(
    ("text", "limit", "written"),
    [
        ("0.05", Limit(Decimal("0.05")), "0.05"),
        (" 8 ", Limit(Decimal(8)), "8"),
        ("0", Limit(Decimal(0)), "0"),
        ("20000tok", Limit(Decimal(20000), in_tokens=True), "20000tok"),
    ],
)
def test_a_limit_is_money_or_tokens(text: str, limit: Limit, written: str) -> None:
    assert Limit.parse(text) == limit
    assert Limit.parse(text).text == written


@pytest.mark.parametrize(
    "text", ["", "abc", "-1", "NaN", "inf", "tok", "-5tok", "1.5tok", "²tok", "0,05", "1E+40", "1" * 16 + "tok"]
)
def test_what_is_no_limit_says_how_one_is_written(text: str) -> None:
    with pytest.raises(ValueError, match=r"budget of|is not an amount of money"):
        Limit.parse(text)
