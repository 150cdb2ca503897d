"""What a unit of something costs that is no call to a model, by the user's price file."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from otel_cost.pricing import charge_to_add, price_units, sources, tables
from otel_cost.pricing.own import PriceFile

FILE = """
[[charge]]
name = "web_search"
usd_per_unit = 0.01

[[charge]]
name = ["web_search", "file_search"]
usd_per_unit = 0.008
from = 2026-11-01
until = 2026-12-01
source = "the contract"
"""


@pytest.fixture
def prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "prices.toml"
    path.write_text(FILE)
    monkeypatch.setenv("OTEL_COST_PRICES", str(path))
    sources.begin_anew()
    yield path
    monkeypatch.undo()
    sources.begin_anew()


@pytest.mark.usefixtures("prices")
@pytest.mark.parametrize(
    ("name", "at", "amount"),
    [
        ("web_search", datetime(2026, 10, 31, 23, tzinfo=UTC), "0.025"),
        ("web_search", datetime(2026, 11, 1), "0.02"),  # noqa: DTZ001 - UTC where it names no zone
        ("web_search", datetime(2026, 12, 1, tzinfo=UTC), "0.025"),
        ("file_search", datetime(2026, 11, 30, tzinfo=UTC), "0.02"),
    ],
)
def test_the_later_of_two_that_hold_says_the_price(name: str, at: datetime, amount: str) -> None:
    cost = price_units(name, Decimal("2.5"), at)
    assert (cost.amount, cost.status, cost.source) == (Decimal(amount), "known", "local")
    assert str(cost.price_version).startswith("file:prices.toml@")


@pytest.mark.usefixtures("prices")
def test_without_a_price_it_is_unknown() -> None:
    cost = price_units("gpu", Decimal(1))
    assert (cost.amount, cost.reason) == (None, "no price for a unit of 'gpu'")
    read = tables.read(charge_to_add("gpu").replace("…", "0.5"), "prices.toml", "file:prices.toml")
    assert [(item.names, item.usd) for item in read.charges] == [(("gpu",), Decimal("0.5"))]


def test_prices_that_have_not_come_yet_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_COST_PRICES", str(tmp_path / "missing.toml"))
    sources.begin_anew()
    assert str(price_units("gpu", Decimal(1)).reason).endswith(
        ": the prices that OTEL_COST_PRICES names were not there yet"
    )
    monkeypatch.undo()
    sources.begin_anew()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[charge]]\nname = 'x'\n", "prices.toml:1: usd_per_unit is missing"),
        ("[[charge]]\nusd_per_unit = 1\n", "prices.toml:1: name is missing"),
        ("[[charge]]\nname = 'x'\nusd_per_unit = '1'\n", "prices.toml:3: usd_per_unit: it must be an amount"),
        ("[[charge]]\nname = 'x'\nusd = 1\n", "prices.toml:3: usd: no such key; there are name, usd_per_unit, from"),
        (
            "[[charge]]\nname = 'x'\nusd_per_unit = 1\nfrom = 2026-02-01\nuntil = 2026-01-01\n",
            "prices.toml:5: until: it must be later than from",
        ),
        ("charge = 3\n", "prices.toml:1: write [[price]] above the keys of each price"),
        ("charge = [3]\n", "prices.toml:1: write [[charge]] above the keys of each charge"),
    ],
)
def test_what_is_no_price_is_said_and_takes_no_other_with_it(text: str, problem: str) -> None:
    found = tables.read(text + FILE, "prices.toml", "file:prices.toml")
    assert len(found.charges) == 2
    (said,) = found.problems
    assert said.startswith(problem)


def test_a_file_of_charges_alone_is_one_of_prices(prices: Path) -> None:
    file = PriceFile(prices)
    now = file.first()
    prices.write_text(FILE.replace("0.01", "0.02"))
    found = file.look(now)
    assert found is not None
    assert found.charges[0].usd == Decimal("0.02")
