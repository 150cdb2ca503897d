"""Metrics of calls, by a real meter provider and a real Prometheus exporter."""

import io
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from opentelemetry import metrics as api
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, InMemoryMetricReader, PeriodicExportingMetricReader

import otel_cost
from otel_cost import metrics, settings
from otel_cost_exporter.demo.stand_in import StandIn

from .test_bootstrap import CALL, instrumented

MESSAGES: Any = [{"role": "user", "content": "[stand-in input=1000,output=200]"}]
MODEL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o",
}
COST = 0.0045  # gpt-4o: 1000 x 2.50 + 200 x 10, per million


class Measured:
    """What a meter provider has measured, by metric: labels and point."""

    def __init__(self, reader: InMemoryMetricReader) -> None:
        self._reader = reader

    def __getitem__(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        data = self._reader.get_metrics_data()
        scopes = [scope for resource in (data.resource_metrics if data else ()) for scope in resource.scope_metrics]
        found = [metric for scope in scopes if scope.scope.name == "otel_cost" for metric in scope.metrics]
        return [
            (dict(point.attributes or {}), point)
            for metric in found
            if metric.name == name
            for point in metric.data.data_points
        ]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Measured]:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    monkeypatch.setattr(api, "get_meter", provider.get_meter)
    monkeypatch.setattr(api, "get_meter_provider", lambda: provider)
    metrics._instruments.cache_clear()
    metrics._seen.clear()
    yield Measured(reader)
    metrics._instruments.cache_clear()
    metrics._seen.clear()
    provider.shutdown()


@pytest.mark.usefixtures("provider", "nothing_of_ours_fails")
def test_tokens_and_cost_of_calls_by_model_and_dimension(measured: Measured, spans: Any) -> None:
    with openai.OpenAI() as client, otel_cost.attribute(project="atlas", run="nightly-7"):
        for _ in range(2):
            client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert len(spans.calls) == 2
    ((labels, cost),) = measured["otel_cost.cost"]
    assert labels == {**MODEL, "otel_cost.project": "atlas", "otel_cost.cost.status": "known"}  # a run is no label
    assert cost.value == pytest.approx(2 * COST, rel=1e-12)
    tokens = {labels["gen_ai.token.type"]: point for labels, point in measured["gen_ai.client.token.usage"]}
    assert [(tokens[kind].count, tokens[kind].sum) for kind in ("input", "output")] == [(2, 2000), (2, 400)]
    assert tokens["input"].explicit_bounds[:4] == (1, 4, 16, 64)
    assert tokens["input"].explicit_bounds[-1] == 67_108_864
    assert {**MODEL, "gen_ai.token.type": "input"} in [labels for labels, _ in measured["gen_ai.client.token.usage"]]
    assert measured["otel_cost.calls.unpriced"] == []


@pytest.mark.usefixtures("provider", "nothing_of_ours_fails")
def test_a_call_without_a_price_and_one_that_a_budget_refused(measured: Measured) -> None:
    with openai.OpenAI() as client:
        client.chat.completions.create(model="no-such-model", messages=MESSAGES)
        with otel_cost.budget("run", "r1", limit_usd="0.000001"), pytest.raises(otel_cost.BudgetExceededError):
            client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    ((labels, unpriced),) = measured["otel_cost.calls.unpriced"]
    assert (labels["gen_ai.request.model"], unpriced.value) == ("no-such-model", 1)
    assert measured["otel_cost.cost"] == []
    assert {labels["gen_ai.request.model"] for labels, _ in measured["gen_ai.client.token.usage"]} == {"no-such-model"}


@pytest.mark.usefixtures("provider", "nothing_of_ours_fails")
def test_what_failed_attempts_may_have_cost(measured: Measured, spans: Any) -> None:
    failures = iter([httpx2.ReadTimeout("no answer")])

    def break_off_once(_: httpx2.Request) -> None:
        for failure in failures:
            raise failure

    http_client = httpx2.Client(event_hooks={"request": [break_off_once]})
    with openai.OpenAI(max_retries=1, http_client=http_client) as client, otel_cost.attribute(project="atlas"):
        client.chat.completions.create(model="gpt-4o", max_tokens=200, messages=MESSAGES)
        client.chat.completions.create(model="gpt-4o", max_tokens=200, messages=MESSAGES)
    ((labels, waste),) = measured["otel_cost.waste"]
    assert labels == {**MODEL, "otel_cost.project": "atlas"}
    assert waste.value == float(spans.calls[0]["otel_cost.waste.amount"]) > 0.002  # 200 tokens at 10 per million
    ((_, cost),) = measured["otel_cost.cost"]
    assert cost.value == pytest.approx(2 * COST, rel=1e-12)


@pytest.mark.usefixtures("spans", "nothing_of_ours_fails")
def test_a_call_of_a_client_that_is_not_wrapped(measured: Measured) -> None:
    stated = {**MODEL, "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 200}
    with trace.get_tracer("app").start_as_current_span("chat", attributes=stated):
        pass
    ((_, cost),) = measured["otel_cost.cost"]
    assert cost.value == COST


def test_the_user_names_the_dimensions(
    measured: Measured, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_COST_METRIC_DIMENSIONS", "tenant, Nonsense,model")
    call = {**MODEL, "otel_cost.tenant": "acme", "otel_cost.project": "atlas", "otel_cost.cost.amount": "0.5"}
    with caplog.at_level(logging.WARNING):
        metrics.record({**call, "otel_cost.cost.status": "known"})
        assert settings.get(settings.METRIC_DIMENSIONS) == ("tenant",)
    ((labels, _),) = measured["otel_cost.cost"]
    assert labels == {**MODEL, "otel_cost.tenant": "acme", "otel_cost.cost.status": "known"}
    assert caplog.text.count("is passed over: it is no dimension") == 2


def test_names_without_end_are_counted_together(measured: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_MOST_LABELS", 3)
    for number in range(10):
        for _ in range(2):
            metrics.record({**MODEL, "gen_ai.request.model": f"m{number}", "otel_cost.cost.status": "unknown"})
    counts = {labels["gen_ai.request.model"]: point.value for labels, point in measured["otel_cost.calls.unpriced"]}
    assert counts == {"m0": 2, "m1": 2, "m2": 2, "other": 14}


def test_what_was_counted_is_exported_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "get_meter_provider", api.NoOpMeterProvider)
    metrics.flush(1000)  # there is nobody to export it
    output = io.StringIO()
    reader = PeriodicExportingMetricReader(ConsoleMetricExporter(output), export_interval_millis=math.inf)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("app").create_counter("calls").add(1)
    monkeypatch.setattr(api, "get_meter_provider", lambda: provider)
    metrics.flush(1000)
    assert '"calls"' in output.getvalue()
    provider.shutdown()


def test_calls_that_are_not_sampled_are_counted_and_prometheus_is_served(
    bin_folder: Path, provider: StandIn, tmp_path: Path
) -> None:
    show = f"""
{CALL}
import urllib.request
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from prometheus_client import REGISTRY, generate_latest
print(generate_latest(REGISTRY).decode())
"""
    environ = {"OTEL_TRACES_SAMPLER": "always_off", "OTEL_TRACES_EXPORTER": "otel_cost"}
    environ |= {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT": "0"}
    done = instrumented(bin_folder, show, provider=provider, OTEL_COST_SPOOL=str(tmp_path), **environ)
    lines = [line for line in done.stdout.splitlines() if "otel_cost" in line and not line.startswith("#")]
    (cost,) = [line for line in lines if line.startswith("otel_cost_cost_USD_total{")]
    assert 'gen_ai_request_model="gpt-4o"' in cost
    assert float(cost.rpartition(" ")[2]) == COST
    sums = [line for line in lines if line.startswith("gen_ai_client_token_usage_sum")]
    assert sorted(float(line.rpartition(" ")[2]) for line in sums) == [200, 1000]


@pytest.mark.parametrize("named", ["console", None])
def test_metrics_are_exported_where_they_are_asked_for(named: str | None, bin_folder: Path, provider: StandIn) -> None:
    environ = {"OTEL_METRICS_EXPORTER": named} if named else {}
    done = instrumented(bin_folder, CALL, "--traces_exporter", "none", provider=provider, **environ)
    assert ("otel_cost.cost" in done.stdout) is (named is not None)
    assert done.stderr == ""
