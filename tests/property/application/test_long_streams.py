"""Of a long stream most events are passed over, many at once. What it says is what it says event by event."""

import json
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from otel_cost.usage import FORMATS, Reading, reader_of

WORDS = ("usage", '"usage": {', "[DONE]", "data: x\n\n", '{"type":"message_stop"}', "ä👋")
texts = st.lists(st.sampled_from(WORDS), min_size=60, max_size=90)
counts = st.integers(min_value=0, max_value=10**6)
cuts = st.lists(st.integers(min_value=0, max_value=10**5), max_size=40)
ends = st.sampled_from([b"\n", b"\r\n", b"\r"])


def chat(texts: list[str], count: int, at: int) -> list[dict[str, Any]]:
    """Chunks of which one, somewhere, states the usage so far, and the last all of it."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "service_tier": "flex"}
    chunks = [{**head, "choices": [{"index": 0, "delta": {"content": text * 9}}], "usage": None} for text in texts]
    chunks[at % len(chunks)]["usage"] = {"prompt_tokens": 5, "completion_tokens": 1}
    return [*chunks, {**head, "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": count}}]


def messages(texts: list[str], count: int, at: int) -> list[dict[str, Any]]:
    start = {"id": "msg_1", "model": "m", "usage": {"input_tokens": 5, "output_tokens": 1}}
    deltas: list[dict[str, Any]] = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text * 9}} for text in texts
    ]
    deltas.insert(at % len(deltas), {"type": "message_delta", "delta": {}, "usage": {"output_tokens": count}})
    return [{"type": "message_start", "message": start}, *deltas, {"type": "message_stop"}]


def responses(texts: list[str], count: int, at: int) -> list[dict[str, Any]]:
    response = {"id": "resp_1", "model": "m", "status": "in_progress", "usage": None}
    last = {**response, "status": "completed", "usage": {"input_tokens": 5, "output_tokens": count}}
    deltas: list[dict[str, Any]] = [{"type": "response.output_text.delta", "delta": text * 9} for text in texts]
    deltas.insert(at % len(deltas), {"type": "response.in_progress", "response": response})
    return [
        {"type": "response.created", "response": response},
        *deltas,
        {"type": "response.completed", "response": last},
    ]


FAMILIES = {"openai.chat": chat, "anthropic.messages": messages, "openai.responses": responses}


def read(wire_format: str, pieces: list[bytes]) -> Reading:
    reader = reader_of(FORMATS[wire_format], {"content-type": "text/event-stream"})
    for piece in pieces:
        reader.feed(piece)
    return reader.reading()


@st.composite
def streams(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]], int]:
    wire_format, count = draw(st.sampled_from(sorted(FAMILIES))), draw(counts)
    return wire_format, FAMILIES[wire_format](draw(texts), count, draw(st.integers(0, 1000))), count


@settings(max_examples=50)
@given(stream=streams(), cuts=cuts, end=ends)
def test_a_long_stream(stream: tuple[str, list[dict[str, Any]], int], cuts: list[int], end: bytes) -> None:
    wire_format, events, count = stream
    pieces = [b"data: " + json.dumps(event, ensure_ascii=False).encode() + end * 2 for event in events]
    body = b"".join(pieces)
    edges = sorted({0, len(body), *(cut % len(body) for cut in cuts)})
    found = read(wire_format, pieces)
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.output_tokens) == (5, count)
    assert (found.response_id is not None, found.model, found.complete) == (True, "m", True)
    assert found.output_events == sum("delta" in event or bool(event.get("choices")) for event in events)
    assert read(wire_format, [body]) == found
    assert read(wire_format, [body[start:stop] for start, stop in pairwise(edges)]) == found


def test_the_last_events_cut_anywhere_behind_much_that_is_passed_over() -> None:
    for wire_format, family in FAMILIES.items():
        events = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in family(["word"] * 200, 77, 0)]
        body, first = b"".join(events), b"".join(events[:20])
        for at in range(len(body) - len(events[-1]) - len(events[-2]), len(body)):
            found = read(wire_format, [first, body[len(first) : at], body[at:]])
            assert found.usage is not None
            assert (found.usage.output_tokens, found.complete) == (77, True)
