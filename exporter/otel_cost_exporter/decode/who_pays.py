"""The user's own dimensions that many calls name, and the budgets that held for what they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from otel_cost import semconv
from otel_cost_exporter.decode.attributes import offsets
from otel_cost_exporter.decode.batch import LIMITS
from otel_cost_exporter.decode.call_row import LONGEST_NAME, MOST_EXTRA, limit_of

if TYPE_CHECKING:
    from otel_cost_exporter.decode.attributes import Attributes, Entries, Ints

_LIMIT = pa.schema([LIMITS.field("limit_usd"), LIMITS.field("limit_tokens")])


def dimensions(attributes: Attributes) -> dict[str, pa.Array]:
    """Who pays for the calls, in columns of `batch.CALLS`."""
    shipped = {name: attributes.text(semconv.dimension_key(name), LONGEST_NAME) for name in semconv.DIMENSIONS}
    return {**shipped, "extra": _extra(attributes)}


def limits(attributes: Attributes, start_ts: pa.Array) -> tuple[Ints, pa.Table]:
    """The budget limits that the spans carry, schema `LIMITS`, and the number of the span of each.

    A span with a limit that is none, or that is no one's, is odd.
    """
    named = {name for key in attributes.keys if (name := semconv.budgeted_dimension_of(key)) is not None}
    names = sorted(named)
    stated, of_which = attributes.of_any([semconv.budget_key(name) for name in names])
    is_text = attributes.is_text(stated, LONGEST_NAME)
    attributes.odd[stated.rows[~is_text]] = True
    stated, of_which = stated.where(is_text), of_which[is_text]
    owners, which = _texts(attributes, [semconv.dimension_key(name) for name in names])
    _, at, at_owner = np.intersect1d(
        stated.rows * len(names) + of_which,
        owners.rows * len(names) + which,
        assume_unique=True,
        return_indices=True,
    )
    attributes.odd[np.delete(stated.rows, at)] = True
    stated, of_which, owners = stated.where(at), of_which[at], owners.where(at_owner)

    texts = attributes.strings(stated).dictionary_encode()  # a budget is mostly the same for many calls
    found = [limit_of(text) for text in texts.dictionary.to_pylist()]
    is_none = np.array([limit is None for limit in found], np.bool_)
    attributes.odd[stated.rows[is_none[texts.indices.to_numpy()]]] = True
    figures = pa.Table.from_pylist([limit or {} for limit in found], schema=_LIMIT).take(texts.indices)
    dimensions = pa.array(names, pa.string()).take(pa.array(of_which))
    seen = start_ts.take(pa.array(stated.rows))
    return stated.rows, pa.Table.from_arrays(
        [dimensions, attributes.strings(owners), *figures.columns, seen], schema=LIMITS
    )


def _texts(attributes: Attributes, keys: list[str]) -> tuple[Entries, Ints]:
    entries, which = attributes.of_any(keys)
    kept = attributes.is_text(entries, LONGEST_NAME)
    return entries.where(kept), which[kept]


def _extra(attributes: Attributes) -> pa.MapArray:
    """For each span the user's own dimensions, in the order of their names."""
    named = {name for key in attributes.keys if (name := semconv.dimension_of(key)) is not None}
    names = sorted(named - set(semconv.DIMENSIONS))
    entries, which = _texts(attributes, [semconv.dimension_key(name) for name in names])
    counts = np.bincount(entries.rows, minlength=attributes.spans)
    attributes.odd[counts > MOST_EXTRA] = True
    keys = pa.array(names, pa.string()).take(pa.array(which))
    return pa.MapArray.from_arrays(offsets(counts), keys, attributes.strings(entries))
