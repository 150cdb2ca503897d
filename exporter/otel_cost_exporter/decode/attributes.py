"""The attributes of many spans as Arrow, key by key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from otel_cost import semconv

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

_KINDS: Final = ("string_value", "bool_value", "int_value", "double_value", "array_value")
_STRING: Final = 1
_INT: Final = 3
_ARRAY: Final = 5
_MIXED: Final = 9


@dataclass(frozen=True, slots=True)
class Entries:
    """Some of the attributes, no two of one key and one span.

    Attributes:
        rows: for each of them, the number of its span.
        at: its place among all attributes.
        kinds: what its value is, the place in `_KINDS` from 1 on.
        lengths: how many bytes its text has.
    """

    rows: Ints
    at: Ints
    kinds: NDArray[np.int8]
    lengths: NDArray[np.int32]

    def where(self, kept: Bools | Ints | slice) -> Entries:
        """Those that are `kept`, be it in another order."""
        return Entries(self.rows[kept], self.at[kept], self.kinds[kept], self.lengths[kept])


class Attributes:
    """The attributes of many spans.

    Whoever asks for a column says what he takes there. A span with anything else is marked as `odd`: it is to be read
    by itself, and what it has in the column does not matter. So is a span that has one attribute twice; but of what
    says who pays, the last one holds.

    Args:
        lists: for each span the list of its attributes, as decoded by `lean.SPAN`.
    """

    def __init__(self, lists: pa.ListArray) -> None:
        items = lists.flatten()
        values = items.field("value")
        keys = items.field("key").dictionary_encode()
        self.spans: Final = len(lists)
        self.odd: Final[Bools] = np.zeros(self.spans, np.bool_)
        self.keys: Final[dict[str, int]] = {key: code for code, key in enumerate(keys.dictionary.to_pylist())}
        """The keys that occur, and the code of each."""
        self._strings: Final = values.field("string_value")
        self._ints: Final[Ints] = _numbers(values.field("int_value"), np.int64)
        self._arrays: Final = values.field("array_value").field("values")
        rows = np.repeat(np.arange(self.spans), np.diff(lists.offsets.to_numpy()))
        codes = _small(keys.indices.to_numpy(), len(self.keys))
        order = np.argsort(codes, kind="stable")
        entries = Entries(rows, np.arange(len(rows)), _kinds(values), _lengths(self._strings)).where(order)
        codes = codes[order]
        repeated = np.zeros(len(codes), np.bool_)
        repeated[:-1] = (codes[1:] == codes[:-1]) & (entries.rows[1:] == entries.rows[:-1])
        if repeated.any():
            is_payer = np.array([semconv.dimension_of(key) is not None for key in self.keys])
            self.odd[entries.rows[repeated & ~is_payer[codes]]] = True
            entries, codes = entries.where(~repeated), codes[~repeated]
        self._entries: Final = entries
        self._codes: Final = codes
        self._bounds: Final = np.searchsorted(self._codes, np.arange(len(self.keys) + 1))

    def of(self, key: str) -> Entries:
        """The attributes with `key`, in the order of their spans."""
        code = self.keys.get(key)
        return self._entries.where(slice(0) if code is None else slice(self._bounds[code], self._bounds[code + 1]))

    def plain(self, key: str) -> Entries:
        """The attributes with `key` that are a text, a number or a truth: nobody looks at any others."""
        entries = self.of(key)
        return entries.where((entries.kinds != 0) & (entries.kinds != _ARRAY))

    def of_any(self, keys: Sequence[str]) -> tuple[Entries, Ints]:
        """The attributes with one of `keys`, and for each of them the place of its key in `keys`.

        They are in the order of their spans, and of `keys` within a span.
        """
        places = np.full(len(self.keys), -1)
        for place, key in enumerate(keys):
            if key in self.keys:
                places[self.keys[key]] = place
        which = places[self._codes]
        found = np.flatnonzero(which >= 0)
        found = found[np.lexsort((which[found], self._entries.rows[found]))]
        return self._entries.where(found), which[found]

    def is_text(self, entries: Entries, longest: int) -> Bools:
        """Which of `entries` have a text, of at most `longest` bytes. An empty one is none, any other value is odd."""
        fits = (entries.kinds == _STRING) & (entries.lengths <= longest)
        self.odd[entries.rows[~fits]] = True
        kept: Bools = fits & (entries.lengths > 0)
        return kept

    def strings(self, entries: Entries) -> pa.StringArray:
        """The texts of `entries`."""
        return self._strings.take(pa.array(entries.at))

    def text(self, key: str, longest: int) -> pa.StringArray:
        """The text of `key`, of at most `longest` bytes."""
        if key not in self.keys:
            return pa.nulls(self.spans, pa.string())
        entries = self.of(key)
        kept = self.is_text(entries, longest)
        entries = entries if kept.all() else entries.where(kept)
        return self._spread(entries, self.strings(entries))

    def choice(self, key: str, allowed: pa.StringArray) -> pa.StringArray:
        """The text of `key`, which is one of `allowed`."""
        if key not in self.keys:
            return pa.nulls(self.spans, pa.string())
        entries = self.of(key)
        texts = self.strings(entries)
        self.odd[entries.rows[~bools(pc.is_in(texts, value_set=allowed))]] = True
        return self._spread(entries, texts)

    def first_text(self, keys: Sequence[str], longest: int) -> pa.StringArray:
        """The text of the first of `keys` that has one."""
        found = [self.text(key, longest) for key in keys if key in self.keys]
        return pc.coalesce(*found) if found else pa.nulls(self.spans, pa.string())

    def number(self, key: str, pattern: str, kind: pa.DataType) -> pa.Array:
        """The decimal number of `kind` that the text of `key` says, which matches `pattern`."""
        if key not in self.keys:
            return pa.nulls(self.spans, kind)
        entries = self.of(key)
        texts = self.strings(entries)
        matches = pc.match_substring_regex(texts, pattern).fill_null(fill_value=False)
        self.odd[entries.rows[~bools(matches)]] = True
        return self._spread(entries, pc.if_else(matches, texts, None).cast(kind))

    def count(self, key: str, most: int) -> pa.Int64Array:
        """The whole number of `key`, from 0 to `most`."""
        if key not in self.keys:
            return pa.nulls(self.spans, pa.int64())
        entries = self.of(key)
        numbers = self._ints[entries.at]
        fits = (entries.kinds == _INT) & (numbers >= 0) & (numbers <= most)
        self.odd[entries.rows[~fits]] = True
        return self._spread(entries, pa.array(numbers, mask=~fits))

    def first_count(self, keys: Sequence[str], most: int) -> pa.Int64Array:
        """The whole number of the first of `keys` that has one."""
        found = [self.count(key, most) for key in keys if key in self.keys]
        return pc.coalesce(*found) if found else pa.nulls(self.spans, pa.int64())

    def texts(self, key: str, most: int, longest: int) -> pa.ListArray:
        """The texts in the array of `key`, at most `most` of at most `longest` bytes."""
        if key not in self.keys:
            return pa.nulls(self.spans, pa.list_(pa.string()))
        entries = self.of(key)
        lists = self._arrays.take(pa.array(entries.at))
        lengths = lists.value_lengths().fill_null(0).to_numpy()
        items = lists.flatten().field("string_value")
        self.odd[entries.rows[(entries.kinds != _ARRAY) | (lengths > most)]] = True
        self.odd[np.repeat(entries.rows, lengths)[pc.binary_length(items).to_numpy() > longest]] = True
        return self._spread(entries, pa.ListArray.from_arrays(offsets(lengths), items))

    def _spread(self, entries: Entries, values: pa.Array) -> pa.Array:
        """`values`, of which each of `entries` has one, as a column: NULL for a span that has none."""
        if len(values) == self.spans:
            return values
        places = np.full(self.spans, -1)
        places[entries.rows] = np.arange(len(values))
        return values.take(pa.array(places, mask=places < 0))


def bools(values: pa.BooleanArray) -> Bools:
    """`values`, of which none is NULL."""
    found: Bools = values.to_numpy(zero_copy_only=False)
    return found


def _small(codes: NDArray[Any], count: int) -> NDArray[Any]:
    """`codes` in as few bytes as `count` of them need: short ones are sorted much faster."""
    return codes.astype(np.min_scalar_type(count))


def _kinds(values: pa.StructArray) -> NDArray[np.int8]:
    """What each value is: the place in `_KINDS`, from 1 on; 0: nothing of that; `_MIXED`: more than one, in parts."""
    kinds = np.zeros(len(values), np.int8)
    for kind, name in enumerate(_KINDS, 1):
        found = values.field(name)
        if found.null_count < len(found):
            is_this = bools(found.is_valid())
            kinds[is_this] = np.where(kinds[is_this], _MIXED, kind)
    return kinds


def offsets(lengths: NDArray[Any]) -> pa.Int32Array:
    """Where lists of these lengths start, one after the other, and where the last one ends."""
    return pa.array(np.concatenate(([0], np.cumsum(lengths))), pa.int32())


def mapped(texts: pa.StringArray, function: Callable[[str], str | None]) -> pa.StringArray:
    """`function` of each of `texts`, of which there are few different ones."""
    if texts.null_count == len(texts):
        return texts
    encoded = texts.dictionary_encode()
    return pa.array(map(function, encoded.dictionary.to_pylist()), pa.string()).take(encoded.indices)


def _numbers(values: pa.Array, kind: type[np.generic], more: int = 0) -> NDArray[Any]:
    """What the buffer of `values` has for each of them, and `more` behind it: any number where one is NULL."""
    return np.frombuffer(values.buffers()[1], kind, len(values) + more, values.offset * np.dtype(kind).itemsize)


def _lengths(texts: pa.StringArray) -> NDArray[np.int32]:
    """How many bytes each of `texts` has."""
    starts: NDArray[np.int32] = _numbers(texts, np.int32, 1)
    return starts[1:] - starts[:-1]
