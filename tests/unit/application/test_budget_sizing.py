"""How much a call holds of each of its budgets."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from otel_cost.budgets import Budget, Limit, Policy, claims_of, learn, learned, likely_cost, sizing
from otel_cost.budgets.sizing import Size, input_tokens
from otel_cost.usage import Request, Usage, recognise

RUN = Budget("run", "r1", Limit.of_usd("1"))
TOKENS = Budget("run", "r1", Limit.of_tokens(9))
NO_PROVIDER = "llm.example is no known provider: name it with OTEL_COST_ENDPOINTS=BASE_URL=provider"


def request(body: bytes, url: str = "https://api.openai.com/v1/chat/completions") -> Request:
    found = recognise("POST", url, body)
    assert found is not None
    return found


def tokens_of(body: bytes, role: str | None = None) -> object:
    return claims_of(request(body), (TOKENS,), {}, role)[0].amount


def with_policy(budget: Budget, **policy: object) -> Budget:
    return Budget(budget.dimension, budget.id, budget.limit, policy=Policy(**policy))  # type: ignore[arg-type]


def test_a_hold_is_input_counted_up_and_output_at_the_bound() -> None:
    body = b'{"model": "gpt-4o", "max_tokens": 100, "x": "%s"}' % (b"a" * 253)
    assert len(body) == 300
    # 300 bytes are at most 100 tokens: 100 x 2.50 / 1e6 + 100 x 10 / 1e6
    (claim,) = claims_of(request(body), (RUN,), {RUN.key(): Decimal("0.5")})
    assert (claim.budget, claim.key, claim.amount) == (RUN, RUN.key(), Decimal("0.00125"))
    assert (claim.own, claim.passes, claim.reason) == (Decimal("0.5"), False, None)
    assert tokens_of(body) == 200


def test_the_answer_is_what_such_calls_had_lately() -> None:
    body = b'{"model": "gpt-4o"}'
    assert tokens_of(body) == 7 + 1000
    learn(request(body), Usage(input_tokens=19, output_tokens=400), None)
    # The first answer is the mean, half of it the deviation: 400 + 2 x 200. And a byte made a token, off by a half.
    assert tokens_of(body) == 2 * 19 + 800
    learn(request(body), Usage(input_tokens=19, output_tokens=400), None)
    # The second was as the first: the deviation falls by a quarter.
    assert tokens_of(body) == int(1.75 * 19) + 1 + 700
    learn(request(body), Usage(input_tokens=19, output_tokens=1200), None)
    # 800 off: the mean goes an eighth of it to 500, the deviation a quarter of the way from 150 to 800: 312.5
    assert tokens_of(body) == int(19 * (1 + 2 * 0.28125)) + 1 + 500 + 625


def test_a_bound_that_the_request_states_is_never_exceeded() -> None:
    learn(request(b'{"model": "gpt-4o"}'), Usage(input_tokens=0, output_tokens=4000), None)
    assert tokens_of(b'{"model": "gpt-4o", "max_tokens": 6}') == 12 + 6
    assert tokens_of(b'{"model": "gpt-4o", "max_tokens": 60000}') == 14 + 8000


def test_a_large_bound_is_not_held_where_nothing_is_known() -> None:
    assert tokens_of(b'{"model": "gpt-4o", "max_tokens": 64000}') == 14 + 1000


def test_roles_differ_and_a_new_one_begins_as_the_model() -> None:
    body = b'{"model": "gpt-4o"}'
    learn(request(body), Usage(output_tokens=100), "critic")
    assert tokens_of(body, "critic") == tokens_of(body, "writer") == tokens_of(body) == 7 + 200
    learn(request(body), Usage(output_tokens=3000), "writer")
    assert tokens_of(body, "critic") == 7 + 200
    assert tokens_of(body, "writer") == 7 + 6000


def test_what_is_learned_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "_MOST_KEPT", 4)
    for number in range(50):
        learn(request(b'{"model": "gpt-4o"}'), Usage(input_tokens=5, output_tokens=100), f"role {number}")
    assert len(learned._outputs) <= 4
    assert len(learned._tokens_per_byte) == 1


def test_threads_learn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "_MOST_KEPT", 8)
    asked = request(b'{"model": "gpt-4o"}')

    def learn_much(thread: int) -> None:
        for number in range(500):
            learn(asked, Usage(input_tokens=5, output_tokens=100), f"role {thread} {number % 9}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(learn_much, range(4)))
    assert len(learned._outputs) <= 8 + 4  # each thread may add one that it saw room for
    assert 100 <= tokens_of(b'{"model": "gpt-4o"}') <= 10 + 200  # type: ignore[operator]


def test_pictures_teach_nothing_about_text_and_are_not_counted_as_text() -> None:
    image = b"data:image/png;base64," + b"A" * 2_000_000
    body = b'{"model": "gpt-4o", "max_tokens": 10, "messages": [{"content": "%s"}]}' % image
    assert tokens_of(body) < 21_000  # type: ignore[operator]
    learn(request(body), Usage(input_tokens=9_000_000, output_tokens=1), None)
    assert input_tokens(request(b'{"model": "gpt-4o"}')) == 7


def test_what_a_cut_answer_had_for_input_is_about_the_mean() -> None:
    body = b'{"model": "gpt-4o"}'
    learn(request(body), Usage(input_tokens=38, output_tokens=1), None)
    assert input_tokens(request(body)) == 38


def test_an_unknown_provider_has_no_price() -> None:
    body = b'{"model": "gpt-4o", "messages": []}'
    (claim,) = claims_of(request(body, "https://llm.example/v1/chat/completions"), (RUN,), {})
    assert (claim.amount, claim.reason) == (None, NO_PROVIDER)
    assert claims_of(request(b"{}"), (RUN,), {})[0].reason == "the request names no model"
    assert tokens_of(b"{}") == 1 + 1000  # tokens need no price
    assert likely_cost(request(b"{}")).reason == "the request names no model"


@pytest.mark.parametrize("rule", ["expected", "strict", "safety_factor"])
def test_what_the_policy_says_of_an_unknown_price(rule: str) -> None:
    body = b'{"model": "m", "messages": [], "max_tokens": 970}'
    unknown = request(body, "https://llm.example/v1/chat/completions")
    policies = [
        with_policy(RUN, sizing=rule),
        with_policy(RUN, sizing=rule, on_unknown="allow"),
        with_policy(RUN, sizing=rule, on_unknown="rate", unknown_rate=Decimal(7)),
        with_policy(RUN, sizing=rule, on_unknown="rate"),
    ]
    claims = claims_of(unknown, policies, {})
    # 49 bytes are at most 17 tokens, and 970 of output: 987 x 7 / 1e6
    assert [claim.amount for claim in claims] == [None, 0, Decimal("0.006909"), None]
    assert [claim.reason for claim in claims] == [NO_PROVIDER, None, None, NO_PROVIDER]


def test_four_budgets_are_priced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    price = sizing.pricing.of_text
    monkeypatch.setattr(sizing.pricing, "of_text", lambda **what: asked.append(what) or price(**what))
    claims = claims_of(request(b'{"model": "gpt-4o"}'), (RUN, RUN, TOKENS, RUN), {})
    assert len(asked) == 1
    assert len(claims) == 4


def test_a_call_that_waits_is_sized_by_what_was_learned_meanwhile() -> None:
    body = b'{"model": "gpt-4o"}'
    size = Size(request(body), None)
    assert size.claims((TOKENS,), {})[0].amount == 7 + 1000
    learn(request(body), Usage(output_tokens=100), None)
    assert size.claims((TOKENS,), {})[0].amount == 7 + 200


class TestStrict:
    USD = with_policy(RUN, sizing="strict")
    TOKENS = with_policy(TOKENS, sizing="strict")

    def test_holds_the_most_that_the_call_can_become(self) -> None:
        body = b'{"model": "gpt-4o", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}'
        usd, tokens = claims_of(request(body), (self.USD, self.TOKENS), {})
        most = len(body) + 32 + 8
        assert tokens.amount == most + 100
        assert usd.amount == most * Decimal("0.0000025") + 100 * Decimal("0.00001")

    def test_a_request_without_a_bound_says_what_to_do(self) -> None:
        body = b'{"model": "gpt-4o", "previous_response_id": "resp_1", "input": "Go on", "max_output_tokens": 9}'
        unbounded = request(body, "https://api.openai.com/v1/responses")
        allow = with_policy(TOKENS, sizing="strict", on_unknown="allow")
        rate = with_policy(TOKENS, sizing="strict", on_unknown="rate", unknown_rate=Decimal(1))
        claims = claims_of(unbounded, (self.USD, self.TOKENS, allow, rate), {})
        assert [claim.amount for claim in claims] == [None, None, 0, -(-len(body) // 3) + 9]
        assert claims[0].reason == claims[1].reason
        assert claims[0].reason == (
            'sizing = "strict" finds no bound of this request: the request does not show what previous_response_id '
            'brings. Use sizing = "expected" for such calls'
        )

    def test_a_doubtful_price_is_no_bound(self) -> None:
        body = b'{"model": "gpt-4o", "service_tier": "turbo", "max_tokens": 9, "messages": []}'
        (claim,) = claims_of(request(body), (self.USD,), {})
        assert (claim.amount, claim.reason) == (None, "no price for service tier 'turbo' of model 'gpt-4o' of 'openai'")

    def test_who_has_others_serve_a_model_has_no_price_of_his_own(self) -> None:
        body = b'{"model": "openai/gpt-4o", "max_tokens": 9, "messages": []}'
        routed = request(body, "https://openrouter.ai/api/v1/chat/completions")
        usd, tokens = claims_of(routed, (self.USD, self.TOKENS), {})
        assert (usd.amount, tokens.amount) == (None, len(body) + 32 + 9)
        assert usd.reason == ('sizing = "strict" finds no price: openrouter has others serve the model, at their own')
        assert claims_of(routed, (RUN,), {})[0].amount is not None

    @pytest.mark.parametrize("model", ["nobodys-model", "text-embedding-3-small"])  # the other has one of its input
    def test_a_model_without_a_price_has_no_bound(self, model: str) -> None:
        body = b'{"model": "%s", "max_tokens": 9, "messages": []}' % model.encode()
        (claim,) = claims_of(request(body), (self.USD,), {})
        assert (claim.amount, claim.reason) == (None, f"no price for model {model!r} of 'openai'")


def test_a_model_that_has_a_price_of_its_input_alone() -> None:
    body = b'{"model": "text-embedding-3-small", "messages": []}'
    assert claims_of(request(body), (RUN,), {})[0].amount is None
