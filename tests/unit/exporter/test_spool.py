"""Calls that wait in the spool: durable, drained once, and what is no segment set aside."""

from __future__ import annotations

import errno
import logging
import os
import pathlib
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest
from exporter_building import NOON, call, request, span
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from otel_cost import settings
from otel_cost_exporter import segments, spool
from otel_cost_exporter.answers.reader import Reader
from otel_cost_exporter.errors import LedgerBusyError, LedgerDownError, SpoolError
from otel_cost_exporter.span_exporter import SpoolLogExporter, SpoolSpanExporter
from otel_cost_exporter.writing.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_cost_exporter.decode.parcel import Parcel, Receipt

SECRET = "the merger is signed on Friday"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "books.duckdb") as opened:
        yield opened


def total(ledger: Ledger) -> tuple[int, str]:
    found = Reader(ledger.database).ask("summary")["total"]
    return found["calls"], found["cost_usd"]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def spans(*costs: str | None) -> tuple[ReadableSpan, ...]:
    """A span that has ended for each of `costs`; None is one that is no call."""
    held = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(held))
    for cost in costs:
        stated = {} if cost is None else {"otel_cost.cost.status": "known", "otel_cost.cost.amount": cost}
        provider.get_tracer("test").start_span("chat", attributes=stated).end()
    return held.get_finished_spans()


def test_calls_and_only_calls_are_left_as_one_segment(folder: Path, ledger: Ledger) -> None:
    assert SpoolSpanExporter(folder).export(spans("0.0045", None, "0.0075")) is SpanExportResult.SUCCESS
    (name,) = files(folder)
    assert segments.check(name, (folder / name).read_bytes()) is None
    assert spool.waiting(folder)
    assert spool.drain(folder, ledger).segments == 1
    assert total(ledger) == (2, "0.012000")
    assert not spool.waiting(folder)
    assert files(folder) == []


def test_nothing_of_what_was_said_is_left(folder: Path) -> None:
    held = InMemorySpanExporter()
    resource = Resource({"service.name": "shop", "process.command": SECRET})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(held))
    stated = {"otel_cost.cost.status": "unknown", "gen_ai.request.model": "gpt-4o", "gen_ai.input.messages": SECRET}
    span = provider.get_tracer("test").start_span("chat gpt-4o", attributes=stated)
    span.add_event("gen_ai.content.prompt", {"gen_ai.prompt": SECRET})
    span.set_status(StatusCode.ERROR, SECRET)
    span.end()
    SpoolSpanExporter(folder).export(held.get_finished_spans())
    (name,) = files(folder)
    content = (folder / name).read_bytes()
    assert SECRET.encode() not in content
    for kept in (b"shop", b"gpt-4o", b"otel_cost.cost.status"):
        assert kept in content


def test_events_of_budgets_are_left_beside_the_calls_and_no_other_log_is(folder: Path, ledger: Ledger) -> None:
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(SpoolLogExporter(folder)))
    logger = provider.get_logger("otel_cost")
    logger.emit(LogRecord(timestamp=NOON, body=SECRET))
    assert files(folder) == []
    stated = {"dimension": "run", "id": "r1", "unit": "USD", "limit": "1.00", "spent": "0.80", "share": "0.8"}
    attributes = {f"otel_cost.budget.event.{name}": value for name, value in stated.items()}
    logger.emit(LogRecord(timestamp=NOON, event_name="otel_cost.budget.warned", attributes=attributes))
    provider.force_flush()
    provider.shutdown()
    (name,) = files(folder)
    assert name.endswith(".logs.otlp")
    assert spool.drain(folder, ledger).segments == 1
    assert files(folder) == []
    with closing(ledger.database.cursor()) as cursor:
        (row,) = cursor.execute("SELECT kind, dimension, id FROM budget_events").fetchall()
    assert row == ("warned", "run", "r1")


def test_events_that_cannot_be_written_are_said_to_be_lost(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.write_text("a file is in the way")
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(SpoolLogExporter(folder)))
    provider.get_logger("otel_cost").emit(LogRecord(timestamp=NOON, event_name="otel_cost.budget.warned"))
    provider.shutdown()
    assert caplog.records[0].getMessage().startswith(f"1 events of budgets are lost: spool {folder} cannot be written")


def test_nothing_is_written_where_there_is_no_call(folder: Path) -> None:
    exporter = SpoolSpanExporter(folder)
    assert exporter.export(spans(None, None)) is SpanExportResult.SUCCESS
    assert not folder.exists()
    assert exporter.force_flush()
    exporter.shutdown()


def test_the_folder_comes_from_the_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.SPOOL.name, str(folder))
    assert SpoolSpanExporter().folder == folder


def test_a_spool_that_cannot_be_written_is_said_once_and_never_raises(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.write_text("a file is in the way")
    exporter, calls = SpoolSpanExporter(folder), spans("0.0045")
    with caplog.at_level(logging.DEBUG):
        assert [exporter.export(calls) for _ in range(3)] == [SpanExportResult.FAILURE] * 3
        folder.unlink()
        assert [exporter.export(calls) for _ in range(2)] == [SpanExportResult.SUCCESS] * 2
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 2
    assert said[0].startswith(f"The cost of calls is lost (1): spool {folder} cannot be written: ")
    assert "OTEL_COST_SPOOL" in said[0]
    assert said[1] == f"Spool {folder} can be written again"
    assert len(files(folder)) == 2


def test_a_failed_write_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        segments.write(folder, b"content")
    assert files(folder) == []


def test_segments_are_written_to_disk_before_they_get_their_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    real = os.fsync

    def noting(descriptor: int) -> None:
        seen.append(files(folder))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    path = segments.write(folder, b"content")
    assert seen == [[f".{path.name}.tmp"], [path.name]]  # first the content, then the folder


def test_names_are_unique_across_processes_and_sort_by_time(folder: Path) -> None:
    first = segments.write(folder, b"1")
    code = (
        "import sys; from pathlib import Path; from otel_cost_exporter import segments\n"
        "for n in range(20): segments.write(Path(sys.argv[1]), b'same')"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(folder)]) for _ in range(3)]
    assert [process.wait(30) for process in running] == [0, 0, 0]
    last = segments.write(folder, b"2")
    names = files(folder)
    assert len(names) == 62
    assert (names[0], names[-1]) == (first.name, last.name)


def test_the_application_side_needs_nothing_of_the_ledgers() -> None:
    code = (
        "import sys; import otel_cost_exporter.span_exporter\n"
        "heavy = {'duckdb', 'pyarrow', 'fastapi', 'uvicorn', 'grpc', 'rich', 'genai_prices'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "[]\n"


def test_a_drain_that_is_done_again_counts_nothing_twice(folder: Path, ledger: Ledger) -> None:
    path = segments.write(folder, request(call(1), call(2)))
    content = path.read_bytes()
    spool.drain(folder, ledger)
    path.write_bytes(content)  # as if we had died between the commit and the delete
    segments.write(folder, request(call(2), call(3)))
    assert spool.drain(folder, ledger).segments == 2
    assert total(ledger) == (3, "0.013500")


def test_many_segments_drain_in_pieces(folder: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_AT_ONCE", 3)
    for n in range(1, 9):
        segments.write(folder, request(call(n)))
    assert spool.drain(folder, ledger).segments == 8
    assert total(ledger) == (8, "0.036000")


def test_a_segment_without_calls_just_goes(folder: Path, ledger: Ledger) -> None:
    segments.write(folder, request(span(1)))
    assert spool.drain(folder, ledger).segments == 1
    assert files(folder) == []


def test_torn_and_foreign_segments_are_set_aside_with_the_reason(
    folder: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    torn = segments.write(folder, request(call(1), call(2)))
    torn.write_bytes(torn.read_bytes()[:-10])
    foreign = segments.write(folder, b"this is no protobuf")
    segments.write(folder, request(call(3)))
    assert spool.drain(folder, ledger) == spool.Drained(segments=1)
    assert total(ledger) == (1, "0.004500")
    aside = folder / spool.ASIDE
    assert files(folder) == [spool.ASIDE]
    reasons = {path.name: (aside / f"{path.name}.reason.txt").read_text() for path in (torn, foreign)}
    assert "its content is not what was written" in reasons[torn.name]
    assert "not an OTLP ExportTraceServiceRequest" in reasons[foreign.name]
    assert (aside / foreign.name).read_text() == "this is no protobuf"
    assert len(caplog.records) == 2
    assert spool.drain(folder, ledger).segments == 0  # and there they stay


NEARLY = "00000000000000000001-1-0123456789abcdef.01234567.otlp"
"""The name of a segment."""


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "app.py",
        ".bashrc",
        ".0.otlp.tmp",
        f"{NEARLY}.bak",
        f"my-{NEARLY}",
        NEARLY.replace("otlp", "OTLP"),
        NEARLY.replace("-1-", f"-{'1' * 190}-"),
        NEARLY.replace("-1-", "-\N{ARABIC-INDIC DIGIT ONE}-"),
        f".{NEARLY}.swp",
        f"{NEARLY}.tmp",
    ],
)
def test_a_file_without_a_segments_name_is_never_touched(folder: Path, ledger: Ledger, name: str) -> None:
    """Whoever names a folder of their own as the spool keeps what is in it."""
    segments.write(folder, request(call(1)))
    own = folder / name
    own.write_text("buy milk")
    os.utime(own, (0, 0))
    assert spool.look(folder).foreign == (() if name.startswith(".") else (name,))
    assert spool.drain(folder, ledger) == spool.Drained(segments=1)
    assert (files(folder), own.read_text(), own.stat().st_mtime) == ([name], "buy milk", 0)


def test_what_is_left_alone_is_said_in_few_words(folder: Path) -> None:
    folder.mkdir()
    assert spool.look(folder).remarks == ()
    (folder / spool.ASIDE).mkdir()
    (folder / "b.txt").touch()
    (folder / "a").mkdir()
    assert spool.look(folder).remarks == (f"Spool {folder} holds what is no segment, and it is left alone: a, b.txt",)
    for n in range(7):
        (folder / f"c{n}").touch()
    (remark,) = spool.look(folder).remarks
    assert remark.endswith(": a, b.txt, c0, c1, c2 and 4 more")
    (folder / "a").rename(folder / "a\x1b[31m")  # names cannot steer a terminal
    (remark,) = spool.look(folder).remarks
    assert remark.endswith(r": 'a\x1b[31m', b.txt, c0, c1, c2 and 4 more")


def refuse(patch: pytest.MonkeyPatch, operation: str, refused: Path) -> None:
    """Make `operation` fail on the file `refused` as for a user without the right to it."""
    real = getattr(pathlib.Path, operation)

    def refusing(path: Path, *arguments: object, **more: object) -> object:
        if path == refused:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *arguments, **more)

    patch.setattr(pathlib.Path, operation, refusing)


@pytest.mark.parametrize(
    ("operation", "content"),
    [("read_bytes", request(call(1))), ("rename", b"no protobuf"), ("unlink", request(call(1)))],
)
def test_a_segment_that_cannot_be_drained_stays_and_blocks_no_other(
    folder: Path, ledger: Ledger, operation: str, content: bytes
) -> None:
    stuck = segments.write(folder, content)
    for n in (2, 3):
        segments.write(folder, request(call(n, otel_cost__run="others")))
        with pytest.MonkeyPatch.context() as patch:
            refuse(patch, operation, stuck)
            drained = spool.drain(folder, ledger)
        assert drained.left == (f"Spool file {stuck} is not drained for now: Permission denied",)
        assert [name for name in files(folder) if name != spool.ASIDE] == [stuck.name]
        assert Reader(ledger.database).ask("summary", [("run", "others")])["total"]["calls"] == n - 1
    assert spool.drain(folder, ledger).left == ()
    assert spool.waiting(folder) == 0


def test_what_reading_fails_over_is_set_aside_and_blocks_no_other(
    folder: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, _ = segments.write(folder, b"bomb"), segments.write(folder, request(call(1)))
    walk = spool.walk

    def failing(content: bytes) -> Parcel:
        if content == b"bomb":
            raise MemoryError
        return walk(content)

    monkeypatch.setattr(spool, "walk", failing)
    assert spool.drain(folder, ledger) == spool.Drained(segments=1)
    assert files(folder / spool.ASIDE) == [bad.name, f"{bad.name}.reason.txt"]
    assert (folder / spool.ASIDE / f"{bad.name}.reason.txt").read_text() == "it cannot be read: MemoryError\n"
    assert total(ledger)[0] == 1


def test_what_writing_fails_over_stays_and_blocks_no_other(
    folder: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, _ = segments.write(folder, request(call(1))), segments.write(folder, request(call(2)))
    add = Ledger.add

    def failing(this: Ledger, parcel: Parcel, patience: float = 0.0) -> Future[Receipt]:
        if (1).to_bytes(8, "big") in parcel.spans[0]:
            raise ZeroDivisionError
        return add(this, parcel, patience)

    monkeypatch.setattr(Ledger, "add", failing)
    left = f"Spool file {stuck} is not drained for now: ZeroDivisionError"
    assert spool.drain(folder, ledger) == spool.Drained(segments=1, left=(left,))
    assert total(ledger)[0] == 1
    assert spool.waiting(folder) == 1


def test_where_nothing_can_be_set_aside_the_others_are_drained(folder: Path, ledger: Ledger) -> None:
    bad = [segments.write(folder, content) for content in (b"one", b"other")]
    segments.write(folder, request(call(1)))
    (folder / spool.ASIDE).write_text("a file is in the way")
    assert spool.drain(folder, ledger) == spool.Drained(
        segments=1, left=tuple(f"Spool file {path} is not drained for now: File exists" for path in bad)
    )
    assert total(ledger) == (1, "0.004500")
    assert (folder / spool.ASIDE).read_text() == "a file is in the way"


def test_what_only_looks_like_a_segment_is_left_alone(folder: Path, ledger: Ledger) -> None:
    path = segments.write(folder, request(call(1)))
    directory, link = folder / NEARLY, folder / NEARLY.replace("-1-", "-2-")
    directory.mkdir()
    link.symlink_to(path)
    assert spool.look(folder).foreign == (directory.name, link.name)
    assert spool.drain(folder, ledger) == spool.Drained(segments=1)
    assert files(folder) == [directory.name, link.name]


def test_a_segment_with_a_bad_call_gives_its_good_ones_and_is_kept(folder: Path, ledger: Ledger) -> None:
    path = segments.write(folder, request(call(1), call(2, otel_cost__cost__amount="NaN")))
    assert spool.drain(folder, ledger).segments == 1
    assert total(ledger) == (1, "0.004500")
    assert (folder / spool.ASIDE / path.name).exists()
    reason = (folder / spool.ASIDE / f"{path.name}.reason.txt").read_text()
    assert reason.startswith("1 of its calls are not in the books: otel_cost.cost.amount")
    assert spool.set_aside(folder) == 1


def test_what_is_still_being_written_is_left_alone_until_it_is_old(folder: Path, ledger: Ledger) -> None:
    folder.mkdir()
    young, old = folder / f".{NEARLY}.tmp", folder / f".{NEARLY.replace('-1-', '-2-')}.tmp"
    for path in (young, old):
        path.touch()
    os.utime(old, (time.time() - 7200,) * 2)
    assert spool.drain(folder, ledger) == spool.Drained(segments=0)
    assert files(folder) == [young.name, spool.ASIDE]
    assert (folder / spool.ASIDE / f"{old.name}.reason.txt").read_text() == "whoever wrote it did not finish it\n"


def test_two_drains_of_one_spool_do_not_disturb_each_other(
    folder: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one takes a file away at each moment at which this one has heard of it and not yet read or moved it."""
    segments.write(folder, request(call(1)))
    unfinished = folder / f".{NEARLY}.tmp"
    unfinished.touch()
    listed, checked = os.scandir, segments.check

    @contextmanager
    def scandir(path: Path) -> Iterator[list[os.DirEntry[str]]]:
        with listed(path) as entries:
            found = list(entries)
        unfinished.unlink(missing_ok=True)
        yield found

    def check(name: str, content: bytes) -> str | None:
        (folder / name).unlink()
        return checked(name, content + b"torn")

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        assert spool.waiting(folder)
        patch.setattr(segments, "check", check)
        assert spool.drain(folder, ledger).segments == 0
    first, second = segments.write(folder, request(call(2))), segments.write(folder, request(call(3)))
    monkeypatch.setattr(segments, "check", lambda *_: second.unlink(missing_ok=True))
    assert spool.drain(folder, ledger).segments == 1
    assert not first.exists()
    assert total(ledger) == (1, "0.004500")


def test_where_folders_cannot_be_opened_segments_are_written_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_DIRECTORY")
    assert segments.write(folder, b"content").read_bytes() == b"content"


def test_a_missing_spool_is_empty(folder: Path, ledger: Ledger) -> None:
    assert spool.waiting(folder) == 0
    assert spool.look(folder) is None
    assert spool.drain(folder, ledger).segments == 0


def test_a_segment_stays_until_it_is_committed(folder: Path, ledger: Ledger) -> None:
    path = segments.write(folder, request(call(1)))
    ledger.close()
    with pytest.raises(LedgerDownError):
        spool.drain(folder, ledger)
    assert files(folder) == [path.name]


def test_a_drain_waits_for_a_busy_ledger(folder: Path, tmp_path: Path) -> None:
    class BusyAtFirst(Ledger):
        refusals = 2

        def add(self, parcel: Parcel, patience: float = 0.0) -> Future[Receipt]:
            if self.refusals:
                self.refusals -= 1
                raise LedgerBusyError("busy")
            return super().add(parcel, patience)

    segments.write(folder, request(call(1)))
    with BusyAtFirst(tmp_path / "busy.duckdb") as busy:
        assert spool.drain(folder, busy).segments == 1
        assert total(busy) == (1, "0.004500")


def until(done: object, seconds: float = 10) -> None:
    """Wait until `done()`."""
    give_up = time.monotonic() + seconds
    while not done():  # type: ignore[operator] # a condition to call
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.01)


def test_a_drainer_drains_at_once_and_again_and_says_a_failure_once(
    folder: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    segments.write(folder, request(call(1)))
    drainer = spool.Drainer(folder, ledger, seconds=0.01)
    drainer.start()
    until(lambda: total(ledger)[0] == 1)
    segments.write(folder, request(call(2)))
    until(lambda: total(ledger)[0] == 2 and not spool.waiting(folder))
    folder.rmdir()
    folder.write_text("a file is in the way")
    until(lambda: caplog.records)
    time.sleep(0.1)
    folder.unlink()
    segments.write(folder, request(call(3)))
    until(lambda: total(ledger)[0] == 3)
    drainer.stop()
    assert [record.getMessage()[: len(f"Spool {folder}")] for record in caplog.records] == [f"Spool {folder}"]
    spool.Drainer(folder, ledger).stop()  # one that was never started


def test_a_drainer_says_each_trouble_once_and_what_it_leaves_alone(
    folder: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    stuck, other = segments.write(folder, b"no protobuf"), segments.write(folder, b"nor this")
    (folder / "notes.txt").touch()
    (folder / spool.ASIDE).touch()
    drainer = spool.Drainer(folder, ledger)
    drainer.drain()
    (folder / "more.txt").touch()
    drainer.drain()
    other.unlink()
    drainer.drain()
    assert [record.getMessage() for record in caplog.records] == [
        f"Spool {folder} holds what is no segment, and it is left alone: notes.txt",
        f"Spool file {stuck} is not drained for now: File exists",
        f"Spool file {other} is not drained for now: File exists",
    ]
    (folder / spool.ASIDE).unlink()
    drainer.drain()
    assert "is set aside in" in caplog.records[-1].getMessage()
    assert len(caplog.records) == 4


def test_a_spool_is_made_where_it_is_missing(folder: Path) -> None:
    for _ in range(2):
        spool.prepare(folder / "in" / "there")
    assert files(folder / "in" / "there") == []


def test_a_spool_that_cannot_work_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        with pytest.raises(SpoolError, match=rf"spool {folder} cannot be used: it cannot be read and written. Choose"):
            spool.prepare(folder)
    folder.rmdir()
    folder.write_text("a file is in the way")
    for use in (spool.prepare, spool.look, spool.waiting):
        with pytest.raises(SpoolError, match=rf"spool {folder} cannot be used: it is no folder. Choose another"):
            use(folder)
    with pytest.raises(SpoolError, match=r"cannot be used: Not a directory. Choose another with --spool or OTEL_COST"):
        spool.prepare(folder / "below")
