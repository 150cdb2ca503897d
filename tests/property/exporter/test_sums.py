"""Whatever is sent, however it is split, repeated and shuffled: the sums are those of exact decimals."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from exporter_building import DAY, NOON, SECOND, call, request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_cost import money
from otel_cost_exporter.answers.reader import Reader
from otel_cost_exporter.decode.walk import walk
from otel_cost_exporter.writing.ledger import Ledger

if TYPE_CHECKING:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(frozen=True)
class Spent:
    """One call, as the sender knows it."""

    status: str
    cost: Decimal
    tokens: int | None
    run: str | None
    second: int
    limit: str | None

    def span(self, number: int) -> Span:
        stated = {
            "otel_cost__cost__status": self.status,
            "otel_cost__cost__amount": ... if self.status == "unknown" else f"{self.cost:f}",
            "gen_ai__usage__input_tokens": ... if self.tokens is None else self.tokens,
            "gen_ai__usage__output_tokens": ...,
            "otel_cost__run": ... if self.run is None else self.run,
            "otel_cost__budget__run": ... if self.limit is None else self.limit,
        }
        return call(number, start=NOON + self.second * SECOND, **stated)


spent = st.builds(
    Spent,
    status=st.sampled_from(["known", "estimated", "unknown"]),
    cost=st.decimals(min_value=0, max_value=999_999, places=12, allow_nan=False),
    tokens=st.none() | st.integers(0, 10**12 - 1),
    run=st.none() | st.sampled_from(["r1", "r2", "r3"]),
    second=st.integers(0, 3) | st.integers(-3, 3).map(lambda day: day * DAY // SECOND),
    limit=st.none() | st.sampled_from(["0.05", "1", "20000tok"]),
)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Spent], list[list[int]]]:
    """Calls, and batches of their numbers that hold each at least once, in any order."""
    calls = draw(st.lists(spent, min_size=1, max_size=12))
    numbers = list(range(len(calls)))
    order = draw(st.permutations(numbers + draw(st.lists(st.sampled_from(numbers), max_size=12))))
    cuts = sorted(draw(st.sets(st.integers(1, len(order)), max_size=5)) | {len(order)})
    return calls, [order[start:end] for start, end in zip([0, *cuts], cuts, strict=False)]


def figures(calls: list[Spent]) -> tuple[int, int, str | None, str, int]:
    """Calls, input tokens, cost, estimated cost and unknown calls, summed by hand."""
    priced = [one.cost for one in calls if one.status != "unknown"]
    estimated = [one.cost for one in calls if one.status == "estimated"]
    return (
        len(calls),
        sum(one.tokens or 0 for one in calls),
        money.text(sum(priced, Decimal(0))) if priced else None,
        money.text(sum(estimated, Decimal(0))),
        len(calls) - len(priced),
    )


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(deliveries())
def test_sums_are_exact_under_any_split_order_and_repetition(delivered: tuple[list[Spent], list[list[int]]]) -> None:
    calls, batches = delivered
    by_run: dict[str | None, list[Spent]] = defaultdict(list)
    for one in calls:
        by_run[one.run].append(one)
    limits: dict[str, tuple[str, str | None]] = {}
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "books.duckdb") as ledger:
        sent = [request(*(calls[number].span(number + 1) for number in batch)) for batch in batches]
        committed = [ledger.add(walk(body)) for body in sent]
        for one in committed:
            one.result(20)
        reader = Reader(ledger.database)
        summary = reader.ask("summary", [("by", "run")])
        limits = {budget["id"]: (budget["limit_usd"], budget["limit_tokens"]) for budget in reader.budgets()}
    columns = ("calls", "input_tokens", "cost_usd", "estimated_cost_usd", "unknown_calls")
    assert tuple(summary["total"][name] for name in columns) == figures(calls)
    assert {row["run"]: tuple(row[name] for name in columns) for row in summary["rows"]} == {
        run: figures(of_run) for run, of_run in by_run.items()
    }
    for run, of_run in by_run.items():
        latest = max((one.second for one in of_run if one.limit), default=None)
        stated = {one.limit for one in of_run if one.limit and one.second == latest}
        if run is None or not stated:
            assert run not in limits
        else:
            assert limits[run] in {
                {"0.05": ("0.050000", None), "1": ("1.000000", None), "20000tok": (None, 20000)}[s] for s in stated
            }
