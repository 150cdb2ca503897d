"""The parcels of many requests -> one batch for the ledger, and a receipt for each."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from otel_cost import dialects, semconv
from otel_cost_exporter.decode import columns, costing, foreign_columns
from otel_cost_exporter.decode.batch import Batch
from otel_cost_exporter.decode.one_by_one import Alone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_cost.dialects import Dialect
    from otel_cost_exporter.decode.columns import Columns
    from otel_cost_exporter.decode.parcel import Parcel, Receipt, Source

_CLOCK_SLACK_NS: Final = 24 * 3600 * 10**9
"""How far the sender's clock may be ahead of ours."""
_MARK: Final = semconv.COST_STATUS.encode()


@dataclass(frozen=True, slots=True)
class Decoded:
    """What parcels held.

    Attributes:
        batch: the rows of all of them.
        receipts: for each parcel, what became of it.
    """

    batch: Batch
    receipts: list[Receipt]


def decode(parcels: Sequence[Parcel]) -> Decoded:
    """The calls in `parcels`. Nothing in a span makes it fail: a call that cannot be read is told of in its receipt."""
    latest_ns = time.time_ns() + _CLOCK_SLACK_NS
    sources = [source for parcel in parcels for source in parcel.sources]
    came = [message for parcel in parcels for message in parcel.spans]
    messages = [
        source.payers + message if source.payers else message for source, message in zip(sources, came, strict=True)
    ]
    numbers = [number for number, parcel in enumerate(parcels) for _ in parcel.spans]
    together: list[Columns] = []
    alone = Alone(len(parcels), latest_ns)
    for dialect, places in _by_dialect(messages, sources):
        group = _Group([messages[place] for place in places], [sources[place] for place in places], dialect, latest_ns)
        for place in group.read(together):
            alone.add(messages[places[place]], sources[places[place]], numbers[places[place]])
    calls = pa.concat_tables([*(each.calls for each in together), alone.calls()])
    limits = pa.concat_tables([*(each.limits for each in together), alone.limits()])
    events = [event for parcel in parcels for event in parcel.events]
    for receipt, parcel in zip(alone.receipts, parcels, strict=True):
        alone.refuse(parcel.refused, receipt)
    return Decoded(Batch(costing.settle(calls), limits, alone.quarantine(), _dimensions(calls), events), alone.receipts)


def _by_dialect(messages: list[bytes], sources: list[Source]) -> list[tuple[Dialect | None, list[int]]]:
    """The places of `messages` by the dialect that their scope speaks, None for those that have their cost on them."""
    are_exact = [_MARK in message for message in messages]
    exact = list(compress(range(len(messages)), are_exact))
    spoken: dict[str, tuple[Dialect | None, list[int]]] = {"": (None, exact)}
    if len(exact) < len(messages):
        places: defaultdict[str, list[int]] = defaultdict(list)
        for place, is_exact in enumerate(are_exact):
            if not is_exact:
                places[sources[place].scope].append(place)
        for scope, some in places.items():
            dialect = dialects.dialect_of({}, scope)
            spoken.setdefault(dialect.name, (dialect, []))[1].extend(some)
    return list(spoken.values())


@dataclass(frozen=True, slots=True)
class _Group:
    """Spans that speak one dialect."""

    messages: list[bytes]
    sources: list[Source]
    dialect: Dialect | None
    latest_ns: int

    def read(self, together: list[Columns]) -> list[int]:
        """Append what can be made of the spans together, and return the places of those to be read one by one."""
        if self.dialect is not None and not foreign_columns.is_plain(self.dialect):
            return list(range(len(self.messages)))
        return self._read(0, len(self.messages), together)

    def _read(self, start: int, end: int, together: list[Columns]) -> list[int]:
        """One that is no span spoils those that are read together with it: these are halved until it is found."""
        if end - start < columns.FEWEST_TOGETHER:
            return list(range(start, end))
        try:
            found = columns.read(self.messages[start:end], self.sources[start:end], self.dialect, self.latest_ns)
        except ValueError:
            if end - start < 2 * columns.FEWEST_TOGETHER:
                return list(range(start, end))
            half = (start + end) // 2
            return self._read(start, half, together) + self._read(half, end, together)
        together.extend(found)
        return [start + place for part in found for place in part.odd.tolist()]


def _dimensions(calls: pa.Table) -> frozenset[str]:
    """The names of the dimensions that some of `calls` name."""
    shipped = {name for name in semconv.DIMENSIONS if calls[name].null_count < calls.num_rows}
    own = {name for chunk in calls["extra"].chunks for name in pc.unique(chunk.keys).to_pylist()}
    return frozenset(shipped | own)
