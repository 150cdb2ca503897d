"""What artifacts cost: the sums by who pays, and the record that `cost_of` makes of them."""

from __future__ import annotations

import decimal
import gc
import json
import threading
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from otel_cost import ArtifactCost, Usage, attribute, cost_of
from otel_cost.budgets import payers, tally
from otel_cost.pricing import Cost

KNOWN = Cost(Decimal("0.004500000000"), "known", "local", "prices/1")
ESTIMATED = KNOWN.estimated("no price for sound")
UNKNOWN = Cost.unknown("no price")


def call(cost: Cost = KNOWN, model: str | None = "gpt-4o", **dimensions: str) -> None:
    tally.add_call(
        (), dimensions, provider="openai", model=model, usages=(Usage(input_tokens=1000, output_tokens=200),), cost=cost
    )


def figures(record: ArtifactCost) -> tuple[Any, ...]:
    return record.models, record.calls, record.input_tokens, record.output_tokens, record.cost_usd


def test_the_calls_of_a_stage_of_a_run_without_any_budget() -> None:
    call(run="r1", stage="draft", role="writer")
    call(run="r1", stage="draft")
    call(run="r1", stage="review")
    call(run="r2", stage="draft")
    call()
    assert figures(cost_of(run="r1", stage="draft")) == (("gpt-4o",), 2, 2000, 400, Decimal("0.009"))
    assert figures(cost_of(run="r1")) == (("gpt-4o",), 3, 3000, 600, Decimal("0.0135"))
    assert figures(cost_of(role="writer", run="r1")) == (("gpt-4o",), 1, 1000, 200, Decimal("0.0045"))
    assert figures(cost_of(run="r3")) == ((), 0, 0, 0, 0)


def test_without_a_name_it_is_of_whoever_pays_here_else_of_the_process() -> None:
    call(run="r1", stage="draft")
    call(run="r1")
    call()
    with attribute(run="r1"):
        assert (cost_of().dimensions, cost_of().calls) == ({"run": "r1"}, 2)
        with attribute(stage="draft"):
            assert (cost_of().dimensions, cost_of().calls) == ({"run": "r1", "stage": "draft"}, 1)
            assert cost_of(run="r1").calls == 2
    assert (cost_of().dimensions, cost_of().calls) == ({}, 3)


def test_models_stand_in_the_order_of_what_they_cost() -> None:
    for model, cost in (("b", KNOWN), ("a", KNOWN), ("cheap", Cost(Decimal("0.001"), "known")), (None, KNOWN)):
        call(cost, model, run="r1")
    call(KNOWN, "cheap", run="r1", stage="draft")
    assert cost_of(run="r1").models == ("cheap", "a", "b")


def test_its_status_is_that_of_the_least_certain_call_and_unknown_is_not_zero() -> None:
    call(UNKNOWN, run="r1")
    record = cost_of(run="r1")
    assert (record.cost_usd, record.cost_status, record.unknown) == (None, "unknown", 1)
    call(run="r1")
    record = cost_of(run="r1")
    assert (record.cost_usd, record.cost_status, record.unknown) == (Decimal("0.0045"), "unknown", 1)
    call(ESTIMATED, run="r2")
    record = cost_of(run="r2")
    assert (record.cost_usd, record.cost_status, record.estimated) == (Decimal("0.0045"), "estimated", 1)
    call(run="r3")
    assert (cost_of(run="r3").cost_status, cost_of(run="r4").cost_status) == ("known", "known")


def test_a_dimension_that_no_call_has_had_is_unknown_and_not_free() -> None:
    call(run="r1", tenant="acme")
    for mistyped in ({"rnu": "r1"}, {"run": "r1", "tenent": "acme"}):
        record = cost_of(**mistyped)
        assert (record.calls, record.cost_usd, record.cost_status, record.unknown) == (0, None, "unknown", 0)
    for known in ({"run": "r2"}, {"stage": "draft"}, {"tenant": "other"}):
        assert (cost_of(**known).cost_usd, cost_of(**known).cost_status) == (0, "known")
    with attribute(area="north"):
        assert (cost_of().cost_usd, cost_of(area="north").cost_status) == (0, "known")


def test_charges_are_in_the_cost_and_are_no_calls() -> None:
    call(run="r1")
    tally.add_charge((), {"run": "r1"}, "web_search", Decimal(2), Cost(Decimal("0.02"), "known", "local"))
    assert figures(cost_of(run="r1")) == (("gpt-4o",), 1, 1000, 200, Decimal("0.0245"))


def test_a_record_does_not_change_and_reads_back_from_its_json() -> None:
    call(run="r1", stage="draft")
    record = cost_of(run="r1", stage="draft")
    call(run="r1", stage="draft")
    assert record.calls == 1
    with pytest.raises(ValidationError, match="frozen"):
        record.calls = 2  # type: ignore[misc] # that is the test
    text = record.model_dump_json()
    assert json.loads(text) == {
        "dimensions": {"run": "r1", "stage": "draft"},
        "models": ["gpt-4o"],
        "calls": 1,
        "input_tokens": 1000,
        "output_tokens": 200,
        "cost_usd": "0.004500",
        "cost_status": "known",
        "estimated": 0,
        "unknown": 0,
        "complete": True,
        "audited": False,
        "at": record.at.isoformat().replace("+00:00", "Z"),
    }
    assert ArtifactCost.model_validate_json(text) == record
    call(UNKNOWN, run="r2")
    assert json.loads(cost_of(run="r2").model_dump_json())["cost_usd"] is None


def test_ids_are_read_as_baggage_carries_them_and_what_no_call_can_have_is_refused() -> None:
    with attribute(run="r1;priority=1"):
        assert cost_of().dimensions == {"run": "r1"} == cost_of(run="r1;priority=1").dimensions
    with pytest.raises(ValueError, match="'model' is reserved"):
        cost_of(model="gpt-4o")
    with pytest.raises(ValueError, match="the id of run is ''"):
        cost_of(run="")


def test_what_a_process_may_have_forgotten_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payers, "_MOST_LINES", 3)
    call(run="r1", stage="draft")
    call(run="r2", stage="draft")
    assert cost_of(stage="draft").complete
    call(run="r1", stage="draft")
    call(run="r3", stage="review")
    call(run="r4", stage="review")  # r2 was added to least lately
    assert (cost_of(run="r2").calls, cost_of(run="r2").complete) == (0, False)
    assert (cost_of(stage="draft").calls, cost_of(stage="draft").complete) == (2, False)
    assert (cost_of(run="r1").calls, cost_of(run="r1").complete) == (2, True)
    assert cost_of(run="r4", stage="draft").complete
    assert not cost_of().complete


def test_sums_are_exact_whatever_the_application_rounds_to() -> None:
    with decimal.localcontext(prec=3):
        for cost in ("1000.000000000001", "0.000000000002"):
            call(Cost(Decimal(cost), "known"), run="r1")
        assert cost_of(run="r1").cost_usd == Decimal("1000.000000000003")


def test_threads_lose_nothing_and_a_call_that_a_collection_ends_is_added() -> None:
    class Ends:
        def __del__(self) -> None:
            call(run="r1")

    threads = [threading.Thread(target=lambda: [call(run="r1") for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        record = cost_of(run="r1")
        assert record.input_tokens == 1000 * record.calls
    for thread in threads:
        thread.join()
    with tally._lock:
        ends = Ends()
        ends.itself = ends  # type: ignore[attr-defined]
        del ends
        gc.collect()
    assert figures(cost_of(run="r1")) == (("gpt-4o",), 801, 801_000, 160_200, Decimal("3.6045"))
