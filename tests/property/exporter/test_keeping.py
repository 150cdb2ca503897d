"""Whatever is booked, resent, merged, pruned and priced anew, in whatever order: the sums are those of the calls."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter_building import DAY, HOUR, NOON, SECOND, call, parcel
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from otel_cost_exporter.keeping import reprice
from otel_cost_exporter.keeping.check import check
from otel_cost_exporter.keeping.retention import Retention, prune
from otel_cost_exporter.writing import rollups
from otel_cost_exporter.writing.ledger import Ledger

if TYPE_CHECKING:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

FIRST_DAY = datetime(2026, 3, 1)  # noqa: DTZ001 - as the books have it
PRICES = {
    "dear": '[[price]]\nprovider = "openai"\nmodel = "gpt-4o"\ninput = 100\noutput = 200\n',
    "ours": '[[price]]\nprovider = "openai"\nmodel = "ours"\ninput = 1\noutput = 3\n',
}
"""US dollars for a million tokens."""


@st.composite
def calls(draw: st.DrawFn) -> Span:
    """A call of three days; the same number always is the same call."""
    number = draw(st.integers(1, 12))
    start = NOON + (number % 3 - 1) * DAY + (number % 2) * HOUR + number * SECOND
    if number % 4 == 0:
        what = {
            "gen_ai__request__model": "ours",
            "otel_cost__cost__status": "unknown",
            "otel_cost__cost__amount": ...,
            "otel_cost__cost__reason": "no price for model 'ours' of 'openai'",
        }
    else:
        source = "provider" if number % 5 == 0 else "local"
        what = {"otel_cost__cost__source": source, "otel_cost__cost__price_version": "before@1"}
    run = {"otel_cost__run": f"r{number % 2}"} if number % 3 else {}
    return call(number, start=start, **what, **run, otel_cost__project="p")


class Books(RuleBasedStateMachine):
    """Books that all this is done to, and what of it a person would have written down."""

    @initialize()
    def open(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger(Path(self._folder.name) / "books.duckdb")
        self.costs: dict[int, Decimal | None] = {}
        self.seen: set[int] = set()
        self.kept_since = datetime.min  # noqa: DTZ901 - likewise

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
            self._folder.cleanup()

    @rule(spans=st.lists(calls(), min_size=1, max_size=8))
    def book(self, spans: list[Span]) -> None:
        self.ledger.add(parcel(*spans)).result(60)
        for span in spans:
            number = int.from_bytes(span.span_id, "big")
            if _start(number) >= self.kept_since and number not in self.seen:
                self.seen.add(number)
                self.costs[number] = None if number % 4 == 0 else Decimal("0.0045")

    @rule()
    def merge(self) -> None:
        self.ledger.do(rollups.merge).result(60)

    @precondition(lambda self: self.seen)
    @rule(days=st.integers(1, 3), rollups_too=st.booleans())
    def prune(self, days: int, *, rollups_too: bool) -> None:
        until = FIRST_DAY + timedelta(days=days - 1)
        kept = timedelta(days=10)
        prune(self.ledger, Retention(kept, kept if rollups_too else None), until + kept)
        gone = [_start(number) for number in self.costs if _start(number) < until]
        if gone:
            after = max(gone).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
            self.kept_since = max(self.kept_since, after)
        self.costs = {number: cost for number, cost in self.costs.items() if _start(number) >= until}

    @rule(name=st.sampled_from(sorted(PRICES)), day=st.integers(0, 2))
    def price_anew(self, name: str, day: int) -> None:
        since = FIRST_DAY + timedelta(days=day)
        asked = reprice.Repricing(since, FIRST_DAY + timedelta(days=9), reprice.read_prices(PRICES[name], name))
        told = reprice.difference(self.ledger.database, asked)["total"]
        assert reprice.apply(self.ledger, asked)["total"] == told
        for number in self.costs:
            if _start(number) >= since:
                self.costs[number] = _cost(number, name, self.costs[number])

    @invariant()
    def the_sums_are_those_of_the_calls(self) -> None:
        if not hasattr(self, "ledger"):
            return
        found = check(self.ledger.database)
        assert found.number == 0, found.differences
        assert found.calls == len(self.costs)
        assert self._calls() == self.costs

    def _calls(self) -> dict[int, Any]:
        query = "SELECT span_id, cost FROM calls"
        return dict(self.ledger.do(lambda cursor: cursor.execute(query).fetchall()).result(60))


def _start(number: int) -> datetime:
    noon = FIRST_DAY + timedelta(hours=12 + number % 2, seconds=number)
    return noon + timedelta(days=number % 3)


def _cost(number: int, prices: str, before: Decimal | None) -> Decimal | None:
    """What a call of 1000 input and 200 output tokens costs by PRICES, or the published 2.50 and 10 USD a million."""
    if number % 4 == 0:
        return Decimal("0.0016") if prices == "ours" else before
    if number % 5 == 0:
        return before
    return Decimal("0.14") if prices == "dear" else Decimal("0.0045")


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=15, stateful_step_count=12, suppress_health_check=[HealthCheck.too_slow])
