"""What decoding hands to the ledger: a batch of calls as Arrow, in the columns of the table ``calls``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from otel_cost import money
from otel_cost.semconv import DIMENSIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

MONEY: Final = pa.decimal128(18, money.DECIMALS)
QUANTITY: Final = pa.decimal128(18, 6)
_TIME: Final = pa.timestamp("us")
METERS: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
    "cache_read_audio_tokens",
    "input_image_tokens",
    "cache_read_image_tokens",
    "input_video_tokens",
    "reasoning_tokens",
    "output_audio_tokens",
    "output_image_tokens",
    "web_searches",
    "file_searches",
    "rerank_searches",
)
"""What a call used, counted in whole numbers."""
LINES: Final = pa.list_(pa.struct([("meter", pa.string()), ("quantity", QUANTITY), ("cost", MONEY)]))


def _texts(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.string()) for name in names]


CALLS: Final = pa.schema(
    [
        pa.field("start_ts", _TIME, nullable=False),
        pa.field("end_ts", _TIME),
        pa.field("trace_id", pa.string(), nullable=False),  # 32 hex digits; Arrow has no UUID that DuckDB 1.5 reads
        pa.field("span_id", pa.uint64(), nullable=False),
        *_texts("scope", "service", "environment", "provider", "operation"),
        *_texts("request_model", "response_model", "response_id", "service_tier", "server"),
        *(pa.field(name, pa.int64()) for name in METERS),
        pa.field("audio_seconds", QUANTITY),
        pa.field("cost", MONEY),
        pa.field("cost_status", pa.string(), nullable=False),
        *_texts("cost_source", "price_version", "price_terms", "cost_reason"),
        pa.field("lines", LINES),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("attempts", pa.int32()),
        *_texts("error_type"),
        pa.field("failures", pa.list_(pa.string())),
        pa.field("waste", MONEY),
        *_texts("waste_status", "charge"),
        pa.field("units", QUANTITY),
        *_texts(*DIMENSIONS),
        pa.field("extra", pa.map_(pa.string(), pa.string())),
        pa.field("parent_span_id", pa.uint64()),  # NULL: a root, or not stated
        pa.field("metered", pa.bool_(), nullable=False),  # whether the application has said what the call cost
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

QUARANTINE: Final = pa.schema(
    [
        pa.field("start_ts", _TIME),
        *_texts("trace_id", "span_id", "service", "model"),
        pa.field("reason", pa.string(), nullable=False),
    ]
)

_AMOUNT: Final = pa.decimal128(38, money.DECIMALS)
EVENTS: Final = pa.schema(
    [
        pa.field("event_ts", _TIME, nullable=False),
        pa.field("event_id", pa.string(), nullable=False),  # 32 hex digits
        *(pa.field(name, pa.string(), nullable=False) for name in ("kind", "dimension", "id", "unit")),
        *_texts("period", "model"),
        *(pa.field(name, _AMOUNT) for name in ("limit_amount", "spent", "held", "share", "call_amount")),
        pa.field("trace_id", pa.string()),  # 32 hex digits
        pa.field("span_id", pa.uint64()),
        *_texts("service", "environment"),
    ]
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Calls that go into the books together.

    Attributes:
        calls: one row for each call, schema `CALLS`.
        limits: one row for each budget limit that a call carried, schema `LIMITS`.
        quarantine: one row for each call that cannot stand in the books, schema `QUARANTINE`.
        dimensions: the names of the dimensions that occur in `calls`.
        events: log events of budgets, each by the columns of its table.
    """

    calls: pa.Table
    limits: pa.Table
    quarantine: pa.Table
    dimensions: frozenset[str]
    events: list[Mapping[str, Any]] = field(default_factory=list)
