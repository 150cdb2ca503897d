"""What decoding hands to the ledger: a batch of calls as Arrow, in the columns of the table ``calls``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from otel_cost import money
from otel_cost.semconv import DIMENSIONS

MONEY: Final = pa.decimal128(18, money.DECIMALS)
_TIME: Final = pa.timestamp("us")
_TEXTS: Final = ("provider", "operation", "request_model", "response_model", "response_id")
METERS: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")

CALLS: Final = pa.schema(
    [
        pa.field("start_ts", _TIME, nullable=False),
        pa.field("end_ts", _TIME),
        pa.field("trace_id", pa.string(), nullable=False),  # 32 hex digits; Arrow has no UUID that DuckDB 1.5 reads
        pa.field("span_id", pa.uint64(), nullable=False),
        *(pa.field(name, pa.string()) for name in _TEXTS),
        *(pa.field(name, pa.int64()) for name in METERS),
        pa.field("cost", MONEY),
        pa.field("cost_status", pa.string(), nullable=False),
        *(pa.field(name, pa.string()) for name in ("cost_source", "price_version", "cost_reason")),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("attempts", pa.int32()),
        *(pa.field(name, pa.string()) for name in ("error_type", "service", "environment")),
        *(pa.field(name, pa.string()) for name in DIMENSIONS),
        pa.field("extra", pa.map_(pa.string(), pa.string())),
        pa.field("failures", pa.list_(pa.string())),
        pa.field("waste", MONEY),
        pa.field("waste_status", pa.string()),
    ]
)

LIMITS: Final = pa.schema(
    [
        pa.field("dimension", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("limit_usd", MONEY),
        pa.field("limit_tokens", pa.int64()),
        pa.field("seen_ts", _TIME, nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Calls that go into the books together.

    Attributes:
        calls: one row for each call, schema `CALLS`.
        limits: one row for each budget limit that a call carried, schema `LIMITS`.
        dimensions: the names of the dimensions that occur in `calls`.
    """

    calls: pa.Table
    limits: pa.Table
    dimensions: frozenset[str]


def join(batches: list[Batch]) -> Batch:
    """One batch with all rows of `batches`, of which there is at least one."""
    return Batch(
        pa.concat_tables([batch.calls for batch in batches]),
        pa.concat_tables([batch.limits for batch in batches]),
        frozenset[str]().union(*(batch.dimensions for batch in batches)),
    )
