"""Many spans -> the rows of those that are calls, column by column, without a loop over spans.

It takes what most senders send. A span with anything odd is left to `careful`, which says what a row is; of the others
it makes the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ptars import HandlerPool

from otel_cost import semconv
from otel_cost_exporter.decode import call_row, exact_columns, foreign_columns, who_pays
from otel_cost_exporter.decode.attributes import Attributes
from otel_cost_exporter.decode.batch import CALLS, LIMITS
from otel_cost_exporter.decode.lean import SPAN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from otel_cost.dialects import Dialect
    from otel_cost_exporter.decode.attributes import Bools, Ints
    from otel_cost_exporter.decode.parcel import Source

_HANDLER: Final = HandlerPool([SPAN.file]).get_for_message(SPAN)
FEWEST_TOGETHER: Final = 48
"""Below that it is faster to read spans one by one."""
_TRACE_ID_BYTES: Final = 16
_SPAN_ID_BYTES: Final = 8
_HEX: Final = np.frombuffer(bytes(range(256)).hex().encode(), np.uint16)
"""For each byte its two hex digits."""
_NO_CALLS: Final = CALLS.empty_table()
_NO_LIMITS: Final = LIMITS.empty_table()


@dataclass(frozen=True, slots=True)
class Columns:
    """What was made of spans.

    Attributes:
        calls: one row for each call, schema `CALLS`.
        limits: one row for each limit that they carried, schema `LIMITS`.
        odd: the numbers of the spans that are to be read one by one.
    """

    calls: pa.Table
    limits: pa.Table
    odd: Ints


def read(messages: list[bytes], sources: list[Source], dialect: Dialect | None, latest_ns: int) -> list[Columns]:
    """The calls among the spans in `messages`, which `sources` made.

    Args:
        messages: spans, in protobuf.
        sources: for each of them, who made it.
        dialect: what the instrumentation scopes of all of them speak; None: otel-cost has put the cost on them.
        latest_ns: Unix time in nanoseconds after which no call can have started.

    Raises:
        ValueError: one of `messages` is no span.
    """
    spans = _HANDLER.list_to_record_batch(messages)
    attributes = Attributes(spans["attributes"])
    if dialect is None:
        return [_columns(spans, attributes, sources, None, latest_ns)]
    found = []
    for spoken, rows in foreign_columns.speakers(attributes, dialect):
        if len(rows) < FEWEST_TOGETHER or not foreign_columns.is_plain(spoken):
            found.append(Columns(_NO_CALLS, _NO_LIMITS, rows))
        elif len(rows) == len(messages):
            found.append(_columns(spans, attributes, sources, spoken, latest_ns))
        else:
            some = spans.take(pa.array(rows))
            part = _columns(some, Attributes(some["attributes"]), [sources[row] for row in rows], spoken, latest_ns)
            found.append(replace(part, odd=rows[part.odd]))
    return found


def _columns(
    spans: pa.RecordBatch, attributes: Attributes, sources: list[Source], dialect: Dialect | None, latest_ns: int
) -> Columns:
    if dialect is None:
        is_call, stated = exact_columns.stated(attributes)
    else:
        is_call, stated = foreign_columns.stated(spans, attributes, dialect)
    identity = _identity(spans, attributes.odd, latest_ns)
    limited, limits = who_pays.limits(attributes, identity["start_ts"])
    columns = {
        **identity,
        **_source(sources),
        **stated,
        **who_pays.dimensions(attributes),
        "server": attributes.text(semconv.SERVER_ADDRESS, call_row.LONGEST_NAME),
    }
    kept = is_call & ~attributes.odd
    return Columns(_table(columns, kept), limits.filter(kept[limited]), np.flatnonzero(is_call & attributes.odd))


def _identity(spans: pa.RecordBatch, odd: Bools, latest_ns: int) -> dict[str, pa.Array]:
    """When and which. A span without a time that can be, or without whole ids, is odd."""
    start, end = spans["start_time_unix_nano"].to_numpy(), spans["end_time_unix_nano"].to_numpy()
    trace_ids, are_whole = _fixed(spans["trace_id"], _TRACE_ID_BYTES)
    span_ids, has_id = _fixed(spans["span_id"], _SPAN_ID_BYTES)
    parents, _ = _fixed(spans["parent_span_id"], _SPAN_ID_BYTES)
    parent = parents.view(">u8").ravel().astype(np.uint64)
    odd |= ~are_whole | ~has_id | (start < call_row.EARLIEST_NS) | (start > latest_ns)
    return {
        "start_ts": _times(start),
        "end_ts": pc.if_else(pa.array((start <= end) & (end <= latest_ns)), _times(end), None),
        "trace_id": _hex(trace_ids),
        "span_id": pa.array(span_ids.view(">u8").ravel().astype(np.uint64)),
        "parent_span_id": pa.array(parent, mask=parent == 0),
    }


def _times(unix_ns: NDArray[np.uint64]) -> pa.TimestampArray:
    return pa.array((unix_ns // 1000).astype(np.int64).view("datetime64[us]"))


def _fixed(values: pa.BinaryArray, width: int) -> tuple[NDArray[np.uint8], Bools]:
    """A row of `width` bytes for each of `values`, and which of them have that many; the others have zeros."""
    fits = pc.binary_length(values).to_numpy() == width
    rows = np.zeros((len(values), width), np.uint8)
    whole = values.filter(pa.array(fits)).cast(pa.binary(width))
    rows[fits] = np.frombuffer(whole.buffers()[1], np.uint8)[: whole.nbytes].reshape(-1, width)
    return rows, fits


def _hex(rows: NDArray[np.uint8]) -> pa.StringArray:
    """The hex digits of each of `rows`."""
    count, width = rows.shape
    starts = np.arange(count + 1, dtype=np.int32) * 2 * width
    return pa.StringArray.from_buffers(count, pa.py_buffer(starts), pa.py_buffer(_HEX[rows]))


def _source(sources: list[Source]) -> dict[str, pa.Array]:
    """Who made the spans. Those of one source share the object, so there are few."""
    objects = np.fromiter(map(id, sources), np.int64, len(sources))
    _, first, which = np.unique(objects, return_index=True, return_inverse=True)
    few = [sources[place] for place in first]
    found = {
        "scope": [source.scope or None for source in few],
        "service": [source.service for source in few],
        "environment": [source.environment for source in few],
    }
    return {column: pa.array(texts, pa.string()).take(pa.array(which)) for column, texts in found.items()}


def _table(columns: dict[str, pa.Array], kept: Bools) -> pa.Table:
    """The rows of `columns` that are `kept`, in the columns of `CALLS`."""
    arrays = [columns.get(field.name) for field in CALLS]
    filled = [
        pa.nulls(len(kept), field.type) if array is None else array for field, array in zip(CALLS, arrays, strict=True)
    ]
    table = pa.Table.from_arrays(filled, schema=CALLS)
    return table if kept.all() else table.filter(pa.array(kept))
