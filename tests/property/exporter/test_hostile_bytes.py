"""Bytes that nobody meant to send: a refusal or a rejection, never a crash, and no other call goes with them."""

from __future__ import annotations

from exporter_building import call, request, span
from hypothesis import given
from hypothesis import strategies as st

from otel_cost_exporter.decode import columns, decode
from otel_cost_exporter.decode.parcel import Parcel, Source
from otel_cost_exporter.decode.walk import walk
from otel_cost_exporter.errors import MalformedError

FULL = call(
    7,
    otel_cost__run="r",
    otel_cost__tenant="acme",
    otel_cost__budget__run="0.5",
    otel_cost__call__failures=["429", "ReadTimeout"],
    otel_cost__waste__status="estimated",
    otel_cost__waste__amount="0.1",
    otel_cost__charge__name="web_search",
    otel_cost__charge__units="2.5",
).SerializeToString()
FOREIGN = span(
    8,
    gen_ai__operation__name="chat",
    gen_ai__provider__name="openai",
    gen_ai__request__model="gpt-4o",
    gen_ai__usage__input_tokens=100,
    gen_ai__usage__output_tokens=7,
).SerializeToString()
OTHERS = [call(number).SerializeToString() for number in (1, 2)]


@st.composite
def mutated(draw: st.DrawFn, whole: bytes) -> bytes:
    body = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 12))] = draw(
            st.binary(max_size=3)
            | st.sampled_from(
                [b"\xff" * 10, b"\x4a\x00", b"\x4a\x02\x0a\x00", b"\x12\x02\x18\x05", b"\x0b", b"\x80\x01"]
            )
            | st.integers(0, len(whole) - 1).map(lambda start: whole[start : start + 40])
        )
    return bytes(body)


@given(mutated(request(call(1), span(2), call(3), service__name="shop", otel_cost__version="1")))
def test_a_request_is_walked_or_refused(body: bytes) -> None:
    try:
        parcel = walk(body)
    except MalformedError:
        return
    found = decode([parcel])
    assert found.batch.calls.num_rows + found.batch.quarantine.num_rows <= len(parcel.spans) == len(parcel.sources)


@given(mutated(FULL) | mutated(FOREIGN), st.sampled_from([1, 10**9]))
def test_a_span_takes_no_other_with_it(message: bytes, fewest: int) -> None:
    before, columns.FEWEST_TOGETHER = columns.FEWEST_TOGETHER, fewest
    try:
        found = decode([Parcel([OTHERS[0], message, OTHERS[1]], [Source("shop")] * 3)])
    finally:
        columns.FEWEST_TOGETHER = before
    assert {1, 2} <= set(found.batch.calls["span_id"].to_pylist())
    (receipt,) = found.receipts
    rejected = receipt.rejections.total()
    assert found.batch.quarantine.num_rows == rejected <= 1
    assert found.batch.calls.num_rows <= 3 - rejected
    for table in (found.batch.calls, found.batch.limits, found.batch.quarantine):
        table.validate(full=True)
