"""Budgets that only who has the key can have written."""

import logging
from collections.abc import Callable

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_cost import BudgetExceededError, attribute, attribution, settings, signing
from otel_cost.budgets import Budget, Limit, budget, budgets_in, check
from otel_cost.budgets.context import sign_budget

KEY, OTHER = "one-key-of-32-characters-or-more!", "other-key-of-32-characters-or-so"
NOW = 1_800_000_000


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    def is_at(seconds: float) -> None:
        monkeypatch.setattr("time.time", lambda: NOW + seconds)

    is_at(0)
    return is_at


@pytest.fixture(autouse=True)
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """Go on as a process whose `OTEL_COST_BUDGET_KEY` is that."""

    def keys(text: str | None) -> None:
        monkeypatch.delenv("OTEL_COST_BUDGET_KEY", raising=False)
        if text is not None:
            monkeypatch.setenv("OTEL_COST_BUDGET_KEY", text)
        signing.keys.cache_clear()

    keys(KEY)
    return keys


def held_for(id: str, value: str, dimension: str = "run") -> tuple[Budget, ...]:  # noqa: A002 - what it is
    """What holds of a request with this baggage."""
    return budgets_in({f"otel_cost.{dimension}": id, f"otel_cost.budget.{dimension}": value})


def why(found: tuple[Budget, ...]) -> str:
    ((flaw, amount),) = [(one.limit.flaw, one.limit.amount) for one in found]
    assert amount == 0
    with pytest.raises(BudgetExceededError):
        check(found, "gpt-4o")
    return str(flaw)


def test_a_signed_budget_holds() -> None:
    value = sign_budget("run", "r1", limit_usd="0.50", seconds=60)
    assert held_for("r1", value) == (Budget("run", "r1", Limit.of_usd("0.50")),)


def test_the_signature_is_an_hmac_of_what_it_protects() -> None:
    """Worked out with: printf '%s' '["otel-cost budget 1", "run", "r1", "0.5", "1800000060"]' | openssl dgst -sha256
    -hmac one-key-of-32-characters-or-more! -binary | basenc --base64url"""
    assert (
        sign_budget("run", "r1", limit_usd="0.50", seconds=60)
        == "0.5@1800000060.kosYOO9ou_dHH9IitpazAKXAEW3dOk_3N5b5CV4PmXU"
    )


def test_an_expired_one_lets_nothing_through(clock: Callable[[float], None]) -> None:
    value = sign_budget("run", "r1", limit_usd="0.50", seconds=60)
    clock(59.9)
    assert held_for("r1", value) == (Budget("run", "r1", Limit.of_usd("0.50")),)
    clock(60)
    assert "the time that it was signed for is over" in why(held_for("r1", value))
    assert signing.rejected() == {"expired": 1}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda value: value.replace("0.5@", "50@"), "forged"),
        (lambda value: value.replace("0.5@", "0.50@"), "forged"),
        (lambda value: value.replace("@1800000060", "@1900000060"), "forged"),
        (lambda value: value[:-1] + ("A" if value[-1] != "A" else "B"), "forged"),
        (lambda value: value[:-1], "unsigned"),
        (lambda value: value.partition("@")[0], "unsigned"),
        (lambda value: value.partition(".")[0] + "@", "unsigned"),
        (lambda _: "500", "unsigned"),
        (lambda _: "", "unsigned"),
    ],
)
def test_a_changed_one_lets_nothing_through(change: Callable[[str], str], reason: str) -> None:
    value = change(sign_budget("run", "r1", limit_usd="0.50", seconds=60))
    assert value in why(held_for("r1", value))
    assert signing.rejected() == {reason: 1}


def test_one_for_another_id_or_dimension_lets_nothing_through() -> None:
    value = sign_budget("run", "r1", limit_usd="0.50", seconds=60)
    assert "for another id" in why(held_for("r2", value))
    assert "for another id" in why(held_for("r1", value, "project"))
    assert "for another id" in why(budgets_in({"otel_cost.budget.run": value}))
    assert signing.rejected() == {"forged": 3}


def test_one_of_another_key_lets_nothing_through(use: Callable[[str], None]) -> None:
    value = sign_budget("run", "r1", limit_usd="0.50", seconds=60)
    use(OTHER)
    assert "made with another key" in why(held_for("r1", value))


def test_keys_are_changed_without_a_gap(use: Callable[[str], None]) -> None:
    old = sign_budget("run", "r1", limit_usd="0.50", seconds=60)
    use(f"{OTHER}, {KEY}")
    new = sign_budget("run", "r1", limit_usd="0.50", seconds=60)
    assert old != new
    assert held_for("r1", old) == held_for("r1", new) == (Budget("run", "r1", Limit.of_usd("0.50")),)
    use(OTHER)
    assert held_for("r1", new) == (Budget("run", "r1", Limit.of_usd("0.50")),)
    assert why(held_for("r1", old))


def test_without_a_key_a_signed_one_holds_like_any_other(
    use: Callable[[str | None], None], clock: Callable[[float], None]
) -> None:
    value = sign_budget("run", "r1", limit_tokens=9, window="day", timezone="Europe/Berlin", seconds=60)
    use(None)
    clock(90)
    ((limit, window),) = [(one.limit, one.window.text) for one in held_for("r1", value)]
    assert (limit, window) == (Limit.of_tokens(9), "/day/Europe/Berlin")
    with pytest.raises(ValueError, match="OTEL_COST_BUDGET_KEY is not set, or too short"):
        sign_budget("run", "r1", limit_usd=1)


def test_each_is_said_and_counted_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = InMemoryMetricReader()
    monkeypatch.setattr("opentelemetry.metrics.get_meter", MeterProvider([reader]).get_meter)
    signing._counter.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            held_for("r1", "500")
            budgets_in({"otel_cost.run": "r1", "otel_cost.budget.run": "500", "otel_cost.stage": "other"})
        held_for("r2", "500")
    signing._counter.cache_clear()
    assert [record.getMessage().partition(" in baggage")[0] for record in caplog.records] == [
        "the budget of run 'r1'",
        "the budget of run 'r2'",
    ]
    assert "OTEL_COST_BUDGET_KEY asks for that: see otel-cost budget sign" in caplog.text
    assert signing.rejected() == {"unsigned": 2}
    data = reader.get_metrics_data()
    assert data is not None
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    assert metric.name == "otel_cost.budgets.rejected"
    assert [(point.attributes, point.value) for point in metric.data.data_points] == [({"reason": "unsigned"}, 2)]  # type: ignore[union-attr] # a sum


def test_who_sends_ever_new_ones_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "_MOST_SAID", 2)
    for number in range(5):
        held_for("r1", str(number))
    assert len(caplog.records) == 2
    assert signing.rejected() == {"unsigned": 5}


def test_a_budget_of_the_process_needs_no_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAGGAGE", "otel_cost.run=own,otel_cost.budget.run=0.05")
    attribution.process_members.cache_clear()
    assert budgets_in(attribution.members()) == (Budget("run", "own", Limit.of_usd("0.05")),)
    with attribute(run="inner"):
        found = budgets_in(attribution.members())
    monkeypatch.delenv("BAGGAGE")
    attribution.process_members.cache_clear()
    assert {(one.id, one.limit) for one in found} == {
        ("inner", Limit.of_usd("0.05")),
        ("own", Limit.of_usd("0.05")),
    }


def test_what_code_sets_is_signed_for_whoever_gets_it(clock: Callable[[float], None]) -> None:
    with budget("run", "r1", limit_usd="0.05"):
        outgoing = attribution.members()
        clock(signing.OWN_SECONDS + 1)
        assert budgets_in(attribution.members()) == (Budget("run", "r1", Limit.of_usd("0.05")),)
    clock(0)
    assert budgets_in(outgoing) == (Budget("run", "r1", Limit.of_usd("0.05")),)
    clock(signing.OWN_SECONDS + 1)
    assert "is over" in why(budgets_in(outgoing))


def test_a_block_that_names_another_id_signs_anew_what_was_signed() -> None:
    with budget("run", "r1", limit_usd="0.05"), attribute(run="r2"):
        outgoing = attribution.members()
    assert budgets_in(outgoing) == (Budget("run", "r2", Limit.of_usd("0.05")),)


def test_an_id_is_signed_as_baggage_carries_it() -> None:
    with budget("run", " r1 ;x", limit_usd="0.05"):
        outgoing = attribution.members()
        assert {one.limit for one in budgets_in(outgoing)} == {Limit.of_usd("0.05")}
    assert budgets_in(outgoing) == (Budget("run", "r1", Limit.of_usd("0.05")),)
    with budget("run", "r1", limit_usd="0.05"), attribute(run="r2;x"):
        outgoing = attribution.members()
    assert budgets_in(outgoing) == (Budget("run", "r2", Limit.of_usd("0.05")),)


def test_nobody_has_a_forged_one_signed_by_going_through_us() -> None:
    with attribution.Scope({"otel_cost.run": "r1", "otel_cost.budget.run": "500"}), attribute(run="r2"):
        found = budgets_in(attribution.members())
    assert {(one.id, one.limit.amount) for one in found} == {("r1", 0), ("r2", 0)}


def test_a_key_that_is_too_short_signs_nothing_and_is_not_said(
    use: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    use("hush")
    assert signing.keys() == ()
    assert "a key of fewer than 16 characters is passed over" in caplog.text
    assert "hush" not in caplog.text
    assert "it is not signed" in why(held_for("r1", "0.50"))
    with pytest.raises(ValueError, match="OTEL_COST_BUDGET_KEY is not set, or too short"):
        sign_budget("run", "r1", limit_usd=1)
    use(f"hush,{KEY}")
    assert signing.keys() == (KEY,)
    assert settings.get(settings.BUDGET_KEY, {}) is None


def test_what_cannot_be_signed() -> None:
    with pytest.raises(ValueError, match="needs limit_usd or limit_tokens"):
        sign_budget("run", "r1")
    with pytest.raises(ValueError, match="the id of run is ''"):
        sign_budget("run", "", limit_usd=1)
    with pytest.raises(ValueError, match="seconds=0: it must be more than 0"):
        sign_budget("run", "r1", limit_usd=1, seconds=0)
