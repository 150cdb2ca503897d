"""Spans of calls that were not seen on the wire, in every dialect, as docs/reference/span-dialects.json has them."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_cost import counted, dialects, semconv
from otel_cost.span_processor import CostSpanProcessor
from otel_cost.usage import Usage

VECTORS = json.loads((Path(__file__).parents[3] / "docs/reference/span-dialects.json").read_text())["vectors"]
USAGE = semconv.USAGE_ATTRIBUTES
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
FIGURES = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 200}


class Tracing:
    """A tracer provider with our span processor, and what it exported."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(CostSpanProcessor())
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def tells(self, attributes: dict[str, Any], scope: str = "somebody", **more: Any) -> dict[str, Any]:
        """What stands on a span of `scope` that says `attributes`, when it has ended."""
        with self.provider.get_tracer(scope).start_as_current_span("told", **more) as span:
            span.set_attributes(attributes)
        return dict(self.spans[-1].attributes or {})

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()


@pytest.fixture
def tracing() -> Tracing:
    return Tracing()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_span_is_read_in_its_dialect(vector: dict[str, Any], tracing: Tracing) -> None:
    span = tracing.tells(vector["attributes"], vector["scope"])
    if not vector["is_call"]:
        assert semconv.COST_STATUS not in span
        return
    assert {field: span.get(name, 0) for field, name in USAGE.items()} == {**dict.fromkeys(USAGE, 0), **vector["usage"]}
    assert (span[semconv.COST_STATUS], span.get(semconv.COST_REASON)) == (vector["status"], vector.get("reason"))
    amount = span.get(semconv.COST_AMOUNT)
    assert amount is None if "cost_usd" not in vector else Decimal(amount) == Decimal(vector["cost_usd"])
    elsewhere = {span.get(name) for name in semconv.BACKENDS_COST}
    assert elsewhere == {None if amount is None else float(amount)}


def test_every_dialect_of_the_table_has_a_vector() -> None:
    spoken = {dialects.dialect_of(vector["attributes"], vector["scope"]).name for vector in VECTORS}
    assert spoken == {dialect.name for dialect in (*dialects.DIALECTS, dialects.GENAI)}


@pytest.mark.parametrize("figure", [True, -1, 1.5, "many", None])
def test_what_is_no_count_is_passed_over(figure: object) -> None:
    assert dialects.read({**CHAT, "gen_ai.usage.input_tokens": figure}).usage is None


def test_counts_that_came_as_doubles_are_counts() -> None:
    assert dialects.read({**CHAT, "gen_ai.usage.input_tokens": 5.0}).usage == Usage(input_tokens=5)


def test_json_that_is_none_says_nothing() -> None:
    told = {"langfuse.observation.type": "generation", "langfuse.observation.usage_details": "{nothing"}
    assert dialects.read(told).usage is None


def test_a_span_that_says_nothing_yet_is_told_by_its_name_where_the_dialect_names_it_so() -> None:
    assert dialects.is_call({}, "openlit.instrumentation.anthropic", "chat claude-sonnet-4-5")
    assert dialects.is_call({}, "openlit.instrumentation.anthropic", "invoke_agent writer") is False
    assert dialects.is_call({}, "somebody", "chat claude-sonnet-4-5") is None


# --- told again ----------------------------------------------------------------------------------------------------
def costed(tracing: Tracing) -> int:
    return sum(semconv.COST_STATUS in (span.attributes or {}) for span in tracing.spans)


def test_the_server_that_a_span_names_says_where_the_call_went(tracing: Tracing) -> None:
    # gpt-5.4-mini: 0.75 and 4.50, so 1,000 and 200 are 0.00165; 1.1 times that at a host of OpenAI's data residency
    told = {**CHAT, **FIGURES, "gen_ai.request.model": "gpt-5.4-mini", "server.address": "eu.api.openai.com"}
    span = tracing.tells(told)
    assert span[semconv.COST_STATUS] == "known"
    assert Decimal(str(span[semconv.COST_AMOUNT])) == Decimal("0.001815")


def test_a_call_that_two_instrumentations_tell_of_side_by_side_is_counted_once(tracing: Tracing) -> None:
    tracing.tells({**CHAT, **FIGURES}, "one")
    tracing.tells(
        {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o", "llm.token_count.prompt": 1000}
        | {"llm.token_count.completion": 200},
        "openinference.other",
    )
    assert costed(tracing) == 1


def test_the_same_figures_from_the_same_instrumentation_are_another_call(tracing: Tracing) -> None:
    for _ in range(3):
        tracing.tells({**CHAT, **FIGURES}, "one")
    assert costed(tracing) == 3


def test_figures_that_leave_out_what_was_cached_are_known_again() -> None:
    counted.add(None, frozenset({"m"}), Usage(input_tokens=1000, output_tokens=200, cache_read_tokens=600))
    told = Usage(input_tokens=400, output_tokens=200)
    assert not counted.is_counted(None, frozenset({"other"}), told, teller="a", started_ns=0)
    assert counted.is_counted(None, frozenset({"m"}), told, teller="a", started_ns=0)
    assert not counted.is_counted(None, frozenset({"m"}), told, teller="a", started_ns=0)
    assert counted.is_counted(None, frozenset({"m"}), told, teller="b", started_ns=0)


def test_a_span_that_began_long_after_tells_of_another_call() -> None:
    counted.add(None, frozenset({"m"}), Usage(input_tokens=5))
    later = counted._recent[-1].ended_ns + counted._AFTERWARDS_NS + 1
    assert not counted.is_counted(None, frozenset({"m"}), Usage(input_tokens=5), teller="a", started_ns=later)


def test_a_response_that_was_counted_is_known_by_its_id_and_the_oldest_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(counted, "_MOST_IDS", 2)
    for number in range(3):
        counted.add(f"r{number}", frozenset(), None)
    known = [counted.is_counted(f"r{number}", frozenset(), Usage(), teller="a", started_ns=0) for number in range(3)]
    assert known == [False, True, True]


def test_of_spans_over_one_another_the_innermost_is_the_call_where_none_was_seen(tracing: Tracing) -> None:
    with tracing.provider.get_tracer("outer").start_as_current_span("over", attributes={**CHAT, **FIGURES}):
        tracing.tells({**CHAT, **FIGURES, "gen_ai.usage.input_tokens": 900}, "inner")
    assert [semconv.COST_STATUS in (span.attributes or {}) for span in tracing.spans] == [True, False]
