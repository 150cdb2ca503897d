"""The only writer: acknowledged means committed, once, and what cannot be written spoils nothing else."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest
from exporter_building import NOON, SECOND, call, naive, parcel

from otel_cost_exporter.answers.reader import Reader
from otel_cost_exporter.errors import LedgerBusyError, LedgerDownError, LedgerFileError, LedgerLockedError
from otel_cost_exporter.file.database import Database
from otel_cost_exporter.writing import apart, writer
from otel_cost_exporter.writing import ledger as ledger_module
from otel_cost_exporter.writing.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from otel_cost_exporter.decode.batch import Batch
    from otel_cost_exporter.decode.parcel import Parcel, Receipt

SIZE = parcel(call(1)).size
"""Bytes of a call."""


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(path, read_only=True) as connection:
        return connection.execute(query).fetchall()


class Gate:
    """Lets the writer write only while it is open, and remembers how many rows each transaction had."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = threading.Event()
        self.entered = threading.Event()
        self.sizes: list[int] = []
        write = writer.Writer.write

        def gated(this: writer.Writer, batches: list[Batch]) -> pa.Table:
            self.entered.set()
            assert self.opened.wait(10)
            self.sizes.append(sum(batch.calls.num_rows for batch in batches))
            return write(this, batches)

        monkeypatch.setattr(writer.Writer, "write", gated)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "books.duckdb"


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    found = Gate(monkeypatch)
    yield found
    found.opened.set()


def test_a_committed_call_is_in_the_file(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.add(parcel(call(258, otel_cost__run="r1", otel_cost__tenant="acme"))).result(10)
        assert ledger.failure is None
    assert rows(path, "SELECT start_ts, trace_id::VARCHAR, span_id, cost, run, extra['tenant'] FROM calls") == [
        (naive("2026-03-02T12:00:00"), "00000000-0000-0000-0000-000000000102", 258, Decimal("0.0045"), "r1", "acme")
    ]
    assert rows(path, "SELECT dimension FROM dimensions ORDER BY 1") == [("run",), ("tenant",)]


def test_no_variable_is_taken_for_a_table(path: Path) -> None:
    calls_of_today = pa.table({"cost": [1]})
    with Ledger(path) as ledger, closing(ledger.database.cursor()) as cursor:
        with pytest.raises(duckdb.CatalogException, match="calls_of_today does not exist"):
            cursor.execute("FROM calls_of_today")
        assert cursor.register("registered", calls_of_today).execute("FROM registered").fetchall() == [(1,)]


def test_the_largest_ids_fit(path: Path) -> None:
    largest = call(1)
    largest.trace_id, largest.span_id = b"\xff" * 16, b"\xff" * 8
    with Ledger(path) as ledger:
        ledger.add(parcel(largest)).result(10)
    assert rows(path, "SELECT trace_id::VARCHAR, span_id FROM calls") == [
        ("ffffffff-ffff-ffff-ffff-ffffffffffff", 2**64 - 1)
    ]


def test_the_receipt_says_what_is_in_the_quarantine(path: Path) -> None:
    bad = call(2, otel_cost__cost__amount="-1")
    with Ledger(path) as ledger:
        one, other = ledger.add(parcel(call(1), bad)), ledger.add(parcel(call(3)))
        (reason,) = one.result(10).rejections
        assert one.result().rejections == {reason: 1}
        assert not other.result(10).rejections
    assert rows(path, "SELECT span_id, reason FROM quarantine") == [("0000000000000002", reason)]
    assert rows(path, "SELECT span_id FROM calls ORDER BY 1") == [(1,), (3,)]


def test_whatever_waits_is_one_transaction(path: Path, gate: Gate) -> None:
    with Ledger(path) as ledger:
        first = ledger.add(parcel(call(1)))
        assert gate.entered.wait(10)
        waiting = [ledger.add(parcel(call(n), call(n + 100))) for n in range(2, 12)]
        assert not first.done()
        gate.opened.set()
        for each in waiting:
            each.result(10)
    # What had been decoded when the gate opened is one transaction; the last ones may have been decoded after that.
    assert gate.sizes[0] == 1
    assert sum(gate.sizes) == 21
    assert rows(path, "SELECT count(*) FROM calls") == [(21,)]


def test_a_transaction_does_not_grow_without_bound(path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "_MOST_AT_ONCE", 2 * SIZE)
    monkeypatch.setattr(ledger_module, "_MOST_COMMITTED", 2 * SIZE)
    with Ledger(path) as ledger:
        waiting = [ledger.add(parcel(call(n))) for n in range(1, 10)]
        gate.opened.set()
        for each in waiting:
            each.result(10)
    assert max(gate.sizes) <= 2
    assert sum(gate.sizes) == 9


def test_a_full_line_refuses_and_takes_again_once_there_is_room(path: Path, gate: Gate) -> None:
    taken: list[Future[Receipt]] = []

    def flood(ledger: Ledger) -> None:
        for n in range(1, 100_000):
            taken.append(ledger.add(parcel(call(n * 10), call(n * 10 + 1))))  # noqa: PERF401 - until one is refused

    with Ledger(path, most_waiting=2 * SIZE) as ledger:
        with pytest.raises(LedgerBusyError, match="bytes of calls wait to be written: send these again in a moment"):
            flood(ledger)
        gate.opened.set()
        for each in taken:
            each.result(20)
        ledger.add(parcel(call(5))).result(10)
    assert rows(path, "SELECT count(*) FROM calls") == [(2 * len(taken) + 1,)]


def test_whoever_is_patient_gets_room(path: Path, gate: Gate) -> None:
    with Ledger(path, most_waiting=SIZE) as ledger:
        threading.Timer(0.05, gate.opened.set).start()
        waiting = [ledger.add(parcel(call(n)), patience=20) for n in range(1, 20)]
        for each in waiting:
            each.result(20)
    assert rows(path, "SELECT count(*) FROM calls") == [(19,)]


def test_closing_commits_what_waits_and_takes_no_more(path: Path, gate: Gate) -> None:
    ledger = Ledger(path)
    waiting = [ledger.add(parcel(call(n))) for n in range(1, 4)]
    gate.opened.set()
    ledger.close()
    assert all(each.done() and not each.exception() for each in waiting)
    with pytest.raises(LedgerDownError, match="closing"):
        ledger.add(parcel(call(9)))
    assert rows(path, "SELECT count(*) FROM calls") == [(3,)]


def test_whoever_stops_waiting_does_not_stop_the_commit(path: Path, gate: Gate) -> None:
    with Ledger(path) as ledger:
        assert not ledger.add(parcel(call(1))).cancel()
        gate.opened.set()
    assert rows(path, "SELECT count(*) FROM calls") == [(1,)]


def test_work_of_another_kind_is_a_transaction_of_its_own(path: Path) -> None:
    def torn(cursor: duckdb.DuckDBPyConnection) -> None:
        cursor.execute("DELETE FROM calls")
        raise KeyError("no")

    with Ledger(path) as ledger:
        ledger.add(parcel(call(1))).result(10)
        with pytest.raises(KeyError):
            ledger.do(torn).result(10)
        assert ledger.do(lambda cursor: cursor.execute("SELECT count(*) FROM calls").fetchall()).result(10) == [(1,)]


def poisoned(decode: Callable[[list[Parcel]], Any], number: int) -> Callable[[list[Parcel]], Any]:
    """A decoder that fails over the call `number`, as if it had a fault that nobody knows."""
    poison = number.to_bytes(8, "big")

    def fail(parcels: list[Parcel]) -> Any:
        if any(poison in span for each in parcels for span in each.spans):
            raise ZeroDivisionError("a fault")
        return decode(parcels)

    return fail


def test_a_call_over_which_decoding_fails_is_alone_in_the_quarantine(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (ledger_module, apart):
        monkeypatch.setattr(module, "decode", poisoned(module.decode, 77))
    with Ledger(path) as ledger:
        spoiled = ledger.add(parcel(*(call(n) for n in range(70, 80))))
        good = ledger.add(parcel(call(1), call(2, otel_cost__cost__amount="-1")))
        assert spoiled.result(20).rejections == {apart.REASON: 1}
        assert good.result(20).rejections.total() == 1
        assert ledger.failure is None
    numbers = [number for (number,) in rows(path, "SELECT span_id FROM calls ORDER BY 1")]
    assert numbers == [1, *(n for n in range(70, 80) if n != 77)]
    assert (apart.REASON,) in rows(path, "SELECT reason FROM quarantine")


def test_a_call_that_duckdb_does_not_take_is_alone_in_the_quarantine(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = writer.Writer.write

    def picky(this: writer.Writer, batches: list[Batch]) -> pa.Table:
        if any(77 in batch.calls["span_id"].to_pylist() for batch in batches):
            raise duckdb.ConversionException("Conversion Error: a fault")
        return write(this, batches)

    monkeypatch.setattr(writer.Writer, "write", picky)
    with Ledger(path) as ledger:
        waiting = [ledger.add(parcel(*(call(n) for n in range(first, first + 5)))) for first in (60, 75, 90)]
        assert [each.result(20).rejections.total() for each in waiting] == [0, 1, 0]
        assert ledger.failure is None
    assert rows(path, "SELECT count(*), count(*) FILTER (span_id = 77) FROM calls") == [(14, 0)]


@pytest.mark.parametrize("spans", [0, 1, 2])
def test_an_event_that_duckdb_does_not_take_is_alone_in_the_quarantine(
    path: Path, monkeypatch: pytest.MonkeyPatch, spans: int
) -> None:
    write = writer.Writer.write

    def picky(this: writer.Writer, batches: list[Batch]) -> pa.Table:
        if any(batch.events for batch in batches):
            raise duckdb.ConversionException("Conversion Error: a fault")
        return write(this, batches)

    monkeypatch.setattr(writer.Writer, "write", picky)
    with Ledger(path) as ledger:
        mixed = parcel(*(call(n) for n in range(1, spans + 1)))
        mixed.events.append({"service": "shop"})
        assert ledger.add(replace(mixed, size=1)).result(60).rejections == {apart.REASON: 1}
    assert rows(path, "SELECT service, reason FROM quarantine") == [("shop", apart.REASON)]
    assert rows(path, "SELECT count(*) FROM calls") == [(spans,)]


def test_a_fault_is_logged_once_and_then_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write, text = writer.Writer.write, "Conversion Error: what somebody wrote"

    def picky(this: writer.Writer, batches: list[Batch]) -> pa.Table:
        if any(batch.calls.num_rows for batch in batches):
            raise duckdb.ConversionException(text)
        return write(this, batches)

    monkeypatch.setattr(writer.Writer, "write", picky)
    with Ledger(path) as ledger:
        for first in (1, 101):
            receipt = ledger.add(parcel(*(call(n) for n in range(first, first + 60)))).result(60)
            assert receipt.rejections == {apart.REASON: 60}
    assert rows(path, "SELECT count(*), any_value(reason) FROM quarantine") == [(120, apart.REASON)]
    said = [record.message for record in caplog.records]
    assert [line.splitlines()[0].partition(" at")[0] for line in said] == [
        "Calls cannot be written together: they are, one request after the other: ConversionException",
        *["A call is not in the books: ConversionException"] * 3,
    ]
    assert "picky" in said[1]  # where it comes from
    assert [line.rpartition(", ")[2] for line in said[2:]] == ["the 10th time", "the 100th time"]
    assert "somebody" not in caplog.text


def test_a_file_that_cannot_be_written_is_said_once_and_refused_until_it_can_be(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full = threading.Event()
    full.set()
    write, probe = writer.Writer.write, writer.Writer.probe

    def check() -> None:
        if full.is_set():
            raise duckdb.IOException("IO Error: No space left on device\nand more")

    monkeypatch.setattr(writer.Writer, "write", lambda this, batches: (check(), write(this, batches))[1])
    monkeypatch.setattr(writer.Writer, "probe", lambda this: (check(), probe(this)))
    with Ledger(path) as ledger:
        waiting = [ledger.add(parcel(call(1)))]
        with pytest.raises(LedgerDownError, match=f"{path} cannot be written: IO Error: No space left on device$"):
            waiting[0].result(10)
        with pytest.raises(LedgerDownError, match="No space left on device"):
            ledger.add(parcel(call(2)))
        assert ledger.failure == "IO Error: No space left on device"
        full.clear()
        until_writable(ledger)
        ledger.add(parcel(call(1))).result(10)
    said = [record.message for record in caplog.records if "written" in record.message]
    assert said == [f"{path} cannot be written: IO Error: No space left on device", f"{path} can be written again"]
    assert rows(path, "SELECT span_id FROM calls") == [(1,)]


def give_up(broken: Database) -> None:
    """Have a checkpoint fail half-way, after which DuckDB refuses all further work."""
    resource = pytest.importorskip("resource")
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    with closing(broken.cursor()) as cursor:
        while cursor.execute("SELECT count(*) FROM rollup_fresh").fetchall() != [(0,)]:
            time.sleep(0.01)  # DuckDB makes no checkpoint while the writer is at its merge
        cursor.execute("CREATE TABLE ballast AS SELECT uuid() AS id FROM range(100000)")
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, unlimited[1]))
        try:
            with pytest.raises(duckdb.FatalException, match="File too large"):
                cursor.execute("CHECKPOINT")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)


def until_writable(ledger: Ledger) -> None:
    changed = threading.Event()
    for _ in range(1000):
        if ledger.failure is None:
            return
        changed.wait(0.02)
    pytest.fail(f"still {ledger.failure}")


def test_a_duckdb_that_gave_up_is_opened_again_below_its_readers(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.add(parcel(call(1))).result(10)
        reader = Reader(ledger.database)
        assert reader.calls() == 1
        give_up(ledger.database)
        assert not ledger.database.is_sound()
        with pytest.raises(LedgerDownError):
            ledger.add(parcel(call(2))).result(10)
        until_writable(ledger)
        assert reader.calls() == 1
        ledger.add(parcel(call(2))).result(10)
        assert reader.calls() == 2


def test_a_duckdb_that_gave_up_is_noticed_when_nothing_comes(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.add(parcel(call(1))).result(10)
        give_up(ledger.database)
        changed = threading.Event()
        for _ in range(1000):
            if ledger.database.is_sound() and ledger.failure is None:
                break
            changed.wait(0.02)
        assert Reader(ledger.database).calls() == 1


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_youngest_limit_holds_in_whatever_order_they_arrive(path: Path, order: tuple[int, ...]) -> None:
    calls = [
        call(1, otel_cost__run="r1", otel_cost__budget__run="0.05"),
        call(2, start=NOON + SECOND, otel_cost__run="r1", otel_cost__budget__run="0.10"),
        call(3, start=NOON + 2 * SECOND, otel_cost__run="r1", otel_cost__budget__run="20000tok"),
    ]
    with Ledger(path) as ledger:
        for number in order:
            ledger.add(parcel(calls[number])).result(10)
        ledger.add(parcel(*calls, call(4, otel_cost__run="r2", otel_cost__budget__run="1"))).result(10)
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
                ledger.add(parcel(span)).result(10)
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
                Database(path, read_only=read_only)
            assert str(caught.value).startswith(f"{path} is open in another process: ")
            assert "\n" not in str(caught.value)
        holder.communicate("\n")


def test_a_name_that_is_no_utf_8_is_said(tmp_path: Path) -> None:
    with pytest.raises(LedgerFileError, match="cannot be opened as a ledger: 'utf-8' codec can't encode"):
        Ledger(tmp_path / "books-\udcff.duckdb")


def test_a_file_is_opened_again_only_when_nobody_is_at_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_cost_exporter.file.database._PATIENCE_SECONDS", 0.05)
    opened = Database(path, read_only=False)
    cursor = opened.cursor()
    with pytest.raises(LedgerFileError, match="questions to it are still being answered"):
        opened.reopen()
    with pytest.raises(LedgerDownError, match="cannot be opened again for now"):
        opened.cursor()
    cursor.close()
    opened.reopen()
    assert opened.is_sound()
    opened.close()
    assert not opened.is_sound()


def test_a_merge_that_fails_stops_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(writer.Writer, "tend", fail)
    with Ledger(path) as ledger:
        for number in (1, 2):
            ledger.add(parcel(call(number))).result(10)
        assert ledger.failure is None
    assert "Sums are not merged, or put in order" in caplog.text
    assert rows(path, "SELECT count(*) FROM calls") == [(2,)]


IN_LOG = "SELECT count(*) FROM pragma_storage_info('calls') WHERE column_name = 'span_id' AND NOT persistent"
"""The pieces of the calls that are not in the file yet."""


def test_calls_move_from_the_log_to_the_file_once_they_are_many(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_ENOUGH_IN_LOG", 3)
    with Ledger(path) as ledger, closing(ledger.database.cursor()) as cursor:

        def is_in_log(*calls: int) -> bool:
            ledger.add(parcel(*map(call, calls))).result(10)
            ledger.do(lambda _: None).result(10)  # which comes after what a commit is followed by
            return cursor.execute(IN_LOG).fetchall() != [(0,)]

        assert is_in_log(1, 2)
        assert not is_in_log(3)
        with closing(ledger.database.cursor()) as other:
            other.begin()
            other.execute("UPDATE schema_version SET applied_at = applied_at")
            assert is_in_log(4, 5, 6, 7)  # as long as somebody else writes
            assert ledger.failure is None
            other.rollback()
            other.begin()
            other.execute("FROM calls").fetchone()
            assert not is_in_log(8)  # whoever reads is not in the way
            assert len(other.execute("FROM calls").fetchall()) == 7
    assert rows(path, "SELECT count(*) FROM calls") == [(8,)]


def test_a_fault_does_not_hide_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "decode", poisoned(ledger_module.decode, 1))

    def fail(*_: object, **__: object) -> None:
        raise duckdb.IOException("IO Error: No space left on device")

    monkeypatch.setattr(writer.Writer, "write", fail)
    with Ledger(path) as ledger, pytest.raises(LedgerDownError, match="No space left on device"):
        ledger.add(parcel(call(1), call(2))).result(10)
    assert rows(path, "SELECT count(*) FROM quarantine") == [(0,)]
