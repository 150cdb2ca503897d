from __future__ import annotations

import doctest
from decimal import Decimal

import pytest

from otel_cost_dashboard import format as fmt
from otel_cost_dashboard import tables


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "$0.0000"),
        ("0.000000", "$0.0000"),
        ("0.0481", "$0.0481"),
        ("0.048100000000", "$0.0481"),
        ("0.0045", "$0.0045"),
        ("0.00456789", "$0.00457"),
        ("0.000000000001", "$0.000000000001"),
        ("0.00000015", "$0.00000015"),
        ("0.00001239", "$0.0000124"),
        ("0.00009999", "$0.0001"),
        ("0.01005", "$0.0100"),  # half to even
        ("0.01015", "$0.0102"),
        ("0.9999", "$0.9999"),
        ("0.99999", "$1.0000"),
        ("1", "$1.0000"),
        ("1234.5", "$1,234.5000"),
        ("12345678901234567890123456.123456789012", "$12,345,678,901,234,567,890,123,456.1235"),
        ("-0.0021", "-$0.0021"),
        (None, "unknown"),
    ],
)
def test_money_is_shown_with_four_decimals_or_three_digits(amount: str | None, shown: str) -> None:
    assert fmt.usd(None if amount is None else Decimal(amount)) == shown


def test_the_exact_figure_is_the_ledgers_own_text() -> None:
    assert fmt.exact_usd(Decimal("0.000000150000")) == "0.00000015"
    assert fmt.exact_usd(Decimal("0.0045")) == "0.004500"
    assert fmt.exact_usd(None) == "unknown"


def test_a_share_of_nothing_is_no_share() -> None:
    assert fmt.share(Decimal("0.015"), Decimal("0.0171")) == "87.7%"
    assert fmt.share(11550, 11000) == "105.0%"
    assert fmt.share(None, Decimal(1)) == fmt.share(Decimal(1), None) == fmt.share(Decimal(0), Decimal(0)) == "-"


def test_no_value_and_user_defined_dimensions_have_words() -> None:
    assert fmt.name(None) == "(none)"
    assert fmt.name("atlas") == "atlas"
    assert fmt.title("cost_center") == "Cost center"
    assert [fmt.calls(1), fmt.calls(2), fmt.tokens(1), fmt.tokens(0)] == ["1 call", "2 calls", "1 token", "0 tokens"]


@pytest.mark.parametrize("module", [fmt, tables])
def test_examples_in_docstrings_hold(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type] - any module
    assert result.attempted
    assert not result.failed
