import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import baggage, context

from otel_cost import attribute, attribution, budget
from otel_cost.attribution import Budgeted


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


def test_a_replaced_budget_still_encloses() -> None:
    with budget("run", "outer", limit_usd="1"):
        assert attribution.enclosing() == ()
        with attribute(run="inner"):
            assert attribution.enclosing() == (Budgeted("run", "outer", "1"),)
            with budget("run", "innermost", limit_tokens=5):
                assert attribution.enclosing() == (Budgeted("run", "outer", "1"), Budgeted("run", "inner", "1"))
        with attribute(stage="draft"):
            assert attribution.enclosing() == ()


def test_nothing_is_carried_where_nothing_is_set() -> None:
    assert attribution.carried(context.Context()) is None
    assert attribution.carried(baggage.set_baggage("user", "ann", context.Context())) is None


def test_what_is_carried_is_ours_alone() -> None:
    current = baggage.set_baggage("otel_cost.run", "r1", baggage.set_baggage("user", "ann", context.Context()))
    inherited = attribution.carried(current)
    assert inherited is not None
    assert dict(baggage.get_all(inherited)) == {"otel_cost.run": "r1"}


def test_threads_are_not_wrapped_by_an_import() -> None:
    with attribute(run="r1"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(attribution.members).result() == {}
        assert threading.active_count() >= 1
