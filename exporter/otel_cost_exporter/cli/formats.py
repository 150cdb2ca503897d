"""The formats of ``otel-cost export``, each written batch by batch."""

from __future__ import annotations

import json
from datetime import UTC
from typing import IO, TYPE_CHECKING, Any, Final

from pyarrow import parquet

from otel_cost_exporter.answers.calls import call
from otel_cost_exporter.answers.export import plain_rows
from otel_cost_exporter.answers.tables import texts
from otel_cost_exporter.answers.words import in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    Row = dict[str, Any]
    Write = Callable[[pa.RecordBatchReader, IO[bytes]], None]


def _as_csv(batches: pa.RecordBatchReader, file: IO[bytes]) -> None:
    _write_csv(batches, _calls(batches), file)


def _as_focus(batches: pa.RecordBatchReader, file: IO[bytes]) -> None:
    _write_csv(batches, plain_rows(batches), file)


def _write_csv(batches: pa.RecordBatchReader, rows: Iterator[Row], file: IO[bytes]) -> None:
    lines = texts(rows, UTC)
    file.write(next(lines, ",".join(batches.schema.names) + "\r\n").encode())
    for line in lines:
        file.write(line.encode())


def _as_json(batches: pa.RecordBatchReader, file: IO[bytes]) -> None:
    for row in _calls(batches):
        file.write(json.dumps({name: in_words(value) for name, value in row.items()}).encode() + b"\n")


def _as_parquet(batches: pa.RecordBatchReader, file: IO[bytes]) -> None:
    with parquet.ParquetWriter(file, batches.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _calls(batches: pa.RecordBatchReader) -> Iterator[Row]:
    """The calls, each in the shape in which ``/v1/calls`` answers it."""
    for row in plain_rows(batches):
        yield call({**row, "extra": dict(row["extra"] or ())})


WRITE: Final[dict[str, Write]] = {
    "csv": _as_csv,
    "json": _as_json,
    "parquet": _as_parquet,
    "focus": _as_focus,
}
