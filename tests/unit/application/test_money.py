from decimal import Decimal, getcontext, localcontext

import pytest

from otel_cost import money


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0.0045", "0.004500"),
        ("0", "0.000000"),
        ("12", "12.000000"),
        ("0.000000150000", "0.00000015"),
        ("0.000000000001", "0.000000000001"),
        ("1E+3", "1000.000000"),
        ("-0.5", "-0.500000"),
    ],
)
def test_money_is_written_one_way(amount: str, shown: str) -> None:
    assert money.text(Decimal(amount)) == shown


def test_money_is_rounded_once_half_to_even() -> None:
    assert money.usd("0.0000000000005") == Decimal("0.000000000000")
    assert money.usd("0.0000000000015") == Decimal("0.000000000002")
    assert money.usd(3) == Decimal("3.000000000000")


@pytest.mark.parametrize("bad", ["abc", "", "NaN", "Infinity", "-Infinity", "1,5", "1E+40", "9E+999999"])
def test_what_is_no_money_says_so(bad: str) -> None:
    with pytest.raises(ValueError, match="is not an amount of money"):
        money.usd(bad)


def test_what_works_with_money_does_so_exactly_and_leaves_the_applications_context_alone() -> None:
    @money.exactly
    def added(one: Decimal, other: Decimal) -> Decimal:
        return one + other

    with localcontext(prec=3):
        assert added(Decimal("12345.678901"), Decimal("0.000000000009")) == Decimal("12345.678901000009")
        assert getcontext().prec == 3
