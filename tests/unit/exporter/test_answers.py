"""Runs, projects, scenes and calls against figures worked out by hand, by pages, in zones, and where rows were pruned.

A call is 1000 tokens at 2.50 USD a million and 200 at 10: 0.0025 + 0.002 = 0.0045 USD.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from exporter_building import DAY, HOUR, NOON, at, call, parcel, refused, request, unknown

from otel_cost_exporter.answers import summary
from otel_cost_exporter.answers.reader import Reader
from otel_cost_exporter.decode.parcel import Source
from otel_cost_exporter.decode.walk import walk
from otel_cost_exporter.errors import NotInBooksError, QuestionError
from otel_cost_exporter.keeping.retention import Retention, prune
from otel_cost_exporter.writing.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "books.duckdb") as opened:
        yield opened


@pytest.fixture
def fill(ledger: Ledger) -> Callable[..., Reader]:
    def put(*spans: Span) -> Reader:
        ledger.add(walk(request(*spans))).result(30)
        return Reader(ledger.database)

    return put


def of(run: str, **more: Any) -> dict[str, Any]:
    return {"otel_cost__run": run, "otel_cost__project": "p", **more}


def test_a_run_with_its_stages_models_roles_scenes_and_what_is_left(fill: Callable[..., Reader]) -> None:
    limited = of("r", otel_cost__budget__run="0.02", otel_cost__role="author")
    reader = fill(
        call(1, start=NOON, otel_cost__stage="draft", otel_cost__scene="s1", **limited),
        call(2, start=NOON + HOUR, otel_cost__stage="draft", gen_ai__request__model="gpt-4.1", **limited),
        unknown(3, start=NOON + DAY, otel_cost__stage="check", otel_cost__scene="s1", **limited),
        refused(4, start=NOON, **limited),
        call(5, **of("other")),
    )
    answer = reader.ask("runs/r")
    brief = lambda rows, *names: [[row[name] for name in (*names, "calls", "cost_usd")] for row in rows]  # noqa: E731
    assert (answer["run"], answer["projects"]) == ("r", ["p"])
    assert (answer["first_call"], answer["last_call"]) == ("2026-03-02T12:00:00Z", "2026-03-03T12:00:00Z")
    assert brief([answer["total"]]) == [[3, "0.009000"]]
    assert brief(answer["stages"], "stage", "model") == [
        ["draft", "gpt-4.1", 1, "0.004500"],
        ["draft", "gpt-4o", 1, "0.004500"],
        [None, "gpt-4o", 0, "0.000000"],
        ["check", "gpt-4o", 1, None],
    ]
    assert brief(answer["by_stage"], "stage") == [["draft", 2, "0.009000"], [None, 0, "0.000000"], ["check", 1, None]]
    assert brief(answer["by_model"], "model") == [["gpt-4o", 2, "0.004500"], ["gpt-4.1", 1, "0.004500"]]
    assert brief(answer["by_role"], "role") == [["author", 3, "0.009000"]]
    assert brief(answer["by_scene"], "scene") == [["s1", 2, "0.004500"], [None, 1, "0.004500"]]
    # 0.02 - 0.009
    assert (answer["limit_usd"], answer["remaining_usd"]) == ("0.020000", "0.011000")
    assert (answer["limit_tokens"], answer["remaining_tokens"]) == (None, None)


def test_what_was_taken_back_is_no_row(ledger: Ledger, fill: Callable[..., Reader]) -> None:
    """A call that another instrumentation told of first, as of another run and service, and then the application."""
    plain: dict[str, Any] = dict.fromkeys(
        ("otel_cost__cost__status", "otel_cost__cost__amount", "otel_cost__cost__currency", "otel_cost__call__outcome"),
        ...,
    )
    told = {"gen_ai__response__id": "r-1"}
    ledger.add(parcel(call(1, **of("guess"), **told, **plain), source=Source(service="proxy"))).result(30)
    reader = fill(call(2, **of("r")))
    assert reader.ask("runs/guess")["total"]["calls"] == 1
    ledger.add(parcel(call(3, **of("r"), **told), source=Source(service="shop", metered=True))).result(30)
    for by, rows in (("run", [("r", 2)]), ("service", [("shop", 1), (None, 1)]), ("day", [("2026-03-02", 2)])):
        found = reader.ask("summary", [("by", by)])
        assert sorted(((row[by], row["calls"]) for row in found["rows"]), key=str) == rows
    assert [row["run"] for row in reader.ask("runs")["runs"]] == ["r"]
    with pytest.raises(NotInBooksError, match="no call of run 'guess' is in the books"):
        reader.ask("runs/guess")


def test_a_scene_over_its_runs(fill: Callable[..., Reader]) -> None:
    scene = {"otel_cost__scene": "a b/c"}
    reader = fill(call(1, **of("r1", **scene)), call(2, **of("r2", **scene)), call(3, **of("r2", **scene)), call(4))
    answer = reader.ask("scenes/a%20b%2Fc", [("project", "p")])
    assert (answer["scene"], answer["total"]["cost_usd"]) == ("a b/c", "0.013500")
    assert [(row["run"], row["cost_usd"]) for row in answer["by_run"]] == [("r2", "0.009000"), ("r1", "0.004500")]
    first = reader.ask("scenes/a%20b%2Fc", [("limit", "1")])
    assert (first["by_run"], first["run_count"], answer["run_count"]) == (answer["by_run"][:1], 2, 2)
    assert first["total"] == answer["total"]


def test_runs_are_listed_searched_and_told_by_whom(fill: Callable[..., Reader]) -> None:
    reader = fill(
        call(1, **of("Nightly-1")),
        call(2, start=NOON + DAY, **of("nightly-2")),
        call(3, start=NOON + 2 * DAY, **of("nightly-2", otel_cost__project="q")),
        call(4, start=NOON + DAY, **of("other")),
        call(5),
    )
    names = lambda *asked: [row["run"] for row in reader.ask("runs", asked)["runs"]]  # noqa: E731
    assert names() == ["other", "nightly-2", "Nightly-1"]
    assert names(("sort", "oldest")) == ["Nightly-1", "nightly-2", "other"]
    assert names(("sort", "cost"), ("search", "NIGHT")) == ["nightly-2", "Nightly-1"]
    assert names(("project", "q")) == ["nightly-2"]
    assert names(("search", "%")) == []
    [row] = reader.ask("runs", [("search", "nightly-2")])["runs"]
    assert (row["projects"], row["calls"], row["cost_usd"]) == (["p", "q"], 2, "0.009000")
    assert (row["first_call"], row["last_call"]) == ("2026-03-03T12:00:00Z", "2026-03-04T12:00:00Z")


PAGED = [
    *(("calls", sort) for sort in ("newest", "oldest", "cost", "input_tokens", "output_tokens", "duration")),
    *(("runs", sort) for sort in ("newest", "oldest", "cost", "calls")),
]


@pytest.mark.parametrize(("path", "sort"), PAGED)
def test_pages_have_each_row_once_while_others_arrive(fill: Callable[..., Reader], path: str, sort: str) -> None:
    spans = [
        *(call(n, otel_cost__cost__amount=f"0.{n % 3}", end=NOON + n, **of(f"r{n}")) for n in range(1, 8)),
        *(unknown(n, gen_ai__usage__input_tokens=..., end=0, **of(f"r{n}")) for n in range(8, 12)),
    ]
    reader = fill(*spans)
    seen: list[str] = []
    asked, number = [("limit", "3"), ("sort", sort)], 100
    while True:
        answer = reader.ask(path, asked)
        seen += [row["run"] for row in answer[path]]
        if answer["next"] is None:
            break
        asked = [("limit", "3"), ("sort", sort), ("cursor", answer["next"])]
        first = call(number, start=NOON + HOUR * number, otel_cost__cost__amount="9", **of(f"new{number}"))
        fill(first)
        number += 1
    assert sorted(run for run in seen if not run.startswith("new")) == sorted(f"r{n}" for n in range(1, 12))
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("cursor", ["", "e30=", "WzFd", "é", "WyJuZXdlc3QiLCAieCIsICJ5IiwgInoiXQ=="])
def test_a_cursor_that_is_none_is_named(fill: Callable[..., Reader], cursor: str) -> None:
    with pytest.raises(QuestionError, match="cursor"):
        fill(call(1)).ask("calls", [("cursor", cursor)])


def test_a_cursor_is_of_one_order(fill: Callable[..., Reader]) -> None:
    reader = fill(call(1), call(2))
    place = reader.ask("calls", [("limit", "1")])["next"]
    with pytest.raises(QuestionError, match="is none of a list by cost"):
        reader.ask("calls", [("sort", "cost"), ("cursor", place)])


def test_a_call_has_all_that_is_known_of_it(fill: Callable[..., Reader]) -> None:
    terms = {"server__address": "eu.api.openai.com", "otel_cost__cost__price_terms": "speed=fast"}
    reader = fill(call(1, otel_cost__tenant="acme", gen_ai__response__model="gpt-4o-2024-08-06", **terms))
    [found] = reader.ask("calls", [("tenant", "acme"), ("model", "gpt-4o-2024-08-06"), ("outcome", "ok")])["calls"]
    assert (found["trace_id"], found["span_id"]) == (f"{1:032x}", f"{1:016x}")
    assert (found["start"], found["end"]) == ("2026-03-02T12:00:00Z", "2026-03-02T12:00:01Z")
    assert (found["cost_usd"], found["cost_status"], found["extra"]) == ("0.004500", "known", {"tenant": "acme"})
    assert (found["server"], found["price_terms"]) == ("eu.api.openai.com", "speed=fast")


def test_a_project_through_time_and_its_trend(fill: Callable[..., Reader]) -> None:
    costs = ["0.1", "0.2", "0.3", "0.6"]
    reader = fill(
        *(
            call(n, start=NOON + n * DAY, otel_cost__cost__amount=cost, **of(f"r{n}", otel_cost__scene=f"s{n}"))
            for n, cost in enumerate(costs, 1)
        ),
        call(9, start=NOON + 4 * DAY, otel_cost__cost__amount="0", **of("r4", otel_cost__scene="another")),
        call(10, **of("x", otel_cost__project="other")),
        call(11, otel_cost__project="p", otel_cost__run=...),
    )
    answer = reader.ask("projects/p", [("per", "scene"), ("limit", "3")])
    assert [(row["run"], row["cumulative_cost_usd"], row["units"]) for row in answer["runs"]] == [
        ("r2", "0.300000", 1),
        ("r3", "0.600000", 1),
        ("r4", "1.200000", 2),
    ]
    assert (answer["run_count"], answer["total"]["cost_usd"]) == (4, "1.204500")
    trend = answer["trend"]
    # The medians of 0.3 and 0.6, and of 0.1 and 0.2: three times as much.
    assert trend["per_run"] == {"recent_usd": "0.450000", "before_usd": "0.150000", "change": 2.0}
    # Run 4 has two calls, and does two scenes: the median of 0.3 and 0.3.
    assert trend["per_call"]["recent_usd"] == trend["per_unit"]["recent_usd"] == "0.300000"
    # 400 output tokens for 0.6, 200 for 0.3: 1.5 for 1000.
    assert trend["per_1000_output_tokens"]["recent_usd"] == "1.500000"
    assert trend["runs"] == 2


def test_a_run_whose_cost_is_not_known_in_full_is_in_no_trend(fill: Callable[..., Reader]) -> None:
    answer = fill(unknown(1, **of("r1")), call(2, start=NOON + HOUR, **of("r2"))).ask("projects/p")
    assert answer["trend"]["per_run"] == {"recent_usd": "0.004500", "before_usd": None, "change": None}
    assert answer["trend"]["per_unit"] is None
    assert [row["units"] for row in answer["runs"]] == [None, None]


def test_days_and_hours_begin_by_the_clocks_of_the_zone(fill: Callable[..., Reader]) -> None:
    # In Berlin the clocks are put back at 3:00 on 2026-10-25, so that day has 25 hours and two of them are the second.
    begins = at("2026-10-24T22:00:00")
    reader = fill(*(call(n, start=begins + n * HOUR) for n in range(26)))
    asked = [("tz", "Europe/Berlin"), ("since", "2026-10-25"), ("until", "2026-10-26")]
    [day] = reader.ask("summary", [("by", "day"), *asked])["rows"]
    assert (day["day"], day["calls"]) == ("2026-10-25", 25)
    hours = [row["hour"] for row in reader.ask("summary", [("by", "hour"), *asked])["rows"]]
    assert hours[2:4] == ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"]
    [first, *_] = reader.ask("summary", [("by", "day"), ("tz", "Asia/Kolkata"), ("run", "none")])["rows"] or [None]
    assert first is None
    # A Sunday evening in Berlin is the Monday after it in Tokyo.
    for zone, monday in (("Europe/Berlin", "2026-10-19"), ("Asia/Tokyo", "2026-10-26")):
        evening = [("since", "2026-10-25T21:00:00Z"), ("until", "2026-10-25T23:00:00Z")]
        [week] = reader.ask("summary", [("by", "week"), ("tz", zone), *evening])["rows"]
        assert (week["week"], week["calls"]) == (monday, 2)
    in_india = reader.ask("summary", [("by", "day"), ("tz", "Asia/Kolkata")])["rows"]
    # India is 5:30 ahead: 18:30 UTC is midnight there, so hours 0 to 20 are of one day and the others of the next.
    assert [(row["day"], row["calls"]) for row in in_india] == [("2026-10-25", 21), ("2026-10-26", 5)]


def test_a_limit_leaves_rows_out_and_says_how_many(fill: Callable[..., Reader]) -> None:
    reader = fill(*(call(n, otel_cost__cost__amount=f"0.0{n}", **of(f"r{n}")) for n in range(1, 6)), call(9))
    for by, rest in (("run", 4), ("model", -1)):
        answer = reader.ask("summary", [("by", by), ("limit", "2")])
        assert answer["more_rows"] == max(0, rest)
    assert [row["run"] for row in reader.ask("summary", [("by", "run"), ("limit", "2")])["rows"]] == ["r5", "r4"]
    last = reader.ask("summary", [("by", "run"), ("limit", "6")])["rows"][-1]
    assert (last["run"], last["cost_usd"]) == (None, "0.004500")
    answer = reader.ask("summary", [("by", "run"), ("by", "day"), ("limit", "1")])
    assert (len(answer["rows"]), answer["more_rows"]) == (1, 5)


def test_more_rows_than_are_answered_at_once_are_refused_and_counted(
    fill: Callable[..., Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = fill(*(call(n, **of(f"r{n}", otel_cost__stage=f"s{n}")) for n in range(5)))
    monkeypatch.setattr(summary, "_MOST_ROWS", 5)
    assert len(reader.ask("summary", [("by", "run"), ("by", "stage")])["rows"]) == 5
    assert reader.ask("summary")["total"]["calls"] == 5
    monkeypatch.setattr(summary, "_MOST_ROWS", 4)
    for by in (["run"], ["run", "stage"]):
        with pytest.raises(QuestionError) as refused:
            reader.ask("summary", [("by", name) for name in by])
        assert str(refused.value) == (
            f"by {' and '.join(by)} there are 5 rows, and at most 4 are answered at once: give limit, which leaves out "
            "the others, filter, shorten the time, or export the calls"
        )
        answer = reader.ask("summary", [*(("by", name) for name in by), ("limit", "1")])
        assert (len(answer["rows"]), answer["more_rows"], answer["total"]["calls"]) == (1, 4, 5)


def test_a_limit_gives_the_beginning_of_all_rows_whatever_they_cost(fill: Callable[..., Reader]) -> None:
    """More were paid alike than are looked at first; others count nothing, or are of unknown cost."""
    cost = lambda usd: {"otel_cost__cost__amount": usd, "otel_cost__cost__status": "known"}  # noqa: E731
    alike = [call(n, **cost("0.02"), **of(f"a{n % 14:02}")) for n in range(1, 29)]
    dear = [call(30 + n, **cost(f"1.0{n}"), **of(f"d{n}")) for n in range(3)]
    nothing = [
        call(40, otel_cost__call__outcome="refused", **cost("9"), **of("refused")),
        unknown(41, **of("unknown")),
        call(42, **cost("0.02")),
    ]
    reader = fill(*alike, *dear, *nothing, call(43, **cost("0.04"), **of("a99")))
    everything = reader.ask("summary", [("by", "run")])["rows"]
    assert len(everything) == 21
    for limit in range(1, 23):
        answer = reader.ask("summary", [("by", "run"), ("limit", str(limit))])
        assert answer["rows"] == everything[:limit]
        assert answer["more_rows"] == max(0, 21 - limit)


def test_an_answer_says_from_when_it_is_complete(ledger: Ledger, fill: Callable[..., Reader]) -> None:
    now = datetime.now(UTC)
    old, new = (int((now - timedelta(days=days)).timestamp()) * 10**9 for days in (20, 2))
    reader = fill(
        call(1, start=old, **of("old", otel_cost__stage="s")), call(2, start=new, **of("new", otel_cost__stage="s"))
    )
    prune(ledger, Retention(calls=timedelta(days=10)))
    midnight = (now - timedelta(days=19)).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    kept = f"{midnight.isoformat()}Z"
    by_sums = reader.ask("summary", [("by", "run")])
    assert (by_sums["total"]["calls"], by_sums["complete_since"]) == (2, None)
    by_rows = reader.ask("summary", [("by", "run"), ("by", "stage")])
    assert ([row["run"] for row in by_rows["rows"]], by_rows["complete_since"]) == (["new"], kept)
    lately = [("by", "run"), ("by", "stage"), ("since", kept)]
    assert reader.ask("summary", lately)["complete_since"] is None
    gone, there = reader.ask("runs/old"), reader.ask("runs/new")
    assert (gone["total"]["calls"], gone["stages"], gone["complete_since"]) == (1, [], kept)
    assert (there["total"]["calls"], len(there["stages"]), there["complete_since"]) == (1, 1, None)
    assert reader.ask("calls", [("run", "new")])["complete_since"] is None
    assert reader.ask("calls")["complete_since"] == kept
    past = datetime.fromtimestamp(old / 10**9, UTC).replace(minute=0, second=0, tzinfo=None)
    since = reader.ask("summary", [("since", (past - timedelta(minutes=1)).isoformat())])
    assert (since["total"]["calls"], since["complete_since"]) == (2, f"{past.isoformat()}Z")
    with pytest.raises(QuestionError, match=r"until=.* is amid an hour whose calls have been pruned"):
        reader.ask("summary", [("until", (past + timedelta(minutes=1)).isoformat())])


def test_sums_that_were_pruned_are_said_too(ledger: Ledger, fill: Callable[..., Reader]) -> None:
    now = datetime.now(UTC)
    old = int((now - timedelta(days=20)).timestamp()) * 10**9
    reader = fill(call(1, start=old), call(2, start=int(now.timestamp()) * 10**9))
    prune(ledger, Retention(calls=timedelta(days=10), rollups=timedelta(days=15)))
    midnight = (now - timedelta(days=19)).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    answer = reader.ask("summary")
    assert (answer["total"]["calls"], answer["complete_since"]) == (1, f"{midnight.isoformat()}Z")
    assert reader.ask("summary", [("since", "7d")])["complete_since"] is None


def test_calls_are_compared_by_where_they_were_served(fill: Callable[..., Reader]) -> None:
    asked = {"gen_ai__request__model": "gpt-5.4", "gen_ai__usage__output_tokens": 100, **of("r")}
    reader = fill(call(1, **asked, server__address="eu.api.openai.com"), call(2, **asked))
    [model] = reader.ask("compare", [("run", "r"), ("instead", "gpt-5.4-mini")])["models"]
    # (1000 x 0.75 + 100 x 4.50) / 1e6, and a tenth more in Europe: 0.0012 + 0.00132
    assert (model["low_usd"], model["high_usd"], model["doubts"]) == ("0.002520", "0.002520", [])
