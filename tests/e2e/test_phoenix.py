"""A real Phoenix displays the cost that was booked, in its own cost column too, seen in real Chromium.

The application's spans go through the Collector as docs/how-to/backends.md says, and Phoenix is told what a picodollar
is worth by the request on that page.
"""

from __future__ import annotations

import re
import shlex
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from playwright.sync_api import Page, expect, sync_playwright

from otel_cost import semconv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Start = Callable[..., Any]

pytestmark = pytest.mark.timeout(3600)  # the first run builds what it needs
LISTENING = r'Starting GRPC server.*"endpoint": "(127\.0\.0\.1:\d+)"'
CALL: dict[str, str | int] = {
    semconv.GEN_AI_OPERATION_NAME: "chat",
    semconv.GEN_AI_PROVIDER_NAME: "openai",
    semconv.GEN_AI_REQUEST_MODEL: "gpt-4o",
    semconv.GEN_AI_USAGE_INPUT_TOKENS: 100_000,
    semconv.GEN_AI_USAGE_OUTPUT_TOKENS: 20_000,
}
BOOKED = {semconv.COST_STATUS: "known", semconv.COST_AMOUNT: "0.730000"}
"""By the user's own prices, say; Phoenix's own would make it 0.45."""
SPANS = """
query { projects { edges { node { id name spans(first: 100) { edges { node {
  id name trace { traceId } tokenCountTotal costSummary { total { cost } }
} } } } } } }
"""
expect.set_options(timeout=120_000)


@pytest.fixture
def page(need_program: Callable[..., Path]) -> Iterator[Page]:
    executable = need_program("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        yield browser.new_page(viewport={"width": 1700, "height": 1000})
        browser.close()


@pytest.fixture
def collector(start: Start, fetched: Start, root: Path, phoenix: str, tmp_path: Path) -> str:
    """Where the Collector takes spans for Phoenix."""
    folder = root / "collector-config"
    program = start(
        fetched("go", "collector-config/build.py"),
        f"--config={folder / 'collector.yaml'}",
        f"--config={folder / 'phoenix-cost.yaml'}",
        OTELCOL_GRPC="127.0.0.1:0",
        OTELCOL_HTTP="127.0.0.1:0",
        OTELCOL_HEALTH="127.0.0.1:0",
        OTELCOL_METRICS="0",
        OTELCOL_QUEUE=str(tmp_path / "queue"),
        OTELCOL_LEDGER="http://127.0.0.1:9",
        OTELCOL_BACKEND=phoenix,
    )
    return f"http://{program.says(LISTENING)}"


def told(root: Path, phoenix: str) -> None:
    """Tell Phoenix what the page tells it, by the same request."""
    page = (root / "docs" / "how-to" / "backends.md").read_text()
    (command,) = re.findall(r"^\$ (curl .*?/graphql.*?)^```$", page, re.MULTILINE | re.DOTALL)
    words = shlex.split(command.replace("\\\n", " "))
    body = words[words.index("--data") + 1]
    answer = httpx2.post(f"{phoenix}/graphql", content=body, headers={"content-type": "application/json"}, timeout=60)
    assert answer.json()["data"]["createModel"]["model"]["name"] == "otel-cost"


def send(collector: str, number: int) -> None:
    """A call that cost something, and one without a price."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=collector, insecure=True, timeout=60)))
    tracer = provider.get_tracer("test")
    tracer.start_span(f"priced {number}", attributes={**CALL, **BOOKED}).end()
    tracer.start_span(f"unknown {number}", attributes={**CALL, semconv.COST_STATUS: "unknown"}).end()
    provider.shutdown()


def held(phoenix: str) -> tuple[str, dict[str, Any]]:
    """Phoenix's id of the project, and its spans by name."""
    projects = httpx2.post(f"{phoenix}/graphql", json={"query": SPANS}, timeout=60).json()["data"]["projects"]
    (project,) = [edge["node"] for edge in projects["edges"]]
    return project["id"], {edge["node"]["name"]: edge["node"] for edge in project["spans"]["edges"]}


def costed(phoenix: str, collector: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The project, a call and one without a price, sent until Phoenix has heard what a picodollar is worth."""
    deadline = time.monotonic() + 300
    for number in count():
        send(collector, number)
        names = (f"priced {number}", f"unknown {number}")
        while not all(name in (found := held(phoenix))[1] for name in names):
            assert time.monotonic() < deadline, "Phoenix did not get the spans"
            time.sleep(0.5)
        project, spans = found
        if spans[names[0]]["costSummary"]["total"]["cost"] == 0.73:
            return project, spans[names[0]], spans[names[1]]
        assert time.monotonic() < deadline, f"Phoenix shows {spans}"
    raise AssertionError


def test_phoenix_displays_the_cost_that_was_booked(root: Path, phoenix: str, collector: str, page: Page) -> None:
    told(root, phoenix)
    project, priced, unknown = costed(phoenix, collector)
    assert unknown["costSummary"]["total"]["cost"] is None
    assert {span["tokenCountTotal"] for span in (priced, unknown)} == {120_000}

    page.goto(f"{phoenix}/projects/{project}/spans")
    expect(page.get_by_role("row").filter(has_text=priced["name"])).to_contain_text("$0.73")
    page.goto(f"{phoenix}/projects/{project}/spans/{priced['trace']['traceId']}?selectedSpanNodeId={priced['id']}")
    page.get_by_role("tab", name=re.compile("Attributes")).click()
    expect(page.get_by_role("row").filter(has_text=semconv.COST_AMOUNT)).to_contain_text("0.730000")
