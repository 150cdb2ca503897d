"""Decisions of the memory store, and which budgets hold in a context."""

import logging
import os
import threading
from collections.abc import Iterator
from decimal import Decimal

import pytest
from opentelemetry import context, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from otel_cost import BudgetExceededError, attribute, attribution, budget
from otel_cost.budgets import Ask, Budget, Limit, MemoryStore, Spend, budgets_in, learn, likely, memory, sizing
from otel_cost.budgets import context as budgets_context
from otel_cost.usage import Request, recognise

RUN = Budget("run", "r1", Limit.of_usd("1"))


@pytest.fixture(autouse=True)
def _no_process_members() -> Iterator[None]:
    attribution.process_members.cache_clear()
    yield
    attribution.process_members.cache_clear()


def ask(usd: str | None, tokens: int = 0) -> Ask:
    return Ask(None if usd is None else Decimal(usd), tokens, "m")


def spend(usd: str | None, tokens: int = 0) -> Spend:
    return Spend(None if usd is None else Decimal(usd), tokens)


def holding() -> tuple[Budget, ...]:
    return budgets_in(attribution.members())


# --- limits --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "limit", "written"),
    [
        ("0.05", Limit(Decimal("0.05")), "0.05"),
        (" 8 ", Limit(Decimal(8)), "8"),
        ("0", Limit(Decimal(0)), "0"),
        ("20000tok", Limit(Decimal(20000), in_tokens=True), "20000tok"),
    ],
)
def test_a_limit_is_money_or_tokens(text: str, limit: Limit, written: str) -> None:
    assert Limit.parse(text) == limit
    assert Limit.parse(text).text == written


@pytest.mark.parametrize(
    "text", ["", "abc", "-1", "NaN", "inf", "tok", "-5tok", "1.5tok", "²tok", "0,05", "1E+40", "1" * 16 + "tok"]
)
def test_what_is_no_limit_says_how_one_is_written(text: str) -> None:
    with pytest.raises(ValueError, match=r"budget of|is not an amount of money"):
        Limit.parse(text)


# --- decisions -----------------------------------------------------------------------------------------------------
def test_the_call_that_would_break_it_is_refused_and_says_why() -> None:
    store = MemoryStore()
    store.settle(store.reserve((RUN,), ask("0.6")), spend("0.7"))
    with pytest.raises(BudgetExceededError) as caught:
        store.reserve((RUN,), ask("0.31"))
    error = caught.value
    assert (error.scope, error.id, error.unit, error.model) == ("run", "r1", "USD", "m")
    assert (error.limit, error.spent, error.held, error.call) == (
        Decimal(1),
        Decimal("0.7"),
        Decimal(0),
        Decimal("0.31"),
    )
    store.reserve((RUN,), ask("0.3"))  # what fits to the last digit is let through


def test_calls_under_way_hold_what_they_may_cost() -> None:
    store = MemoryStore()
    first = store.reserve((RUN,), ask("0.6"))
    with pytest.raises(BudgetExceededError) as caught:
        store.reserve((RUN,), ask("0.5"))
    assert caught.value.held == Decimal("0.6")
    store.settle(first, spend("0.1"))
    store.reserve((RUN,), ask("0.5"))


def test_all_budgets_are_charged_or_none() -> None:
    store = MemoryStore()
    stage = Budget("stage", "draft", Limit.of_usd("0.2"))
    with pytest.raises(BudgetExceededError, match="stage 'draft'"):
        store.reserve((RUN, stage), ask("0.5"))
    assert store.spent("run", "r1").held_usd == 0
    store.settle(store.reserve((RUN, stage), ask("0.1")), spend("0.1"))
    assert store.spent("run", "r1").spent_usd == store.spent("stage", "draft").spent_usd == Decimal("0.1")


def test_tokens_are_counted_whatever_the_price() -> None:
    store = MemoryStore()
    tokens = Budget("run", "r1", Limit.of_tokens(100))
    store.settle(store.reserve((tokens,), ask(None, 60)), spend(None, 70))
    with pytest.raises(BudgetExceededError) as caught:
        store.reserve((tokens,), ask(None, 31))
    assert (caught.value.limit, caught.value.spent, caught.value.call, caught.value.unit) == (100, 70, 31, "tokens")


def test_two_limits_of_one_id_are_one_account() -> None:
    store = MemoryStore()
    both = (RUN, Budget("run", "r1", Limit.of_tokens(100)))
    store.settle(store.reserve(both, ask("0.5", 50)), spend("0.5", 50))
    assert (store.spent("run", "r1").spent_usd, store.spent("run", "r1").spent_tokens) == (Decimal("0.5"), 50)


def test_no_price_means_no_call_under_a_limit_in_money() -> None:
    with pytest.raises(BudgetExceededError, match="no price is known"):
        MemoryStore().reserve((RUN,), ask(None, 5))


def test_a_spent_budget_is_refused_whatever_the_size() -> None:
    store = MemoryStore()
    store.check((RUN,), "m")
    store.charge((RUN,), spend("1"))
    with pytest.raises(BudgetExceededError):
        store.check((RUN,), "m")
    assert store.spent("run", "r1").under_way == 0


def test_a_hundred_threads_never_pass_the_limit() -> None:
    store, sent, refused = MemoryStore(), [], []

    def call() -> None:
        try:
            hold = store.reserve((RUN,), ask("0.1"))
        except BudgetExceededError:
            refused.append(1)
        else:
            sent.append(1)
            store.settle(hold, spend("0.1"))

    threads = [threading.Thread(target=call) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(sent), len(refused)) == (10, 90)
    assert store.spent("run", "r1").spent_usd == Decimal(1)


def test_idle_accounts_are_forgotten_the_oldest_first_and_busy_ones_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_MOST_ACCOUNTS", 2)
    store = MemoryStore()
    busy, idle, later, last = (Budget("run", name, Limit.of_usd(9)) for name in ("busy", "idle", "later", "last"))
    store.reserve((busy,), ask("1"))
    store.charge((idle,), spend("1"))
    store.charge((later,), spend("1"))
    store.charge((last,), spend("1"))
    kept = [name for name in ("busy", "idle", "later", "last") if store.spent("run", name) != memory.Account()]
    assert kept[0] == "busy"
    assert "idle" not in kept
    assert kept[-1] == "last"
    store.clear()
    assert store.spent("run", "busy") == memory.Account()


def test_a_forked_child_keeps_what_was_spent_and_drops_what_its_parent_holds() -> None:
    store = memory.STORE
    store.clear()
    store.settle(store.reserve((RUN,), ask("0.25")), spend("0.25"))
    store.reserve((RUN,), ask("0.5"))
    child = os.fork()
    if child == 0:  # pragma: no cover - the child exits before it could say so
        account = store.spent("run", "r1")
        os._exit(0 if (account.spent_usd, account.held_usd) == (Decimal("0.25"), Decimal(0)) else 1)
    _, status = os.waitpid(child, 0)
    store.clear()
    assert os.waitstatus_to_exitcode(status) == 0


def test_in_a_forked_child_the_lock_is_free() -> None:
    store = MemoryStore()
    hold = store.reserve((RUN,), ask("0.5"))
    store.forked()
    assert store.spent("run", "r1").held_usd == 0
    assert hold.budgets == (RUN,)
    store.reserve((RUN,), ask("1"))


# --- which hold ----------------------------------------------------------------------------------------------------
def test_a_block_bounds_what_happens_inside_it() -> None:
    with budget("run", "r1", limit_usd="0.50"):
        assert holding() == (Budget("run", "r1", Limit.of_usd("0.5")),)
    assert holding() == ()


def test_baggage_from_outside_is_enough() -> None:
    found = {
        "otel_cost.run": "r1",
        "otel_cost.budget.run": "0.05",
        "otel_cost.budget.stage": "9tok",
        "otel_cost.stage": "s",
    }
    assert budgets_in(found) == (
        Budget("run", "r1", Limit.of_usd("0.05")),
        Budget("stage", "s", Limit.of_tokens(9)),
    )


def test_nobody_steps_out_of_a_budget_by_renaming_or_widening() -> None:
    with budget("run", "r1", limit_usd="0.05"):
        with attribute(run="r2"):
            assert set(holding()) == {
                Budget("run", "r1", Limit.of_usd("0.05")),
                Budget("run", "r2", Limit.of_usd("0.05")),
            }
        with budget("run", "r1", limit_usd="8"):
            assert holding() == (Budget("run", "r1", Limit.of_usd("0.05")),)
        with budget("run", "r1", limit_usd="0.01"):
            assert holding() == (Budget("run", "r1", Limit.of_usd("0.01")),)


def test_the_processs_own_budget_holds_whatever_baggage_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAGGAGE", "otel_cost.run=own,otel_cost.budget.run=0.05")
    attribution.process_members.cache_clear()
    assert holding() == (Budget("run", "own", Limit.of_usd("0.05")),)
    with budget("run", "theirs", limit_usd="100"):
        assert set(holding()) == {
            Budget("run", "own", Limit.of_usd("0.05")),
            Budget("run", "theirs", Limit.of_usd(100)),
        }
    with budget("run", "own", limit_usd="100"):
        assert holding() == (Budget("run", "own", Limit.of_usd("0.05")),)


def test_a_budget_of_the_process_without_an_id_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAGGAGE", "otel_cost.budget.run=0.3")
    attribution.process_members.cache_clear()
    assert holding() == (Budget("run", "process", Limit.of_usd("0.3")),)


def test_a_budget_without_an_id_is_the_traces() -> None:
    assert budgets_in({"otel_cost.budget.run": "1"})[0].id == "unnamed"
    span = NonRecordingSpan(SpanContext(0xABC, 1, is_remote=False, trace_flags=TraceFlags(1)))
    current = trace.set_span_in_context(span, context.Context())
    assert budgets_in({"otel_cost.budget.run": "1"}, current)[0].id == f"trace-{0xABC:032x}"


def test_a_budget_that_cannot_be_read_lets_nothing_through_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            found = budgets_in({"otel_cost.run": "r1", "otel_cost.budget.run": "five"})
            flaw = (
                "otel_cost.budget.run=five in baggage: 'five' is not an amount of money: write it like 0.05, or like "
                "20000tok for tokens. It lets nothing through"
            )
            assert found == (Budget("run", "r1", Limit(Decimal(0), flaw=flaw)),)
    (record,) = caplog.records
    assert record.getMessage() == flaw
    ask = Ask(Decimal("0.01"), 10, "gpt-4o")
    with pytest.raises(BudgetExceededError) as refused:
        MemoryStore().reserve(found, ask)
    assert str(refused.value) == f"budget of run 'r1' refused a call to 'gpt-4o': {flaw}"


@pytest.mark.parametrize(
    "key", ["otel_cost.budget", "otel_cost.budget.", "otel_cost.budget.Run", "otel_cost.budget.cost"]
)
def test_a_budget_that_names_no_dimension_lets_nothing_through(key: str) -> None:
    (found,) = budgets_in(attribution.members_of(f"{key}=0.01"))
    assert (found.dimension, found.id, found.limit.amount) == ("run", "unnamed", 0)
    assert (
        found.limit.flaw
        == f"{key}=0.01 in baggage: it names no dimension, as in otel_cost.budget.run. It lets nothing through"
    )


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({}, "needs limit_usd or limit_tokens"),
        ({"limit_usd": "1", "limit_tokens": 1}, "and not both"),
        ({"limit_usd": 0.05}, r"limit_usd=0.05 is a float, which is not exact: write limit_usd='0.05'"),
        ({"limit_usd": "-1"}, "must not be negative"),
        ({"limit_tokens": -1}, "write a whole number"),
    ],
)
def test_a_bad_budget_says_what_is_wrong(limits: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        budget("run", "r1", **limits)  # type: ignore[arg-type] # on purpose


def test_a_budget_of_nothing_lets_nothing_through() -> None:
    with budget("run", "r1", limit_usd=0), pytest.raises(BudgetExceededError):
        MemoryStore().reserve(holding(), ask("0.000000000001"))


# --- the size of a hold --------------------------------------------------------------------------------------------
def request(body: bytes, url: str = "https://api.openai.com/v1/chat/completions") -> Request:
    found = recognise("POST", url, body)
    assert found is not None
    return found


def test_a_hold_is_input_counted_up_and_output_at_the_bound() -> None:
    body = b'{"model": "gpt-4o", "max_tokens": 100, "x": "%s"}' % (b"a" * 253)
    assert len(body) == 300
    # 300 bytes are at most 100 tokens: 100 x 2.50 / 1e6 + 100 x 10 / 1e6
    assert likely(request(body), (RUN,)) == Ask(Decimal("0.00125"), 200, "gpt-4o")
    assert likely(request(body), (Budget("run", "r1", Limit.of_tokens(9)),)) == Ask(None, 200, "gpt-4o")


def test_without_a_bound_the_largest_answer_seen_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "_largest", {})
    body = b'{"model": "gpt-4o"}'
    assert likely(request(body), ()).tokens == 7 + 1000
    learn("gpt-4o", 900)
    assert likely(request(body), ()).tokens == 7 + 1000
    learn("gpt-4o", 4000)
    assert likely(request(body), ()).tokens == 7 + 4000
    learn("gpt-4o", 2000)  # a large one fades: an eighth of the way
    assert likely(request(body), ()).tokens == 7 + 3750


def test_an_image_is_not_counted_as_text() -> None:
    image = b"data:image/png;base64," + b"A" * 2_000_000
    body = b'{"model": "gpt-4o", "max_tokens": 10, "messages": [{"content": "%s"}]}' % image
    assert likely(request(body), ()).tokens < 21_000


def test_an_unknown_provider_has_no_price() -> None:
    body = b'{"model": "gpt-4o", "messages": []}'
    asked = likely(request(body, "https://llm.example/v1/chat/completions"), (RUN,))
    assert (asked.usd, asked.reason) == (
        None,
        "llm.example is no known provider: name it with OTEL_COST_ENDPOINTS=BASE_URL=provider",
    )
    assert likely(request(b"{}"), (RUN,)).reason == "the request names no model"


def test_a_budget_that_nothing_enforces_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(budgets_context, "_enforced", False)
    budgets_context._say_that_nothing_enforces.cache_clear()
    for _ in range(2):
        budget("run", "r1", limit_usd=1)
    budgets_context.enforce()
    budgets_context._say_that_nothing_enforces.cache_clear()
    budget("run", "r1", limit_usd=1)
    (record,) = caplog.records
    assert "start the program with opentelemetry-instrument, or otel-cost run" in record.getMessage()
