"""A span with its exact cost -> one row of the books, or the reason why it cannot be one."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from otel_cost import money, semconv
from otel_cost.pricing.names import tier_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from otel_cost_exporter.decode.parcel import Source

    Attributes = Mapping[str, AnyValue]

LONGEST_NAME: Final = 512
"""Characters that a model, an id or another name may have."""
LONGEST_NOTE: Final = 500
"""Characters that are kept of a reason or an error type."""
MOST_EXTRA: Final = 32
"""How many dimensions of the user's own a call may have."""
EARLIEST_NS: Final = 946_684_800_000_000_000
"""2000-01-01: no call to a model is older."""
MOST_TOKENS: Final = 10**12 - 1
MOST_ATTEMPTS: Final = 10**6
_MOST_UNITS: Final = 10**12 - 1
_MILLIONTH: Final = Decimal("0.000001")
_COST_LIMIT: Final = Decimal(1_000_000)
LONGEST_NUMBER: Final = 64
"""Characters that are read of a number in text."""
_TRACE_ID_BYTES: Final = 16
_SPAN_ID_BYTES: Final = 8

STATUSES: Final = frozenset({"known", "estimated", "unknown"})
WASTE_STATUSES: Final = frozenset({"estimated", "unknown"})
MOST_FAILURES: Final = 100
OUTCOMES: Final = frozenset({"ok", "error", "cut", "refused"})
NAMES: Final = {
    "provider": semconv.GEN_AI_PROVIDER_NAME,
    "operation": semconv.GEN_AI_OPERATION_NAME,
    "request_model": semconv.GEN_AI_REQUEST_MODEL,
    "response_model": semconv.GEN_AI_RESPONSE_MODEL,
    "response_id": semconv.GEN_AI_RESPONSE_ID,
    "cost_source": semconv.COST_SOURCE,
    "price_version": semconv.COST_PRICE_VERSION,
    "price_terms": semconv.COST_PRICE_TERMS,
}
NOTES: Final = {"cost_reason": semconv.COST_REASON, "error_type": semconv.ERROR_TYPE}
SECONDS: Final = "audio_seconds"
METERS: Final = {column: key for column, key in semconv.USAGE_ATTRIBUTES.items() if column != SECONDS}


class RejectedError(ValueError):
    """A call that cannot stand in the books; the text says which figure is bad."""


def call_row(span: Span, source: Source, latest_ns: int) -> dict[str, Any]:
    """The row of the call that `span` is: a value for each column of `batch.CALLS`, or none where it is not stated.

    Args:
        span: a span with ``otel_cost.cost.status``.
        source: who made it.
        latest_ns: Unix time in nanoseconds after which no call can have started.

    Raises:
        RejectedError: a figure is bad.
    """
    attributes = {item.key: item.value for item in span.attributes}
    row: dict[str, Any] = {
        **identity(span, latest_ns),
        **origin(source),
        **{column: name(attributes, key) for column, key in NAMES.items()},
        **{column: _note(attributes, key) for column, key in NOTES.items()},
        **{column: _count(attributes, key, MOST_TOKENS) for column, key in METERS.items()},
        SECONDS: _decimal(attributes, semconv.USAGE_ATTRIBUTES[SECONDS]),
        "service_tier": tier_id(name(attributes, semconv.CALL_SERVICE_TIER)),
        "server": server(attributes),
        "cost_status": _choice(attributes, semconv.COST_STATUS, STATUSES),
        "outcome": _choice(attributes, semconv.CALL_OUTCOME, OUTCOMES, "ok"),
        "attempts": _count(attributes, semconv.CALL_ATTEMPTS, MOST_ATTEMPTS),
        "metered": True,
    }
    row["cost"] = None if row["cost_status"] == "unknown" else _cost(attributes)
    return row | _failed_attempts(attributes) | _charged(attributes) | payers(attributes)


def limit_rows(span: Span, row: Mapping[str, Any]) -> Iterator[dict[str, Any] | str]:
    """The budget limits that the call carried: a row of `batch.LIMITS` each, or a line about one that is no limit."""
    extra = dict(row["extra"])
    for item in span.attributes:
        dimension = semconv.budgeted_dimension_of(item.key)
        if dimension is None:
            continue
        owner, stated = row.get(dimension) or extra.get(dimension), item.value.string_value
        limit = limit_of(stated)
        if owner is None or limit is None:
            # Its value is not repeated: what somebody puts there by mistake may be a secret.
            missing = semconv.dimension_key(dimension)
            yield f"{item.key} is passed over: " + (
                "write it like 0.05, or like 20000tok" if owner else f"the call has no {missing}"
            )
        else:
            yield {"dimension": dimension, "id": owner, "seen_ts": row["start_ts"], **limit}


def identity(span: Span, latest_ns: int) -> dict[str, Any]:
    """When a call was and which one, in columns of `batch.CALLS`.

    Raises:
        RejectedError: that cannot be.
    """
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
        "parent_span_id": _parent(span),
    }


def origin(source: Source) -> dict[str, Any]:
    """Who has told of a call, in columns of `batch.CALLS`."""
    return {"scope": source.scope or None, "service": source.service, "environment": source.environment}


def server(attributes: Attributes) -> str | None:
    """The host that was called: a price may depend on where that is."""
    address = attributes[semconv.SERVER_ADDRESS].string_value if semconv.SERVER_ADDRESS in attributes else ""
    return address if 0 < len(address) <= LONGEST_NAME else None


def payers(attributes: Attributes) -> dict[str, Any]:
    """Who pays for a call, in columns of `batch.CALLS`.

    Raises:
        RejectedError: a name is too long, or there are too many.
    """
    found: dict[str, str] = {}
    for key in attributes:
        dimension = semconv.dimension_of(key)
        owner = None if dimension is None else name(attributes, key)
        if dimension is not None and owner is not None:
            found[dimension] = owner
    extra = [(dimension, found.pop(dimension)) for dimension in sorted(found.keys() - set(semconv.DIMENSIONS))]
    if len(extra) > MOST_EXTRA:
        raise RejectedError(f"more than {MOST_EXTRA} dimensions of the user's own")
    return {**found, "extra": extra}


def _parent(span: Span) -> int | None:
    parent = span.parent_span_id
    return int.from_bytes(parent, "big") or None if len(parent) == _SPAN_ID_BYTES else None


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


def name(attributes: Attributes, key: str) -> str | None:
    """The name that an attribute states; None where it states none.

    Raises:
        RejectedError: it is too long, or nothing that names something.
    """
    text = _text(attributes[key], key) if key in attributes else None
    if text is not None and len(text) > LONGEST_NAME:
        raise RejectedError(f"{key} is longer than {LONGEST_NAME} characters")
    return text


def _note(attributes: Attributes, key: str) -> str | None:
    text = _text(attributes[key], key) if key in attributes else None
    return text and text[:LONGEST_NOTE]


def _choice(attributes: Attributes, key: str, allowed: frozenset[str], default: str | None = None) -> str:
    text = name(attributes, key) or default
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
    currency = name(attributes, semconv.COST_CURRENCY) or money.CURRENCY
    if currency != money.CURRENCY:
        raise RejectedError(f"{semconv.COST_CURRENCY} is not {money.CURRENCY}")
    return _usd(attributes, semconv.COST_AMOUNT)


def _usd(attributes: Attributes, key: str) -> Decimal:
    amount = _amount(name(attributes, key) or "")
    if amount is None:
        raise RejectedError(f"{key} is no amount from 0 to below {_COST_LIMIT}")
    return amount


def _failed_attempts(attributes: Attributes) -> dict[str, Any]:
    """The attempts that failed, and what of them may have been charged."""
    found: dict[str, Any] = {}
    if semconv.CALL_FAILURES in attributes:
        items = attributes[semconv.CALL_FAILURES].array_value.values
        found["failures"] = [item.string_value[:LONGEST_NAME] for item in items[:MOST_FAILURES]]
    if semconv.WASTE_STATUS in attributes:
        found["waste_status"] = _choice(attributes, semconv.WASTE_STATUS, WASTE_STATUSES)
        if found["waste_status"] == "estimated":
            found["waste"] = _usd(attributes, semconv.WASTE_AMOUNT)
    return found


def _charged(attributes: Attributes) -> dict[str, Any]:
    """What was charged for, where that was no call to a model, and how much of it."""
    charge = name(attributes, semconv.CHARGE_NAME)
    return {"charge": charge, "units": None if charge is None else _decimal(attributes, semconv.CHARGE_UNITS)}


def _decimal(attributes: Attributes, key: str) -> Decimal | None:
    """An exact number from 0, of up to six decimals, None where it is not stated."""
    text = name(attributes, key)
    return None if text is None else exact_number(text, key)


def exact_number(text: str, key: str) -> Decimal:
    """The number from 0 that `text` says, to six decimals.

    Raises:
        RejectedError: it says none, or a larger one than there can be: ``9e999999999`` has a billion digits.
    """
    try:
        number = Decimal(text[:LONGEST_NUMBER])
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or not 0 <= number <= _MOST_UNITS:
        raise RejectedError(f"{key} is no number from 0 to {_MOST_UNITS}")
    return number.quantize(_MILLIONTH)


def _amount(text: str) -> Decimal | None:
    """US dollars from 0 to below a million; None where `text` says no such amount."""
    if len(text) > LONGEST_NUMBER:
        return None
    try:
        amount = money.usd(text)
    except ValueError:
        return None
    return amount if 0 <= amount < _COST_LIMIT else None


def limit_of(text: str) -> dict[str, Any] | None:
    """The limit that `text` says, by the columns of `batch.LIMITS`; None where it says none."""
    digits = text.removesuffix(semconv.TOKENS_SUFFIX)
    if digits == text:
        amount = _amount(text)
        return None if amount is None else {"limit_usd": amount}
    is_count = digits.isascii() and digits.isdecimal() and len(digits) <= len(str(MOST_TOKENS))
    return {"limit_tokens": int(digits)} if is_count else None
