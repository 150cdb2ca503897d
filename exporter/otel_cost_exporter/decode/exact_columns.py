"""What calls say of themselves that otel-cost has put the cost on, column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otel_cost import money, semconv
from otel_cost.pricing.names import tier_id
from otel_cost_exporter.decode import call_row
from otel_cost_exporter.decode.attributes import bools, mapped
from otel_cost_exporter.decode.batch import MONEY, QUANTITY

if TYPE_CHECKING:
    from otel_cost_exporter.decode.attributes import Attributes, Bools

_AMOUNT: Final = r"^[0-9]{1,6}(\.[0-9]{1,12})?$"
_QUANTITY: Final = r"^[0-9]{1,11}(\.[0-9]{1,6})?$"
_CURRENCIES: Final = pa.array([money.CURRENCY])
_STATUSES: Final = pa.array(sorted(call_row.STATUSES))
_WASTE_STATUSES: Final = pa.array(sorted(call_row.WASTE_STATUSES))
_OUTCOMES: Final = pa.array(sorted(call_row.OUTCOMES))


def stated(attributes: Attributes) -> tuple[Bools, dict[str, pa.Array]]:
    """Which spans are calls, or odd, and what they state, in columns of `batch.CALLS`."""
    columns = {
        **{column: attributes.text(key, call_row.LONGEST_NAME) for column, key in call_row.NAMES.items()},
        **{column: attributes.text(key, call_row.LONGEST_NOTE) for column, key in call_row.NOTES.items()},
        **{column: attributes.count(key, call_row.MOST_TOKENS) for column, key in call_row.METERS.items()},
        "audio_seconds": attributes.number(semconv.USAGE_ATTRIBUTES["audio_seconds"], _QUANTITY, QUANTITY),
        "service_tier": mapped(attributes.text(semconv.CALL_SERVICE_TIER, call_row.LONGEST_NAME), tier_id),
        "metered": pa.array(np.ones(attributes.spans, np.bool_)),
        **_cost(attributes),
        **_outcome(attributes),
        **_charge(attributes),
    }
    return np.ones(attributes.spans, np.bool_), columns


def _cost(attributes: Attributes) -> dict[str, pa.Array]:
    """What the calls cost, as their application says. An amount whose status is unknown is passed over."""
    status = attributes.choice(semconv.COST_STATUS, _STATUSES)
    attributes.odd[bools(status.is_null())] = True
    amount = attributes.number(semconv.COST_AMOUNT, _AMOUNT, MONEY)
    attributes.choice(semconv.COST_CURRENCY, _CURRENCIES)
    is_priced = pc.not_equal(status, "unknown").fill_null(fill_value=False)
    attributes.odd[bools(pc.and_(is_priced, amount.is_null()))] = True
    return {"cost_status": status, "cost": pc.if_else(is_priced, amount, None)}


def _outcome(attributes: Attributes) -> dict[str, pa.Array]:
    """How the calls ended, which attempts failed, and what of them may have been charged."""
    waste_status = attributes.choice(semconv.WASTE_STATUS, _WASTE_STATUSES)
    waste = attributes.number(semconv.WASTE_AMOUNT, _AMOUNT, MONEY)
    is_estimated = pc.equal(waste_status, "estimated").fill_null(fill_value=False)
    attributes.odd[bools(pc.and_(is_estimated, waste.is_null()))] = True
    return {
        "outcome": attributes.choice(semconv.CALL_OUTCOME, _OUTCOMES).fill_null("ok"),
        "attempts": attributes.count(semconv.CALL_ATTEMPTS, call_row.MOST_ATTEMPTS).cast(pa.int32()),
        "failures": attributes.texts(semconv.CALL_FAILURES, call_row.MOST_FAILURES, call_row.LONGEST_NAME),
        "waste_status": waste_status,
        "waste": pc.if_else(is_estimated, waste, None),
    }


def _charge(attributes: Attributes) -> dict[str, pa.Array]:
    """What was charged for, where that was no call to a model, and how much of it."""
    charge = attributes.text(semconv.CHARGE_NAME, call_row.LONGEST_NAME)
    units = attributes.number(semconv.CHARGE_UNITS, _QUANTITY, QUANTITY)
    return {"charge": charge, "units": pc.if_else(charge.is_valid(), units, None)}
