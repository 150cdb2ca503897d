"""Every question over HTTP: its answer is what OpenAPI says, the same as from the file, and in each format.

A call is 1000 tokens at 2.50 USD a million and 200 at 10: 0.0025 + 0.002 = 0.0045 USD.
"""

from __future__ import annotations

import csv
import io
import json
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

import pyarrow as pa
import pytest
import requests
from exporter_building import HOUR, NOON, call, request, unknown

from otel_cost_exporter.answers.routes import ROUTES
from otel_cost_exporter.books import ServiceBooks
from otel_cost_exporter.errors import NotInBooksError, QuestionError

if TYPE_CHECKING:
    from otel_cost_exporter.service import Service

ARROW = "application/vnd.apache.arrow.stream"
QUESTIONS = {
    "summary": "summary?by=run&by=day&tz=Europe/Berlin",
    "estimate": "estimate?project=p",
    "runs/{id}": "runs/r%2F1",
    "scenes/{id}": "scenes/s1?since=2026-03-01",
    "runs": "runs?search=R/&limit=1",
    "projects/{id}": "projects/p?per=scene",
    "cost-dashboard": "cost-dashboard?days=3000&by=run",
    "calls": "calls?limit=2&sort=cost&model=gpt-4o",
    "compare": "compare?project=p&instead=gpt-4o-mini",
    "budgets/events": "budgets/events?run=r/1",
    "quarantine": "quarantine?since=2026-03-01",
    "dimensions": "dimensions",
    "schemas": "schemas",
}


@pytest.fixture
def filled(service: Service) -> Service:
    """Books with two runs, a call of none, one without a price, one that was refused, and an event of a budget."""
    ours = {"otel_cost__project": "p"}
    spans = [
        *(
            call(n, start=NOON + n * HOUR, otel_cost__run="r/1", otel_cost__scene=f"s{n % 2}", **ours)
            for n in range(1, 5)
        ),
        unknown(5, start=NOON, otel_cost__run="r/2", otel_cost__stage="=draft", **ours),
        call(6, **ours),
        call(7, gen_ai__usage__input_tokens=-5, **ours),
    ]
    headers = {"content-type": "application/x-protobuf"}
    requests.post(f"{service.url}/v1/traces", request(*spans), headers=headers, timeout=10).raise_for_status()
    stated = {"dimension": "run", "id": "r/1", "unit": "USD", "limit": "0.05"}
    event = {
        "eventName": "otel_cost.budget.exceeded",
        "timeUnixNano": str(NOON),
        "attributes": [
            {"key": f"otel_cost.budget.event.{name}", "value": {"stringValue": text}} for name, text in stated.items()
        ],
    }
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [event]}]}]}
    requests.post(f"{service.url}/v1/logs", json=logs, timeout=10).raise_for_status()
    return service


def get(service: Service, path: str, accept: str = "*/*", status: int = 200) -> requests.Response:
    answer = requests.get(f"{service.url}/v1/{path}", headers={"accept": accept}, timeout=10)
    assert answer.status_code == status, answer.text
    return answer


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_each_answer_is_what_its_shape_says_and_the_same_from_the_file(filled: Service, route: Any) -> None:
    path = QUESTIONS[route.path]
    answer = get(filled, path).json()
    route.shape.model_validate(answer)
    name, _, query = path.partition("?")
    parameters = [tuple(each.split("=", 1)) for each in query.split("&") if each]
    asked = [(key, value.replace("%2F", "/")) for key, value in parameters]
    from_file = filled.reader.ask(name, asked)
    by_commands = ServiceBooks(filled.url).ask(name, asked)
    for document in (answer, from_file, by_commands):
        document.pop("until", None)  # a dashboard's is now
    assert answer == from_file == by_commands


@pytest.mark.parametrize("route", [route for route in ROUTES if route.table], ids=lambda route: route.path)
def test_each_table_is_the_same_in_json_csv_and_arrow(filled: Service, route: Any) -> None:
    path = QUESTIONS[route.path]
    rows = get(filled, path).json()[route.table]
    text = get(filled, path, "text/csv")
    assert text.headers["content-type"].startswith("text/csv")
    lines = list(csv.DictReader(io.StringIO(text.text)))
    assert [list(line) for line in lines] == [list(row) for row in rows]
    assert [line.get("cost_usd") or "" for line in lines] == [row.get("cost_usd") or "" for row in rows]
    table = pa.ipc.open_stream(get(filled, path, f"text/html, {ARROW};q=0.9, */*;q=0.1").content).read_all()
    assert table.column_names == list(rows[0])
    for name in ("cost_usd", "calls", "run"):
        if name in rows[0]:
            assert [plain(value) for value in table[name].to_pylist()] == [plain(row[name]) for row in rows]


def plain(value: Any) -> Any:
    return Decimal(value) if isinstance(value, (str, Decimal)) and "." in str(value) else value


def test_a_summary_of_nothing_grouped_is_a_table_of_its_total(filled: Service) -> None:
    [line] = csv.DictReader(io.StringIO(get(filled, "summary", "text/csv").text))
    assert (line["calls"], line["cost_usd"], line["unknown_calls"]) == ("6", "0.022500", "1")


def test_arrow_has_money_as_decimals_and_times_as_times(filled: Service) -> None:
    table = pa.ipc.open_stream(get(filled, "summary?by=hour&by=day&tz=Europe/Berlin", ARROW).content).read_all()
    types = {name: str(table.schema.field(name).type) for name in ("hour", "day", "cost_usd", "calls")}
    assert types == {
        "hour": "timestamp[us, tz=Europe/Berlin]",
        "day": "date32[day]",
        "cost_usd": "decimal128(38, 12)",
        "calls": "int64",
    }
    assert table["hour"][0].as_py().isoformat() == "2026-03-02T13:00:00+01:00"


@pytest.mark.parametrize(
    ("path", "accept", "status", "line"),
    [
        ("summary?sinse=24h", "*/*", 400, "parameter 'sinse' is unknown, allowed are: by, since, until, tz, limit"),
        ("summary?limit=0", "*/*", 400, "limit='0' is no whole number from 1 to 1000"),
        ("summary?tz=Mars/Olympus", "*/*", 400, "tz='Mars/Olympus' is no time zone"),
        ("summary?tz=../../etc/passwd", "*/*", 400, "is no time zone"),
        ("calls?sort=colour", "*/*", 400, "sort='colour' is unknown, sort can be: newest, oldest, cost"),
        ("calls?cursor=abc", "*/*", 400, "cursor='abc' is none of a list by newest"),
        ("calls?search=x", "*/*", 400, "parameter 'search' is unknown"),
        ("runs?search=", "*/*", 400, "search is empty"),
        ("projects/p?per=colour", "*/*", 400, "per='colour' is unknown, per can be: project"),
        ("cost-dashboard?days=forever", "*/*", 400, "days='forever' is no whole number from 1 to 3660"),
        ("cost-dashboard?by=run&by=model", "*/*", 400, "by is given more than once"),
        ("cost-dashboard?by=day", "*/*", 400, "by='day' spends nothing"),
        ("dimensions?run=r", "*/*", 400, "parameter 'run' is unknown, none is allowed here"),
        ("export?limit=3", "*/*", 400, "parameter 'limit' is unknown"),
        ("runs/none", "*/*", 404, "no call of run 'none' is in the books"),
        ("scenes/none", "*/*", 404, "no call of scene 'none' is in the books"),
        ("projects/none", "*/*", 404, "no call of project 'none' is in the books"),
        ("summary", "text/html", 406, "Accept: text/html is none of application/json, text/csv"),
        ("dimensions", "text/csv", 406, "Accept: text/csv is none of application/json"),
        ("export", "text/csv;q=0, image/png;q=much", 406, "is none of text/csv, application/x-ndjson"),
    ],
)
def test_what_cannot_be_answered_is_said_in_one_line(
    filled: Service, path: str, accept: str, status: int, line: str
) -> None:
    detail = get(filled, path, accept, status).json()["detail"]
    assert line in detail
    assert "\n" not in detail


@pytest.mark.parametrize("path", ["runs/none", "nothing"])
def test_what_is_not_there_is_the_same_error_from_both_books(filled: Service, path: str) -> None:
    for books in (filled.reader, ServiceBooks(filled.url)):
        with pytest.raises(NotInBooksError):
            books.ask(path)


@pytest.mark.parametrize("kind", ["text/csv", "application/x-ndjson", ARROW])
def test_an_export_has_every_call_that_is_asked_for(filled: Service, kind: str) -> None:
    content = get(filled, "export?run=r/1&run=r/2&since=2026-03-02T12:00:00Z", kind).content
    if kind == ARROW:
        found = pa.ipc.open_stream(content).read_all().to_pylist()
        costs = [row["cost_usd"] for row in found]
    else:
        lines = content.decode()
        found = (
            list(csv.DictReader(io.StringIO(lines))) if kind == "text/csv" else [*map(json.loads, lines.splitlines())]
        )
        costs = [Decimal(row["cost_usd"]) if row["cost_usd"] else None for row in found]
    assert sorted(row["span_id"] for row in found) == [f"{number:016x}" for number in range(1, 6)]
    assert [cost for cost in costs if cost is not None] == [Decimal("0.0045")] * 4


def test_an_export_is_the_same_from_the_file_and_the_service(filled: Service) -> None:
    tables = []
    for books in (filled.reader, ServiceBooks(filled.url)):
        with books.export([("project", "p")]) as batches:
            tables.append(batches.read_all())
    assert tables[0].num_rows == 6
    assert tables[0].equals(tables[1])


def test_an_export_may_be_left_early(filled: Service) -> None:
    for books in (filled.reader, ServiceBooks(filled.url)):
        with books.export():
            pass
        with books.export() as batches:
            assert batches.read_next_batch().num_rows == 6
        assert books.ask("summary")["total"]["calls"] == 6


def test_an_export_that_cannot_be_is_refused_alike(filled: Service) -> None:
    for books in (filled.reader, ServiceBooks(filled.url)):
        with pytest.raises(QuestionError, match="parameter 'by' is unknown"), books.export([("by", "run")]):
            pass


def test_openapi_has_every_question_with_its_parameters_and_its_answer(service: Service) -> None:
    described = requests.get(f"{service.url}/v1/openapi.json", timeout=10).json()
    for route in ROUTES:
        said = described["paths"][f"/v1/{route.path}".replace("{id}", "{id}")]["get"]
        names = {each["name"] for each in said.get("parameters", ()) if each["in"] == "query"}
        assert route.takes <= names, route.path
        assert ("project" in names) == bool(route.filters)
        shape = said["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rsplit("/")[-1]
        assert shape == route.shape.__name__
        assert ("text/csv" in said["responses"]["200"]["content"]) == (route.table is not None)
        assert said["responses"]["400"]["content"]["application/json"]["schema"]["$ref"].endswith("/Refusal")


def test_openapi_describes_every_route_its_errors_and_the_token(service: Service) -> None:
    described = requests.get(f"{service.url}/v1/openapi.json", timeout=10).json()
    schemas = described["components"]["schemas"]
    assert described["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert described["security"] == [{}, {"token": []}]
    for path, methods in described["paths"].items():
        for method, said in methods.items():
            where = f"{method} {path}"
            assert said["description"], where
            assert all(each["description"] for each in said["parameters"]), where
            in_path = {each["name"] for each in said["parameters"] if each["in"] == "path"}
            assert in_path == set(re.findall(r"\{(\w+)\}", path)), where
            answers = said["responses"]
            assert {"200", "400", "401", "403", "503"} <= answers.keys(), where
            assert ({"413", "415"} <= answers.keys()) == (method in {"post", "put"}), where
            assert "422" not in answers, where
            assert ("404" in answers) >= ("id" in in_path), where
            assert ("409" in answers) == path.endswith("/limit"), where
            shape = "Status" if "OTLP" in said.get("tags", ()) else "Refusal"
            for status in answers.keys() - {"200"}:
                schema = answers[status]["content"]["application/json"]["schema"]
                assert schema == {"$ref": f"#/components/schemas/{shape}"}, where
    assert set(re.findall(r"#/components/schemas/([^\"]+)", json.dumps(described))) <= schemas.keys()


def test_the_docs_page_names_every_question_and_needs_nobody_else(service: Service) -> None:
    page = requests.get(f"{service.url}/docs", timeout=10)
    assert page.headers["content-type"].startswith("text/html")
    for route in ROUTES:
        assert f"/v1/{route.path}" in page.text
    assert "<script" not in page.text
    assert "src=" not in page.text
    assert "://" not in page.text


def test_live_is_what_ended_in_the_last_minutes(service: Service) -> None:
    now = datetime.now(UTC)
    begun = int((now - timedelta(minutes=20)).timestamp()) * 10**9
    lately = int((now - timedelta(minutes=1)).timestamp()) * 10**9
    spans = [
        call(1, start=begun, end=lately, otel_cost__cost__amount="0.5"),
        call(2, start=begun, otel_cost__cost__amount="7"),
        unknown(3, start=lately),
    ]
    headers = {"content-type": "application/x-protobuf"}
    requests.post(f"{service.url}/v1/traces", request(*spans), headers=headers, timeout=10).raise_for_status()
    # 0.5 USD in 5 minutes are 6 in an hour.
    assert get(service, "cost-dashboard").json()["live"] == {
        "minutes": 5,
        "calls": 2,
        "unknown_calls": 1,
        "cost_usd": "0.500000",
        "usd_per_hour": "6.000000",
    }


@pytest.mark.parametrize("path", ["summary?by=hour", "summary?by=day", "runs?limit=9"])
@pytest.mark.parametrize("tz", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_all_time_there_is_may_be_asked_for(filled: Service, path: str, tz: str) -> None:
    table = path.partition("?")[0].replace("summary", "rows")
    asked = f"{path}&tz={tz}&since=0001-01-02T00:00:00Z&until=9999-12-30T00:00:00Z"
    assert get(filled, asked).json()[table] == get(filled, f"{path}&tz={tz}").json()[table] != []


@pytest.mark.parametrize("run", ["a\nb", "\n", "a\n", "a\r\n/b"])
def test_an_id_may_have_line_breaks(service: Service, run: str) -> None:
    headers = {"content-type": "application/x-protobuf"}
    sent = request(call(1, otel_cost__run=run, otel_cost__budget__run="0.05"))
    requests.post(f"{service.url}/v1/traces", sent, headers=headers, timeout=10).raise_for_status()
    path = quote(run, safe="")
    assert get(service, f"runs/{path}").json()["run"] == run
    assert ServiceBooks(service.url).ask(f"runs/{path}")["total"]["calls"] == 1
    [budget] = get(service, f"budgets/run/{path}").json()["budgets"]
    assert (budget["id"], budget["calls"]) == (run, 1)
    stop = f"{service.url}/v1/budgets/run/{path}/stop"
    [budget] = requests.post(stop, json={"by": "ada"}, timeout=10).json()["budgets"]
    assert (budget["id"], budget["state"]) == (run, "stopped")


EXTREMES = (
    "0001-01-01",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "1999-12-31T23:59:59.999999Z",
    "9999-12-31",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59.999999-23:59",
    "999999w",
    "0m",
)


@pytest.mark.parametrize("tz", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12"])
@pytest.mark.parametrize("route", [route for route in ROUTES if "tz" in route.takes], ids=lambda route: route.path)
def test_no_time_is_too_much_for_a_question(filled: Service, route: Any, tz: str) -> None:
    """At both ends of the calendar the clocks of some zones have no date: it is answered, or refused by name."""
    path, _, query = QUESTIONS[route.path].partition("?")
    others = [(name, text) for name, text in parse_qsl(query) if name not in {"since", "until", "tz", "days"}]
    extremes = {"since": EXTREMES, "until": EXTREMES, "days": ("1", "3660")}
    for name in route.takes & extremes.keys():
        for text in extremes[name]:
            with suppress(NotInBooksError):
                try:
                    filled.reader.ask(path, [*others, ("tz", tz), (name, text)])
                except QuestionError as error:
                    if not str(error).startswith(f"{name}={text!r} is no time"):
                        raise


@pytest.mark.parametrize("text", EXTREMES)
def test_no_time_is_too_much_for_whatever_else_takes_one(filled: Service, text: str) -> None:
    def ask(method: str, path: str, **sent: Any) -> int:
        return requests.request(method, f"{filled.url}/v1/{path}", timeout=10, **sent).status_code

    account = {"dimension": "run", "id": "r/1", "unit": "USD"}
    for name in ("since", "until"):
        assert ask("GET", "export", params={name: text}) in {200, 400}
        assert ask("POST", "ledger/reprice", json={"since": "0001-01-02", name: text}) in {200, 400}
    assert ask("POST", "budgets/accounts", json={"accounts": [{**account, "before": text}]}) in {200, 400}
    for zone in ("Etc/GMT+12", "Asia/Tokyo"):
        of_window = {**account, "period": f"day {text} {zone}", "before": "2026-03-02T00:00:00Z"}
        assert ask("POST", "budgets/accounts", json={"accounts": [of_window]}) in {200, 400}
