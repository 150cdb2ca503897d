"""`Usage` -> `Cost`: known, estimated or unknown, from dated prices."""

from otel_cost.pricing.cost import Cost, CostStatus
from otel_cost.pricing.prices import advice, are_loaded, lines_to_add, load_in_background, price, price_by_first

__all__ = [
    "Cost",
    "CostStatus",
    "advice",
    "are_loaded",
    "lines_to_add",
    "load_in_background",
    "price",
    "price_by_first",
]
