"""`otel-cost report`: what a run cost, for people and for programs; and the spool that it drains first."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from exporter_building import DAY, NOON, call, refused, request, span, unknown

from otel_cost import CostReport
from otel_cost_exporter import books, segments, spool
from otel_cost_exporter.cli import cost_report

from .commanding import fill, lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from .commanding import Run


def test_where_another_process_has_the_file_a_report_is_no_way_out(
    run: Run, serving: Callable[[], AbstractContextManager[Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OTEL_COST_SPOOL", str(tmp_path / "elsewhere"))
    segments.write(tmp_path / "elsewhere", request(call(1)))
    with serving():
        assert run("summary").output.endswith("say where it listens with --url or OTEL_COST_URL\n")


def test_a_report_says_what_it_leaves_in_the_spool(run: Run, ledger_file: Path, tmp_path: Path) -> None:
    fill(ledger_file, call(1))
    missing = run("report", "--spool", str(tmp_path / "no" / "such"))
    assert (missing.exit_code, missing.stderr) == (
        0,
        f"Spool {tmp_path / 'no' / 'such'} is not there: nothing to drain\n",
    )
    assert run("report").stderr == ""
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("precious")
    (home / ".hidden").touch()
    left = f"Spool {home} holds what is no segment, and it is left alone: thesis.txt\n"
    assert run("report", "--spool", str(home)).stderr == left
    stuck = segments.write(home, b"no protobuf")
    segments.write(home, request(call(2)))
    (home / spool.ASIDE).touch()
    done = run("report", "--spool", str(home))
    assert done.stderr == f"{left}Spool file {stuck} is not drained for now: File exists\n"
    assert lines(done.stdout)[-1][:2] == ["total", "2"]
    assert (home / "thesis.txt").read_text() == "precious"


def test_a_report_drains_the_spool_and_breaks_a_run_down(run: Run, spool_folder: Path) -> None:
    stated = {"otel_cost__run": "r1", "otel_cost__role": "writer"}
    segments.write(spool_folder, request(call(1, otel_cost__stage="draft", **stated), call(2, otel_cost__run="r2")))
    segments.write(spool_folder, request(call(3, otel_cost__stage="edit", otel_cost__cost__amount="0.01", **stated)))
    document = json.loads(run("report", "r1", "--json").output)
    assert not spool.waiting(spool_folder)
    assert (document["run"], document["total"]["calls"], document["total"]["cost_usd"]) == ("r1", 2, "0.014500")
    assert [(row["stage"], row["model"], row["cost_usd"]) for row in document["stages"]] == [
        ("edit", "gpt-4o", "0.010000"),
        ("draft", "gpt-4o", "0.004500"),
    ]
    assert [(row["role"], row["cost_usd"]) for row in document["by_role"]] == [("writer", "0.014500")]
    table = lines(run("report", "r1").output)
    assert ["edit", "gpt-4o", "1", "1,000", "200", "0.010000"] in table
    assert table.count(["total", "2", "2,000", "400", "0.014500"]) == 3  # by stage and model, model, and role


def test_a_report_shows_what_says_something(run: Run, ledger_file: Path) -> None:
    fill(ledger_file, call(1, otel_cost__run="r1", otel_cost__scene="s1", otel_cost__budget__run="0.05"))
    shown = lines(run("report", "r1").output)
    assert [row[0] for row in shown] == [
        *("Run", "Calls", "Of"),
        *("model", shown[4][0], "gpt-4o", "total"),
        *("scene", shown[8][0], "s1", "total"),
    ]
    assert " ".join(shown[1]) == "Calls from 2026-03-02T12:00:00Z to 2026-03-02T12:00:00Z."
    assert " ".join(shown[2]) == "Of a budget of 0.050000 USD, 0.045500 USD are left."
    fill(
        ledger_file,
        call(2, otel_cost__run="r2", otel_cost__project="atlas", otel_cost__budget__run="2000tok"),
    )
    told = run("report", "r2").output.splitlines()
    assert told[1].endswith("T12:00:00Z, for atlas.")
    assert told[2] == "Of a budget of 2,000 tokens, 800 are left."


def test_a_report_in_markdown_shows_names_as_they_are(run: Run, ledger_file: Path) -> None:
    stated = {"otel_cost__run": "r_1", "otel_cost__stage": "a|b*"}
    fill(ledger_file, call(1, **stated), unknown(2, **stated))
    assert run("report", "r_1", "--format", "markdown").output == (
        "# Run r\\_1\n\n"
        "Calls from 2026-03-02T12:00:00Z to 2026-03-02T12:00:00Z.\n\n"
        "| stage | model | calls | input | output | no price | cost in USD |\n"
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |\n"
        "| a\\|b\\* | gpt-4o | 2 | 2,000 | 400 | 1 | 0.004500 |\n"
        "| total |  | 2 | 2,000 | 400 | 1 | 0.004500 |\n\n"
        "| model | calls | input | output | no price | cost in USD |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |\n"
        "| gpt-4o | 2 | 2,000 | 400 | 1 | 0.004500 |\n"
        "| total | 2 | 2,000 | 400 | 1 | 0.004500 |\n\n"
        "The cost of 1 call or charge is unknown and in no sum: 1,000 input and 200 output tokens have no price.\n"
    )
    assert run("report", "--format", "markdown").output.startswith("# Runs\n\n| run | calls |")


def charged(number: int, **more: Any) -> Span:
    usual = {
        "gen_ai__operation__name": "charge",
        "otel_cost__charge__name": "web_search",
        "otel_cost__charge__units": "2.5",
        "otel_cost__cost__status": "known",
        "otel_cost__cost__amount": "0.02",
        "otel_cost__call__outcome": "ok",
    }
    return span(number, **(usual | more))


def test_a_report_as_the_application_writes_it(run: Run, ledger_file: Path) -> None:
    stated = {"otel_cost__run": "r1", "otel_cost__stage": "draft"}
    fill(
        ledger_file,
        call(1, otel_cost__role="writer", **stated, otel_cost__budget__run="0.05"),
        call(2, otel_cost__cost__status="estimated", **stated),
        unknown(3, **stated),
        refused(4, **stated),
        charged(5, **stated),
        charged(6, **stated, otel_cost__charge__units="1"),
        charged(7, otel_cost__run="r1", otel_cost__cost__status="unknown", otel_cost__cost__amount=None),
        call(8, otel_cost__run="r2"),
    )
    found = CostReport.model_validate_json(run("report", "r1", "--format", "cost-report").output)
    assert (found.outcome, found.refused_calls, found.started.isoformat()) == (
        "audited",
        1,
        "2026-03-02T12:00:00+00:00",
    )
    total = found.total
    assert (total.calls, total.input_tokens, total.output_tokens) == (3, 3000, 600)
    assert total.cost_usd == Decimal("0.049")  # 2 x 0.0045 and 2 x 0.02
    assert (total.known, total.estimated, total.unknown) == (3, 1, 2)
    assert [(part.name, part.calls, part.cost_usd) for part in found.by_stage] == [
        ("draft", 3, Decimal("0.049")),
        (None, 0, 0),
    ]
    assert [(part.name, part.calls, part.cost_usd) for part in found.by_role] == [
        (None, 2, Decimal("0.0445")),
        ("writer", 1, Decimal("0.0045")),
    ]
    assert [(part.name, part.cost_usd, part.unknown) for part in found.by_model] == [("gpt-4o", Decimal("0.009"), 1)]
    assert [part.name for part in found.by_provider] == ["openai"]
    (charge,) = found.charges
    assert (charge.name, charge.charges, charge.units, charge.cost_usd, charge.unknown) == (
        "web_search",
        3,
        6,
        Decimal("0.04"),
        1,
    )
    assert found.budget is not None
    assert (found.budget.limit, found.budget.remaining, found.budget.state) == (
        Decimal("0.05"),
        Decimal("0.001"),
        "open",
    )


def test_a_report_of_many_charges_turns_pages(run: Run, ledger_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_report, "_PAGE", "2")
    fill(ledger_file, *(charged(number, otel_cost__run="r1") for number in range(1, 6)))
    found = CostReport.model_validate_json(run("report", "r1", "--format", "cost-report").output)
    assert (found.charges[0].charges, found.charges[0].units, found.total.cost_usd) == (
        5,
        Decimal("12.5"),
        Decimal("0.1"),
    )
    assert found.budget is None


def test_a_report_under_a_budget_in_tokens(run: Run, ledger_file: Path) -> None:
    fill(ledger_file, call(1, otel_cost__run="r1", otel_cost__budget__run="1000tok"))
    budget = CostReport.model_validate_json(run("report", "r1", "--format", "cost-report").output).budget
    assert budget is not None
    assert (budget.unit, budget.limit, budget.spent, budget.state) == ("tokens", 1000, 1200, "exhausted")


def test_a_cost_report_is_of_one_run(run: Run) -> None:
    done = run("report", "--format", "cost-report")
    assert done.exit_code == 2
    assert "otel-cost report RUN --format cost-report" in done.output


def test_a_report_without_a_run_lists_the_runs(run: Run, ledger_file: Path) -> None:
    fill(ledger_file, call(1, otel_cost__run="r1"), call(2, otel_cost__run="r2", otel_cost__cost__amount="1"), call(3))
    table = lines(run("report").output)
    assert table[0] == ["Runs,", "ledger", str(ledger_file)]
    assert [row[0] for row in table[3:]] == ["r2", "r1", "(none)", "total"]
    assert json.loads(run("report", "--json").output) == json.loads(run("summary", "--by", "run", "--json").output)


def test_a_report_lists_the_dearest_runs_of_a_time(run: Run, ledger_file: Path) -> None:
    fill(
        ledger_file,
        *(call(number, start=NOON + number * DAY, otel_cost__run=f"r{number}") for number in range(1, 4)),
        *(call(3 + number, otel_cost__run=f"s{number}") for number in range(1, 50)),
    )
    assert "\n2 more rows are left out by --limit; the total is of all.\n" in run("report").output
    lately = ("report", "--since", "2026-03-04", "--until", "2026-03-05", "--tz", "Europe/Berlin")
    assert [row[0] for row in lines(run(*lately).output)[3:]] == ["r2", "total"]
    one = run("report", "--limit", "1", "--json")
    assert (len(json.loads(one.output)["rows"]), json.loads(one.output)["more_rows"]) == (1, 51)


def test_a_report_of_a_run_is_of_all_of_it_by_the_clocks_of_a_zone(run: Run, ledger_file: Path) -> None:
    fill(ledger_file, call(1, otel_cost__run="r1"))
    shown = run("report", "r1", "--tz", "Europe/Berlin").output
    assert "Calls from 2026-03-02T13:00:00+01:00 to 2026-03-02T13:00:00+01:00." in shown
    for option in (("--since", "24h"), ("--until", "24h"), ("--limit", "9")):
        done = run("report", "r1", *option)
        assert (done.exit_code, "are of the list of runs: a run is reported whole" in done.output) == (2, True)


@pytest.mark.parametrize("form", ["table", "markdown", "json"])
def test_a_report_goes_into_a_file_as_a_whole(run: Run, ledger_file: Path, tmp_path: Path, form: str) -> None:
    fill(ledger_file, call(1, otel_cost__run="r1"))
    path = tmp_path / "report"
    asked = ("report", "r1", "--format", form)
    assert run(*asked, "--output", str(path)).output == ""
    assert path.read_text("utf-8") == run(*asked).output
    missing = run(*asked, "--output", str(tmp_path / "no" / "report"))
    assert missing.output == f"Error: {tmp_path / 'no' / 'report'} cannot be written: No such file or directory\n"


def test_a_run_that_nobody_knows_is_said(run: Run, ledger_file: Path) -> None:
    fill(ledger_file, call(1, otel_cost__run="r1"))
    done = run("report", "r9")
    assert (done.exit_code, done.output) == (
        1,
        "Error: no call of run 'r9' is in the books; otel-cost report lists the runs\n",
    )


def test_a_report_waits_for_the_service_to_drain_the_spool(
    run: Run,
    serving: Callable[[], AbstractContextManager[Any]],
    spool_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving() as running:
        monkeypatch.setenv("OTEL_COST_URL", running.url)
        monkeypatch.setattr(books, "_DRAIN_SECONDS", 120.0)  # as long as a busy machine takes
        segments.write(spool_folder, request(call(1, otel_cost__run="r1")))
        assert json.loads(run("report", "r1", "--json").output)["total"]["cost_usd"] == "0.004500"
        monkeypatch.setattr(books, "_DRAIN_SECONDS", 0.0)
        elsewhere = tmp_path / "elsewhere"
        segments.write(elsewhere, request(call(2, otel_cost__run="r1")))
        done = run("report", "r1", "--spool", str(elsewhere), "--url", running.url)
        assert f"The service did not drain {elsewhere}: what waits there is not counted" in done.output
        assert done.exit_code == 0
