"""Each call once: resent, late, out of order, told of by two instrumentations, or by a gateway on the way."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from exporter_building import DAY, HOUR, NOON, SECOND, call, parcel, span

from otel_cost_exporter.decode.parcel import Source
from otel_cost_exporter.writing import told
from otel_cost_exporter.writing.dedupe import Dedupe
from otel_cost_exporter.writing.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

OPENAI = Source(service="shop", scope="opentelemetry.instrumentation.openai_v2")
LITELLM = Source(service="shop", scope="litellm")
GATEWAY = Source(service="gateway", scope="litellm")
METERED = Source(service="shop", metered=True)


def foreign(number: int, trace: int = 7, parent: int | None = None, **plain: Any) -> Span:
    """A call in a trace that others may be in, told of by an instrumentation that knows nothing of us."""
    usual = {
        "gen_ai__operation__name": "chat",
        "gen_ai__provider__name": "openai",
        "gen_ai__request__model": "gpt-4o",
        "gen_ai__usage__input_tokens": 1000,
        "gen_ai__usage__output_tokens": 200,
    }
    times = {name: plain.pop(name) for name in ("start", "end") if name in plain}
    found = span(number, **times, **{key: each for key, each in (usual | plain).items() if each is not ...})
    found.trace_id = trace.to_bytes(16, "big")
    if parent is not None:
        found.parent_span_id = parent.to_bytes(8, "big")
    return found


def metered(number: int, trace: int = 7, **plain: Any) -> Span:
    found = call(number, **plain)
    found.trace_id = trace.to_bytes(16, "big")
    return found


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "books.duckdb") as opened:
        yield opened


def told_of(ledger: Ledger, *parcels: Any) -> None:
    """Each parcel in a commit of its own."""
    for each in parcels:
        assert not ledger.add(each).result(20).rejections


def numbers(ledger: Ledger) -> list[int]:
    """The spans that stand in the books; the sums must be sums of just these."""
    cursor = ledger.database.cursor()
    found = cursor.execute("SELECT span_id, cost FROM calls ORDER BY span_id").fetchall()
    sums = cursor.execute("SELECT sum(row_count), sum(cost) FROM hourly WHERE dimension = ''").fetchall()
    cursor.close()
    costs = [cost for _, cost in found if cost is not None]
    assert sums == [(len(found), sum(costs) if costs else None)]
    return [number for number, _ in found]


# --- the same span again -------------------------------------------------------------------------------------------
def test_a_call_counts_once_within_a_parcel_between_parcels_and_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "books.duckdb"
    with Ledger(path) as ledger:
        told_of(ledger, parcel(call(1), call(2), call(1)), parcel(call(2), call(3, otel_cost__run="r1")))
    with Ledger(path) as ledger:
        told_of(ledger, parcel(call(1), call(3, otel_cost__run="r1"), call(4)))
        assert numbers(ledger) == [1, 2, 3, 4]


def test_the_same_numbers_at_another_time_or_in_another_trace_are_other_calls(ledger: Ledger) -> None:
    other = call(1)
    other.trace_id = b"\x01" * 16
    told_of(ledger, parcel(call(1), call(1, start=NOON + 1000), other), parcel(call(1, start=NOON + DAY)))
    assert numbers(ledger) == [1, 1, 1, 1]


def test_calls_of_many_days_in_one_parcel_count_once_in_whatever_order_they_come(ledger: Ledger) -> None:
    calls = [call(1 + n, start=NOON - n * DAY // 3) for n in range(100)]
    mixed = [calls[(n * 37) % 100] for n in range(100)]
    told_of(ledger, parcel(*mixed[:60]), parcel(*reversed(calls)), parcel(*mixed))
    assert numbers(ledger) == list(range(1, 101))


def test_a_collector_that_sends_hours_later_is_recognised(ledger: Ledger) -> None:
    early = parcel(*(call(n, start=NOON - 5 * HOUR) for n in range(1, 6)))
    told_of(ledger, early, *(parcel(call(10 + n, start=NOON + n * SECOND)) for n in range(5)))
    told_of(ledger, early, parcel(call(1, start=NOON - 5 * HOUR), call(99)))
    assert numbers(ledger) == [1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 99]


def test_two_collectors_that_send_the_same_at_the_same_moment(ledger: Ledger) -> None:
    waiting = [ledger.add(parcel(*(call(n) for n in range(1, 50)))) for _ in range(10)]
    for each in waiting:
        each.result(20)
    assert numbers(ledger) == list(range(1, 50))


# --- two instrumentations ------------------------------------------------------------------------------------------
PAIRS = {
    "one response": (
        foreign(1, gen_ai__response__id="r-1", gen_ai__usage__input_tokens=...),
        foreign(2, gen_ai__response__id="r-1", start=NOON + SECOND // 2),
    ),
    "one within the other": (foreign(1), foreign(2, start=NOON + 1000, end=NOON + SECOND - 1000)),
    "one model as its maker and as a router call it": (
        foreign(1, gen_ai__request__model="openai/GPT-4o"),
        foreign(2, gen_ai__request__model="gpt-4o-2024-08-06"),
    ),
    "one model as a cloud and as its maker call it": (
        foreign(1, gen_ai__request__model="us.anthropic.claude-3-5-haiku-20241022-v1:0"),
        foreign(2, gen_ai__request__model="claude-3-5-haiku-20241022"),
    ),
    "one that looks at the clock a little earlier and later": (
        foreign(1, start=NOON + 3_000_000, end=NOON + SECOND + 3_000_000),
        foreign(2),
    ),
    "an embedding, of which one says that it gave no tokens": (
        foreign(1, gen_ai__operation__name="embeddings", gen_ai__usage__output_tokens=...),
        foreign(2, gen_ai__operation__name="embeddings", gen_ai__usage__output_tokens=0),
    ),
    "the one below, whose tokens are counted otherwise": (
        foreign(1),
        foreign(2, parent=1, gen_ai__usage__input_tokens=1200),
    ),
    "the one below, where none are told above": (
        foreign(1, gen_ai__usage__input_tokens=..., gen_ai__usage__output_tokens=...),
        foreign(2, parent=1, gen_ai__request__model="gpt-4o-mini"),
    ),
    "one model by two names": (
        foreign(1, gen_ai__response__model="gpt-4o-2024-08-06"),
        foreign(2, gen_ai__request__model=..., gen_ai__response__model="gpt-4o-2024-08-06"),
    ),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("swapped", [True, False])
def test_a_call_told_of_by_two_instrumentations_counts_once(
    ledger: Ledger, pair: tuple[Span, Span], *, together: bool, swapped: bool
) -> None:
    parcels = [parcel(pair[0], source=LITELLM), parcel(pair[1], source=OPENAI)]
    if swapped:
        parcels.reverse()
    if together:
        both = [parcels[0].spans + parcels[1].spans, parcels[0].sources + parcels[1].sources]
        parcels = [type(parcels[0])(*both, size=1)]
    told_of(ledger, *parcels)
    assert len(numbers(ledger)) == 1
    told_of(ledger, *parcels)
    assert len(numbers(ledger)) == 1


TWO_CALLS = {
    "other tokens": foreign(2, gen_ai__usage__output_tokens=201),
    "another trace": foreign(2, trace=8),
    "another model": foreign(2, gen_ai__request__model="gpt-4o-mini"),
    "another response": foreign(2, gen_ai__response__id="r-2"),
    "one after the other": foreign(2, start=NOON + SECOND // 2, end=NOON + 2 * SECOND),
}


@pytest.mark.parametrize("other", TWO_CALLS.values(), ids=TWO_CALLS)
def test_what_differs_is_two_calls(ledger: Ledger, other: Span) -> None:
    told_of(ledger, parcel(foreign(1, gen_ai__response__id="r-1"), source=LITELLM), parcel(other, source=OPENAI))
    assert numbers(ledger) == [1, 2]


BELOW = {
    "a guard that is another model": foreign(
        2, parent=1, gen_ai__request__model="gpt-4o-mini", gen_ai__usage__input_tokens=50
    ),
    "a guard that is the same model": foreign(
        2, parent=1, gen_ai__usage__input_tokens=50, gen_ai__usage__output_tokens=1
    ),
    "another response": foreign(2, parent=1, gen_ai__response__id="r-2", gen_ai__usage__input_tokens=50),
}


@pytest.mark.parametrize("below", BELOW.values(), ids=BELOW)
@pytest.mark.parametrize("order", ["together", "above first", "below first"])
def test_a_call_below_another_may_be_one_of_its_own(ledger: Ledger, below: Span, order: str) -> None:
    above = foreign(1, gen_ai__response__id="r-1")
    parcels = {
        "together": [parcel(above, below, source=GATEWAY)],
        "above first": [parcel(above, source=GATEWAY), parcel(below, source=GATEWAY)],
        "below first": [parcel(below, source=GATEWAY), parcel(above, source=GATEWAY)],
    }
    told_of(ledger, *parcels[order])
    assert numbers(ledger) == [1, 2]


@pytest.mark.parametrize("together", [True, False])
def test_each_of_many_equal_calls_of_an_agent_counts_once(ledger: Ledger, *, together: bool) -> None:
    outer = parcel(*(foreign(n, start=NOON + n * 1000) for n in range(1, 21)), source=LITELLM)
    inner = parcel(
        *(foreign(100 + n, start=NOON + n * 1000 + 500, end=NOON + SECOND) for n in range(1, 21)), source=OPENAI
    )
    both = type(outer)(outer.spans + inner.spans, outer.sources + inner.sources, size=1)
    told_of(ledger, *([both] if together else [outer, inner]))
    assert len(numbers(ledger)) == 20


def test_calls_of_which_only_some_are_told_of_twice_all_count(ledger: Ledger) -> None:
    seconds = [NOON + n * SECOND for n in range(10)]
    told_of(
        ledger,
        parcel(*(foreign(1 + n, start=start) for n, start in enumerate(seconds)), source=OPENAI),
        parcel(*(foreign(101 + n, start=start) for n, start in enumerate(seconds[::3])), source=LITELLM),
    )
    assert numbers(ledger) == list(range(1, 11))


def test_two_services_that_one_span_has_ask_the_same_made_two_calls(ledger: Ledger) -> None:
    for number, source in enumerate((OPENAI, GATEWAY), 1):
        told_of(ledger, parcel(foreign(number, parent=9), source=source))
    assert numbers(ledger) == [1, 2]


def test_workers_that_embed_pieces_of_one_size_made_a_call_each(ledger: Ledger) -> None:
    piece = {"gen_ai__operation__name": "embeddings", "gen_ai__usage__input_tokens": 512}
    for number, service in enumerate(("indexer-a", "indexer-b"), 1):
        source = Source(service=service, scope="opentelemetry.instrumentation.openai")
        told_of(ledger, parcel(foreign(number, parent=10 + number, **piece), source=source))
    assert numbers(ledger) == [1, 2]


def test_spans_that_are_below_each_other_are_calls_all_the_same(ledger: Ledger) -> None:
    told_of(ledger, parcel(foreign(1, parent=1), foreign(2, parent=3), foreign(3, parent=2), source=OPENAI))
    assert numbers(ledger) == [1, 2, 3]


def test_one_instrumentation_does_not_tell_twice_of_a_call(ledger: Ledger) -> None:
    # A server for tests may give all its responses one id and the same tokens.
    calls = [foreign(n, trace=n % 3, gen_ai__response__id="chatcmpl-123") for n in range(1, 30)]
    told_of(ledger, parcel(*calls[:20], source=OPENAI), parcel(*calls[20:], source=OPENAI))
    assert numbers(ledger) == list(range(1, 30))


def test_a_call_above_calls_repeats_them(ledger: Ledger) -> None:
    whole = foreign(1, gen_ai__usage__input_tokens=3000, gen_ai__usage__output_tokens=500, end=NOON + 9 * SECOND)
    steps = [
        foreign(2, parent=1, start=NOON + SECOND),
        foreign(3, parent=1, start=NOON + 3 * SECOND, gen_ai__usage__input_tokens=2000),
    ]
    told_of(ledger, parcel(*steps, whole, source=OPENAI))
    assert numbers(ledger) == [2, 3]
    later = [foreign(n + 10, trace=9, parent=11) for n in (2, 3)]
    told_of(ledger, parcel(*later, source=OPENAI), parcel(foreign(11, trace=9), source=OPENAI))
    assert numbers(ledger) == [2, 3, 12, 13]


@pytest.mark.parametrize("reopened", [True, False])
def test_a_call_above_calls_may_be_told_of_first_or_last(tmp_path: Path, *, reopened: bool) -> None:
    path = tmp_path / "books.duckdb"
    whole = parcel(foreign(1, gen_ai__usage__input_tokens=2000, gen_ai__usage__output_tokens=400), source=GATEWAY)
    steps = parcel(foreign(2, parent=1), foreign(3, parent=1), source=OPENAI)
    for order in ([whole, steps], [steps, whole]):
        with Ledger(path) as ledger:
            told_of(ledger, *order[: 1 if reopened else 2])
        with Ledger(path) as ledger:
            told_of(ledger, *order[1 if reopened else 2 :])
            assert numbers(ledger) == [2, 3]
        path.unlink()


def test_an_embedding_below_a_chat_is_a_call_of_its_own(ledger: Ledger) -> None:
    below = foreign(2, parent=1, gen_ai__operation__name="embeddings", gen_ai__request__model="text-embedding-3-small")
    told_of(ledger, parcel(below, foreign(1), source=OPENAI))
    assert numbers(ledger) == [1, 2]


# --- a process that meters itself ----------------------------------------------------------------------------------
@pytest.mark.parametrize("trace", [7, 8])
@pytest.mark.parametrize("order", ["together", "gateway first", "application first"])
def test_what_the_application_says_stands_for_what_a_gateway_says(ledger: Ledger, trace: int, order: str) -> None:
    exact = parcel(
        metered(1, otel_cost__cost__amount="0.0040", otel_cost__run="nightly", gen_ai__response__id="r-1"),
        source=METERED,
    )
    seen = parcel(
        foreign(2, trace=trace, start=NOON + 1000, end=NOON + 2000, gen_ai__response__id="r-1"), source=GATEWAY
    )
    if order == "together":
        told_of(ledger, type(exact)(seen.spans + exact.spans, seen.sources + exact.sources, size=1))
    else:
        told_of(ledger, *((seen, exact) if order == "gateway first" else (exact, seen)))
    told_of(ledger, seen, exact)
    assert numbers(ledger) == [1]
    with ledger.database.cursor() as cursor:
        assert cursor.execute("SELECT cost, run FROM calls").fetchall() == [(Decimal("0.0040"), "nightly")]


@pytest.mark.parametrize("swapped", [True, False])
def test_what_the_application_says_stands_though_a_copy_came_without_it(ledger: Ledger, *, swapped: bool) -> None:
    whole = parcel(metered(1, otel_cost__cost__amount="0.123"), source=METERED)
    bare = parcel(foreign(1), source=OPENAI)
    told_of(ledger, *((whole, bare) if swapped else (bare, whole)), bare, whole)
    assert numbers(ledger) == [1]
    with ledger.database.cursor() as cursor:
        assert cursor.execute("SELECT cost FROM calls").fetchall() == [(Decimal("0.123"),)]


@pytest.mark.parametrize("reopened", [True, False])
def test_what_the_application_says_stands_for_a_call_that_had_no_price(tmp_path: Path, *, reopened: bool) -> None:
    bare = parcel(foreign(1, gen_ai__request__model="no-such-model", gen_ai__response__id="r-1"), source=OPENAI)
    whole = parcel(metered(2, gen_ai__response__id="r-1"), source=METERED)
    with Ledger(tmp_path / "books.duckdb") as ledger:
        told_of(ledger, bare, *([] if reopened else [whole]))
    with Ledger(tmp_path / "books.duckdb") as ledger:
        told_of(ledger, whole)
        assert numbers(ledger) == [2]


@pytest.mark.parametrize("order", ["above first", "below first", "together"])
def test_what_the_application_says_stands_for_what_is_below_it_with_other_tokens(ledger: Ledger, order: str) -> None:
    exact = parcel(metered(1, otel_cost__cost__amount="0.0040"), source=METERED)
    below = parcel(foreign(2, parent=1, gen_ai__usage__output_tokens=199), source=GATEWAY)
    both = type(exact)(exact.spans + below.spans, exact.sources + below.sources, size=1)
    told_of(ledger, *{"above first": [exact, below], "below first": [below, exact], "together": [both]}[order])
    assert numbers(ledger) == [1]


def test_calls_that_applications_tell_of_are_all_kept(ledger: Ledger) -> None:
    same = {"gen_ai__response__id": "chatcmpl-123"}
    told_of(
        ledger,
        parcel(foreign(9, trace=99), source=OPENAI),  # from then on, calls are compared
        parcel(metered(1, **same), source=METERED),
        parcel(metered(2, **same), source=Source(service="other", metered=True)),
    )
    assert numbers(ledger) == [1, 2, 9]


def test_calls_are_recognised_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "books.duckdb"
    with Ledger(path) as ledger:
        told_of(ledger, parcel(foreign(1, gen_ai__response__id="r-1"), source=LITELLM))
        told_of(ledger, parcel(metered(3, trace=8, gen_ai__response__id="r-3"), source=METERED))
    with Ledger(path) as ledger:
        told_of(ledger, parcel(foreign(2, gen_ai__response__id="r-1"), source=OPENAI))
        told_of(ledger, parcel(foreign(4, trace=9, gen_ai__response__id="r-3"), source=GATEWAY))
        assert numbers(ledger) == [1, 3]
        told_of(ledger, parcel(metered(5, gen_ai__response__id="r-1"), source=METERED))
        assert numbers(ledger) == [3, 5]


def test_a_commit_that_fails_is_not_remembered(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    told_of(ledger, parcel(foreign(9, trace=99), source=OPENAI))
    with monkeypatch.context() as patched:

        def fail(*_: object) -> None:
            raise duckdb.IOException("IO Error: No space left on device")

        patched.setattr("otel_cost_exporter.writing.rollups.Rollups.append", fail)
        assert ledger.add(parcel(foreign(1), source=LITELLM)).exception(20) is not None
    while ledger.failure is not None:
        time.sleep(0.01)
    told_of(ledger, parcel(foreign(2), source=OPENAI))
    assert numbers(ledger) == [2, 9]


@pytest.fixture
def forgetful(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A ledger that remembers no more than 64 of the 200 calls in its books."""
    monkeypatch.setattr(told, "MOST_REMEMBERED", 64)
    first = [foreign(n, trace=n, parent=2000 + n, gen_ai__response__id=f"r-{n}") for n in range(1, 201)]
    for at in range(0, 200, 10):
        told_of(ledger, parcel(*first[at : at + 10], source=LITELLM))
    return ledger


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(lambda n: foreign(1000 + n, trace=n), id="figures and time"),
        pytest.param(lambda n: foreign(1000 + n, trace=900 + n, gen_ai__response__id=f"r-{n}"), id="response id"),
        pytest.param(lambda n: foreign(2000 + n, trace=n, gen_ai__usage__output_tokens=210), id="a gateway above"),
        pytest.param(lambda n: foreign(1000 + n, trace=n, parent=n, gen_ai__usage__output_tokens=190), id="below"),
    ],
)
def test_what_is_not_remembered_any_more_is_looked_up_in_the_books(forgetful: Ledger, again: Any) -> None:
    told_of(forgetful, parcel(again(1), again(120), again(200), source=OPENAI))
    assert len(numbers(forgetful)) == 200


def test_what_the_application_says_stands_also_for_what_is_not_remembered_any_more(forgetful: Ledger) -> None:
    told_of(forgetful, parcel(metered(3000, trace=1, gen_ai__response__id="r-1"), source=METERED))
    assert numbers(forgetful) == [*range(2, 201), 3000]


@pytest.mark.parametrize("minutes", [9, 11])
def test_calls_of_other_times_are_not_looked_at(forgetful: Ledger, minutes: int) -> None:
    above = foreign(2001, trace=1, start=NOON - minutes * 60 * SECOND, end=NOON + SECOND)
    told_of(forgetful, parcel(above, source=OPENAI))
    assert (2001 in numbers(forgetful)) == (minutes == 11)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of how many calls the books were asked, each time; no more than 64 are remembered."""
    monkeypatch.setattr(told, "MOST_REMEMBERED", 64)
    found: list[int] = []
    look_up = Dedupe._earlier

    def counted(self: Dedupe, late: pa.Table) -> Any:
        found.append(late.num_rows)
        return look_up(self, late)

    monkeypatch.setattr(Dedupe, "_earlier", counted)
    return found


def test_the_books_are_looked_at_for_what_comes_late_alone(ledger: Ledger, asked: list[int]) -> None:
    for minute in range(20):
        at = NOON + minute * 60 * SECOND
        calls = [foreign(100 * minute + n, trace=100 * minute + n, start=at) for n in range(1, 11)]
        told_of(ledger, parcel(*calls, source=LITELLM))
    assert asked == []
    late = [foreign(9000 + n, trace=n) for n in (1, 2)]
    told_of(ledger, parcel(*late, foreign(9009, trace=77, start=NOON + HOUR), source=OPENAI))
    assert asked == [2]
    assert len(numbers(ledger)) == 201


@pytest.mark.parametrize("reopened", [True, False])
def test_a_clock_that_is_ahead_does_not_make_late_what_others_say(
    tmp_path: Path, asked: list[int], *, reopened: bool
) -> None:
    now = time.time_ns()
    ahead = [foreign(n, trace=n, start=now + DAY) for n in range(1, 101)]
    with Ledger(tmp_path / "books.duckdb") as ledger:
        told_of(ledger, parcel(*ahead, source=LITELLM))
        if not reopened:
            told_of(ledger, parcel(foreign(1000, trace=1000, start=now + 600 * SECOND), source=OPENAI))
    with Ledger(tmp_path / "books.duckdb") as ledger:
        told_of(ledger, parcel(foreign(1001, trace=1001, start=now + 600 * SECOND), source=OPENAI))
    assert asked == []
