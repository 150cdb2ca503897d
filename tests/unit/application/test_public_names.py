import pytest

import otel_cost


def test_the_public_names_are_these() -> None:
    assert otel_cost.__all__ == [
        "ArtifactCost",
        "BudgetConfig",
        "BudgetEvent",
        "BudgetExceededError",
        "BudgetStatus",
        "CostReport",
        "Estimate",
        "Guard",
        "Metered",
        "Usage",
        "attribute",
        "budget",
        "charge",
        "choose_model",
        "cost_of",
        "estimate",
        "meter",
        "meter_batch",
        "price",
        "schemas",
        "sign_budget",
        "stage",
        "status",
        "subscribe",
    ]
    for name in otel_cost.__all__:
        assert getattr(otel_cost, name).__doc__


def test_no_other_name_is_there() -> None:
    with pytest.raises(AttributeError, match="module 'otel_cost' has no attribute 'budgte'"):
        otel_cost.budgte  # noqa: B018 - on purpose
