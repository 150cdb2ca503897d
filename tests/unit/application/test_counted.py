"""Which spans tell of a call that is counted, or about to be."""

from __future__ import annotations

from otel_cost import counted
from otel_cost.usage import Usage

USED = Usage(input_tokens=1000, output_tokens=1)
MODEL = frozenset({"us.amazon.nova-pro-v1:0"})


def told(model: str, teller: str, started_ns: int) -> bool:
    return counted.is_counted(None, frozenset({model}), USED, teller=teller, started_ns=started_ns)


def test_a_span_around_a_response_that_is_passing_by_tells_of_it_once() -> None:
    passing = counted.passes(MODEL, 200)
    assert not told("gpt-4o", "theirs", 100)
    assert not told("us.amazon.nova-pro-v1:0", "theirs", 300)
    assert told("nova-pro-v1:0", "theirs", 100)
    assert not told("nova-pro-v1:0", "theirs", 100)
    assert told("bedrock/us.amazon.nova-pro-v1:0", "another", 100)
    assert counted.passed(passing) == {"theirs", "another"}
    assert not told("nova-pro-v1:0", "a third", 100)


def test_who_told_of_a_call_while_it_passed_tells_of_another_one_next() -> None:
    passing = counted.passes(frozenset({"model-7"}), 200)
    assert told("model-7", "theirs", 100)
    counted.add(None, frozenset({"model-7"}), USED, counted.passed(passing))
    assert not told("model-7", "theirs", 100)
    assert told("model-7", "another", 100)


def test_of_several_calls_a_span_tells_of_the_one_that_began_right_after_it() -> None:
    later, sooner = (counted.passes(frozenset({"model-8"}), started) for started in (300, 200))
    assert told("model-8", "theirs", 100)
    assert (counted.passed(later), counted.passed(sooner)) == (frozenset(), {"theirs"})
