"""Metrics for those who watch by them: tokens, cost, and calls without a price, of every call, sampled or not.

A metric is a float and a sum over a process; the exact figure of each call is on its span and in the ledger. Without a
metrics pipeline the instruments do nothing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
from opentelemetry import metrics

from otel_cost import money, semconv, settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.metrics import Counter, Histogram

_MODEL: Final = (
    semconv.GEN_AI_OPERATION_NAME,
    semconv.GEN_AI_PROVIDER_NAME,
    semconv.GEN_AI_REQUEST_MODEL,
    semconv.GEN_AI_RESPONSE_MODEL,
)
_TOKENS: Final = {"input": semconv.GEN_AI_USAGE_INPUT_TOKENS, "output": semconv.GEN_AI_USAGE_OUTPUT_TOKENS}
_BUCKETS: Final = tuple(4.0**exponent for exponent in range(14))
"""Boundaries that the conventions advise for token counts: 1, 4, 16 and so on, to 67,108,864."""
_MOST_LABELS: Final = 2000
"""Sets of labels that a process keeps apart. Names come from requests, so without a bound any number could."""
_OTHER: Final = "other"
_seen: set[tuple[object, ...]] = set()


class _Instruments(msgspec.Struct, frozen=True):
    tokens: Histogram
    cost: Counter
    waste: Counter
    unpriced: Counter


@lru_cache(maxsize=1)
def _instruments() -> _Instruments:
    meter = metrics.get_meter("otel_cost")
    return _Instruments(
        meter.create_histogram(
            semconv.METRIC_TOKEN_USAGE,
            "{token}",
            "Tokens of calls to models, input and output.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        ),
        meter.create_counter(semconv.METRIC_COST, money.CURRENCY, "What calls to models cost, known or estimated."),
        meter.create_counter(semconv.METRIC_WASTE, money.CURRENCY, "What failed attempts may have cost beside."),
        meter.create_counter(semconv.METRIC_UNPRICED, "{call}", "Calls to models whose cost is unknown."),
    )


def record(call: Mapping[str, Any]) -> None:
    """Count the call that a span's attributes `call` tell of. One that a budget refused was none."""
    if not _has_pipeline() or call.get(semconv.CALL_OUTCOME) == "refused":
        return
    dimensions = tuple(map(semconv.dimension_key, settings.get(settings.METRIC_DIMENSIONS)))
    labels = _labels(call, (*_MODEL, *dimensions))
    of_model = {name: value for name, value in labels.items() if name in _MODEL}
    into = _instruments()
    for kind, name in _TOKENS.items():
        if name in call:
            into.tokens.record(call[name], {**of_model, semconv.GEN_AI_TOKEN_TYPE: kind})
    if semconv.COST_AMOUNT in call:
        status = {semconv.COST_STATUS: call[semconv.COST_STATUS]}
        into.cost.add(float(call[semconv.COST_AMOUNT]), {**labels, **status})
    else:
        into.unpriced.add(1, of_model)
    if semconv.WASTE_AMOUNT in call:
        into.waste.add(float(call[semconv.WASTE_AMOUNT]), labels)


def _labels(call: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """What `call` says of `names`; "other" for each where there are too many sets of labels already."""
    values = tuple(call.get(name) for name in names)
    if values not in _seen:
        if len(_seen) >= _MOST_LABELS:
            values = tuple(value and _OTHER for value in values)
        else:
            _seen.add(values)
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _has_pipeline() -> bool:
    """Whether somebody exports metrics. Else the instruments would do nothing, at some cost for each call."""
    return hasattr(metrics.get_meter_provider(), "force_flush")


def flush(milliseconds: int) -> None:
    """Have what was counted exported, where somebody exports it: the process ends in a way that would lose it."""
    force_flush = getattr(metrics.get_meter_provider(), "force_flush", None)
    if force_flush is not None:
        force_flush(milliseconds)
