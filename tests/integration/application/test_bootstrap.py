"""``opentelemetry-instrument python app.py``: in place whatever else configures OpenTelemetry, and never in the way."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from otel_cost import bootstrap, safety
from otel_cost.span_processor import CostSpanProcessor
from otel_cost_exporter.demo.stand_in import StandIn

CALL = """
import openai
with openai.OpenAI() as client:
    client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "[stand-in input=1000,output=200]"}]
    )
"""
COST = "0.004500"  # 1000 x 2.50 + 200 x 10, per million


def instrumented(
    bin_folder: Path, program: str, *arguments: str, provider: StandIn | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [bin_folder / "opentelemetry-instrument", *arguments, sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **(provider.environ if provider else {}), **environ},
    )
    assert done.returncode == 0, done.stderr
    return done


def spans_of(output: str) -> Iterator[dict[str, Any]]:
    """The spans that the console exporter printed."""
    decoder, at = json.JSONDecoder(), output.find("{")
    while at >= 0:
        span, length = decoder.raw_decode(output[at:])
        yield span
        at = output.find("{", at + length)


def calls_of(output: str) -> list[dict[str, Any]]:
    return [span for span in spans_of(output) if "otel_cost.cost.status" in span["attributes"]]


def test_where_no_distro_configures_the_sdk_otel_cost_does(bin_folder: Path, provider: StandIn) -> None:
    done = instrumented(bin_folder, CALL, "--traces_exporter", "console", "--service_name", "shop", provider=provider)
    (call,) = calls_of(done.stdout)
    assert call["attributes"]["otel_cost.cost.amount"] == COST
    assert call["resource"]["attributes"]["service.name"] == "shop"
    assert {span["resource"]["attributes"]["otel_cost.version"] for span in spans_of(done.stdout)} == {
        version("otel-cost")
    }
    assert {span["name"] for span in spans_of(done.stdout)} == {"chat gpt-4o", "POST"}
    assert done.stderr == ""


def test_what_otlp_cannot_deliver_is_said_with_the_other_way(bin_folder: Path, provider: StandIn) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TIMEOUT": "0.2"}
    done = instrumented(bin_folder, CALL, provider=provider, **environ)
    assert "The cost of calls is lost (1): 127.0.0.1:1 did not take them" in done.stderr
    assert "--traces_exporter otel_cost" in done.stderr


def test_an_exporter_that_is_not_there_is_named_in_one_line_and_the_application_runs(
    bin_folder: Path, provider: StandIn
) -> None:
    done = instrumented(bin_folder, CALL, "--traces_exporter", "otel_cst", provider=provider)
    (line,) = done.stderr.splitlines()
    assert line.startswith("OpenTelemetry's SDK cannot be set up, so no span is made and no cost recorded: ")
    assert "otel_cst" in line
    assert len(provider.requests) == 1


DISTRO = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

class Configurator:
    def configure(self, **_):
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
        trace.set_tracer_provider(provider)
        print("configured by a distro")
"""


def test_a_distro_that_configures_the_sdk_is_left_alone(bin_folder: Path, provider: StandIn, tmp_path: Path) -> None:
    (tmp_path / "some_distro.py").write_text(DISTRO)
    info = tmp_path / "some_distro-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-distro\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[opentelemetry_configurator]\nsome = some_distro:Configurator\n")
    done = instrumented(bin_folder, CALL, provider=provider, PYTHONPATH=str(tmp_path))
    assert done.stdout.startswith("configured by a distro\n")
    (call,) = calls_of(done.stdout)
    assert call["attributes"]["otel_cost.cost.amount"] == COST


BY_HAND = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
tracer = provider.get_tracer("app")
with tracer.start_as_current_span("chat", attributes={"gen_ai.operation.name": "chat"}):
"""


def test_a_provider_built_by_hand_gets_the_cost_too(bin_folder: Path, provider: StandIn) -> None:
    inside = "".join(f"    {line}\n" for line in CALL.splitlines())
    done = instrumented(bin_folder, BY_HAND + inside, "--traces_exporter", "none", provider=provider)
    (call,) = calls_of(done.stdout)
    assert (call["name"], call["attributes"]["otel_cost.cost.amount"]) == ("chat", COST)


SET_GLOBALLY = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
metrics.set_meter_provider(MeterProvider())
"""


def test_an_application_that_sets_its_own_provider_finds_the_place_free(bin_folder: Path, provider: StandIn) -> None:
    done = instrumented(bin_folder, SET_GLOBALLY + CALL, provider=provider)
    assert {span["name"] for span in spans_of(done.stdout)} == {"chat gpt-4o", "POST"}
    (call,) = calls_of(done.stdout)
    assert call["attributes"]["otel_cost.cost.amount"] == COST
    assert done.stderr == ""


def test_an_open_stream_of_such_an_application_is_exported_at_exit(bin_folder: Path, provider: StandIn) -> None:
    program = CALL.replace("    client.chat", "    stream = client.chat").replace('"gpt-4o",', '"gpt-4o", stream=True,')
    done = instrumented(bin_folder, SET_GLOBALLY + program, provider=provider)
    (call,) = calls_of(done.stdout)
    assert call["attributes"]["otel_cost.call.outcome"] == "cut"


def test_the_sdk_disabled_is_an_application_as_without_us(bin_folder: Path, provider: StandIn) -> None:
    done = instrumented(bin_folder, CALL + "print('done')", provider=provider, OTEL_SDK_DISABLED="true")
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_a_budget_holds_where_spans_are_not_sampled(bin_folder: Path, provider: StandIn) -> None:
    program = f"""
import otel_cost
try:
    with otel_cost.budget("run", "r1", limit_usd="0.001"):
        exec({CALL!r})
except otel_cost.BudgetExceededError as error:
    print(error.scope)
"""
    done = instrumented(bin_folder, program, provider=provider, OTEL_TRACES_SAMPLER="always_off")
    assert done.stdout == "run\n"
    assert provider.requests == []


def test_a_stream_that_nobody_closed_is_exported_at_exit(bin_folder: Path, provider: StandIn) -> None:
    program = CALL.replace("    client.chat", "    stream = client.chat").replace(
        'model="gpt-4o",', 'model="gpt-4o", stream=True,'
    )
    done = instrumented(bin_folder, program + "del stream", "--traces_exporter", "console", provider=provider)
    (call,) = calls_of(done.stdout)
    assert (call["attributes"]["otel_cost.call.outcome"], call["attributes"]["otel_cost.cost.status"]) == (
        "cut",
        "estimated",
    )


def test_bad_settings_get_one_line_and_stop_nothing(bin_folder: Path, provider: StandIn) -> None:
    done = instrumented(
        bin_folder, "print('done')", OTEL_COST_ENDPOINTS="nonsense", BAGGAGE="otel_cost.budget.run=oops"
    )
    assert done.stdout == "done\n"
    assert provider.requests == []


def test_the_hook_never_raises_and_says_what_failed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no luck")

    monkeypatch.setattr(bootstrap, "_started", False)
    monkeypatch.setattr(bootstrap.wrapt, "wrap_function_wrapper", fails)
    monkeypatch.setattr(bootstrap, "wrap_threads", fails)
    monkeypatch.setattr(bootstrap.endings, "watch", fails)
    bootstrap.start()
    assert [
        safety.failures()[place] for place in ("starting", "wrapping clients", "watching for the end of the process")
    ]
    assert "no luck (the application goes on)" in caplog.text


def test_a_client_that_cannot_be_wrapped_stops_nothing() -> None:
    before = safety.failures().get("wrapping json", 0)
    bootstrap._wrap(lambda module: module.no_such_thing, json)
    assert safety.failures()["wrapping json"] == before + 1


def test_a_provider_that_was_there_before_says_that_otel_cost_runs_here_on_tracers_of_before_too() -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bootstrap.endings, "watch_provider", lambda _: True)
        provider._resource = Resource({"service.name": "shop"})
        tracer = provider.get_tracer("app")
        bootstrap.attach(provider)
    span: Any = tracer.start_span("work")
    assert dict(span.resource.attributes) == {"service.name": "shop", "otel_cost.version": version("otel-cost")}


def test_starting_twice_is_starting_once() -> None:
    bootstrap.start()
    provider = TracerProvider(shutdown_on_exit=False)
    bootstrap.attach(provider)
    processors = provider._active_span_processor._span_processors
    assert [type(processor) for processor in processors] == [CostSpanProcessor]
    assert isinstance(trace.get_tracer_provider(), TracerProvider)
