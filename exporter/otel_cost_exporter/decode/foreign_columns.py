"""What calls say of themselves that another instrumentation has told of, column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otel_cost import dialects, semconv
from otel_cost.pricing.names import tier_id
from otel_cost_exporter.decode import foreign
from otel_cost_exporter.decode.attributes import bools, mapped
from otel_cost_exporter.decode.call_row import LONGEST_NAME, LONGEST_NOTE, MOST_TOKENS

if TYPE_CHECKING:
    from otel_cost.dialects import Dialect
    from otel_cost_exporter.decode.attributes import Attributes, Bools, Ints

_DIALECTS: Final = (*dialects.DIALECTS, dialects.GENAI)


def is_plain(dialect: Dialect) -> bool:
    """Whether spans of `dialect` say all that they say in attributes of their own."""
    return dialect.states_cache and not dialect.within and not dialect.operation_named


def speakers(attributes: Attributes, dialect: Dialect) -> list[tuple[Dialect, Ints]]:
    """The numbers of the spans by the dialect that they speak, where `dialect` is what their scopes speak."""
    if dialect is not dialects.GENAI:
        return [(dialect, np.arange(attributes.spans))]
    spoken = np.full(attributes.spans, len(_DIALECTS) - 1)
    for key in attributes.keys:
        marked = dialects.dialect_of({key: None})
        if marked is not dialect:
            rows = attributes.plain(key).rows
            spoken[rows] = np.minimum(spoken[rows], _DIALECTS.index(marked))
    return [(_DIALECTS[place], np.flatnonzero(spoken == place)) for place in np.unique(spoken)]


def stated(spans: pa.RecordBatch, attributes: Attributes, dialect: Dialect) -> tuple[Bools, dict[str, pa.Array]]:
    """Which spans are calls, or odd, and what they state, in columns of `batch.CALLS`.

    Args:
        spans: the spans.
        attributes: their attributes.
        dialect: what the instrumentation scopes of all of them speak. It is plain.
    """
    is_call, kind = _calls(attributes, dialect)
    provider = attributes.first_text(dialect.provider, LONGEST_NAME)
    is_error = pc.equal(spans["status"].field("code"), foreign.STATUS_ERROR).fill_null(fill_value=False)
    columns = {
        **_usage(attributes, dialect, bools(is_error)),
        "operation": mapped(kind, dialects.operation_of),
        "provider": mapped(provider, lambda name: name.lower().split(dialect.before)[0]),
        "request_model": attributes.first_text(dialect.request_model, LONGEST_NAME),
        "response_model": attributes.first_text(dialect.response_model, LONGEST_NAME),
        "response_id": attributes.first_text(dialect.response_id, LONGEST_NAME),
        "service_tier": mapped(attributes.first_text(dialect.service_tier, LONGEST_NAME), tier_id),
        "error_type": attributes.text(semconv.ERROR_TYPE, LONGEST_NOTE),
        "outcome": pc.if_else(is_error, "error", "ok"),
        "metered": pa.array(np.zeros(attributes.spans, np.bool_)),
    }
    return is_call, columns


def _calls(attributes: Attributes, dialect: Dialect) -> tuple[Bools, pa.StringArray]:
    """Which spans are calls, or odd, and the kind of each.

    One that says no kind and may be a call nevertheless is odd.
    """
    kind = attributes.first_text(dialect.kind, LONGEST_NAME)
    signed, _ = attributes.of_any(dialect.signs)
    attributes.odd[signed.rows[bools(kind.is_null())[signed.rows]]] = True
    is_call = bools(pc.is_in(kind, value_set=pa.array(sorted(dialect.calls))))
    return is_call | attributes.odd, kind


def _usage(attributes: Attributes, dialect: Dialect, is_error: Bools) -> dict[str, pa.Array]:
    """What was used, and what is known of its cost where nothing is stated: many streams end so.

    A span whose figures do not add up as its dialect has it is odd, and so is one of an error that states none.
    """
    found = {meter: attributes.first_count(names, MOST_TOKENS) for meter, names in dialect.meters.items()}
    count = {meter: column.fill_null(0).to_numpy() for meter, column in found.items()}
    is_open = bools(pc.and_(found["input_tokens"].is_null(), found["output_tokens"].is_null()))
    attributes.odd[is_open & is_error] = True
    total = attributes.first_count(dialect.total, 2 * MOST_TOKENS)
    both = pa.array(count["input_tokens"] + count["output_tokens"])
    attributes.odd[bools(pc.not_equal(total, both).fill_null(fill_value=False))] = True
    # Where tokens are not among the others, it does not matter as long as there are none.
    cacheable = count["input_tokens"] if dialect.cache_inside and not dialect.cache_beside else 0
    attributes.odd[count["cache_read_tokens"] + count["cache_write_tokens"] > cacheable] = True
    attributes.odd[count["reasoning_tokens"] > (count["output_tokens"] if dialect.reasoning_inside else 0)] = True
    used = {meter: pa.array(numbers, mask=is_open | (numbers == 0)) for meter, numbers in count.items()}
    return {
        **used,
        "input_tokens": pa.array(count["input_tokens"], mask=is_open),
        "output_tokens": pa.array(count["output_tokens"], mask=is_open),
        "cost_status": pc.if_else(pa.array(is_open), "unknown", None),
        "cost_reason": pc.if_else(pa.array(is_open), foreign.NO_USAGE, None),
    }
