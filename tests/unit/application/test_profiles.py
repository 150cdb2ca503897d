"""Which model a stage or a role asks."""

import logging
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import otel_cost
from otel_cost.budgets import Claim, Limit, Spend, file, profiles
from otel_cost.budgets.chosen import MEMORY
from otel_cost.usage import Request, recognise

DRAFTS = """
[[profile]]
stage = "draft*"
models = ["small", "medium", "large"]
shares = [0.2, 0.5]
"""


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    MEMORY.clear()
    profiles._last.clear()
    yield
    MEMORY.clear()
    profiles._last.clear()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Writes the user's file of budgets."""

    def write(text: str) -> Path:
        path = tmp_path / "budgets.toml"
        path.write_text(text)
        monkeypatch.setenv("OTEL_COST_BUDGETS", str(path))
        file._file.cache_clear()
        return path

    return write


def spend(dimension: str, id: str, limit: str, usd: str) -> None:  # noqa: A002 - what it is
    budget = otel_cost.budgets.Budget(dimension, id, Limit.of_usd(limit))  # type: ignore[attr-defined]
    MEMORY.charge((Claim(budget, budget.key(), 0),), Spend(Decimal(usd), 1))


@pytest.mark.parametrize(
    ("spent", "model"),
    [("0", "large"), ("0.50", "large"), ("0.51", "medium"), ("0.80", "medium"), ("0.81", "small"), ("7", "small")],
)
def test_the_strongest_model_that_enough_is_left_for(write: Callable[[str], Path], spent: str, model: str) -> None:
    write(DRAFTS)
    spend("run", "r1", "1", spent)
    with otel_cost.budget("run", "r1", limit_usd="1"):
        assert otel_cost.choose_model(stage="draft-1") == model


def test_the_tightest_budget_counts(write: Callable[[str], Path]) -> None:
    write(DRAFTS)
    spend("project", "p", "10", "1")
    with otel_cost.budget("project", "p", limit_usd="10"), otel_cost.budget("run", "r", limit_tokens=100):
        assert otel_cost.choose_model("draft") == "large"
        tokens = otel_cost.budgets.Budget("run", "r", Limit.of_tokens(100))  # type: ignore[attr-defined]
        MEMORY.charge((Claim(tokens, tokens.key(), 0),), Spend(None, 70))
        assert otel_cost.choose_model("draft") == "medium"


def test_what_a_person_has_decided_counts(write: Callable[[str], Path]) -> None:
    write(DRAFTS)
    spend("run", "r1", "1", "0.9")
    key = otel_cost.budgets.Budget("run", "r1", Limit.of_usd("1")).key()  # type: ignore[attr-defined]
    with otel_cost.budget("run", "r1", limit_usd="1"):
        MEMORY.put_limit(key, Limit.of_usd("9"))
        assert otel_cost.choose_model("draft") == "large"
        MEMORY.stop(key, "enough")
        assert otel_cost.choose_model("draft") == "small"


def test_without_a_budget_it_is_the_strongest(write: Callable[[str], Path]) -> None:
    write(DRAFTS)
    assert otel_cost.choose_model("draft") == "large"


def test_a_budget_of_nothing_leaves_the_cheapest(write: Callable[[str], Path]) -> None:
    write(DRAFTS)
    with otel_cost.budget("run", "r1", limit_usd=0):
        assert otel_cost.choose_model("draft") == "small"


def test_a_store_that_does_not_answer_leaves_the_cheapest(
    write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone:
        def standings(self, _: object) -> None:
            raise OSError("gone")

    write(DRAFTS)
    monkeypatch.setattr(profiles, "store", Gone)
    with otel_cost.budget("run", "r1", limit_usd="1"):
        assert otel_cost.choose_model("draft") == "small"


def test_a_level_says_it_whatever_is_left(write: Callable[[str], Path]) -> None:
    write(DRAFTS)
    assert [otel_cost.choose_model("draft", level=level) for level in (1, 2, 3, 9)] == [
        "small",
        "medium",
        "large",
        "large",
    ]
    with pytest.raises(ValueError, match="level=0: 1 is the cheapest"):
        otel_cost.choose_model("draft", level=0)
    write(DRAFTS + "level = 2\n")
    assert otel_cost.choose_model("draft") == "medium"
    assert otel_cost.choose_model("draft", level=1) == "small"


def test_stage_and_role_are_those_of_the_code_around(write: Callable[[str], Path]) -> None:
    write(
        """
        [[profile]]
        stage = "draft"
        role = "critic"
        models = ["of-both"]
        [[profile]]
        role = "critic"
        models = ["of-the-role"]
        [[profile]]
        models = ["of-any"]
        """
    )
    with otel_cost.attribute(role="critic"):
        assert otel_cost.choose_model(stage="draft") == "of-both"
        assert otel_cost.choose_model() == "of-the-role"
        assert otel_cost.choose_model(role="writer") == "of-any"
    with otel_cost.attribute(stage="draft"):
        assert otel_cost.choose_model() == "of-any"
        assert otel_cost.choose_model(role="critic") == "of-both"


def test_without_shares_the_steps_are_even(write: Callable[[str], Path]) -> None:
    write('[[profile]]\nmodels = ["a", "b"]\n')
    for spent, model in (("0.50", "b"), ("0.01", "a")):
        spend("run", "r1", "1", spent)
        with otel_cost.budget("run", "r1", limit_usd="1"):
            assert otel_cost.choose_model() == model


def test_no_profile_says_what_to_do(write: Callable[[str], Path]) -> None:
    write(DRAFTS)
    with pytest.raises(LookupError, match=r"stage='review', role=None: add a \[\[profile\]\] .* OTEL_COST_BUDGETS"):
        otel_cost.choose_model("review")


def test_a_change_is_said_once(write: Callable[[str], Path], caplog: pytest.LogCaptureFixture) -> None:
    write(DRAFTS)
    caplog.set_level(logging.INFO, "otel_cost.budgets.profiles")
    span = TracerProvider().get_tracer("t").start_span("work")
    with trace.use_span(span, end_on_exit=True), otel_cost.budget("run", "r1", limit_usd="1"):
        for spent in ("0", "0.6", "0.1"):
            spend("run", "r1", "1", spent)
            otel_cost.choose_model("draft")
    assert [record.message for record in caplog.records if record.name == profiles.__name__] == [
        "stage='draft', role=None: large from now on, since 100% of the tightest budget is left",
        "stage='draft', role=None: medium from now on, since 40% of the tightest budget is left",
    ]
    assert [dict(event.attributes or {}) for event in span.events] == [  # type: ignore[attr-defined]
        {
            "otel_cost.model.chosen": model,
            "otel_cost.model.chosen.reason": f"{left} of the tightest budget is left",
        }
        for model, left in (("large", "100%"), ("medium", "40%"))
    ]


def test_what_is_remembered_is_bounded(write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    write(DRAFTS)
    monkeypatch.setattr(profiles, "_MOST_REMEMBERED", 3)
    for number in range(9):
        otel_cost.choose_model(f"draft-{number}")
    assert len(profiles._last) <= 3


def asking(model: str) -> Request:
    url = "https://api.openai.com/v1/chat/completions"
    found = recognise("POST", url, b'{"model": "%s", "messages": []}' % model.encode())
    assert found is not None
    return found


def test_the_next_cheaper_model(write: Callable[[str], Path]) -> None:
    write(DRAFTS + '[[profile]]\nmodels = ["other", "large"]\n')
    draft = {"stage": "draft"}
    assert [profiles.cheaper(asking(model), draft) for model in ("large", "medium", "small")] == [
        "medium",
        "small",
        None,
    ]
    assert profiles.cheaper(asking("large"), {}) == "other"
    assert profiles.cheaper(asking("unheard-of"), draft) is None


@pytest.mark.parametrize(
    ("profile", "problem"),
    [
        ("models = []", ":2: models: name one model or several, each once, from cheap to strong"),
        ('models = ["a", "a"]', ":2: models: name one model or several, each once, from cheap to strong"),
        ('models = ["a", ""]', ":2: models: name one model or several, each once, from cheap to strong"),
        ('stage = "x"', ":1: models is missing"),
        ('models = ["a", "b"]\nshares = [0.2, 0.3]', ":3: shares: 2 models need 1 of them, one for each model but the"),
        ('models = ["a", "b", "c"]\nshares = [0.5, 0.2]', ":3: shares: write numbers above 0 and up to 1, each larger"),
        ('models = ["a", "b"]\nshares = [1.5]', ":3: shares: write numbers above 0 and up to 1, each larger"),
        ('models = ["a", "b"]\nshares = 0.5', ":3: shares="),
        ('models = ["a"]\nlevel = 2', ":3: level: there are 1 models, so it is at most 1"),
        ('models = ["a"]\nlevel = 0', ":3: level=0:"),
        ('models = ["a"]\nsteps = 1', ":3: steps: no such key; there are stage, role, models, shares, level"),
    ],
)
def test_what_is_wrong_with_a_profile(profile: str, problem: str) -> None:
    with pytest.raises(file.BudgetFileError) as raised:
        file.read(f"[[profile]]\n{profile}\n", "budgets.toml")
    assert raised.value.problems[0].startswith(f"budgets.toml{problem}")


def test_a_profile_is_an_item_of_its_own() -> None:
    with pytest.raises(file.BudgetFileError, match=r"budgets.toml:1: profile: write \[\[budget\]\]"):
        file.read('[profile]\nmodels = ["a"]\n', "budgets.toml")


def test_shares_are_exact() -> None:
    found = file.read(DRAFTS, "budgets.toml").profiles
    assert found == (profiles.Profile(("small", "medium", "large"), (Decimal("0.2"), Decimal("0.5")), "draft*"),)
    from otel_cost.budgets.profile_config import ProfileConfig  # noqa: PLC0415 - needs pydantic

    assert ProfileConfig(models=("a", "b"), shares=(0.1,)).shares == (Decimal("0.1"),)  # type: ignore[arg-type]
    assert ProfileConfig.model_json_schema()["required"] == ["models"]
