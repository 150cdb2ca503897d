"""Whether spans are read together or one by one: the same rows, whatever is in them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
import pytest
from exporter_building import DAY, NOON, SECOND, attributes, span
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from otel_cost import dialects, semconv
from otel_cost.dialects import Dialect
from otel_cost_exporter.decode import careful, columns, decode, foreign_columns
from otel_cost_exporter.decode.batch import CALLS, LIMITS
from otel_cost_exporter.decode.call_row import RejectedError
from otel_cost_exporter.decode.lean import LeanSpan
from otel_cost_exporter.decode.parcel import Parcel, Source
from otel_cost_exporter.decode.source import source_of

NOW: Final = time.time_ns() + DAY
PLAIN: Final = [dialects.GENAI, *filter(foreign_columns.is_plain, dialects.DIALECTS)]


@pytest.fixture(autouse=True, scope="module")
def _together() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "FEWEST_TOGETHER", 1)
        yield


# --- values that are as they should be -----------------------------------------------------------------------------
text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
names = st.sampled_from(["gpt-4o", "gpt-4o-mini", "openai", "é" * 20]) | text
counts = st.integers(0, 10**6) | st.sampled_from([0, 10**12 - 1])
amounts = st.decimals(0, 999_999, places=12, allow_nan=False).map(lambda amount: f"{amount:f}")
quantities = st.decimals(0, 10**6, places=6, allow_nan=False).map(lambda amount: f"{amount:f}")
statuses = st.sampled_from(["known", "estimated", "unknown"])

PRICED: Final[dict[str, st.SearchStrategy[Any]]] = {
    **dict.fromkeys(
        [
            *(semconv.GEN_AI_PROVIDER_NAME, semconv.GEN_AI_OPERATION_NAME, semconv.GEN_AI_REQUEST_MODEL),
            *(semconv.GEN_AI_RESPONSE_MODEL, semconv.GEN_AI_RESPONSE_ID, semconv.COST_SOURCE, semconv.ERROR_TYPE),
            *(
                semconv.COST_REASON,
                semconv.COST_PRICE_VERSION,
                semconv.COST_PRICE_TERMS,
                semconv.SERVER_ADDRESS,
                semconv.CALL_SERVICE_TIER,
            ),
            *(semconv.CHARGE_NAME, "otel_cost.tenant", "otel_cost.a", "otel_cost.Z", "http.request.method"),
            *map(semconv.dimension_key, semconv.DIMENSIONS),
        ],
        names,
    ),
    **dict.fromkeys(semconv.USAGE_ATTRIBUTES.values(), counts),
    semconv.USAGE_ATTRIBUTES["audio_seconds"]: quantities,
    semconv.COST_STATUS: statuses,
    semconv.COST_AMOUNT: amounts,
    semconv.COST_CURRENCY: st.just("USD"),
    semconv.CALL_OUTCOME: st.sampled_from(["ok", "error", "cut", "refused"]),
    semconv.CALL_ATTEMPTS: st.integers(0, 10**6),
    semconv.CALL_FAILURES: st.lists(names, max_size=3),
    semconv.WASTE_STATUS: st.sampled_from(["estimated", "unknown"]),
    semconv.WASTE_AMOUNT: amounts,
    semconv.CHARGE_UNITS: quantities,
    semconv.budget_key("run"): st.sampled_from(["0.05", "1", "20000tok"]),
    semconv.budget_key("tenant"): st.sampled_from(["0.05", "7"]),
}
NEEDED: Final = {
    semconv.COST_STATUS: "known",
    semconv.COST_AMOUNT: "0.0045",
    semconv.WASTE_AMOUNT: "0.1",
    semconv.dimension_key("run"): "r1",
    semconv.dimension_key("tenant"): "acme",
}
"""What others of the attributes are nothing without."""


def foreign(dialect: Dialect) -> dict[str, st.SearchStrategy[Any]]:
    texts = (dialect.provider, dialect.request_model, dialect.response_model, dialect.response_id, dialect.service_tier)
    return {
        **{name: names for some in texts for name in some},
        **{name: st.integers(0, 50) for some in dialect.meters.values() for name in some},
        **{name: st.integers(0, 100) for name in dialect.total},
        **{name: st.sampled_from([*sorted(dialect.calls), "execute_tool"]) for name in dialect.kind},
        **dict.fromkeys((*dialect.signs, *dialect.marks), names),
        semconv.ERROR_TYPE: names,
        semconv.SERVER_ADDRESS: names,
        semconv.dimension_key("run"): names,
        semconv.dimension_key("tenant"): names,
        semconv.budget_key("run"): st.sampled_from(["0.05", "1"]),
    }


# --- and values that are not ---------------------------------------------------------------------------------------
plain_odd: st.SearchStrategy[Any] = st.sampled_from(
    [
        *("", "x" * 513, "é" * 400, "NaN", "1e3", "+1", ".5", "0.0000000000001", "0.0000005", "1000000", "12", "²"),
        *("guessed", "EUR", -1, 2**62, 10**12, True, False, 1.5, 12.0, float("nan"), None),
        *([], ["x" * 600], ["a"] * 101),
    ]
)
odd_values = plain_odd.map(lambda plain: attributes({"": plain})[0].value) | st.sampled_from(
    [
        AnyValue(bytes_value=b"\xff"),
        AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="a")])),
        AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1), AnyValue()])),
    ]
)
odd_ids = st.sampled_from([b"", b"short", b"\x00" * 8, b"\xff" * 17])


@st.composite
def usual_spans(draw: st.DrawFn, values: dict[str, st.SearchStrategy[Any]], needed: dict[str, Any]) -> Span:
    stated = {**needed, **draw(st.fixed_dictionaries({}, optional=values))}
    start = NOON + draw(st.integers(0, DAY))
    return Span(
        trace_id=draw(st.binary(min_size=16, max_size=16)),
        span_id=draw(st.binary(min_size=8, max_size=8)),
        parent_span_id=draw(st.binary(min_size=8, max_size=8) | st.just(b"")),
        start_time_unix_nano=start,
        end_time_unix_nano=start + draw(st.integers(-SECOND, SECOND)),
        attributes=draw(st.permutations(attributes(stated))),
        status=Status(code=draw(st.sampled_from([0, 1, 2]))),  # type: ignore[arg-type]
        name=draw(names),
    )


@st.composite
def spans(draw: st.DrawFn, values: dict[str, st.SearchStrategy[Any]], needed: dict[str, Any]) -> Span:
    """A span with something odd to it, mostly."""
    span = draw(usual_spans(values, needed))
    for _ in range(draw(st.integers(0, 2))):
        key = draw(st.sampled_from([*values, *(f"otel_cost.own_{number}" for number in range(3)), *dialects_marks()]))
        if span.attributes and draw(st.booleans()):
            span.attributes[draw(st.integers(0, len(span.attributes) - 1))].key = key
        else:
            span.attributes.append(KeyValue(key=key, value=draw(odd_values)))
    if draw(st.booleans()):
        field = draw(st.sampled_from(["trace_id", "span_id", "parent_span_id"]))
        setattr(span, field, draw(odd_ids))
    if draw(st.booleans()):
        span.start_time_unix_nano = draw(st.sampled_from([0, 1, NOON, 2**64 - 1]))
    return span


PAYERS: Final = [semconv.dimension_key(name) for name in (*semconv.DIMENSIONS[:4], "tenant", "a", "region")]
resources = st.fixed_dictionaries({}, optional=dict.fromkeys([*PAYERS, semconv.VERSION, "service.name"], names)).map(
    lambda stated: Resource(attributes=attributes(stated))
)


def dialects_marks() -> list[str]:
    return [mark for dialect in dialects.DIALECTS for mark in dialect.marks]


# --- what both make of them ----------------------------------------------------------------------------------------
def one_by_one(message: bytes, source: Source) -> tuple[list[dict[str, Any]], list[Any]] | None:
    """The row, if any, and the limits of one span; None where something is wrong with it."""
    span = LeanSpan.FromString(message)
    try:
        row = careful.row(span, source, NOW)
    except RejectedError:
        return None
    if row is None:
        return [], []
    limits = list(careful.limits(span, row))
    return None if any(isinstance(limit, str) for limit in limits) else ([row], limits)


def check(sent: list[Span], dialect: Dialect | None, *, most_odd: int, payers: Resource | None = None) -> None:
    of_resource = b"" if payers is None else source_of(payers.SerializeToString(), b"").payers
    messages = [of_resource + span.SerializeToString() for span in sent]
    scope = dialect.scopes[0] if dialect is not None and dialect.scopes else ""
    source = Source("shop", None, dialect is None, scope)
    spoken = None if dialect is None else dialects.dialect_of({}, scope)
    found = columns.read(messages, [source] * len(messages), spoken, NOW)
    odd = {place for part in found for place in part.odd.tolist()}
    assert len(odd) <= most_odd
    rows, limits = [], []
    for place, message in enumerate(messages):
        if place not in odd:
            expected = one_by_one(message, source)
            assert expected is not None
            rows += expected[0]
            limits += expected[1]
    for table, same, schema in (("calls", rows, CALLS), ("limits", limits, LIMITS)):
        together = pa.concat_tables(getattr(part, table) for part in found)
        together.validate(full=True)
        assert listed(together) == listed(pa.Table.from_pylist(same, schema=schema))


def listed(table: pa.Table) -> list[str]:
    return sorted(map(str, table.to_pylist()))


@settings(max_examples=50)
@given(st.lists(usual_spans(PRICED, NEEDED), min_size=1, max_size=4), resources)
def test_priced_spans_that_are_as_they_should_be_are_read_together(sent: list[Span], payers: Resource) -> None:
    check(sent, None, most_odd=0, payers=payers)


@settings(max_examples=50)
@given(st.lists(spans(PRICED, NEEDED), min_size=1, max_size=4), resources)
def test_priced_spans_become_the_same_rows(sent: list[Span], payers: Resource) -> None:
    check(sent, None, most_odd=len(sent), payers=payers)


@settings(max_examples=50)
@given(st.data(), st.sampled_from(PLAIN), resources)
def test_foreign_spans_become_the_same_rows(data: st.DataObject, dialect: Dialect, payers: Resource) -> None:
    sent = data.draw(st.lists(spans(foreign(dialect), {}), min_size=1, max_size=4))
    check(sent, dialect, most_odd=len(sent), payers=payers)


@pytest.mark.parametrize("dialect", PLAIN, ids=lambda dialect: dialect.name)
def test_a_usual_span_of_each_dialect_is_read_together(dialect: Dialect) -> None:
    stated = {
        **dict.fromkeys(dialect.marks, "x"),
        **{mark: 1200 for mark in dialect.marks if mark in dialect.total},
        **{mark: 0 for mark in dialect.marks if any(mark in names for names in dialect.meters.values())},
        dialect.kind[0]: min(dialect.calls),
        dialect.provider[0]: "openai",
        dialect.request_model[0]: "gpt-4o",
        dialect.meters["input_tokens"][0]: 1000,
        dialect.meters["output_tokens"][0]: 200,
        dialect.total[0]: 1200,
    }
    usual = span(1, **{key.replace(".", "__"): value for key, value in stated.items()})
    check([usual], dialect, most_odd=0)
    (found,) = decode(
        [Parcel([usual.SerializeToString()], [Source(scope="".join(dialect.scopes[:1]))])]
    ).batch.calls.to_pylist()
    # 2.50 and 10 USD a million
    assert (found["operation"] in {"chat", "embeddings"}, found["provider"], found["cost"]) == (
        True,
        "openai",
        Decimal("0.0045"),
    )
