"""What calls are likely to cost, from sizes that are given. History: tests/integration/exporter/test_estimate.py."""

from decimal import Decimal
from typing import Any

import pytest

from otel_cost import Estimate, estimate


def amounts(found: Estimate) -> tuple[Decimal, Decimal, Decimal]:
    return found.low, found.likely, found.high


def test_so_many_calls_of_one_size() -> None:
    found = estimate(model="gpt-4o", calls=200, input_tokens=1000, output_tokens=200)
    # 2.50 and 10 USD a million: 200 x (1000 x 2.50 + 200 x 10) / 1e6
    assert amounts(found) == (Decimal("0.9"),) * 3
    assert (found.currency, found.basis, found.calls, found.seen, found.model) == ("USD", "sizes", 200, 0, "gpt-4o")
    assert found.price_version is not None
    assert found.doubts == ()


def test_a_range_of_sizes_is_a_range_of_costs() -> None:
    found = estimate(model="claude-sonnet-4-6", input_tokens=(1000, 3000), output_tokens=(0, 500))
    # 3 and 15 USD a million: 1000 x 3; 2000 x 3 + 250 x 15; 3000 x 3 + 500 x 15
    assert amounts(found) == (Decimal("0.003"), Decimal("0.00975"), Decimal("0.0165"))
    assert found.calls == 1


def test_long_inputs_are_dearer() -> None:
    """Gemini 2.5 Pro: 1.25 USD a million tokens of input up to 200,000, 2.50 above."""
    found = estimate(model="gemini-2.5-pro", input_tokens=(100_000, 300_000), output_tokens=0)
    assert amounts(found) == (Decimal("0.125"), Decimal("0.25"), Decimal("0.75"))


def test_who_sells_it_may_be_said() -> None:
    found = estimate(model="gpt-4o", provider="azure", input_tokens=1_000_000, output_tokens=0)
    assert found.likely == Decimal("2.5")


def test_what_is_in_doubt_is_said() -> None:
    found = estimate(model="gpt-4o-2035-01-01", provider="openai", input_tokens=9, output_tokens=1)
    assert found.doubts == ("no price for this version of the model",)


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({}, ValueError, "say whose history, as in stage='draft'"),
        ({"model": "gpt-4o"}, ValueError, "say whose history"),
        ({"input_tokens": 1}, ValueError, "sizes need model=, input_tokens= and output_tokens="),
        ({"output_tokens": 1, "input_tokens": 1}, ValueError, "sizes need model="),
        ({"calls": 0, "stage": "draft"}, ValueError, "calls=0: estimate one call or more"),
        (
            {"model": "gpt-4o", "input_tokens": 1, "output_tokens": 1, "stage": "draft", "since": "1d"},
            ValueError,
            "give sizes, or whose history: not stage, since",
        ),
        ({"model": "gpt-4o", "input_tokens": (5, 1), "output_tokens": 1}, ValueError, r"\(5, 1\) are no tokens"),
        ({"model": "gpt-4o", "input_tokens": -1, "output_tokens": 1}, ValueError, "-1 are no tokens"),
        ({"model": "nobodys", "input_tokens": 1, "output_tokens": 1}, LookupError, "nobody knows who makes 'nobodys'"),
        (
            {"model": "nobodys", "provider": "openai", "input_tokens": 1, "output_tokens": 1},
            LookupError,
            "no price for model 'nobodys' of 'openai'. To give it a price",
        ),
    ],
)
def test_what_does_not_go_together(asked: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        estimate(**asked)


def test_without_a_service_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_COST_URL", "http://127.0.0.1:9")
    with pytest.raises(LookupError, match=r"no ledger service answers at http://127.0.0.1:9 .* otel-cost serve"):
        estimate(stage="draft")


def test_its_schema_is_published() -> None:
    schema = Estimate.model_json_schema()
    assert schema["required"] == ["low", "likely", "high", "basis"]
    assert all("description" in schema["properties"][name] for name in ("low", "likely", "high", "basis"))
    text = estimate(model="gpt-4o", input_tokens=1000, output_tokens=200).model_dump_json()
    assert '"likely":"0.004500' in text
    assert Estimate.model_validate_json(text).likely == Decimal("0.0045")
