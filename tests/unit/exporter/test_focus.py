"""The view `focus`: columns and values of FOCUS 1.4, and sums that are the costs of the calls."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from exporter_building import call, parcel, refused, unknown

from otel_cost_exporter.file import statements
from otel_cost_exporter.writing.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

ALLOWED = {
    "BillingCurrency": {"USD"},
    "ChargeCategory": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "ChargeClass": {None, "Correction"},
    "ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
    "PricingCategory": {"Standard", "Dynamic", "Committed", "Other"},
    "ServiceCategory": {"AI and Machine Learning", "Other"},
    "ServiceSubcategory": {"Generative AI", "Other (Other)"},
}
"""Those of the specification, as far as they can occur here."""
MANDATORY = {
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ServiceCategory",
    "ServiceName",
    "ServiceProviderName",
}
MAY_BE_NULL = {"BillingAccountName", "ChargeClass"}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "books.duckdb") as opened:
        yield opened


def focus(ledger: Ledger, *spans: Span) -> list[dict[str, Any]]:
    ledger.add(parcel(*spans)).result(60)
    query = "FROM focus ORDER BY x_SpanId, SkuMeter"
    return ledger.do(lambda cursor: statements.rows(cursor.execute(query))).result(60)


def test_a_call_is_a_row_for_each_meter(ledger: Ledger) -> None:
    stated = {
        "gen_ai__usage__cache_read__input_tokens": 400,
        "otel_cost__project": "shop",
        "otel_cost__tenant": 'a "b"',
    }
    cached, plain, output = focus(ledger, call(258, otel_cost__cost__amount="0.004", **stated))
    # gpt-4o costs 2.50 USD a million of input, 1.25 of cached input and 10 of output.
    meters = ("SkuMeter", "ConsumedQuantity", "ConsumedUnit", "PricingQuantity", "PricingUnit", "BilledCost")
    assert [tuple(row[name] for name in meters) for row in (plain, cached, output)] == [
        ("input tokens", 600, "Tokens", Decimal("0.0006"), "1000000 Tokens", Decimal("0.0015")),
        ("cache read tokens", 400, "Tokens", Decimal("0.0004"), "1000000 Tokens", Decimal("0.0005")),
        ("output tokens", 200, "Tokens", Decimal("0.0002"), "1000000 Tokens", Decimal("0.002")),
    ]
    assert json.loads(plain["Tags"]) == {"project": "shop", "tenant": 'a "b"'}
    assert plain["ChargeDescription"] == "gpt-4o: input tokens"
    assert (plain["SkuId"], plain["SkuPriceId"], plain["SubAccountId"]) == ("gpt-4o", "gpt-4o/input_tokens", "shop")
    assert (plain["BillingPeriodStart"], plain["BillingPeriodEnd"]) == (datetime(2026, 3, 1), datetime(2026, 4, 1))  # noqa: DTZ001
    assert (plain["ChargePeriodStart"], plain["ChargePeriodEnd"]) == (
        datetime(2026, 3, 2, 12),  # noqa: DTZ001 - times of the books are UTC
        datetime(2026, 3, 2, 13),  # noqa: DTZ001 - likewise
    )
    assert (plain["x_TraceId"], plain["x_SpanId"], plain["x_CostStatus"]) == (f"{258:032x}", f"{258:016x}", "known")


def test_sums_are_the_costs_and_every_value_is_allowed(ledger: Ledger) -> None:
    units = {"otel_cost__charge__name": "web_search", "otel_cost__charge__units": "3", "gen_ai__provider__name": ...}
    rows = focus(
        ledger,
        call(1),
        call(
            2, otel_cost__cost__amount="0.0123", otel_cost__cost__source="provider"
        ),  # of which nobody knows the lines
        call(3, otel_cost__cost__status="estimated"),
        call(4, otel_cost__cost__amount="0.03", gen_ai__request__model=..., **units),
        unknown(5),
        refused(6),
    )
    (costs,) = ledger.do(lambda cursor: cursor.execute("SELECT sum(cost) FROM calls").fetchall()).result(60)
    assert sum(row["BilledCost"] for row in rows) == costs[0] == Decimal("0.0513")
    for name in ("ContractedCost", "EffectiveCost", "ListCost"):
        assert [row[name] for row in rows] == [row["BilledCost"] for row in rows]
    for name, allowed in ALLOWED.items():
        assert {row[name] for row in rows} <= allowed
    for name in MANDATORY - MAY_BE_NULL:
        assert None not in [row[name] for row in rows]
    whole, charge = rows[2], rows[-1]
    assert (whole["SkuMeter"], whole["ConsumedQuantity"], whole["ConsumedUnit"]) == ("requests", 1, "Requests")
    assert (charge["ServiceName"], charge["ConsumedQuantity"], charge["ConsumedUnit"]) == ("web_search", 3, "Units")
    assert charge["ServiceProviderName"] == "unknown"


def test_columns_of_the_specification_come_first_and_ours_are_marked(ledger: Ledger) -> None:
    names = list(focus(ledger, call(1))[0])
    ours = [name for name in names if name.startswith("x_")]
    assert names[-len(ours) :] == ours
    assert set(names) >= MANDATORY
    assert names[: -len(ours)] == sorted(names[: -len(ours)])
