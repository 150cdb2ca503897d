"""`Usage` -> `Cost`: known, estimated or unknown, from dated prices."""

from otel_cost.pricing.cost import Cost, CostStatus
from otel_cost.pricing.prices import (
    advice,
    are_loaded,
    charge_to_add,
    context_window,
    lines_to_add,
    load_in_background,
    maker_of,
    most,
    of_text,
    price,
    price_by_first,
    price_units,
)

__all__ = [
    "Cost",
    "CostStatus",
    "advice",
    "are_loaded",
    "charge_to_add",
    "context_window",
    "lines_to_add",
    "load_in_background",
    "maker_of",
    "most",
    "of_text",
    "price",
    "price_by_first",
    "price_units",
]
