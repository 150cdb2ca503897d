import otel_cost


def test_the_public_names_are_these() -> None:
    assert otel_cost.__all__ == [
        "BudgetExceededError",
        "Metered",
        "Usage",
        "attribute",
        "budget",
        "meter",
        "meter_batch",
        "price",
    ]
    for name in otel_cost.__all__:
        assert getattr(otel_cost, name).__doc__
