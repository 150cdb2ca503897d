"""A span of an application that otel-cost does not run in -> one row of the books, its cost still to be worked out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_cost import dialects, money, semconv
from otel_cost.pricing.names import tier_id
from otel_cost_exporter.decode.call_row import (
    LONGEST_NAME,
    LONGEST_NOTE,
    MOST_TOKENS,
    RejectedError,
    identity,
    origin,
    payers,
    server,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from otel_cost_exporter.decode.parcel import Source

_PLAIN: Final = frozenset({"string_value", "int_value", "double_value", "bool_value"})
STATUS_ERROR: Final = 2
NO_USAGE: Final = "the span states no usage"
_FIRST_ERROR_STATUS: Final = 400
_ANSWERS: Final = frozenset(
    {
        *("BadRequestError", "AuthenticationError", "PermissionDeniedError", "NotFoundError", "ConflictError"),
        *("UnprocessableEntityError", "RateLimitError", "InternalServerError"),
    }
)
"""The errors of SDKs that stand for an answer of the provider, which it does not charge for."""


def foreign_row(span: Span, source: Source, latest_ns: int) -> dict[str, Any] | None:
    """The row of the call that `span` is, in columns of `batch.CALLS`; None where it is no call.

    Its cost status is None where its usage is still to be priced; its cost reason is then why the usage is in doubt.

    Raises:
        RejectedError: it is a call, and a figure of it is bad.
    """
    values = {item.key: item.value for item in span.attributes}
    attributes = {key: _plain(value) for key, value in values.items() if value.WhichOneof("value") in _PLAIN}
    if not dialects.is_call(attributes, source.scope, _name_of(span)):
        return None
    if (flaw := dialects.flaw(attributes, source.scope)) is not None:
        raise RejectedError(flaw)
    stated = dialects.read(attributes, source.scope)
    names = {
        "provider": stated.provider,
        "operation": stated.operation,
        "request_model": stated.request_model,
        "response_model": stated.response_model,
        "response_id": stated.response_id,
        "service_tier": tier_id(stated.service_tier),
    }
    for column, name in names.items():
        if name is not None and len(name) > LONGEST_NAME:
            raise RejectedError(f"the {column.replace('_', ' ')} is longer than {LONGEST_NAME} characters")
    return {
        **identity(span, latest_ns),
        **origin(source),
        **names,
        "server": server(values),
        **_meters(stated),
        **_ended(span, attributes),
        **_cost(span, attributes, stated),
        "metered": False,
        **payers(values),
    }


def _plain(value: AnyValue) -> Any:
    return getattr(value, value.WhichOneof("value") or "")


def _name_of(span: Span) -> str:
    name: Any = span.name
    return name if isinstance(name, str) else name[:LONGEST_NAME].decode(errors="replace")


def _meters(stated: dialects.Stated) -> dict[str, Any]:
    """What was used, input and output always, the others where there are any; nothing where nothing is stated."""
    usage = stated.usage
    if usage is None:
        return {}
    counts = {column: getattr(usage, column) for column in semconv.USAGE_ATTRIBUTES}
    if too_many := next((column for column, count in counts.items() if count > MOST_TOKENS), None):
        raise RejectedError(f"{too_many.replace('_', ' ')} are beyond {MOST_TOKENS}")
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        **{column: count for column, count in counts.items() if count},
    }


def _ended(span: Span, attributes: Mapping[str, Any]) -> dict[str, Any]:
    error = attributes.get(semconv.ERROR_TYPE)
    return {
        "outcome": "error" if span.status.code == STATUS_ERROR else "ok",
        "error_type": None if error is None else str(error)[:LONGEST_NOTE] or None,
    }


def _cost(span: Span, attributes: Mapping[str, Any], stated: dialects.Stated) -> dict[str, Any]:
    """What can be said of the cost before its price is known."""
    if stated.usage is not None:
        return {"cost_status": None, "cost_reason": stated.doubt}
    if span.status.code != STATUS_ERROR:
        return {"cost_status": "unknown", "cost_reason": NO_USAGE}
    if _is_answer(attributes):
        return {"cost": money.usd(0), "cost_status": "known", "cost_source": "ledger"}
    return {"cost_status": "unknown", "cost_reason": "the call failed; the provider may charge for it"}


def _is_answer(attributes: Mapping[str, Any]) -> bool:
    """Whether the call failed because the provider answered with an error."""
    error = str(attributes.get(semconv.ERROR_TYPE, "")).rpartition(".")[2]
    return error in _ANSWERS or (error.isdecimal() and error.isascii() and int(error[:9]) >= _FIRST_ERROR_STATUS)
