import pickle
from decimal import Decimal

from otel_cost import BudgetExceededError


def refusal(**changed: object) -> BudgetExceededError:
    fields: dict[str, object] = {
        "scope": "run",
        "id": "r1",
        "limit": Decimal("0.05"),
        "spent": Decimal("0.0481"),
        "held": Decimal(0),
        "call": Decimal("0.003"),
        "unit": "USD",
        "model": "gpt-4o",
    }
    return BudgetExceededError(**{**fields, **changed})  # type: ignore[arg-type] # fields by name


def test_it_says_which_budget_how_much_and_for_what() -> None:
    error = refusal()
    assert isinstance(error, RuntimeError)
    assert str(error) == (
        "budget of run 'r1' (0.050000 USD) refused a call to 'gpt-4o': 0.048100 USD spent, "
        "and this call would cost about 0.003000 USD"
    )
    assert (error.scope, error.id, error.limit, error.spent, error.call) == (
        "run",
        "r1",
        Decimal("0.05"),
        Decimal("0.0481"),
        Decimal("0.003"),
    )


def test_it_says_what_calls_under_way_hold() -> None:
    assert "0.048100 USD spent and 0.001000 USD held by calls under way, and" in str(refusal(held=Decimal("0.001")))


def test_tokens_are_tokens() -> None:
    error = refusal(limit=1000, spent=900, held=0, call=200, unit="tokens")
    assert str(error).startswith("budget of run 'r1' (1000 tokens) refused a call to 'gpt-4o': 900 tokens spent, and")


def test_a_model_without_a_price_is_named() -> None:
    error = refusal(call=None, model="home-made")
    assert str(error).endswith(
        "refused a call to 'home-made', which cannot be held against a limit in USD: no price is known. "
        "State its price, or on_unknown; or set a limit in tokens"
    )
    assert "USD: because. State" in str(refusal(call=None, reason="because"))
    assert str(refusal(call=None, reason="because", unit="tokens")).endswith("against a limit in tokens: because")


def test_a_call_that_names_no_model_is_a_call() -> None:
    assert " refused a call: 0.048100 USD spent, and " in str(refusal(model=None))


def test_it_crosses_process_pools() -> None:
    error = refusal()
    expected = vars(error).copy()
    error.add_note("while drafting")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert str(copy) == str(error)
    assert vars(copy) == expected


def test_a_spent_budget_says_that_nothing_is_left() -> None:
    assert str(refusal(call=0)).endswith("0.048100 USD spent, which leaves nothing")
