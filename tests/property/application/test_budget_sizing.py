"""What calls hold: never less than they can cost where it is strict, and the stated overshoot where it is expected."""

import json
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from otel_cost import Usage, pricing
from otel_cost.budgets import Budget, Hold, Limit, Policy, Spend, claims_of, learn, learned
from otel_cost.budgets.bound import bound_of
from otel_cost.budgets.memory import MemoryStore
from otel_cost.usage import Request, recognise

URL = "https://api.openai.com/v1/chat/completions"
MODELS = (
    ("openai", "gpt-4o"),
    ("anthropic", "claude-sonnet-4-6"),
    ("gcp.gemini", "gemini-2.5-pro"),
    ("openai", "gpt-5.6"),
)
KINDS = frozenset({"write", "5m", "1h", "image", "audio", "video"})


def request(text: str = "", ensure_ascii: bool = True, **fields: object) -> Request:  # noqa: FBT001, FBT002 - as json has it
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **fields}
    found = recognise("POST", URL, json.dumps(body, ensure_ascii=ensure_ascii).encode("utf-8", "surrogatepass"))
    assert found is not None
    return found


@given(text=st.text(st.characters(exclude_categories=("Cs",))), ascii_only=st.booleans())
def test_no_text_has_more_tokens_than_its_bound(text: str, ascii_only: bool) -> None:  # noqa: FBT001 - hypothesis's
    assert bound_of(request(text, ascii_only, max_tokens=1)).input_tokens >= len(text.encode())


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """What a call can have used: each token in one place."""
    fresh, read, written, hour, image, sound = (draw(st.integers(0, 300_000)) for _ in range(6))
    answer, thought = draw(st.integers(0, 100_000)), draw(st.integers(0, 100_000))
    return Usage(
        input_tokens=fresh + read + written + hour + image + sound,
        cache_read_tokens=read,
        cache_write_tokens=written + hour,
        cache_write_5m_tokens=written,
        cache_write_1h_tokens=hour,
        input_image_tokens=image,
        input_audio_tokens=sound,
        output_tokens=answer + thought,
        reasoning_tokens=thought,
    )


@settings(deadline=None)
@given(usage=usages(), model=st.sampled_from(MODELS), more=st.integers(0, 200_000))
def test_no_usage_costs_more_than_the_dearest(usage: Usage, model: tuple[str, str], more: int) -> None:
    provider, name = model
    cost = pricing.price(provider=provider, model=name, usage=usage)
    most = pricing.most(
        provider=provider,
        model=name,
        input_tokens=usage.input_tokens + more,
        output_tokens=usage.output_tokens + more,
        kinds=KINDS,
        tiers=(None,),
        terms={},
    )
    assert cost.amount is not None
    assert most.amount is not None
    assert cost.amount <= most.amount


@given(tokens=st.tuples(st.integers(0, 300_000), st.integers(0, 100_000)), model=st.sampled_from(MODELS))
def test_plain_text_costs_the_same_by_the_short_way(tokens: tuple[int, int], model: tuple[str, str]) -> None:
    provider, name = model
    cost = pricing.price(provider=provider, model=name, usage=Usage(input_tokens=tokens[0], output_tokens=tokens[1]))
    short = pricing.of_text(provider=provider, model=name, input_tokens=tokens[0], output_tokens=tokens[1], terms={})
    assert short == (cost.amount, None)


LIMIT = Limit.of_usd("0.05")
"""At 10 USD a million tokens of output, that is about 5000 of them."""
# A call begins (with the bound that it states, if any), or the n-th of those under way ends with so many tokens.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.one_of(st.none(), st.integers(1, 2000))),
        st.tuples(st.just("end"), st.tuples(st.integers(0, 20), st.integers(0, 4000))),
    ),
    max_size=60,
)


def cost_of(tokens: int) -> Decimal:
    return tokens * Decimal("0.00001")


@settings(deadline=None)
@given(steps=steps)
def test_expected_passes_a_limit_by_what_calls_in_flight_exceed_their_holds_by(
    steps: list[tuple[str, object]],
) -> None:
    learned._outputs.clear()
    learned._tokens_per_byte.clear()
    budget, store = Budget("run", "r1", LIMIT), MemoryStore()
    under_way: list[tuple[Request, Hold]] = []
    spent = exceeded = Decimal(0)  # exceeded: by calls that were in flight when the last one left
    for what, how in steps:
        if what == "begin":
            asked = request() if how is None else request(max_tokens=how)
            answer = store.reserve(claims_of(asked, (budget,), {}))
            if isinstance(answer, Hold):
                under_way.append((asked, answer))
                exceeded = Decimal(0)
        elif under_way:
            index, tokens = how  # type: ignore[misc]
            asked, hold = under_way.pop(index % len(under_way))
            tokens = min(tokens, asked.max_output_tokens or tokens)
            store.settle(hold, Spend(cost_of(tokens), tokens))
            learn(asked, Usage(output_tokens=tokens), None)
            spent += cost_of(tokens)
            exceeded += max(cost_of(tokens) - (hold.claims[0].amount or 0), Decimal(0))
        assert spent <= LIMIT.amount + exceeded


@settings(deadline=None)
@given(
    bounds=st.lists(st.integers(1, 3000), max_size=30),
    shares=st.lists(st.integers(0, 100), min_size=30, max_size=30),
    together=st.integers(1, 6),
)
def test_strict_never_passes_a_limit(bounds: list[int], shares: list[int], together: int) -> None:
    budget, store = Budget("run", "r1", LIMIT, policy=Policy(sizing="strict")), MemoryStore()
    under_way: list[tuple[Request, Hold]] = []
    spent = Decimal(0)
    for bound, share in zip(bounds, shares, strict=False):
        asked = request(max_tokens=bound)
        answer = store.reserve(claims_of(asked, (budget,), {}))
        if isinstance(answer, Hold):
            under_way.append((asked, answer))
        if len(under_way) >= together:
            ended, hold = under_way.pop(0)
            usage = Usage(input_tokens=len(ended.body), output_tokens=(ended.max_output_tokens or 0) * share // 100)
            cost = pricing.price(provider="openai", model="gpt-4o", usage=usage).amount
            assert cost is not None
            store.settle(hold, Spend(cost, usage.total_tokens))
            spent += cost
        assert spent <= LIMIT.amount
