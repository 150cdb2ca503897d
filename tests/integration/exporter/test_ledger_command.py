"""`otel-cost ledger`: the same on a file and through the service that has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import requests
from exporter_building import DAY, NOON, SECOND, call, parcel, request, unknown

from otel_cost_exporter.access.address import Address
from otel_cost_exporter.access.tokens import Tokens
from otel_cost_exporter.errors import LedgerDownError, LedgerError
from otel_cost_exporter.file import statements
from otel_cost_exporter.file.database import Database
from otel_cost_exporter.keeping.anywhere import FileKeeping
from otel_cost_exporter.keeping.retention import Pruner, Retention
from otel_cost_exporter.service import Options, Service
from otel_cost_exporter.writing.ledger import Ledger

from .commanding import fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from .commanding import Run
    from .conftest import Serving

    Command = Callable[..., Any]

FREE = Address("127.0.0.1", 0)
LOCAL = {"otel_cost__cost__source": "local", "otel_cost__cost__price_version": "before@1"}
OURS = '[[price]]\nprovider = "openai"\nmodel = "ours"\ninput = 1\noutput = 3\n'


@pytest.fixture(params=["file", "service"])
def keep(request: pytest.FixtureRequest, run: Run, ledger_file: Path) -> Iterator[Command]:
    """`otel-cost ledger` on three calls: on their file, and through a service that has it."""
    fill(
        ledger_file,
        call(1, otel_cost__cost__amount="0.009", **LOCAL),
        call(2, start=NOON + DAY, **LOCAL),
        unknown(3, gen_ai__request__model="ours", otel_cost__cost__reason="no price for model 'ours' of 'openai'"),
    )
    if request.param == "file":
        yield lambda *arguments: run("ledger", *arguments)
        return
    with Service(Options(ledger=ledger_file, grpc=FREE, http=FREE)) as service:
        yield lambda *arguments: run("ledger", *arguments, "--url", service.url)


def document(result: Any) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_sums_are_proved(keep: Command) -> None:
    done = keep("check")
    assert done.exit_code == 0
    assert done.output.splitlines()[1] == "All sums by hour and day are what they are sums of."
    assert document(keep("check", "--json")) == {
        "calls": 3,
        "since": None,
        "different_figures": 0,
        "differences": [],
        "repaired": False,
    }


def test_a_wrong_sum_is_told_and_mended(run: Run, ledger_file: Path) -> None:
    fill(ledger_file, call(1, otel_cost__cost__amount="0.009"))
    with Ledger(ledger_file) as ledger:
        ledger.do(lambda cursor: cursor.execute("UPDATE rollup_hour SET cost = 1.009")).result(60)
    done = run("ledger", "check")
    assert done.exit_code == 1
    (row,) = [line.split() for line in done.output.splitlines() if line.startswith("hour")]
    assert row[1:] == [
        "2026-03-02T12:00:00Z",
        "all",
        "calls",
        "gpt-4o,",
        "known",
        "cost",
        "0.009000000000",
        "1.009000000000",
    ]
    assert "--repair makes them anew" in done.output
    assert run("ledger", "check", "--json").exit_code == 1
    done = run("ledger", "check", "--repair")
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "The sums were made anew.")
    assert run("ledger", "check").exit_code == 0


def test_pricing_anew_tells_the_difference_first(keep: Command, tmp_path: Path) -> None:
    prices = tmp_path / "ours.toml"
    prices.write_text(OURS)
    asked = ("reprice", "--since", "2026-03-01", "--prices", str(prices))
    done = keep(*asked)
    assert done.exit_code == 0
    assert [line.split() for line in done.output.splitlines() if line.startswith(("openai", "total"))] == [
        ["openai", "gpt-4o", "2", "1", "0.013500", "0.009000"],
        ["openai", "ours", "1", "1", "unknown", "0.001600"],
        ["total", "3", "2", "0.013500", "0.010600"],
    ]
    assert "1 call had no price before." in done.output
    assert done.output.splitlines()[-1] == "Nothing was changed: --apply gives the calls these costs."
    assert document(keep(*asked, "--json"))["total"]["changed_calls"] == 2
    done = keep(*asked, "--apply")
    assert done.output.splitlines()[-1].startswith("The calls cost that now")
    assert document(keep(*asked, "--json"))["total"] == {
        "calls": 3,
        "changed_calls": 0,
        "newly_priced_calls": 0,
        "unknown_calls": 0,
        "before_usd": "0.010600",
        "after_usd": "0.010600",
    }
    assert keep("check").exit_code == 0


def test_calls_that_stay_as_they_are_are_told(run: Run, ledger_file: Path) -> None:
    fill(
        ledger_file,
        call(1, otel_cost__cost__source="provider"),
        unknown(2, gen_ai__request__model="ours", otel_cost__cost__reason="no price for model 'ours' of 'openai'"),
    )
    lines = run("ledger", "reprice", "--since", "2026-03-01").output.splitlines()
    assert lines[-2:] == [
        "1 call: still no price.",
        "1 call beside these: left as it was, for the provider stated the cost.",
    ]


def test_calls_are_pruned_and_their_sums_stay(keep: Command) -> None:
    age = (datetime.now(UTC) - datetime(2026, 3, 3, tzinfo=UTC)).days
    told = document(keep("prune", "--calls", f"{age}d", "--json"))
    assert document(keep("check", "--json"))["calls"] == 3  # it only tells
    done = document(keep("prune", "--calls", f"{age}d", "--apply", "--json"))
    assert done == {"calls": 2, "events": 0, "sums": 0, "calls_since": "2026-03-03T00:00:00Z", "sums_since": None}
    assert done == told
    found = document(keep("check", "--json"))
    assert (found["calls"], found["since"], found["different_figures"]) == (1, "2026-03-03T00:00:00Z", 0)
    lines = keep("check").output.splitlines()
    assert lines[0].endswith("1 call or charge since 2026-03-03T00:00:00Z; those before were pruned")
    assert document(keep("prune", "--rollups", "1d", "--json"))["sums"] == 0  # calls are kept for ever, and so are they
    both = ("prune", "--calls", f"{age}d", "--rollups", "1d")
    lines = keep(*both).output.splitlines()
    assert lines[0].endswith(": 0 calls and charges, 0 events of budgets and 4 sums are older than they are kept")
    assert lines[1:3] == [f"{what} before 2026-03-03T00:00:00Z would be gone." for what in ("Calls", "Sums")]
    assert lines[3:] == ["Nothing was deleted: --apply deletes them."]
    lines = keep(*both, "--apply").output.splitlines()
    assert lines[0].endswith(": 0 calls and charges, 0 events of budgets and 4 sums deleted")
    assert lines[1:] == [f"{what} before 2026-03-03T00:00:00Z are gone." for what in ("Calls", "Sums")]
    assert document(keep("check", "--json"))["different_figures"] == 0


def test_where_nothing_is_old_enough_nothing_is_said_to_be_gone(run: Run, ledger_file: Path) -> None:
    fill(ledger_file, call(1, otel_cost__run="r", otel_cost__stage="s"))
    assert document(run("ledger", "prune", "--calls", "3000d", "--rollups", "3000d", "--apply", "--json")) == {
        **dict.fromkeys(("calls", "events", "sums"), 0),
        **dict.fromkeys(("calls_since", "sums_since")),
    }
    assert "before" not in run("summary", "--by", "run", "--by", "stage").output
    assert run("ledger", "prune", "--calls", "3000d").output.count("\n") == 1


def test_events_of_budgets_are_pruned_with_the_calls(run: Run, ledger_file: Path) -> None:
    with Ledger(ledger_file) as ledger:
        for day in ("2026-03-02", "2026-03-03"):
            query = f"""
                INSERT INTO budget_events BY NAME SELECT TIMESTAMP '{day}' AS event_ts, uuid() AS event_id,
                now()::TIMESTAMP AS received_ts, 'warned' AS kind, 'run' AS dimension, 'r' AS id, 'USD' AS unit
            """
            ledger.do(partial(duckdb.DuckDBPyConnection.execute, query=query)).result(60)
    age = (datetime.now(UTC) - datetime(2026, 3, 3, tzinfo=UTC)).days
    assert document(run("ledger", "prune", "--calls", f"{age}d", "--json"))["events"] == 1
    assert document(run("ledger", "prune", "--calls", f"{age}d", "--apply", "--json"))["events"] == 1
    line = run("ledger", "prune", "--calls", "1d", "--apply").output.splitlines()[0]
    assert line.endswith(": 0 calls and charges, 1 events of budgets and 0 sums deleted")


def test_what_a_budget_has_spent_outlives_the_books(
    serving: Callable[[], AbstractContextManager[Serving]], run: Run
) -> None:
    """Eight of ten dollars: said by calls in two halves, each of which is pruned."""

    def send(service: Serving, number: int, cost: str, **more: str) -> None:
        span = call(number, otel_cost__run="r", otel_cost__cost__amount=cost, **more)
        headers = {"content-type": "application/x-protobuf"}
        assert requests.post(f"{service.url}/v1/traces", request(span), headers=headers, timeout=60).ok

    def told(service: Serving) -> tuple[object, ...]:
        (budget,) = requests.get(f"{service.url}/v1/budgets", timeout=60).json()["budgets"]
        return budget["limit"], budget["spent"], budget["calls"]

    for number, spent in ((1, "5.000000"), (2, "8.000000")):
        with serving() as service:
            send(service, number, ("5", "3")[number - 1], start=NOON - (2 - number) * DAY, otel_cost__budget__run="10")
            assert told(service) == ("10.000000", spent, number)
        age = (datetime.now(UTC) - datetime(2026, 3, 1 + number, tzinfo=UTC)).days
        for _ in range(2):  # nothing is carried over twice
            run("ledger", "prune", "--calls", f"{age}d", "--rollups", f"{age}d", "--apply")
        with serving() as service:
            assert told(service) == ("10.000000", spent, number)
            answer = requests.get(f"{service.url}/v1/summary", timeout=60).json()
            assert answer["total"]["calls"] == 0


def test_a_backup_is_books_that_can_be_opened(keep: Command, run: Run, tmp_path: Path) -> None:
    copy = tmp_path / "copy.duckdb"
    done = keep("backup", str(copy))
    assert (done.exit_code, done.output.splitlines()[-1][-6:]) == (0, " bytes")
    assert document(run("ledger", "check", "--ledger", str(copy), "--json"))["calls"] == 3
    assert document(run("summary", "--ledger", str(copy), "--json"))["total"]["calls"] == 3
    again = keep("backup", str(copy), "--json")
    assert again.exit_code == 1
    assert f"{copy} is there already" in again.output
    assert document(keep("backup", str(tmp_path / "other.duckdb"), "--json"))["bytes"] > 0
    assert sorted(path.name for path in tmp_path.glob("*copy*")) == ["copy.duckdb"]
    assert keep("backup", str(tmp_path / "no" / "copy.duckdb")).exit_code == 1


def test_what_changes_nothing_leaves_the_file_as_it_is(run: Run, ledger_file: Path, tmp_path: Path) -> None:
    """Another process reads it meanwhile, which none can beside one that may write. So its disk may be read-only."""
    fill(ledger_file, call(1))
    before = ledger_file.read_bytes()
    reading = f"import duckdb, sys; duckdb.connect({str(ledger_file)!r}, read_only=True); print(1, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", reading], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        for arguments in (
            ("check",),
            ("backup", str(tmp_path / "copy.duckdb")),
            ("prune", "--calls", "1d"),
            ("reprice", "--since", "2026-03-01"),
        ):
            done = run("ledger", *arguments)
            assert (done.exit_code, done.output.splitlines()[0].split(":")[0]) == (0, f"ledger {ledger_file}")
        reader.kill()
    assert ledger_file.read_bytes() == before
    assert [path.name for path in tmp_path.glob("*.wal")] == []
    with closing(Database(ledger_file, read_only=True)) as database:
        keeping = FileKeeping(database)
        with pytest.raises(LedgerError, match="is open for reading only"):
            keeping.check(repair=True)


def test_an_earlier_file_is_copied_as_it_is_before_it_is_upgraded(run: Run, ledger_file: Path, tmp_path: Path) -> None:
    with duckdb.connect(ledger_file) as connection:
        connection.execute(statements.load("writes/schema_version"))
        connection.execute(statements.migrations()[0][1])
        connection.execute(statements.load("writes/migrated"), {"version": 1, "applied_at": "2026-03-02"})
    copy = tmp_path / "copy.duckdb"
    assert run("ledger", "backup", str(copy)).exit_code == 0
    for path in (ledger_file, copy):
        assert "is of an earlier version: otel-cost serve" in run("ledger", "check", "--ledger", str(path)).output
    fill(copy, call(1))
    assert run("ledger", "check", "--ledger", str(copy)).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("prune", "--calls", "soon"), "keep_calls='soon': it must be a number of days or weeks"),
        (("reprice", "--since", "yesterday"), "since='yesterday' is no time"),
        (
            ("reprice", "--since", "2026-03-02", "--until", "2026-03-01"),
            "since='2026-03-02' is after until='2026-03-01'",
        ),
    ],
)
def test_what_cannot_be_read_is_said(keep: Command, arguments: tuple[str, ...], said: str) -> None:
    done = keep(*arguments)
    assert done.exit_code == 2
    assert said in done.output


def test_prices_that_cannot_be_read_are_said(run: Run, ledger_file: Path, tmp_path: Path) -> None:
    fill(ledger_file, call(1))
    missing = run("ledger", "reprice", "--since", "7d", "--prices", str(tmp_path / "none.toml"))
    assert (missing.exit_code, "none.toml cannot be read" in missing.output) == (1, True)


def test_without_books_and_with_two_it_is_said(run: Run, ledger_file: Path) -> None:
    assert "ledger unreachable" in run("ledger", "check").output
    both = run("ledger", "check", "--ledger", str(ledger_file), "--url", "http://127.0.0.1:9")
    assert "name different books" in both.output


def test_the_file_of_a_running_service_is_kept_through_it(
    serving: Callable[[], AbstractContextManager[Serving]], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as running:
        monkeypatch.setenv("OTEL_COST_URL", running.url)
        found = run("ledger", "check")
    assert (found.exit_code, found.output.splitlines()[0]) == (0, f"service {running.url}: 0 calls and charges")


def test_the_token_for_keeping_books_is_enough_to_keep_them(
    ledger_file: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = Tokens(read=("read",), write=("write",), budgets=("budgets",), keep=("keep",))
    with Service(Options(ledger=ledger_file, grpc=FREE, http=FREE, tokens=tokens)) as service:
        monkeypatch.setenv("OTEL_COST_URL", service.url)
        monkeypatch.setenv("OTEL_COST_LEDGER", str(ledger_file.with_name("other.duckdb")))
        monkeypatch.setenv("OTEL_COST_KEEP_TOKEN", "keep")
        assert run("ledger", "check").output.startswith(f"service {service.url}: 0 calls and charges\n")
        elsewhere = run("ledger", "check", "--ledger", str(ledger_file.with_name("another.duckdb")))
        assert f"keeps {ledger_file}; name the right service" in elsewhere.output


def test_keeping_books_takes_a_token_of_its_own(ledger_file: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens(read=("read",), write=("write",), budgets=("budgets",), keep=("keep",))
    with Service(Options(ledger=ledger_file, grpc=FREE, http=FREE, tokens=tokens)) as service:
        for name, token in (("READ", "read"), ("WRITE", "write"), ("BUDGET", "budgets")):
            monkeypatch.setenv(f"OTEL_COST_{name}_TOKEN", token)
            header = {"Authorization": f"Bearer {token}"}
            assert requests.get(f"{service.url}/v1/ledger/check", headers=header, timeout=20).status_code == 403
        refused = run("ledger", "check", "--url", service.url)
        assert "set OTEL_COST_KEEP_TOKEN" in refused.output
        monkeypatch.setenv("OTEL_COST_KEEP_TOKEN", "keep")
        assert run("ledger", "check", "--url", service.url).exit_code == 0


def test_books_are_kept_while_calls_come(service: Service, run: Run, tmp_path: Path) -> None:
    """Checks, backups and repricing in the midst of it, and no call is lost or counted twice."""
    over = threading.Event()
    sent = 0

    def send() -> None:
        nonlocal sent
        while not over.is_set():
            spans = [call(sent + at, start=NOON + (sent + at) * SECOND, **LOCAL) for at in range(1, 51)]
            answer = requests.post(
                f"{service.url}/v1/traces",
                request(*spans),
                headers={"content-type": "application/x-protobuf"},
                timeout=60,
            )
            assert answer.status_code == 200
            sent += 50

    sender = threading.Thread(target=send)
    sender.start()
    try:
        for number in range(3):
            assert run("ledger", "check", "--url", service.url).exit_code == 0
            copy = tmp_path / f"copy-{number}.duckdb"
            assert run("ledger", "backup", str(copy), "--url", service.url).exit_code == 0
            assert run("ledger", "check", "--ledger", str(copy)).exit_code == 0
            apply = ("reprice", "--since", "2026-03-01", "--apply", "--url", service.url)
            assert run("ledger", *apply).exit_code == 0
    finally:
        over.set()
        sender.join()
    found = document(run("ledger", "check", "--url", service.url, "--json"))
    assert (found["calls"], found["different_figures"]) == (sent, 0)


def test_a_service_prunes_as_it_is_set(ledger_file: Path, run: Run) -> None:
    fill(ledger_file, call(1), call(2, start=int(datetime.now(UTC).timestamp()) * SECOND))
    retention = Retention.of_settings()
    assert retention == Retention()
    os.environ["OTEL_COST_KEEP_CALLS"] = "30d"
    try:
        retention = Retention.of_settings()
    finally:
        del os.environ["OTEL_COST_KEEP_CALLS"]
    with Ledger(ledger_file) as ledger:
        pruner = Pruner(ledger, retention)
        pruner.start()
        while ledger.do(lambda cursor: cursor.execute("SELECT count(*) FROM calls").fetchall()).result(60) != [(1,)]:
            pass
        pruner.stop()
    assert document(run("ledger", "check", "--json"))["calls"] == 1


def test_a_prune_that_fails_is_logged_and_does_no_harm(ledger_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(ledger_file, call(1))
    with Ledger(ledger_file) as ledger:

        def refuse(_: object) -> None:
            raise LedgerDownError("the disk is full")

        ledger.do = refuse  # type: ignore[method-assign]
        pruner = Pruner(
            ledger,
            Retention(calls=Retention.of_settings().calls or datetime.now(UTC) - datetime(2026, 6, 1, tzinfo=UTC)),
        )
        pruner.start()
        while not caplog.records:
            pass
        pruner.stop()
    assert "could not be pruned; it is tried again tomorrow" in caplog.text


def test_what_comes_for_a_time_that_was_pruned_stands_in_the_quarantine(ledger_file: Path, run: Run) -> None:
    fill(ledger_file, call(1, otel_cost__run="r"), call(2, start=NOON + DAY))
    age = (datetime.now(UTC) - datetime(2026, 3, 3, tzinfo=UTC)).days
    run("ledger", "prune", "--calls", f"{age}d", "--apply")
    with Ledger(ledger_file) as ledger:
        late = parcel(call(1, otel_cost__run="r"), call(3, start=NOON + DAY))
        late.spans.append(b"no span")
        late.sources.append(late.sources[0])
        receipts = [each.result(60) for each in (ledger.add(late), ledger.add(parcel(call(4, start=NOON + DAY))))]
        query = "SELECT start_ts::VARCHAR, trace_id, span_id, model, reason FROM quarantine"
        found = ledger.do(lambda cursor: cursor.execute(query).fetchall()).result(60)
    why, unreadable = "the call is older than calls are kept", "a span cannot be parsed"
    assert found == [
        ("2026-03-02 12:00:00", f"{1:032x}", f"{1:016x}", "gpt-4o", why),
        (None, None, None, None, unreadable),
    ]
    assert [receipt.rejections for receipt in receipts] == [{why: 1, unreadable: 1}, {}]
    assert document(run("summary", "--run", "r", "--json"))["total"]["calls"] == 1  # and not two
    assert document(run("ledger", "check", "--json"))["calls"] == 3
