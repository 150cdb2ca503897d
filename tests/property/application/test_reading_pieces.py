"""However a response is cut into pieces on its way, it says the same."""

import gzip
import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from otel_cost.usage import FORMATS, Reading, reader_of

counts = st.integers(min_value=0, max_value=10**7)
endings = st.sampled_from([b"\n\n", b"\r\n\r\n"])
texts = st.text(max_size=20)


@st.composite
def chat_streams(draw: st.DrawFn) -> bytes:
    end = draw(endings)
    usage = {"prompt_tokens": draw(counts), "completion_tokens": draw(counts)}
    pieces = [{"model": "m", "id": "c", "choices": [{"delta": {"content": draw(texts)}}]} for _ in range(3)]
    events = [*pieces, {"choices": [], "usage": usage}]
    lines = [b"data: " + json.dumps(event, ensure_ascii=draw(st.booleans())).encode() for event in events]
    return end.join([*lines, b"data: [DONE]", b""])


@st.composite
def message_streams(draw: st.DrawFn) -> bytes:
    start = {"id": "m", "model": "c", "usage": {"input_tokens": draw(counts), "output_tokens": draw(counts)}}
    events = [
        {"type": "message_start", "message": start},
        {"type": "content_block_delta", "delta": {"text": draw(texts)}},
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": draw(counts)}},
        {"type": "message_stop"},
    ]
    end = draw(endings)
    return b"".join(
        b"event: " + str(event["type"]).encode() + end[: len(end) // 2] + b"data: " + json.dumps(event).encode() + end
        for event in events
    )


def read(wire_format: str, body: bytes, cuts: list[int], encoding: str = "") -> Reading:
    reader = reader_of(FORMATS[wire_format], {"content-type": "text/event-stream", "content-encoding": encoding})
    edges = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        reader.feed(body[start:end])
    return reader.reading()


cuts = st.lists(st.integers(min_value=0, max_value=10**6), max_size=12)


@given(body=chat_streams(), cuts=cuts)
def test_a_chat_stream(body: bytes, cuts: list[int]) -> None:
    whole = read("openai.chat", body, [])
    assert whole.complete
    assert whole.usage is not None
    assert read("openai.chat", body, cuts) == whole
    assert read("openai.chat", gzip.compress(body), cuts, "gzip") == whole


@given(body=message_streams(), cuts=cuts)
def test_a_message_stream(body: bytes, cuts: list[int]) -> None:
    whole = read("anthropic.messages", body, [])
    assert whole.complete
    assert read("anthropic.messages", body, cuts) == whole


@given(body=st.binary(max_size=300), wire_format=st.sampled_from(sorted(FORMATS)), cuts=cuts)
def test_any_bytes_at_all_are_read_without_an_error(body: bytes, wire_format: str, cuts: list[int]) -> None:
    assert isinstance(read(wire_format, body, cuts), Reading)


@given(body=message_streams(), at=st.integers(min_value=0, max_value=1000))
def test_a_stream_cut_anywhere_never_claims_to_be_complete(body: bytes, at: int) -> None:
    cut = body[: at % len(body)]
    assert read("anthropic.messages", cut, []).complete == (b"message_stop" in cut and b'"message_stop"}' in cut)
