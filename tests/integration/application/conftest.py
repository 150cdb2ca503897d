"""otel-cost put in place in this process as ``opentelemetry-instrument`` does, and taken out after each module."""

from __future__ import annotations

import asyncio
import warnings
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import wrapt
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor, HTTPXClientInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_cost import attribution, bootstrap, safety
from otel_cost.budgets.chosen import MEMORY
from otel_cost.instrumentation.clients import httpx as wrapped_httpx
from otel_cost.instrumentation.open_calls import end_abandoned
from otel_cost_exporter.demo import stand_in

from . import garbage

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from otel_cost_exporter.demo.stand_in import StandIn


@dataclass(frozen=True, slots=True)
class Spans:
    """What the application exported."""

    exporter: InMemorySpanExporter

    @property
    def all(self) -> tuple[ReadableSpan, ...]:
        end_abandoned()
        # FastAPI speaks OpenTelemetry itself, and the stand-in provider runs in this process.
        return tuple(
            span for span in self.exporter.get_finished_spans() if span.instrumentation_scope.name != "fastapi"
        )

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The attributes of each call's span, oldest first."""
        found = [dict(span.attributes or {}) for span in self.all]
        return [attributes for attributes in found if "otel_cost.cost.status" in attributes]

    @property
    def call(self) -> dict[str, Any]:
        """The attributes of the one call's span."""
        (call,) = self.calls
        return call

    @property
    def cost(self) -> Decimal:
        """What the one call cost."""
        return Decimal(self.call["otel_cost.cost.amount"])


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    bootstrap.attach(provider)
    return exporter


@pytest.fixture(scope="module", autouse=True)
def _instrumented(exporter: InMemorySpanExporter) -> Iterator[None]:  # noqa: ARG001 - the provider comes first
    originals: list[tuple[Any, str, Any]] = []

    def for_now(wrap: Any) -> Any:
        def wrap_for_now(target: Any, name: str, wrapper: Any) -> Any:
            originals.append(wrapt.resolve_path(target, name))
            return wrap(target, name, wrapper)

        return wrap_for_now

    with pytest.MonkeyPatch.context() as patch:
        for wrap in (wrapt.wrap_function_wrapper, wrapt.wrap_object):
            patch.setattr(wrapt, wrap.__name__, for_now(wrap))
        bootstrap.start()
        instrumentors = (HTTPXClientInstrumentor(), HTTPX2ClientInstrumentor())
        for instrumentor in instrumentors:
            instrumentor.instrument()
        yield
        for instrumentor in instrumentors:
            instrumentor.uninstrument()
    for owner, name, original in reversed(originals):
        setattr(owner, name, original)
    bootstrap._started = False
    wrapped_httpx._wrapped.clear()


@pytest.fixture(autouse=True)
def _no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger service that runs on this machine is none of the tests' business."""
    monkeypatch.setenv("OTEL_COST_URL", "http://127.0.0.1:9")


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Iterator[Spans]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # sockets that other tests left are not this one's
        garbage.collect()  # streams that the test before left to the garbage collector
    end_abandoned()
    MEMORY.clear()
    attribution.process_members.cache_clear()
    exporter.clear()
    yield Spans(exporter)
    attribution.process_members.cache_clear()
    MEMORY.clear()


@pytest.fixture(scope="module")
def _provider() -> Iterator[StandIn]:
    with stand_in.running() as running:
        yield running


@pytest.fixture
def provider(_provider: StandIn, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """The stand-in provider; the SDKs' clients made in the test talk to it."""
    for name, value in _provider.environ.items():
        monkeypatch.setenv(name, value)
    _provider.requests.clear()
    return _provider


class _Unanswered(httpx2.HTTPTransport):
    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        super().handle_request(request).close()
        raise httpx2.ReadTimeout("no answer came in time", request=request)


@pytest.fixture
def unanswered() -> httpx2.Client:
    """An HTTP client whose requests arrive, and which never hears of an answer, without a wait for it."""
    return httpx2.Client(transport=_Unanswered())


async def cancelled_once_seen(awaitable: Coroutine[Any, Any, Any], provider: StandIn) -> None:
    """Cancel what asks `provider`, when it has the request and before it answers."""
    task = asyncio.create_task(awaitable)
    async with asyncio.timeout(60):
        while not provider.requests:  # noqa: ASYNC110 - another thread fills it
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.fixture
def nothing_of_ours_fails() -> Iterator[None]:
    """Hold that nothing was suppressed at our boundary, whatever the test did."""
    before = safety.failures()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The model .* is deprecated", DeprecationWarning)
        yield
    assert safety.failures() == before
