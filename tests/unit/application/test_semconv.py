from pathlib import Path

import pytest

from otel_cost import semconv

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
