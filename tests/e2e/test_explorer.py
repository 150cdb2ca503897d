"""The cost explorer in real Chromium, on a real ledger service: what stands on the page is what stands in the books.

With OTEL_COST_PICTURES=1 the screenshot becomes the one that the documentation shows; else it is left among pytest's
temporary files.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from playwright.sync_api import Page, expect, sync_playwright

from otel_cost import semconv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from opentelemetry.util.types import AttributeValue
    from playwright.sync_api import Browser

    Start = Callable[..., Any]
    Open = Callable[..., Page]
    Table = dict[str, dict[str, str]]

BROWSER_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 120_000
"""How long to wait for the page, in milliseconds."""
expect.set_options(timeout=PATIENCE)


@dataclass(frozen=True)
class Kind:
    """Calls that are all alike, but for their time: how many there were in each of the last 22 hours, oldest first."""

    hours: str
    who: dict[str, str]
    model: str
    tokens: tuple[int, int]
    cost: str | None
    status: str = "known"
    outcome: str = "ok"
    budget: str | None = None

    def attributes(self) -> dict[str, AttributeValue]:
        """What the wire contract says of such a call."""
        inputs, outputs = self.tokens
        attributes: dict[str, AttributeValue] = {
            semconv.GEN_AI_OPERATION_NAME: "chat",
            semconv.GEN_AI_PROVIDER_NAME: "anthropic" if self.model.startswith("claude") else "openai",
            semconv.GEN_AI_REQUEST_MODEL: self.model,
            semconv.GEN_AI_USAGE_INPUT_TOKENS: inputs,
            semconv.GEN_AI_USAGE_OUTPUT_TOKENS: outputs,
            semconv.COST_STATUS: self.status,
            semconv.CALL_OUTCOME: self.outcome,
        }
        attributes |= {semconv.dimension_key(name): value for name, value in self.who.items()}
        if self.cost is not None:
            attributes |= {semconv.COST_AMOUNT: self.cost, semconv.COST_CURRENCY: "USD"}
        if self.budget is not None:
            attributes[semconv.budget_key("run")] = self.budget
        return attributes


def who(project: str, run: str, stage: str, role: str) -> dict[str, str]:
    return {"project": project, "run": run, "stage": stage, "role": role}


# Prices in USD per million tokens, in and out: claude-sonnet-4-5 3 and 15, claude-haiku-4-5 1 and 5,
# gpt-4o 2.50 and 10, gpt-4o-mini 0.15 and 0.60. How many calls, and what they cost together, stands behind.
PLAN = who("atlas", "nightly-7", "plan", "planner")
KINDS = (
    # 4,000 x 3 = 0.012 and 800 x 15 = 0.012; 30 calls, 0.72
    Kind("0012321001233210012321", PLAN, "claude-sonnet-4-5", (4000, 800), "0.024", budget="1.85"),
    # 6,000 x 2.50 = 0.015 and 1,500 x 10 = 0.015; 36 calls, 1.08
    Kind("1002343210011234320112", who("atlas", "nightly-7", "draft", "writer"), "gpt-4o", (6000, 1500), "0.030"),
    # 20,000 x 0.15 = 0.003 and 3,000 x 0.60 = 0.0018; 33 calls, 0.1584
    Kind(
        "2112212112211221211221",
        who("atlas", "nightly-8", "draft", "writer"),
        "gpt-4o-mini",
        (20000, 3000),
        "0.0048",
        budget="0.50",
    ),
    # 2,000 x 3 = 0.006 and 400 x 15 = 0.006; 33 calls, 0.396
    Kind(
        "0000123432100000124532",
        who("borealis", "import-3", "review", "critic"),
        "claude-sonnet-4-5",
        (2000, 400),
        "0.012",
        budget="0.75",
    ),
    # 10,001 x 0.15 = 0.00150015 and 1,000 x 0.60 = 0.0006; 5 calls, 0.01050075
    Kind(
        "0001001000010010000100",
        who("borealis", "import-3", "review", "judge"),
        "gpt-4o-mini",
        (10001, 1000),
        "0.00210015",
        status="estimated",
        outcome="cut",
    ),
    # 3,000 x 1 = 0.003 and 500 x 5 = 0.0025; 10 calls, 0.055 and 35,000 tokens
    Kind(
        "0000000022000000330000",
        who("cinder", "eval-1", "score", "judge"),
        "claude-haiku-4-5",
        (3000, 500),
        "0.0055",
        budget="100000tok",
    ),
    # 6 calls, 30,000 and 4,200 tokens, and nobody knows what they cost
    Kind(
        "0000000011000000220000",
        who("cinder", "eval-1", "score", "judge"),
        "our-own-7b",
        (5000, 700),
        None,
        status="unknown",
    ),
    # 2 calls that a budget stopped
    Kind("0000000000000000000002", PLAN, "claude-sonnet-4-5", (0, 0), "0.000000", outcome="refused", budget="1.85"),
)
TOTAL = "2.41990075"  # 0.72 + 1.08 + 0.1584 + 0.396 + 0.01050075 + 0.055
BY = {
    "project": {"atlas": "1.958400", "borealis": "0.40650075", "cinder": "0.055000"},
    "run": {"nightly-7": "1.800000", "import-3": "0.40650075", "nightly-8": "0.158400", "eval-1": "0.055000"},
    "stage": {"draft": "1.238400", "plan": "0.720000", "review": "0.40650075", "score": "0.055000"},
    "role": {"writer": "1.238400", "planner": "0.720000", "critic": "0.396000", "judge": "0.06550075"},
    "model": {
        "claude-sonnet-4-5": "1.116000",
        "gpt-4o": "1.080000",
        "gpt-4o-mini": "0.16890075",
        "claude-haiku-4-5": "0.055000",
        "our-own-7b": "unknown",
    },
}


def send(url: str) -> None:
    """Send all `KINDS` to the ledger service, as the SDK does."""
    provider = TracerProvider(resource=Resource({semconv.SERVICE_NAME: "agent"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/v1/traces")))
    tracer = provider.get_tracer("test")
    now = datetime.now(UTC)
    for kind in KINDS:
        for ago, number in zip(range(22, 0, -1), kind.hours, strict=True):
            began = int((now - timedelta(hours=ago)).timestamp() * 1e9)
            for _ in range(int(number)):
                tracer.start_span("chat", attributes=kind.attributes(), start_time=began).end(began + 2 * 10**9)
    provider.shutdown()


@pytest.fixture(scope="module")
def serve(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Start a ledger service with fresh books: where it answers."""

    def served(http: str = "127.0.0.1:0") -> str:
        folder = tmp_path_factory.mktemp("books")
        program = start(
            *("otel-cost", "serve", "--ledger", folder / "ledger.duckdb", "--spool", folder / "spool"),
            *("--grpc", "127.0.0.1:0", "--http", http),
            PYTHONUNBUFFERED="1",
        )
        return str(program.says(r"Questions +(http://127\.0\.0\.1:\d+)"))

    return served


@pytest.fixture(scope="module")
def explore(start: Start) -> Callable[[str], str]:
    """Start the explorer of a ledger service: where its page is."""

    def explored(url: str) -> str:
        program = start("otel-cost", "dashboard", "--url", url, "--port", "0", "--no-browser", PYTHONUNBUFFERED="1")
        return str(program.says(r"Cost explorer: (\S+)"))

    return explored


@pytest.fixture(scope="module")
def ledger(serve: Callable[..., str]) -> str:
    """A ledger service with all `KINDS` in its books."""
    url = serve()
    send(url)
    return url


@pytest.fixture(scope="module")
def explorer(explore: Callable[[str], str], ledger: str) -> str:
    """The page of `ledger`."""
    return explore(ledger)


@pytest.fixture(scope="module")
def browser(need_program: Callable[..., Path]) -> Iterator[Browser]:
    chromium = need_program("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=BROWSER_ARGUMENTS, timeout=PATIENCE)
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Open a page; no request may leave this machine, and nothing may go wrong in the browser."""
    troubles: list[str] = []

    def opened(url: str, width: int = 1440, **options: Any) -> Page:
        page = browser.new_page(viewport={"width": width, "height": 1200}, **options)
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: troubles.append(request.url) if not is_local(request.url) else None)
        page.goto(url)
        return page

    yield opened
    for context in browser.contexts:
        context.close()
    assert not troubles


def is_local(url: str) -> bool:
    return urlsplit(url).scheme in {"data", "blob"} or urlsplit(url).hostname == "127.0.0.1"


def summary(ledger: str, **parameters: str) -> Any:
    return httpx2.get(f"{ledger}/v1/summary", params=parameters, timeout=60).json()


CELLS = """table => {
    const texts = (within, selector) => [...within.querySelectorAll(selector)].map(cell => cell.innerText);
    return [texts(table, "thead th"), ...[...table.querySelectorAll("tbody tr")].map(row => texts(row, "td"))];
}"""


def table(page: Page, name: str) -> Table:
    """A table as it stands on the page: its rows by their first cell."""
    found = page.get_by_role("table", name=name, exact=True)
    expect(found).to_be_visible()
    titles, *rows = found.evaluate(CELLS)  # all at once: the page may be drawn anew at any time
    return {row[0]: dict(zip(titles, row, strict=True)) for row in rows}


def card(page: Page, title: str) -> tuple[str, str]:
    """A figure of the top of the page: the figure, and the note under it."""
    metric = page.get_by_test_id("stMetric").filter(has_text=re.compile(f"^{title}"))
    expect(metric).to_be_visible()
    box = page.get_by_test_id("stVerticalBlock").filter(has=metric).last
    return metric.get_by_test_id("stMetricValue").inner_text(), box.get_by_test_id("stCaptionContainer").inner_text()


def test_the_figures_on_the_page_are_the_ledgers(open_page: Open, explorer: str, ledger: str) -> None:
    page = open_page(explorer)
    total = summary(ledger, since="24h")["total"]
    assert total["cost_usd"] == TOTAL
    assert card(page, "Spent") == ("$2.4199", f"exactly {TOTAL} USD")
    assert card(page, "Known") == ("$2.4094", "exactly 2.409400 USD")
    assert card(page, "Estimated") == ("$0.0105", "5 calls, part of what was spent")
    assert card(page, "No price") == ("6 calls", "34,200 tokens, in no sum")
    assert card(page, "Calls") == (str(total["calls"]), "0 failed, 5 cut off")
    assert card(page, "Calls")[0] == "153"
    assert card(page, "Refused") == ("2", "by a budget, nothing sent")
    assert Decimal(total["estimated_cost_usd"]) == Decimal("0.01050075")


def test_every_breakdown_is_the_ledgers_to_the_last_digit(open_page: Open, explorer: str, ledger: str) -> None:
    page = open_page(explorer)
    for dimension, costs in BY.items():
        page.get_by_role("radio", name=dimension, exact=True).click()
        rows = table(page, f"Spend by {dimension}")
        assert {name: row["Exact USD"] for name, row in rows.items()} == costs
        answer = summary(ledger, by=dimension, since="24h")["rows"]
        assert [(row[dimension], row["cost_usd"] or "unknown") for row in answer] == list(costs.items())
        assert [f"{row['calls']:,}" for row in answer] == [row["Calls"] for row in rows.values()]
        assert [f"{row['input_tokens']:,}" for row in answer] == [row["Tokens in"] for row in rows.values()]
        expect(page.get_by_test_id("stVegaLiteChart")).to_have_count(2)


def test_a_budgets_row_tells_its_use(open_page: Open, explorer: str, ledger: str) -> None:
    rows = table(open_page(explorer), "Budgets")
    asked = httpx2.get(f"{ledger}/v1/budgets", timeout=60).json()
    budgets = {f"{row['dimension']} {row['id']}": row for row in asked["budgets"]}
    assert list(rows) == list(budgets) == ["run nightly-7", "run eval-1", "run import-3", "run nightly-8"]
    assert rows["run nightly-7"] == {
        "Budget": "run nightly-7",
        "Limit": "$1.8500",
        "Spent": "$1.8000",
        "Used": "97.3%",  # 1.80 of 1.85
        "Calls": "66",
        "No price": "0",
        "Refused": "2",
        "Exact USD": "1.800000",
    }
    assert {name: row["Exact USD"] for name, row in rows.items()} == {
        name: row["spent_usd"] for name, row in budgets.items()
    }
    assert (rows["run eval-1"]["Spent"], rows["run eval-1"]["Used"]) == ("69,200 tokens", "69.2%")
    assert rows["run import-3"]["Used"] == "54.2%"  # 0.40650075 of 0.75


def test_a_link_reopens_the_same_view(open_page: Open, explorer: str, ledger: str) -> None:
    page = open_page(explorer)
    table(page, "Spend by project")
    page.get_by_role("radio", name="7d", exact=True).click()
    page.get_by_role("radio", name="model", exact=True).click()
    page.wait_for_url(lambda url: "period=7d" in url and "by=model" in url)
    filters = page.get_by_role("combobox", name="Project", exact=True)
    filters.click()
    filters.fill("atlas")
    page.get_by_role("option", name="atlas", exact=True).click()
    filters.press("Escape")
    page.wait_for_url(re.compile("project=atlas"))
    expect(page.get_by_text("Last 7 days · UTC · Project: atlas")).to_be_visible()
    expect(page.get_by_role("cell", name="our-own-7b")).to_have_count(0)
    seen = table(page, "Spend by model")
    assert parse_qs(urlsplit(page.url).query) == {"period": ["7d"], "by": ["model"], "project": ["atlas"]}
    again = open_page(page.url)
    assert table(again, "Spend by model") == seen
    assert card(again, "Spent") == card(page, "Spent") == ("$1.9584", "exactly 1.958400 USD")
    expect(again.get_by_text("Last 7 days · UTC · Project: atlas")).to_be_visible()
    answer = summary(ledger, by="model", since="7d", project="atlas")
    assert {row["model"]: row["cost_usd"] for row in answer["rows"]} == {
        name: row["Exact USD"] for name, row in seen.items()
    }


def test_without_a_service_the_page_says_how_to_start_one(
    open_page: Open, explore: Callable[[str], str], serve: Callable[..., str], port: int
) -> None:
    url = f"http://127.0.0.1:{port}"
    page = open_page(explore(url))
    expect(page.get_by_text("The ledger cannot be reached")).to_be_visible()
    expect(page.get_by_text(f"No ledger service answers at {url}")).to_be_visible()
    expect(page.get_by_text("otel-cost serve", exact=True)).to_be_visible()
    assert "Traceback" not in page.inner_text("body")
    serve(urlsplit(url).netloc)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("No calls yet")).to_be_visible()
    expect(page.get_by_text("opentelemetry-instrument python app.py")).to_be_visible()
    send(url)
    page.reload()
    assert card(page, "Spent") == ("$2.4199", f"exactly {TOTAL} USD")


@pytest.mark.parametrize("look", [("light", 1440), ("dark", 1440), ("light", 400)])
def test_the_page_looks_as_in_the_documentation(
    open_page: Open, explorer: str, root: Path, tmp_path: Path, look: tuple[str, int]
) -> None:
    scheme, width = look
    page = open_page(explorer, width, color_scheme=scheme, device_scale_factor=1)
    table(page, "Budgets")
    expect(page.get_by_test_id("stVegaLiteChart").locator("canvas, svg")).to_have_count(2)
    height = page.get_by_test_id("stMain").evaluate("main => main.scrollHeight")
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_timeout(1000)  # the charts are drawn anew, and nothing tells when they are done
    is_shown = width == 1440 and os.environ.get("OTEL_COST_PICTURES")
    folder = root / "docs" / "images" if is_shown else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    name = {("light", 1440): "overview.png", ("dark", 1440): "overview-dark.png"}.get(look, "overview-narrow.png")
    page.screenshot(path=folder / name)
    wider = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    assert not wider, "the page must not scroll sideways"
