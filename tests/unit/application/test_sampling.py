"""The application's sampler decides as ever; what it drops of calls is recorded for the books alone."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState

from otel_cost import safety, sampling
from otel_cost.sampling import keep_money

CALL = {"gen_ai.operation.name": "chat"}


class Picky(Sampler):
    """A custom sampler: it drops one name, and leaves a mark on each trace."""

    def __init__(self, dropped: str) -> None:
        self.dropped = dropped

    def should_sample(self, _: Any, __: int, name: str, *___: Any, **____: Any) -> SamplingResult:
        decision = Decision.DROP if name == self.dropped else Decision.RECORD_AND_SAMPLE
        return SamplingResult(decision, {"picked": True}, TraceState([("picky", "1")]))

    def get_description(self) -> str:
        return "Picky"


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    yield exporter
    exporter.clear()


@pytest.fixture
def provider_with(exported: InMemorySpanExporter) -> Callable[[Sampler], TracerProvider]:
    def make(sampler: Sampler) -> TracerProvider:
        provider = TracerProvider(sampler, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exported))
        keep_money(provider)
        return provider

    return make


def test_a_dropped_call_is_recorded_and_nobody_hears_of_it(
    provider_with: Callable[[Sampler], TracerProvider], exported: InMemorySpanExporter
) -> None:
    tracer = provider_with(ALWAYS_OFF).get_tracer("app")
    with tracer.start_as_current_span("chat", attributes=CALL) as call:
        assert call.is_recording()
        assert not call.get_span_context().trace_flags.sampled
        assert dict(call.attributes) == CALL  # type: ignore[attr-defined] # of the SDK's span
        with tracer.start_as_current_span("POST") as below:
            assert not below.get_span_context().trace_flags.sampled
            assert below.is_recording()  # it leads from what is below it to the call
    with tracer.start_as_current_span("GET /") as other:
        assert not other.is_recording()
        with tracer.start_as_current_span("SELECT") as below:
            assert not below.is_recording()
    assert exported.get_finished_spans() == ()


@pytest.mark.parametrize(
    ("name", "attributes", "kept"),
    [
        ("ChatCompletion", {"openinference.span.kind": "LLM"}, True),
        ("ChatVertexAI.chat", {}, True),
        ("ChatOpenAI", {}, True),
        ("openai.response", {}, True),
        ("chat.message", {}, False),
        ("invoke_agent writer", {"gen_ai.operation.name": "invoke_agent"}, False),
        ("writer.chat", {"gen_ai.operation.name": "invoke_agent"}, False),
        ("POST /chat", {"http.request.method": "POST"}, False),
    ],
)
def test_calls_are_told_by_what_they_are_begun_with(
    name: str,
    attributes: dict[str, str],
    kept: bool,  # noqa: FBT001 - a parameter of the cases
    provider_with: Callable[[Sampler], TracerProvider],
) -> None:
    assert provider_with(ALWAYS_OFF).get_tracer("app").start_span(name, attributes=attributes).is_recording() is kept


def test_what_is_sampled_is_so_as_ever(
    provider_with: Callable[[Sampler], TracerProvider], exported: InMemorySpanExporter
) -> None:
    tracer = provider_with(ALWAYS_ON).get_tracer("app")
    with tracer.start_as_current_span("chat", attributes=CALL), tracer.start_as_current_span("POST"):
        pass
    assert [span.name for span in exported.get_finished_spans()] == ["POST", "chat"]


@pytest.mark.parametrize("sampled", [True, False])
def test_a_parent_elsewhere_decides(
    sampled: bool,  # noqa: FBT001 - a test's parameter
    provider_with: Callable[[Sampler], TracerProvider],
) -> None:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    above = trace.set_span_in_context(NonRecordingSpan(SpanContext(1, 2, is_remote=True, trace_flags=flags)))
    tracer = provider_with(ParentBased(ALWAYS_ON)).get_tracer("app")
    call = tracer.start_span("chat", above, attributes=CALL)
    assert call.is_recording()
    assert bool(call.get_span_context().trace_flags.sampled) is sampled
    assert tracer.start_span("POST", above).is_recording() is sampled


def test_a_sampler_of_ones_own_keeps_its_say(provider_with: Callable[[Sampler], TracerProvider]) -> None:
    provider = provider_with(Picky("chat"))
    call = provider.get_tracer("app").start_span("chat", attributes=CALL)
    assert dict(call.attributes) == {**CALL, "picked": True}  # type: ignore[attr-defined]
    assert call.get_span_context().trace_state.get("picky") == "1"
    assert not call.get_span_context().trace_flags.sampled


def test_the_sampler_is_to_be_seen_as_what_it_is() -> None:
    provider = TracerProvider(TraceIdRatioBased(0.25), shutdown_on_exit=False)
    keep_money(provider)
    assert isinstance(provider.sampler, TraceIdRatioBased)
    assert provider.sampler.rate == 0.25
    assert provider.sampler.get_description() == "TraceIdRatioBased{0.25}"
    result = provider.sampler.should_sample(None, 1, "chat", kind=SpanKind.CLIENT, attributes=CALL, links=[])
    assert result.decision is Decision.RECORD_AND_SAMPLE


def test_a_failure_of_ours_leaves_the_samplers_decision(
    provider_with: Callable[[Sampler], TracerProvider], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "is_call", lambda _: 1 // 0)
    assert not provider_with(ALWAYS_OFF).get_tracer("app").start_span("chat", attributes=CALL).is_recording()
    assert safety.failures() == {"keeping a call that the sampler drops": 1}
