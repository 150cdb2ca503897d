"""What was said to a model and by it is let go of as soon as a span comes in, and the rows are the same."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from exporter_building import attributes, call, request, span
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_cost_exporter.decode import columns, decode, trim
from otel_cost_exporter.decode.parcel import Parcel, Source
from otel_cost_exporter.decode.trim import LARGE, LONGEST, trimmed
from otel_cost_exporter.decode.walk import walk

VECTORS = json.loads((Path(__file__).parents[3] / "docs/reference/span-dialects.json").read_text())["vectors"]
SECRET = "the secret that was said "
SAID = SECRET * 20_000  # 500 KB
FOREIGN = {
    "gen_ai__operation__name": "chat",
    "gen_ai__provider__name": "openai",
    "gen_ai__request__model": "gpt-4o",
    "gen_ai__usage__input_tokens": 1000,
    "gen_ai__usage__output_tokens": 200,
}


def chatty(plain: Span) -> Span:
    """`plain` with what was said, in all the places where instrumentations put it."""
    found = Span.FromString(plain.SerializeToString())
    found.attributes.extend(attributes({"gen_ai.input.messages": SAID, "gen_ai.output.messages": [SAID]}))
    found.attributes.extend(attributes({f"llm.input_messages.{at}.message.content": SECRET for at in range(50)}))
    found.events.add(name="gen_ai.content.prompt", attributes=attributes({"gen_ai.prompt": SAID}))
    found.links.add(attributes=attributes({"ai.prompt": SECRET}))
    return found


def rows(spans: list[bytes], source: Source) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = decode([Parcel(spans, [source] * len(spans))]).batch.calls.to_pylist()
    return found


def test_a_span_that_is_not_large_is_left_as_it_is() -> None:
    small = chatty(span(1))
    del small.attributes[:], small.events[:]
    body = small.SerializeToString()
    assert len(body) < LARGE
    assert trimmed(body) is body


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_row_is_the_same_without_what_was_said(vector: dict[str, Any]) -> None:
    plain, source = span(1), Source(scope=vector["scope"])
    plain.attributes.extend(attributes(vector["attributes"]))
    kept = trimmed(chatty(plain).SerializeToString())
    assert len(kept) < LARGE
    assert SECRET.encode() not in kept
    assert rows([kept], source) == rows([plain.SerializeToString()], source)


def test_many_large_spans_take_little_memory_and_nothing_of_what_was_said_is_kept() -> None:
    some = [chatty(span(number, **FOREIGN)) for number in range(1, 21)]
    body = request(*some, service__name="shop")
    assert len(body) > 20 * 10**6
    tracemalloc.start()
    parcels = [walk(body) for _ in range(10)]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5 * 10**6  # a span as it came, and all of them as they are kept
    assert sum(parcel.size for parcel in parcels) < 200 * 1000
    assert not any(SECRET.encode() in each for parcel in parcels for each in parcel.spans)
    assert len(parcels) * 20 > columns.FEWEST_TOGETHER
    without = walk(request(*(span(number, **FOREIGN) for number in range(1, 21)), service__name="shop"))
    assert decode(parcels).batch.calls.to_pylist() == decode([without] * 10).batch.calls.to_pylist()


def test_a_call_that_cannot_be_counted_leaves_nothing_of_what_was_said_in_the_quarantine() -> None:
    bad = chatty(call(1, gen_ai__usage__input_tokens=-1, otel_cost__run=SAID))
    (row,) = decode([walk(request(bad, otel_cost__version="1"))]).batch.quarantine.to_pylist()
    assert row["reason"] == "gen_ai.usage.input_tokens is negative or beyond 999999999999"
    assert SECRET not in str(row)


def test_a_text_that_is_read_is_cut_where_it_is_too_long_for_a_name() -> None:
    long = call(1, otel_cost__run="é" * LONGEST, otel_cost__call__failures=["x"] * LONGEST)
    cut, whole = Span.FromString(trimmed(long.SerializeToString())), {item.key: item for item in long.attributes}
    kept = {item.key: item for item in cut.attributes}
    assert kept["otel_cost.run"].value.string_value == "é" * LONGEST
    assert kept == whole
    longer = call(1, otel_cost__run="é" * LONGEST + "é")
    longer = Span.FromString(trimmed(longer.SerializeToString()))
    assert next(item for item in longer.attributes if item.key == "otel_cost.run").value.string_value == "é" * LONGEST


@pytest.mark.parametrize("garbage", [b"\xff" * 5000, b"\x0a\xff\x7f" + b"x" * 5000, b"\x4a\x86\x27\x09" + b"y" * 5000])
def test_what_is_no_span_is_left_as_it_is(garbage: bytes) -> None:
    assert trimmed(garbage) == garbage


def test_a_text_that_is_none_is_left_to_who_reads_it() -> None:
    body = call(1, otel_cost__run="~" * 2 * trim.LONGEST).SerializeToString().replace(b"~", b"\xff")
    assert trimmed(body) == body
    assert not rows([body], Source(metered=True))


def test_an_attribute_without_a_name_is_of_no_use() -> None:
    nameless = call(1, other=SAID)
    nameless.attributes[-1].key = ""
    assert Span.FromString(trimmed(nameless.SerializeToString())) == call(1)
