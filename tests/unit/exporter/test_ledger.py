"""The only writer: acknowledged means committed, once, and one bad batch spoils no other."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pytest
from exporter_building import DAY, NOON, SECOND, call, naive, request

from otel_cost_exporter import database
from otel_cost_exporter import ledger as ledger_module
from otel_cost_exporter.batch import Batch
from otel_cost_exporter.decode import decode
from otel_cost_exporter.errors import LedgerBusyError, LedgerDownError, LedgerFileError, LedgerLockedError
from otel_cost_exporter.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.trace.v1.trace_pb2 import Span


def batch(*spans: Span) -> Batch:
    found = decode(request(*spans)).batch
    assert found is not None
    return found


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(path, read_only=True) as connection:
        return connection.execute(query).fetchall()


class GatedLedger(Ledger):
    """Commits only while its gate is open, and remembers how many rows each transaction had."""

    def __init__(self, path: Path, **options: int) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.sizes: list[int] = []
        super().__init__(path, **options)

    def _transaction(self, batch: Batch) -> None:
        self.entered.set()
        assert self.gate.wait(10)
        self.sizes.append(batch.calls.num_rows)
        super()._transaction(batch)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "books.duckdb"


@pytest.fixture
def gated(path: Path) -> Iterator[GatedLedger]:
    ledger = GatedLedger(path)
    yield ledger
    ledger.gate.set()
    ledger.close()


def test_a_committed_call_is_in_the_file(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.add(batch(call(258, otel_cost__run="r1", otel_cost__tenant="acme"))).result(10)
        assert ledger.failure is None
    assert rows(path, "SELECT start_ts, trace_id::VARCHAR, span_id, cost, run, extra['tenant'] FROM calls") == [
        (naive("2026-03-02T12:00:00"), "00000000-0000-0000-0000-000000000102", 258, Decimal("0.0045"), "r1", "acme")
    ]
    assert rows(path, "SELECT dimension FROM dimensions ORDER BY 1") == [("run",), ("tenant",)]


def test_a_call_counts_once_within_a_batch_between_batches_and_after_reopening(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.add(batch(call(1), call(2), call(1))).result(10)
        ledger.add(batch(call(2), call(3, otel_cost__run="r1"))).result(10)
    with Ledger(path) as ledger:
        ledger.add(batch(call(1), call(3, otel_cost__run="r1"), call(4))).result(10)
    assert rows(path, "SELECT span_id FROM calls ORDER BY 1") == [(1,), (2,), (3,), (4,)]


def test_the_largest_ids_fit(path: Path) -> None:
    largest = call(1)
    largest.trace_id, largest.span_id = b"\xff" * 16, b"\xff" * 8
    with Ledger(path) as ledger:
        ledger.add(batch(largest)).result(10)
    assert rows(path, "SELECT trace_id::VARCHAR, span_id FROM calls") == [
        ("ffffffff-ffff-ffff-ffff-ffffffffffff", 2**64 - 1)
    ]


def test_whatever_waits_is_one_transaction(gated: GatedLedger, path: Path) -> None:
    first = gated.add(batch(call(1)))
    assert gated.entered.wait(10)
    threads = [threading.Thread(target=lambda n=n: gated.add(batch(call(n), call(n + 100)))) for n in range(2, 12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not first.done()
    last = gated.add(batch(call(500)))
    gated.gate.set()
    last.result(10)
    assert gated.sizes == [1, 21]
    gated.close()
    assert rows(path, "SELECT count(*) FROM calls") == [(22,)]


def test_a_transaction_does_not_grow_without_bound(gated: GatedLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "_MOST_AT_ONCE", 2)
    gated.add(batch(call(1)))
    assert gated.entered.wait(10)
    waiting = [gated.add(batch(call(n))) for n in range(2, 7)]
    gated.gate.set()
    for one in waiting:
        one.result(10)
    assert gated.sizes == [1, 2, 2, 1]


def test_a_full_queue_refuses_and_takes_again_once_there_is_room(path: Path) -> None:
    ledger = GatedLedger(path, most_waiting=3)
    under_way = ledger.add(batch(call(1), call(2)))
    assert ledger.entered.wait(10)
    waits = ledger.add(batch(call(3), call(4)))  # nothing else waits, so a batch of any size is taken
    with pytest.raises(LedgerBusyError, match="4 calls wait to be written: send these again in a moment"):
        ledger.add(batch(call(5)))
    ledger.gate.set()
    under_way.result(10)
    waits.result(10)
    ledger.add(batch(call(5))).result(10)
    ledger.close()
    assert rows(path, "SELECT count(*) FROM calls") == [(5,)]


def test_closing_commits_what_waits_and_takes_no_more(gated: GatedLedger, path: Path) -> None:
    waiting = [gated.add(batch(call(n))) for n in range(1, 4)]
    gated.gate.set()
    gated.close()
    assert [one.result(0) for one in waiting] == [None, None, None]
    with pytest.raises(LedgerDownError, match="closing"):
        gated.add(batch(call(9)))
    assert rows(path, "SELECT count(*) FROM calls") == [(3,)]


def test_whoever_stops_waiting_does_not_stop_the_commit(gated: GatedLedger, path: Path) -> None:
    assert not gated.add(batch(call(1))).cancel()
    gated.gate.set()
    gated.close()
    assert rows(path, "SELECT count(*) FROM calls") == [(1,)]


def test_a_batch_that_cannot_be_written_spoils_no_other(gated: GatedLedger, path: Path) -> None:
    good = batch(call(1))
    torn = batch(call(2))
    spoiled = torn.calls.set_column(2, "trace_id", pa.array(["no id"]))
    waiting = [gated.add(one) for one in (good, Batch(spoiled, torn.limits, torn.dimensions), batch(call(3)))]
    gated.gate.set()
    waiting[0].result(10)
    with pytest.raises(LedgerDownError, match=f"{path} cannot be written: .*no id"):
        waiting[1].result(10)
    waiting[2].result(10)
    assert gated.failure is None  # the last commit went well
    gated.close()
    assert rows(path, "SELECT span_id FROM calls ORDER BY 1") == [(1,), (3,)]


def test_stragglers_of_other_days_are_written_each_day_alone(path: Path) -> None:
    inserted: list[tuple[str, int]] = []

    class NotingLedger(Ledger):
        def _insert(self, statement: str, rows: pa.Table) -> None:
            inserted.append((statement, rows.num_rows))
            super()._insert(statement, rows)

    with NotingLedger(path) as ledger:
        ledger.add(batch(call(1), call(2, start=NOON - 40 * DAY), call(3), call(4, start=NOON + DAY // 2))).result(10)
    assert inserted == [("writes/calls", 1), ("writes/calls", 2), ("writes/calls", 1)]
    assert rows(path, "SELECT span_id FROM calls ORDER BY start_ts, span_id") == [(2,), (1,), (3,), (4,)]


def test_a_row_of_failures_is_said_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = batch(call(1))
    torn = Batch(good.calls.set_column(2, "trace_id", pa.array(["no id"])), good.limits, good.dimensions)
    with Ledger(path) as ledger:
        for one, said in ((torn, 1), (torn, 1), (good, 1), (torn, 2)):
            failed = ledger.add(one).exception(10)
            assert (failed is None) is (one is good)
            assert len(caplog.records) == said


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_youngest_limit_holds_in_whatever_order_they_arrive(path: Path, order: tuple[int, ...]) -> None:
    calls = [
        call(1, otel_cost__run="r1", otel_cost__budget__run="0.05"),
        call(2, start=NOON + SECOND, otel_cost__run="r1", otel_cost__budget__run="0.10"),
        call(3, start=NOON + 2 * SECOND, otel_cost__run="r1", otel_cost__budget__run="20000tok"),
    ]
    with Ledger(path) as ledger:
        for number in order:
            ledger.add(batch(calls[number])).result(10)
        ledger.add(batch(*calls, call(4, otel_cost__run="r2", otel_cost__budget__run="1"))).result(10)
    assert rows(path, "SELECT id, limit_usd, limit_tokens, seen_ts FROM limits ORDER BY id") == [
        ("r1", None, 20000, naive("2026-03-02T12:00:02")),
        ("r2", Decimal(1), None, naive("2026-03-02T12:00:00")),
    ]


def test_of_two_limits_at_one_instant_the_same_one_always_wins(tmp_path: Path) -> None:
    one = call(1, otel_cost__run="r1", otel_cost__budget__run="0.05")
    two = call(2, otel_cost__run="r1", otel_cost__budget__run="0.10")
    found = []
    for name, spans in (("a", (one, two)), ("b", (two, one))):
        with Ledger(tmp_path / name) as ledger:
            for span in spans:
                ledger.add(batch(span)).result(10)
        found.append(rows(tmp_path / name, "FROM limits"))
    assert found[0] == found[1]


def test_a_file_that_another_process_has_is_one_clear_line(path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", f"import duckdb; c = duckdb.connect({str(path)!r}); print('open', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        for read_only in (False, True):
            with pytest.raises(LedgerLockedError) as caught:
                database.connect(path, read_only=read_only)
            assert str(caught.value).startswith(f"{path} is open in another process: ")
            assert "\n" not in str(caught.value)
        holder.communicate("\n")


FULL_DISK = """
    import resource, signal, sys
    from pathlib import Path
    sys.path.append(sys.argv[2])
    from exporter_building import call, request, NOON
    from otel_cost_exporter.decode import decode
    from otel_cost_exporter.errors import LedgerDownError
    from otel_cost_exporter.ledger import Ledger

    def add(ledger, first):
        ledger.add(decode(request(*(call(first + n) for n in range(500)))).batch).result(20)

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with Ledger(Path(sys.argv[1])) as ledger:
        add(ledger, 1)
        unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, unlimited[1]))
        try:
            add(ledger, 1001)
        except LedgerDownError as error:
            print("refused:", error)
        print("failure:", ledger.failure)
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        add(ledger, 2001)
        print("failure:", ledger.failure)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_a_full_disk_refuses_and_goes_on_when_there_is_room(path: Path) -> None:
    folder = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(path), folder],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    refused, failing, fine = done.stdout.splitlines()
    assert refused.startswith(f"refused: {path} cannot be written: ")
    assert "File too large" in failing
    assert fine == "failure: None"
    assert rows(path, "SELECT count(*), max(span_id) FROM calls") == [(1000, 2500)]


def test_a_name_that_is_no_utf_8_is_said(tmp_path: Path) -> None:
    with pytest.raises(LedgerFileError, match="cannot be opened as a ledger: 'utf-8' codec can't encode"):
        Ledger(tmp_path / "books-\udcff.duckdb")
