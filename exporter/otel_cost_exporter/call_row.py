"""One span that is a call -> one row of the books, or the reason why it cannot be one."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from otel_cost import money, semconv

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    Attributes = Mapping[str, AnyValue]

LONGEST_NAME: Final = 512
"""Characters that a model, an id or another name may have."""
LONGEST_NOTE: Final = 500
"""Characters that are kept of a reason or an error type."""
MOST_EXTRA: Final = 32
"""How many dimensions of the user's own a call may have."""
EARLIEST_NS: Final = 946_684_800_000_000_000
"""2000-01-01: no call to a model is older."""
_MOST_TOKENS: Final = 10**12
_MOST_ATTEMPTS: Final = 10**6
_COST_LIMIT: Final = Decimal(1_000_000)
_LONGEST_NUMBER: Final = 64
_TRACE_ID_BYTES: Final = 16
_SPAN_ID_BYTES: Final = 8

_STATUSES: Final = frozenset({"known", "estimated", "unknown"})
_WASTE_STATUSES: Final = frozenset({"estimated", "unknown"})
_MOST_FAILURES: Final = 100
_OUTCOMES: Final = frozenset({"ok", "error", "cut", "refused"})
_NAMES: Final = {
    "provider": semconv.GEN_AI_PROVIDER_NAME,
    "operation": semconv.GEN_AI_OPERATION_NAME,
    "request_model": semconv.GEN_AI_REQUEST_MODEL,
    "response_model": semconv.GEN_AI_RESPONSE_MODEL,
    "response_id": semconv.GEN_AI_RESPONSE_ID,
    "cost_source": semconv.COST_SOURCE,
    "price_version": semconv.COST_PRICE_VERSION,
}
_NOTES: Final = {"cost_reason": semconv.COST_REASON, "error_type": semconv.ERROR_TYPE}
_METERS: Final = {
    "input_tokens": semconv.GEN_AI_USAGE_INPUT_TOKENS,
    "output_tokens": semconv.GEN_AI_USAGE_OUTPUT_TOKENS,
    "cache_read_tokens": semconv.GEN_AI_USAGE_CACHE_READ_TOKENS,
    "cache_write_tokens": semconv.GEN_AI_USAGE_CACHE_WRITE_TOKENS,
    "reasoning_tokens": semconv.GEN_AI_USAGE_REASONING_TOKENS,
}


class RejectedError(ValueError):
    """A call that cannot stand in the books; the text says which figure is bad."""


def call_row(span: Span, resource: Attributes, latest_ns: int) -> dict[str, Any]:
    """The row of the call that `span` is: a value for each column of `batch.CALLS`, or none where it is not stated.

    Args:
        span: a span with ``otel_cost.cost.status``.
        resource: the attributes of what made it.
        latest_ns: Unix time in nanoseconds after which no call can have started.

    Raises:
        RejectedError: a figure is bad.
    """
    attributes = {item.key: item.value for item in span.attributes}
    row: dict[str, Any] = {
        **_identity(span, latest_ns),
        **{column: _name(attributes, key) for column, key in _NAMES.items()},
        **{column: _note(attributes, key) for column, key in _NOTES.items()},
        **{column: _count(attributes, key, _MOST_TOKENS) for column, key in _METERS.items()},
        "cost_status": _choice(attributes, semconv.COST_STATUS, _STATUSES),
        "outcome": _choice(attributes, semconv.CALL_OUTCOME, _OUTCOMES, "ok"),
        "attempts": _count(attributes, semconv.CALL_ATTEMPTS, _MOST_ATTEMPTS),
        "service": _name(resource, semconv.SERVICE_NAME),
        "environment": _name(resource, semconv.DEPLOYMENT_ENVIRONMENT),
    }
    row["cost"] = None if row["cost_status"] == "unknown" else _cost(attributes)
    row |= _failed_attempts(attributes)
    dimensions = _dimensions(attributes)
    row["extra"] = [(name, dimensions.pop(name)) for name in sorted(dimensions.keys() - set(semconv.DIMENSIONS))]
    if len(row["extra"]) > MOST_EXTRA:
        raise RejectedError(f"more than {MOST_EXTRA} dimensions of the user's own")
    return row | dimensions


def limit_rows(span: Span, row: Mapping[str, Any]) -> Iterator[dict[str, Any] | str]:
    """The budget limits that the call carried: a row of `batch.LIMITS` each, or a line about one that is no limit."""
    extra = dict(row["extra"])
    for item in span.attributes:
        dimension = semconv.budgeted_dimension_of(item.key)
        if dimension is None:
            continue
        owner, stated = row.get(dimension) or extra.get(dimension), item.value.string_value
        limit = _limit(stated)
        if owner is None or limit is None:
            yield f"{item.key}={stated[:_LONGEST_NUMBER]!r} is passed over: " + (
                "it is no limit" if owner else f"the call has no {semconv.dimension_key(dimension)}"
            )
        else:
            yield {"dimension": dimension, "id": owner, "seen_ts": row["start_ts"], **limit}


def _identity(span: Span, latest_ns: int) -> dict[str, Any]:
    if len(span.trace_id) != _TRACE_ID_BYTES or len(span.span_id) != _SPAN_ID_BYTES:
        raise RejectedError("a trace id needs 16 bytes and a span id 8")
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    if not EARLIEST_NS <= start <= latest_ns:
        raise RejectedError("the start time is before the year 2000 or in the future")
    return {
        "start_ts": start // 1000,
        "end_ts": end // 1000 if start <= end <= latest_ns else None,
        "trace_id": span.trace_id.hex(),
        "span_id": int.from_bytes(span.span_id, "big"),
    }


def _text(value: AnyValue, key: str) -> str | None:
    """`value` as text, None where it is empty: identifiers may arrive as numbers."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value or None
    if kind == "int_value":
        return str(value.int_value)
    if kind == "bool_value":
        return str(value.bool_value).lower()
    if kind is None:
        return None
    raise RejectedError(f"{key} is neither text nor a whole number")


def _name(attributes: Attributes, key: str) -> str | None:
    text = _text(attributes[key], key) if key in attributes else None
    if text is not None and len(text) > LONGEST_NAME:
        raise RejectedError(f"{key} is longer than {LONGEST_NAME} characters")
    return text


def _note(attributes: Attributes, key: str) -> str | None:
    text = _text(attributes[key], key) if key in attributes else None
    return text and text[:LONGEST_NOTE]


def _choice(attributes: Attributes, key: str, allowed: frozenset[str], default: str | None = None) -> str:
    text = _name(attributes, key) or default
    if text not in allowed:
        raise RejectedError(f"{key} is none of {', '.join(sorted(allowed))}")
    return text


def _count(attributes: Attributes, key: str, most: int) -> int | None:
    """A whole number from 0 to `most`, None where it is not stated. Some senders know only doubles."""
    value = attributes.get(key)
    kind = None if value is None else value.WhichOneof("value")
    if value is None or kind is None:
        return None
    if kind == "double_value" and value.double_value.is_integer():
        number = int(value.double_value)
    elif kind == "int_value":
        number = value.int_value
    else:
        raise RejectedError(f"{key} is no whole number")
    if not 0 <= number <= most:
        raise RejectedError(f"{key} is negative or beyond {most}")
    return number


def _cost(attributes: Attributes) -> Decimal:
    currency = _name(attributes, semconv.COST_CURRENCY) or money.CURRENCY
    if currency != money.CURRENCY:
        raise RejectedError(f"{semconv.COST_CURRENCY} is not {money.CURRENCY}")
    return _usd(attributes, semconv.COST_AMOUNT)


def _usd(attributes: Attributes, key: str) -> Decimal:
    amount = _amount(_name(attributes, key) or "")
    if amount is None:
        raise RejectedError(f"{key} is no amount from 0 to below {_COST_LIMIT}")
    return amount


def _failed_attempts(attributes: Attributes) -> dict[str, Any]:
    """The attempts that failed, and what of them may have been charged."""
    found: dict[str, Any] = {}
    if semconv.CALL_FAILURES in attributes:
        items = attributes[semconv.CALL_FAILURES].array_value.values
        found["failures"] = [item.string_value[:LONGEST_NAME] for item in items[:_MOST_FAILURES]]
    if semconv.WASTE_STATUS in attributes:
        found["waste_status"] = _choice(attributes, semconv.WASTE_STATUS, _WASTE_STATUSES)
        if found["waste_status"] == "estimated":
            found["waste"] = _usd(attributes, semconv.WASTE_AMOUNT)
    return found


def _amount(text: str) -> Decimal | None:
    """US dollars from 0 to below a million; None where `text` says no such amount."""
    if len(text) > _LONGEST_NUMBER:
        return None
    try:
        amount = money.usd(text)
    except ValueError:
        return None
    return amount if 0 <= amount < _COST_LIMIT else None


def _limit(text: str) -> dict[str, Any] | None:
    digits = text.removesuffix(semconv.TOKENS_SUFFIX)
    if digits == text:
        amount = _amount(text)
        return None if amount is None else {"limit_usd": amount}
    is_count = digits.isascii() and digits.isdecimal() and len(digits) <= len(str(_MOST_TOKENS))
    return {"limit_tokens": int(digits)} if is_count else None


def _dimensions(attributes: Attributes) -> dict[str, str]:
    """Who pays, by dimension."""
    found: dict[str, str] = {}
    for key in attributes:
        name = semconv.dimension_of(key)
        owner = None if name is None else _name(attributes, key)
        if name is not None and owner is not None:
            found[name] = owner
    return found
