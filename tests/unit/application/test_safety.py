import logging
from decimal import Decimal

import pytest

from otel_cost import BudgetExceededError, safety


def test_a_failure_is_suppressed_logged_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    place = "testing the boundary"
    with caplog.at_level(logging.DEBUG, logger="otel_cost"):
        for _ in range(3):
            with safety.guard(place):
                raise ValueError("broken")
    assert safety.failures()[place] == 3
    assert [record.levelname for record in caplog.records] == ["WARNING", "DEBUG", "DEBUG"]
    assert "otel-cost failed while testing the boundary: broken (the application goes on)" in caplog.text


def test_a_budgets_decision_passes() -> None:
    error = BudgetExceededError(
        scope="run",
        id="r1",
        limit=Decimal(1),
        spent=Decimal(1),
        held=Decimal(0),
        call=Decimal(1),
        unit="USD",
        model=None,
    )
    with pytest.raises(BudgetExceededError), safety.guard("deciding"):
        raise error
    assert "deciding" not in safety.failures()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_stops_a_program_passes(kind: type[BaseException]) -> None:
    with pytest.raises(kind), safety.guard("working"):
        raise kind


def test_what_works_is_left_alone() -> None:
    with safety.guard("working well"):
        pass
    assert "working well" not in safety.failures()


def test_a_row_of_failures_is_said_once_and_that_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    row = safety.Row(logging.getLogger("otel_cost"))
    with caplog.at_level(logging.DEBUG, logger="otel_cost"):
        row.is_over("it works again")
        for number in range(3):
            row.goes_on("failure %d", number)
            assert row.failing
        for _ in range(2):
            row.is_over("%s again", "it works")
        row.goes_on("failure %d", 3)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "failure 0"),
        ("DEBUG", "failure 1"),
        ("DEBUG", "failure 2"),
        ("WARNING", "it works again"),
        ("WARNING", "failure 3"),
    ]
