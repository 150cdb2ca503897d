import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace

import pytest
from opentelemetry import baggage, context

from otel_cost import attribute, attribution, budget
from otel_cost.attribution import Budgeted
from otel_cost.budgets import Budget, Limit

OUTER = Budgeted("otel_cost.budget.run", "run", "outer", "1", Budget("run", "outer", Limit.of_usd(1)))


@pytest.fixture(autouse=True)
def _no_process_members() -> Iterator[None]:
    attribution.process_members.cache_clear()
    yield
    attribution.process_members.cache_clear()


def test_a_block_says_who_pays_and_takes_it_back() -> None:
    with attribute(project="atlas", stage="draft"):
        with attribute(stage="review", team="blue"):
            inner = attribution.dimensions(attribution.members())
        outer = attribution.dimensions(attribution.members())
    assert inner == {"project": "atlas", "stage": "review", "team": "blue"}
    assert outer == {"project": "atlas", "stage": "draft"}
    assert attribution.members() == {}


@pytest.mark.parametrize("bad", ["Project", "1st", "a b", "a.b", "x" * 65])
def test_a_bad_dimension_is_named(bad: str) -> None:
    with pytest.raises(ValueError, match="is no dimension: use lower-case letters"):
        attribute(**{bad: "x"})


@pytest.mark.parametrize("name", ["budget", "cost", "model", "since"])
def test_a_reserved_name_is_no_dimension(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is reserved"):
        attribute(**{name: "x"})


def test_a_member_that_means_nothing_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    attribution._is_understood.cache_clear()
    for _ in range(2):
        assert attribution.members_of("otel_cost.budgt.run=1,otel_cost.calls=2,otel_cost.run=r1") == {
            "otel_cost.run": "r1"
        }
    assert [record.getMessage().partition(" in baggage")[0] for record in caplog.records] == [
        "otel_cost.budgt.run",
        "otel_cost.calls",
    ]


@pytest.mark.parametrize("bad", ["", "x" * 257, None, 7])
def test_a_bad_id_is_named(bad: object) -> None:
    with pytest.raises(ValueError, match=r"the id of project is .* must be a text of 1 to 256 characters"):
        attribute(project=bad)  # type: ignore[arg-type] # on purpose


def test_the_environment_holds_for_the_whole_process_and_the_context_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAGGAGE", "otel_cost.run=r%201,otel_cost.budget.run=0.05,user=ann")
    attribution.process_members.cache_clear()
    assert attribution.members() == {"otel_cost.run": "r 1", "otel_cost.budget.run": "0.05"}
    with attribute(run="r2"):
        assert attribution.dimensions(attribution.members()) == {"run": "r2"}


def test_other_peoples_baggage_is_left_alone() -> None:
    token = context.attach(baggage.set_baggage("user", "ann"))
    try:
        with attribute(run="r1"):
            assert attribution.members() == {"otel_cost.run": "r1"}
            kept = baggage.get_all(attribution.without_ours(context.get_current()))
    finally:
        context.detach(token)
    assert dict(kept) == {"user": "ann"}


def test_a_budget_that_code_set_holds_however_baggage_changes() -> None:
    with budget("run", "outer", limit_usd="1"):
        assert attribution.held() == (OUTER,)
        token = context.attach(context.Context())  # as a server does with what a request brings
        assert attribution.held() == (OUTER,)
        context.detach(token)
    assert attribution.held() == ()


def test_a_budget_in_baggage_holds_where_an_inner_block_replaces_it() -> None:
    outside = {"otel_cost.run": "outer", "otel_cost.budget.run": "1"}
    current = context.Context()
    for key, value in outside.items():
        current = baggage.set_baggage(key, value, current)
    token = context.attach(current)
    try:
        assert attribution.held() == ()
        with attribute(run="inner"):
            assert attribution.held() == (Budgeted("otel_cost.budget.run", "run", "outer", "1"),)
        with attribute(stage="draft"):
            assert attribution.held() == ()
    finally:
        context.detach(token)


def test_a_block_is_for_one_use_at_a_time() -> None:
    block = attribute(run="r1")
    with block, pytest.raises(RuntimeError, match="make a new one for each `with`"), block:
        pass
    with block:
        assert attribution.members() == {"otel_cost.run": "r1"}
    assert attribution.members() == {}


def test_a_block_left_in_another_context_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    block = attribute(run="r1")
    copy_context().run(block.__enter__)
    block.__exit__(None, None, None)
    assert attribution.members() == {}
    assert "Failed to detach context" in caplog.text


def test_nothing_is_carried_where_nothing_is_set() -> None:
    assert attribution.carried() is None


def test_what_is_carried_is_ours_alone() -> None:
    token = context.attach(baggage.set_baggage("user", "ann"))
    try:
        with budget("run", "r1", limit_usd="1"):
            inherited = attribution.carried()
    finally:
        context.detach(token)
    assert inherited is not None
    assert inherited.members == {"otel_cost.run": "r1", "otel_cost.budget.run": "1"}
    assert inherited.held == (replace(OUTER, id="r1", rule=Budget("run", "r1", Limit.of_usd(1))),)
    with attribution.inheriting(inherited):
        assert attribution.members() == inherited.members
        assert attribution.held() == inherited.held
    assert attribution.held() == ()


def test_a_members_properties_and_what_is_too_long_are_cut_off() -> None:
    assert attribution.members_of(f"otel_cost.run=r1;ttl=1,otel_cost.stage={'s' * 300}") == {
        "otel_cost.run": "r1",
        "otel_cost.stage": "s" * 256,
    }


def test_not_more_dimensions_than_the_ledger_takes() -> None:
    found = attribution.dimensions({f"otel_cost.own{number}": "x" for number in range(50)} | {"otel_cost.run": "r1"})
    assert len(found) == 33
    assert found["run"] == "r1"


def test_what_is_kept_aside_from_a_provider_still_says_who_pays() -> None:
    with attribute(run="r1"):
        leaving = attribution.without_ours(context.get_current())
    assert dict(baggage.get_all(leaving)) == {}
    assert attribution.members(leaving) == {"otel_cost.run": "r1"}


def test_threads_are_not_wrapped_by_an_import() -> None:
    with attribute(run="r1"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(attribution.members).result() == {}
        assert threading.active_count() >= 1
