"""Whatever baggage says, the budgets of code, of the user's file and of the process hold at least as tight."""

from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_cost import attribution, signing
from otel_cost.budgets import Budget, budgets_in, context, file
from otel_cost.budgets.config import BudgetConfig, budget_of

DIMENSIONS = st.sampled_from(["run", "project"])
IDS = st.sampled_from(["a", "b", "team-c"])
AMOUNTS = st.sampled_from(["0", "0.5", "1", "7", "30"])
LIMITS = AMOUNTS | st.sampled_from(["9tok", "90tok", "1/day", "4tok/month", "-1", "five", "0.5@99999999999.x", "/"])
ON_EXCEED = st.sampled_from(["raise", "pause", "warn"])
MEMBERS = st.dictionaries(
    st.sampled_from(["otel_cost.run", "otel_cost.project", "otel_cost.budget.run", "otel_cost.budget.project"]),
    IDS | LIMITS,
)
RULES = st.builds(
    lambda dimension, match, amount, window, on_exceed: BudgetConfig(
        dimension=dimension, match=match, limit_usd=Decimal(amount), window=window, on_exceed=on_exceed
    ),
    DIMENSIONS,
    st.sampled_from(["*", "team-*", "a"]),
    AMOUNTS,
    st.sampled_from(["life", "day"]),
    ON_EXCEED,
)
OF_CODE = st.tuples(DIMENSIONS, IDS, AMOUNTS, ON_EXCEED)


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    attribution.process_members.cache_clear()
    file._file.cache_clear()
    signing.keys.cache_clear()


def enforced(found: tuple[Budget, ...]) -> dict[object, Decimal]:
    """The limits that refuse calls, by what they are for; none is there twice."""
    limits = {
        (one.dimension, one.id, one.limit.in_tokens, one.window): one.limit.amount
        for one in found
        if one.policy.on_exceed != "warn"
    }
    assert len({one.key() for one in found}) == len(found)
    return limits


@given(
    rules=st.lists(RULES, max_size=3),
    of_code=st.lists(OF_CODE, max_size=3),
    of_process=MEMBERS,
    outside=MEMBERS,
    keys=st.sampled_from([None, ("k" * 16,)]),
)
def test_baggage_only_tightens(
    rules: list[BudgetConfig],
    of_code: list[tuple[str, str, str, str]],
    of_process: dict[str, str],
    outside: dict[str, str],
    keys: tuple[str, ...] | None,
) -> None:
    of_file = file.Rules(tuple(rules))
    with pytest.MonkeyPatch.context() as patch, ExitStack() as blocks:
        patch.setattr(attribution, "process_members", lambda: of_process)
        patch.setattr(file, "rules", lambda: of_file)
        patch.setattr(signing, "keys", lambda: keys)
        for dimension, budget_id, amount, on_exceed in of_code:
            blocks.enter_context(
                context.scope_of(budget_of(dimension, budget_id, limit_usd=amount, on_exceed=on_exceed))
            )
        alone = enforced(budgets_in(of_process))
        found = enforced(budgets_in({**of_process, **outside}))
    for account, limit in alone.items():
        assert found[account] <= limit
