from dataclasses import fields
from decimal import Decimal
from pathlib import Path

import pytest

from otel_cost import semconv
from otel_cost.live_span import usage_attributes
from otel_cost.usage import Usage

OURS = [value for name, value in vars(semconv).items() if name.startswith(("COST_", "CALL_", "WASTE_"))]


@pytest.mark.parametrize(
    ("key", "dimension"),
    [
        ("otel_cost.run", "run"),
        ("otel_cost.my_team2", "my_team2"),
        ("otel_cost.Run", None),
        ("otel_cost.cost.status", None),
        ("otel_cost.budget.run", None),
        ("otel_cost.", None),
        ("run", None),
        ("other.run", None),
    ],
)
def test_which_keys_carry_a_dimension(key: str, dimension: str | None) -> None:
    assert semconv.dimension_of(key) == dimension


@pytest.mark.parametrize(
    ("key", "dimension"),
    [("otel_cost.budget.run", "run"), ("otel_cost.budget.", None), ("otel_cost.run", None), ("budget.run", None)],
)
def test_which_keys_carry_a_budget(key: str, dimension: str | None) -> None:
    assert semconv.budgeted_dimension_of(key) == dimension


def test_every_shipped_dimension_is_one_and_comes_back_from_its_keys() -> None:
    for dimension in semconv.DIMENSIONS:
        assert semconv.dimension_of(semconv.dimension_key(dimension)) == dimension
        assert semconv.budgeted_dimension_of(semconv.budget_key(dimension)) == dimension


def test_our_attributes_are_no_dimensions() -> None:
    assert OURS
    assert [semconv.dimension_of(name) for name in OURS] == [None] * len(OURS)


def test_our_attributes_are_in_the_reference(root: Path) -> None:
    reference = (root / "docs/reference/attributes.md").read_text()
    assert [name for name in OURS if f"`{name}`" not in reference] == []


def test_every_meter_has_an_attribute_and_ours_are_in_the_reference(root: Path) -> None:
    reference = (root / "docs/reference/attributes.md").read_text()
    assert set(semconv.USAGE_ATTRIBUTES) == {field.name for field in fields(Usage)}
    ours = [name for name, key in semconv.USAGE_ATTRIBUTES.items() if key == f"otel_cost.usage.{name}"]
    assert len(ours) == 13
    assert [name for name in ours if f"`{name}`" not in reference] == []


def test_what_was_used_beside_input_and_output_stands_on_a_span_where_there_is_any() -> None:
    assert usage_attributes(Usage(5, 2)) == {"gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 2}
    every = Usage(**{field.name: number for number, field in enumerate(fields(Usage), 1)})
    stated = usage_attributes(every)
    assert stated.pop("gen_ai.usage.cache_creation.input_tokens") == every.cache_write_tokens
    assert stated.pop("otel_cost.usage.audio_seconds") == str(every.audio_seconds)
    assert stated == {
        key: getattr(every, name) for name, key in semconv.USAGE_ATTRIBUTES.items() if name != "audio_seconds"
    }
    assert usage_attributes(Usage(audio_seconds=Decimal("1E+1")))["otel_cost.usage.audio_seconds"] == "10"


def test_an_id_that_no_wire_carries_is_said() -> None:
    with pytest.raises(ValueError, match="text that UTF-8 can carry"):
        semconv.check_id("run", "file-\udcff")
