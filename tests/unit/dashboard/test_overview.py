"""The page's logic, by Streamlit's own test of apps, on a real ledger service."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

import otel_cost_dashboard
from otel_cost import settings
from otel_cost_dashboard import charts, question, tables
from otel_cost_dashboard.client import Budget, Figures
from otel_cost_dashboard.views import overview

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from opentelemetry.util.types import AttributeValue

    from otel_cost_exporter.service import Service

    Open = Callable[..., AppTest]
    Answering = Callable[..., AbstractContextManager[str]]


def plain(markdown: str) -> str:
    """What a person sees of escaped Markdown."""
    return re.sub(r"\\(.)", r"\1", markdown)


def table(page: AppTest, number: int) -> dict[str, dict[str, str]]:
    """A table as a person sees it: its rows by their first cell."""
    frame = page.table[number].value
    rows = [{str(title): plain(str(cell)) for title, cell in row.items()} for row in frame.to_dict("records")]
    return {next(iter(row.values())): row for row in rows}


def cards(page: AppTest) -> dict[str, str]:
    return {card.label: plain(card.value) for card in page.metric}


def charted(page: AppTest, number: int) -> list[dict[str, object]]:
    """The rows that a chart draws."""
    proto = (page.get("vega_lite_chart") + page.get("arrow_vega_lite_chart"))[number].proto
    frames = [each.data.data for each in proto.datasets] or [proto.data.data]
    return list(pa.ipc.open_stream(frames[0]).read_all().to_pylist())


def drawn(page: AppTest, number: int) -> dict[tuple[str, str], str]:
    """What a chart over time of two hours says: the exact figures by hour and name."""
    rows = charted(page, number)
    latest = max(row["bucket"] for row in rows)
    return {("now" if row["bucket"] == latest else "before", row["name"]): row["exact"] for row in rows}


def words(page: AppTest) -> str:
    """All text of the page."""
    elements = (page.markdown, page.caption, page.info, page.error, page.warning, page.code)
    return "\n".join(plain(str(element.value)) for kind in elements for element in kind)


def titles(page: AppTest) -> list[str]:
    return [alert.proto.title for kind in (page.info, page.warning, page.error) for alert in kind]


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open the page on a ledger service at a URL, with query parameters."""

    def opened(url: str, **parameters: str | list[str]) -> AppTest:
        monkeypatch.setenv(settings.URL.name, url)
        page = AppTest.from_file(f"{otel_cost_dashboard.__path__[0]}/app.py", default_timeout=120)
        page.query_params |= parameters
        page.run()
        assert not page.exception
        return page

    return opened


def test_totals_show_known_estimated_and_unknown_openly(service: Service, open_page: Open) -> None:
    page = open_page(service.url)
    assert cards(page) == {
        "Spent": "$0.0171",
        "Known": "$0.0150",
        "Estimated": "$0.0021",
        "No price": "1 call",
        "Calls": "4",
        "Refused": "1",
    }
    assert "exactly 0.017100 USD" in words(page)
    assert "550 tokens, in no sum" in words(page)
    assert "0 failed, 1 cut off" in words(page)


@pytest.mark.parametrize(
    ("by", "costs"),
    [
        ("project", {"atlas": "0.015000", "borealis": "0.002100"}),
        ("run", {"r1": "0.015000", "r2": "0.002100"}),
        ("stage", {"draft": "0.010500", "plan": "0.004500", "(none)": "0.002100"}),
        ("role", {"(none)": "0.012600", "writer": "0.004500"}),
        (
            "model",
            {"claude-sonnet-4-5": "0.010500", "gpt-4o": "0.004500", "gpt-4o-mini": "0.002100", "our-own-7b": "unknown"},
        ),
        ("team", {"(none)": "0.012600", "red": "0.004500"}),
        ("provider", {"openai": "0.017100"}),
    ],
)
def test_spend_by_every_dimension(service: Service, open_page: Open, by: str, costs: dict[str, str]) -> None:
    rows = table(open_page(service.url, by=by), 0)
    assert {name: row["Exact USD"] for name, row in rows.items()} == costs
    assert list(rows) == list(costs)


def test_a_row_tells_all_of_a_project(service: Service, open_page: Open) -> None:
    assert table(open_page(service.url), 0) == {
        "atlas": {
            "Project": "atlas",
            "Calls": "2",
            "Refused": "1",
            "No price": "0",
            "Tokens in": "3,000",
            "Tokens out": "500",
            "Cost": "$0.0150",
            "Share": "87.7%",
            "Exact USD": "0.015000",
        },
        "borealis": {
            "Project": "borealis",
            "Calls": "2",
            "Refused": "0",
            "No price": "1",
            "Tokens in": "10,500",
            "Tokens out": "1,050",
            "Cost": "$0.0021",
            "Share": "12.3%",
            "Exact USD": "0.002100",
        },
    }


def test_budgets_show_their_use_whatever_the_period(service: Service, open_page: Open) -> None:
    page = open_page(service.url, period="days", days=["2025-01-01", "2025-01-02"])
    assert titles(page) == ["No calls in this view"]
    assert "01 Jan 2025 to 02 Jan 2025 · UTC" in words(page)
    rows = table(page, 0)
    assert list(rows) == ["run r2", "run r1"]
    assert (rows["run r2"]["Limit"], rows["run r2"]["Spent"]) == ("11,000 tokens", "11,550 tokens")
    assert (rows["run r2"]["Used"], rows["run r2"]["No price"]) == ("105.0%", "1")
    assert (rows["run r1"]["Limit"], rows["run r1"]["Spent"]) == ("$0.0200", "$0.0150")
    assert (rows["run r1"]["Used"], rows["run r1"]["Refused"], rows["run r1"]["Calls"]) == ("75.0%", "1", "2")


def test_what_is_too_much_to_list_is_cut_and_said(
    service: Service, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MOST_ROWS", 1)
    monkeypatch.setattr(question, "_MOST_CHOICES", 1)
    page = open_page(service.url, project="borealis")
    assert list(table(page, 1)) == ["run r2"]
    assert "The first 1 of 2." in words(page)
    projects = page.multiselect(key="project")
    assert (list(projects.options), projects.value) == (["atlas"], ["borealis"])
    assert projects.help == "The 1 that cost most; 1 more can be typed."
    assert page.multiselect(key="role").help == "The 1 that cost most; 1 more can be typed."


def test_of_many_values_the_page_asks_only_for_those_that_it_shows(
    empty_service: Service,
    send_calls: Callable[..., None],
    make_call: Callable[..., dict[str, AttributeValue]],
    open_page: Open,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Eight runs and calls of none: the dearest get a colour, and each hour has all that the others spent."""
    monkeypatch.setattr(tables, "MOST_ROWS", 8)
    monkeypatch.setattr(overview, "_MOST_POINTS", 8)
    runs = [make_call("gpt-4o", 1000, 200, f"0.0{9 - number}", run=f"r{number}") for number in range(8)]
    unnamed = make_call("gpt-4o", 1000, 200, "0.085")
    now = datetime.now(UTC)
    send_calls(empty_service.url, (*runs, unnamed), now - timedelta(minutes=1))
    send_calls(empty_service.url, (runs[0], make_call("our-own-7b", 1, 1, None, run="r7")), now - timedelta(hours=2))
    page = open_page(empty_service.url, by="run")
    assert list(table(page, 0)) == ["r0", "(none)", "r1", "r2", "r3", "r4", "r5", "r6"]
    assert "The first 8 of 9." in words(page)
    # What is left: r6 and r7, 0.03 + 0.02, and 0.085 of no run; two hours ago a call without a price alone.
    assert drawn(page, 0) == {
        **{("now", f"r{number}"): f"0.0{9 - number}0000" for number in range(6)},
        ("now", "3 others"): "0.135000",
        ("before", "r0"): "0.090000",
        ("before", "3 others"): "unknown",
    }
    colours = {row["name"]: row["colour"] for row in charted(page, 1)}
    assert [colours[name] for name in ("r0", "r1", "r5")] == [charts.COLOURS[at] for at in (0, 1, 5)]
    assert colours["(none)"] == colours["r6"] == charts.OTHERS_COLOUR


def test_a_link_reopens_the_view(service: Service, open_page: Open) -> None:
    page = open_page(service.url)
    page.button_group(key="period").set_value("7d").run()
    page.multiselect(key="project").set_value(["atlas"]).run()
    page.multiselect(key="model").set_value(["gpt-4o", "gpt-4o-mini"]).run()
    page.button_group(key="by").set_value("model").run()
    again = open_page(service.url, period="7d", project="atlas", model=["gpt-4o", "gpt-4o-mini"], by="model")
    assert words(again) == words(page)
    assert "Last 7 days · UTC · Project: atlas · Model: gpt-4o, gpt-4o-mini" in words(again)
    assert table(again, 0) == table(page, 0)
    assert cards(again)["Spent"] == "$0.0045"


def test_a_link_to_a_value_that_is_not_in_the_period_still_filters(service: Service, open_page: Open) -> None:
    page = open_page(service.url, project="gone")
    assert page.multiselect(key="project").value == ["gone"]
    assert titles(page) == ["No calls in this view"]


@pytest.mark.parametrize("parameters", [{"period": "decade", "by": "colour", "days": "never"}, {"project": ""}])
def test_a_link_with_nonsense_shows_the_page(
    service: Service, open_page: Open, parameters: dict[str, str | list[str]]
) -> None:
    assert cards(open_page(service.url, **parameters))["Spent"] == "$0.0171"


@pytest.mark.parametrize("period", ["1h", "24h", "7d", "30d", "all", "days"])
def test_every_period_draws(
    empty_service: Service,
    send_calls: Callable[..., None],
    make_call: Callable[..., dict[str, AttributeValue]],
    open_page: Open,
    period: str,
) -> None:
    now = datetime.now(UTC)
    for age in (timedelta(minutes=5), timedelta(hours=2), timedelta(days=2), timedelta(days=8), timedelta(days=40)):
        send_calls(empty_service.url, (make_call("gpt-4o", 1000, 200, "0.0045", project="p"),), now - age)
    page = open_page(empty_service.url, period=period)
    spent = {"1h": "$0.0045", "24h": "$0.0090", "7d": "$0.0135", "30d": "$0.0180"}
    assert cards(page)["Spent"] == spent.get(period, "$0.0225")
    bucket = "hour" if period in {"1h", "24h"} else "day"
    alts = [element.proto.alt for element in page.get("vega_lite_chart") + page.get("arrow_vega_lite_chart")]
    assert f"Spend per {bucket} by project, in US dollars" in alts


def test_everything_within_three_days_is_drawn_by_the_hour(service: Service, open_page: Open) -> None:
    page = open_page(service.url, period="all", by="run")
    assert "Everything · UTC" in words(page)
    alts = [element.proto.alt for element in page.get("vega_lite_chart") + page.get("arrow_vega_lite_chart")]
    assert alts == ["Spend per hour by run, in US dollars", "Spend by run, in US dollars"]


def test_one_day_can_be_chosen(service: Service, open_page: Open) -> None:
    page = open_page(service.url, period="days")
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    page.date_input(key="days").set_value((yesterday, yesterday + timedelta(days=1))).run()
    assert cards(page)["Spent"] == "$0.0171"


def test_an_empty_ledger_shows_how_to_instrument_an_application(empty_service: Service, open_page: Open) -> None:
    page = open_page(empty_service.url)
    assert titles(page) == ["No calls yet"]
    lines = page.code[0].value.splitlines()
    assert lines == [
        "pip install otel-cost",
        f"export OTEL_EXPORTER_OTLP_ENDPOINT={empty_service.url} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        "opentelemetry-instrument python app.py",
    ]
    assert not page.metric


def test_without_a_service_it_says_where_it_looked_and_how_to_start_one(
    nobody: str, open_page: Open, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page(nobody)
    assert titles(page) == ["The ledger cannot be reached"]
    assert f"No ledger service answers at {nobody}" in words(page)
    assert page.code[0].value == "otel-cost serve"
    assert settings.URL.name in words(page)
    monkeypatch.setenv(settings.URL.name, service.url)
    page.button[0].click().run()
    assert cards(page)["Spent"] == "$0.0171"


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b'{"status": "ok", "ledger": "l", "calls": 3}'])
def test_another_service_on_the_port_is_no_traceback(answering: Answering, open_page: Open, body: bytes) -> None:
    with answering(200, body) as url:
        page = open_page(url)
        assert titles(page) == ["The ledger's answer cannot be read"]
        assert "did not answer what the ledger's API promises" in words(page)


def test_books_that_cannot_be_written_are_still_shown(answering: Answering, open_page: Open) -> None:
    figures = dict.fromkeys(Figures.__slots__, 0)
    summary = {
        "rows": [],
        "more_rows": 0,
        "total": {**figures, "cost_usd": "0.000000", "estimated_cost_usd": "0.000000"},
    }
    health = {"status": "failing", "ledger": "/l.duckdb", "reason": "disk full"}
    with answering(
        500,
        b"",
        healthz=(503, json.dumps(health).encode()),
        summary=(200, json.dumps(summary).encode()),
        dimensions=(200, b'{"dimensions": []}'),
        budgets=(200, b'{"budgets": [], "more_rows": 0}'),
    ) as url:
        page = open_page(url)
        assert titles(page) == ["No calls in this view", "New calls are not being recorded"]
        assert "cannot write /l.duckdb: disk full" in words(page)
        assert "No call carried a budget yet" in words(page)
        assert "`otel-cost run --budget 0.50 -- python app.py`" in words(page)  # as text, -- would become a dash


def test_names_from_the_books_are_shown_as_they_are(
    empty_service: Service,
    send_calls: Callable[..., None],
    make_call: Callable[..., dict[str, AttributeValue]],
    open_page: Open,
) -> None:
    name = "**a** $1$ :red[x] `b` [c](http://d) <i> \\ | _e_"
    send_calls(empty_service.url, (make_call("gpt-4o", 1000, 200, "0.0045", project=name, calls="x", days="y"),))
    page = open_page(empty_service.url, project=name)
    assert list(table(page, 0)) == [name]
    assert "No price" not in table(page, 0)[name]
    # What a user named like a figure or a parameter cannot be asked for, and does no harm.
    assert [widget.key for widget in page.multiselect] == [
        *("project", "run", "stage", "role", "model", "provider", "service"),
    ]


def test_a_long_table_is_cut_and_says_so() -> None:
    def script() -> None:
        from otel_cost_dashboard import tables  # noqa: PLC0415 - Streamlit runs this function's source alone

        tables.show([tables.Column("Run", [f"r{number}" for number in range(1234)], words=True)], alt="Runs")

    page = AppTest.from_function(script).run()
    assert len(page.table[0].value) == tables.MOST_ROWS
    assert [caption.value for caption in page.caption] == [
        "The first 200 of 1,234. Narrow the filters to see the rest."
    ]


def budget(usd: str | None, tokens: int | None) -> Budget:
    limit = None if usd is None else Decimal(usd)
    return Budget("run", "r1", limit, tokens, Decimal("0.5"), 900, 3, 0, 0, "2026-11-22T15:00:00Z")


def test_a_bar_fills_with_the_share_used_and_changes_colour() -> None:
    shares = {usd: overview._fill(overview._uses(budget(usd, None))[0]) for usd in ("1", "0.6", "0.5", "0.4", "0")}
    assert [round(share, 2) for share, _ in shares.values()] == [0.5, 0.83, 1.0, 1.25, 1.0]
    assert len({colour for _, colour in shares.values()}) == 3
    assert "linear-gradient(90deg, #12345666 100.0%" in tables._bar(1.25, "#123456")


def test_a_budget_with_two_limits_has_two_rows() -> None:
    assert [use.limit for use in overview._uses(budget("1", 1000))] == ["$1.0000", "1,000 tokens"]
