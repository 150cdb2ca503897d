"""Questions while the books cannot be read: each is answered with a line, and to ask again is worth it."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
import requests
from exporter_building import call, parcel

from otel_cost_exporter.answers.reader import Reader
from otel_cost_exporter.answers.routes import ROUTES
from otel_cost_exporter.books import ServiceBooks
from otel_cost_exporter.errors import LedgerDownError, LedgerFileError, UnreachableError
from otel_cost_exporter.writing.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from click.testing import Result

    from otel_cost_exporter.service import Service

PATHS = [
    *(f"/v1/{route.path.replace('{id}', 'x')}" for route in ROUTES if route.path != "compare"),
    "/v1/compare?instead=gpt-4o",
    "/v1/export",
    "/v1/budgets",
    "/v1/budgets/run/r1",
]
MANY_CALLS = """
    INSERT INTO calls BY NAME
    SELECT
        TIMESTAMP '2026-03-02 12:00:00' AS start_ts, uuid() AS trace_id, number AS span_id, start_ts AS received_ts,
        'unknown' AS cost_status, 'ok' AS outcome
    FROM range(300000) AS numbers(number)
"""


def not_now(service: Service, path: str, reason: str) -> None:
    answer = requests.get(service.url + path, timeout=10)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5"), path
    assert reason in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]


def test_while_the_file_cannot_be_opened_again_a_question_is_for_later(
    service: Service, ledger_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    aside = ledger_file.with_suffix(".aside")
    ledger_file.rename(aside)
    ledger_file.mkdir()
    with pytest.raises(LedgerFileError):
        service.ledger.database.reopen()
    for path in PATHS:
        if path != "/v1/schemas":  # which are in no file
            not_now(service, path, f"{ledger_file} cannot be opened again for now")
    assert requests.get(f"{service.url}/healthz", timeout=10).status_code == 503
    with pytest.raises(UnreachableError, match=r"answers 503: .* cannot be opened again for now"):
        ServiceBooks(service.url).ask("summary")
    ledger_file.rmdir()
    aside.rename(ledger_file)
    service.ledger.database.reopen()
    assert requests.get(f"{service.url}/v1/summary", timeout=10).status_code == 200
    assert "Traceback" not in caplog.text


def test_when_duckdb_fails_a_question_is_for_later(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    service.ledger.do(lambda cursor: cursor.execute("DROP VIEW facts")).result(10)
    not_now(service, "/v1/estimate", f"{service.ledger.path} cannot be read now: Catalog Error")
    not_now(service, "/v1/export", "cannot be read now")
    assert "Traceback" not in caplog.text


def test_a_command_on_a_file_that_cannot_be_read_says_so_in_one_line(
    run: Callable[..., Result], ledger_file: Path
) -> None:
    with Ledger(ledger_file) as ledger:
        ledger.add(parcel(call())).result(10)
        ledger.do(lambda cursor: cursor.execute("DROP VIEW facts")).result(10)
    for command in (("summary", "--by", "run", "--by", "stage"), ("export",), ("compare", "r1", "--model", "gpt-4o")):
        done = run(*command)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.startswith(f"Error: {ledger_file} cannot be read now: Catalog Error")
        assert done.stderr.count("\n") == 1


def test_an_export_that_is_broken_off_on_the_file_is_said(ledger_file: Path) -> None:
    with Ledger(ledger_file) as ledger:
        ledger.do(lambda cursor: cursor.execute(MANY_CALLS)).result(30)
        reader = Reader(ledger.database)
        with reader.export() as batches:
            batches.read_next_batch()
            for cursor in list(ledger.database._cursors):
                cursor.interrupt()
            with pytest.raises(LedgerDownError, match=r"cannot be read now: .*Interrupted"):
                batches.read_all()


def torn(batches: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    yield from batches
    raise LedgerDownError("the disk is gone")


def test_an_export_that_is_broken_off_by_the_service_has_no_end(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service.ledger.add(parcel(call())).result(10)

    def rows(*_: Any) -> Iterator[Any]:
        yield from repeat({"span_id": "1"}, 1000)
        raise LedgerDownError("the disk is gone")

    monkeypatch.setattr(Reader, "export_rows", rows)
    monkeypatch.setattr(Reader, "_read", lambda _, batches: torn(batches))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.get(f"{service.url}/v1/export", timeout=10)
    with (
        pytest.raises(UnreachableError, match=f"the ledger service at {service.url} has broken off"),
        ServiceBooks(service.url).export() as batches,
    ):
        batches.read_all()
    assert "An export broke off: the disk is gone" in caplog.text
    assert "Traceback" not in caplog.text
