"""Pricing anew: what changes, what is left alone, and that what a call had cost is kept."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from exporter_building import HOUR, NOON, call, naive, parcel, refused, unknown

from otel_cost_exporter.errors import QuestionError
from otel_cost_exporter.keeping.check import check
from otel_cost_exporter.keeping.reprice import Repricing, apply, difference, read_prices
from otel_cost_exporter.writing.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

LOCAL = {"otel_cost__cost__source": "local", "otel_cost__cost__price_version": "before@1"}
NO_PRICE = {
    "gen_ai__request__model": "ours",
    "otel_cost__cost__reason": "no price for model 'ours' of 'openai'",
}
OURS = '[[price]]\nprovider = "openai"\nmodel = "ours"\ninput = 1\noutput = 3\n'
ALL = Repricing(naive("2026-03-01"), naive("2026-04-01"))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "books.duckdb") as opened:
        yield opened


def book(ledger: Ledger, *spans: Span) -> None:
    ledger.add(parcel(*spans)).result(60)


def ask(ledger: Ledger, query: str) -> list[tuple[Any, ...]]:
    return ledger.do(lambda cursor: cursor.execute(query).fetchall()).result(60)


COSTS = "SELECT span_id, cost, cost_status, cost_source, cost_reason FROM calls ORDER BY span_id"


def test_a_call_gets_the_price_of_its_own_time_and_its_former_cost_is_kept(ledger: Ledger) -> None:
    book(ledger, call(1, otel_cost__cost__amount="0.009", otel_cost__run="r", **LOCAL), call(2, **LOCAL))
    assert difference(ledger.database, ALL) == {
        "models": [
            {
                "provider": "openai",
                "model": "gpt-4o",
                "calls": 2,
                "changed_calls": 1,
                "newly_priced_calls": 0,
                "unknown_calls": 0,
                "before_usd": "0.013500",
                "after_usd": "0.009000",
            }
        ],
        "total": {
            "calls": 2,
            "changed_calls": 1,
            "newly_priced_calls": 0,
            "unknown_calls": 0,
            "before_usd": "0.013500",
            "after_usd": "0.009000",
        },
        "stated_calls": 0,
        "price_versions": ["genai-prices/0.2.3"],
    }
    assert ask(ledger, "SELECT cost FROM calls WHERE span_id = 1") == [
        (Decimal("0.009"),)
    ]  # a difference changes nothing
    done = apply(ledger, ALL)
    (now,) = ask(ledger, "SELECT cost, cost_source, price_version, len(lines) FROM calls WHERE span_id = 1")
    assert now == (Decimal("0.0045"), "ledger", "genai-prices/0.2.3", 2)
    (former,) = ask(ledger, "SELECT span_id, cost, cost_source, price_version, repriced_ts FROM former_costs")
    assert former[:4] == (1, Decimal("0.009"), "local", "before@1")
    assert f"{former[4].isoformat()}Z" == done["repriced_at"]
    assert ask(ledger, "SELECT sum(cost) FROM hourly WHERE dimension = 'run'") == [(Decimal("0.0045"),)]
    assert check(ledger.database).number == 0
    assert apply(ledger, ALL)["total"]["changed_calls"] == 0


def test_calls_without_a_price_get_one_from_a_file(ledger: Ledger) -> None:
    book(ledger, unknown(1, **NO_PRICE), call(2, **LOCAL))
    assert difference(ledger.database, ALL)["total"]["unknown_calls"] == 1
    asked = Repricing(ALL.since, ALL.until, read_prices(OURS, "ours.toml"))
    done = apply(ledger, asked)
    assert [
        (each["model"], each["newly_priced_calls"], each["before_usd"], each["after_usd"]) for each in done["models"]
    ] == [
        ("ours", 1, None, "0.001600"),
        ("gpt-4o", 0, "0.004500", "0.004500"),
    ]
    assert ask(ledger, "SELECT cost, cost_status, split(price_version, '@')[1] FROM calls WHERE span_id = 1") == [
        (Decimal("0.0016"), "known", "file:ours.toml")
    ]
    assert ask(ledger, "SELECT cost, cost_status FROM former_costs") == [(None, "unknown")]
    assert difference(ledger.database, ALL)["total"]["unknown_calls"] == 0  # it has had one: it is left
    assert check(ledger.database).number == 0


def test_what_prices_here_cannot_tell_is_left(ledger: Ledger) -> None:
    book(
        ledger,
        call(1, otel_cost__cost__amount="1", otel_cost__cost__source="provider"),
        refused(2),
        unknown(3, otel_cost__cost__reason="the response stated no usage"),
        unknown(4, gen_ai__usage__input_tokens=..., gen_ai__usage__output_tokens=..., **NO_PRICE),
        call(5, otel_cost__cost__amount="0", otel_cost__call__outcome="error", otel_cost__cost__source="local"),
        call(6, gen_ai__request__model="gone", otel_cost__cost__amount="1", **LOCAL),
    )
    before = ask(ledger, COSTS)
    done = apply(ledger, ALL)
    assert (done["total"]["changed_calls"], done["total"]["calls"], done["stated_calls"]) == (0, 1, 1)
    assert done["total"]["after_usd"] == "1.000000"
    assert ask(ledger, COSTS) == before
    assert ask(ledger, "SELECT count(*) FROM former_costs") == [(0,)]


def test_only_calls_of_the_time_that_is_asked_for(ledger: Ledger) -> None:
    book(ledger, *(call(hour + 1, start=NOON + hour * HOUR, otel_cost__cost__amount="1", **LOCAL) for hour in range(4)))
    half_past = timedelta(minutes=30)
    asked = Repricing(naive("2026-03-02T12:00:00") + half_past, naive("2026-03-02T14:00:00") + half_past)
    assert apply(ledger, asked)["total"]["calls"] == 2
    assert [row[1] for row in ask(ledger, COSTS)] == [1, Decimal("0.0045"), Decimal("0.0045"), 1]
    assert check(ledger.database).number == 0


@pytest.mark.parametrize(
    ("outcome", "reason", "becomes"),
    [
        ("ok", "no price for reasoning tokens", ("known", None)),
        ("ok", "the prices that OTEL_COST_PRICES names were not there yet", ("known", None)),
        (
            "cut",
            "no price for reasoning tokens",
            ("estimated", "the response was cut: about what it had used by then"),
        ),
        ("ok", "no price for service tier 'flex'", ("estimated", "no price for service tier 'flex'")),
        ("ok", "no price for usage.web_fetch", ("estimated", "no price for usage.web_fetch")),
        ("cut", "the response was cut", ("estimated", "the response was cut")),
    ],
)
def test_a_doubt_goes_only_where_prices_take_it_away(
    ledger: Ledger, outcome: str, reason: str, becomes: tuple[str, str | None]
) -> None:
    stated = {
        "otel_cost__cost__status": "estimated",
        "otel_cost__cost__reason": reason,
        "otel_cost__call__outcome": outcome,
    }
    book(ledger, call(1, otel_cost__cost__amount="0.004", **stated, **LOCAL))
    apply(ledger, ALL)
    ((_, cost, status, _, reason_now),) = ask(ledger, COSTS)
    assert (cost, status, reason_now) == (Decimal("0.0045"), *becomes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (OURS + "\n" + "a." * 30_000 + "b = 1\n", "p.toml:7: a line of more than 2,000 characters"),
        ("# nothing\n" * 60_000, "p.toml has more than 524,288 characters"),
        (f"[[price]]\ninput = {'9' * 1900}e{'9' * 20}\n", "p.toml:1: a number in it has too many digits"),
    ],
)
def test_a_price_file_that_would_take_for_ever_is_refused(text: str, said: str) -> None:
    with pytest.raises(QuestionError, match=f"^prices: {said}"):
        read_prices(text, "p.toml")


def test_a_doubt_about_a_tier_goes_where_the_tier_is_known_and_has_a_price(ledger: Ledger) -> None:
    doubt = {"otel_cost__cost__status": "estimated", "otel_cost__cost__reason": "no price for service tier 'flex'"}
    book(ledger, call(1, otel_cost__call__service_tier="flex", **doubt, **LOCAL), call(2, **doubt, **LOCAL))
    flex = '[[price]]\nprovider = "openai"\nmodel = "gpt-4o"\nservice_tier = "flex"\ninput = 1\noutput = 2\n'
    apply(ledger, Repricing(ALL.since, ALL.until, read_prices(flex, "flex.toml")))
    assert ask(ledger, COSTS) == [
        (1, Decimal("0.0014"), "known", "ledger", None),
        (2, Decimal("0.0045"), "estimated", "local", "no price for service tier 'flex'"),
    ]


def test_what_else_a_price_depended_on_holds_when_it_is_priced_anew(ledger: Ledger) -> None:
    # Claude Sonnet 4.6: 3 and 15 a million, a tenth more in the US: (1000 x 3 + 200 x 15) x 1.1
    stated = {"gen_ai__provider__name": "anthropic", "gen_ai__request__model": "claude-sonnet-4-6", **LOCAL}
    here = {"otel_cost__cost__amount": "0.0066", "otel_cost__cost__price_terms": "inference_geo=us"}
    book(ledger, call(1, **stated, **here), call(2, **stated, otel_cost__cost__amount="0.006"))
    lines = ask(ledger, "SELECT list_transform(lines, lambda line: line.cost) FROM calls ORDER BY span_id")
    assert lines == [([Decimal("0.0033"), Decimal("0.0033")],), ([Decimal("0.003"), Decimal("0.003")],)]
    assert difference(ledger.database, ALL)["total"]["changed_calls"] == 0


def test_a_doubt_about_what_else_a_price_depends_on_goes_where_that_is_known_and_has_a_price(ledger: Ledger) -> None:
    lacking = {
        "otel_cost__cost__status": "estimated",
        "otel_cost__cost__reason": "no price for speed 'fast'",
        "gen_ai__request__model": "ours",
        **LOCAL,
    }
    book(ledger, call(1, **lacking, otel_cost__cost__price_terms="speed=fast"), call(2, **lacking))
    prices = read_prices(
        OURS + '[[price]]\nprovider = "openai"\nmodel = "ours"\nwhen = {speed = "fast"}\ninput = 2\noutput = 6\n', "p"
    )
    apply(ledger, Repricing(ALL.since, ALL.until, prices))
    costs = [row[1:] for row in ask(ledger, COSTS)]
    assert costs == [
        (Decimal("0.0032"), "known", "ledger", None),  # 1000 x 2 + 200 x 6, per million
        (Decimal("0.0016"), "estimated", "ledger", "no price for speed 'fast'"),
    ]


def test_charges_for_other_things_are_priced_anew_by_their_units(ledger: Ledger) -> None:
    units = {"otel_cost__charge__name": "web_search", "otel_cost__charge__units": "3"}
    nothing = {"gen_ai__usage__input_tokens": ..., "gen_ai__usage__output_tokens": ..., "gen_ai__request__model": ...}
    reason = {"otel_cost__cost__reason": "no price for a unit of 'web_search'"}
    book(ledger, unknown(1, **units, **{**nothing, "gen_ai__provider__name": ...}, **reason))
    prices = read_prices('[[charge]]\nname = "web_search"\nusd_per_unit = 0.01\n', "charges.toml")
    done = apply(ledger, Repricing(ALL.since, ALL.until, prices))
    assert [(each["provider"], each["model"], each["after_usd"]) for each in done["models"]] == [
        (None, "web_search", "0.030000")
    ]
    assert ask(ledger, COSTS) == [(1, Decimal("0.03"), "known", "ledger", None)]
    assert check(ledger.database).number == 0


def test_prices_that_cannot_all_be_read_are_refused() -> None:
    with pytest.raises(QuestionError, match=r"prices: ours\.toml:2: provider: it must be a text"):
        read_prices("[[price]]\nprovider = 1\n", "ours.toml")
    with pytest.raises(QuestionError, match=r"prices: ours\.toml has no price in it"):
        read_prices("", "ours.toml")
    for absurd in ("\ud800", "a=" + "[" * 5000):
        with pytest.raises(QuestionError, match=r"prices: ours\.toml:1: "):
            read_prices(absurd, "ours.toml")
