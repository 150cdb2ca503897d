import gzip
import json
import zlib
from dataclasses import replace

import brotli
import pytest
import zstandard

from otel_cost.usage import FORMATS, Reading, Usage, framing, reader_of

CHAT = {
    "id": "chatcmpl-1",
    "model": "gpt-4o-2024-08-06",
    "service_tier": "default",
    "usage": {
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "prompt_tokens_details": {"cached_tokens": 600},
        "completion_tokens_details": {"reasoning_tokens": 50},
    },
}
CHAT_USAGE = Usage(input_tokens=1000, output_tokens=200, cache_read_tokens=600, reasoning_tokens=50)
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "model": "claude-sonnet-4-5-20250929",
    "usage": {
        "input_tokens": 10,
        "cache_read_input_tokens": 500,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
        "output_tokens": 40,
        "server_tool_use": {"web_search_requests": 2},
        "service_tier": "standard",
    },
}
MESSAGE_USAGE = Usage(
    input_tokens=810,
    output_tokens=40,
    cache_read_tokens=500,
    cache_write_tokens=300,
    cache_write_5m_tokens=100,
    cache_write_1h_tokens=200,
    web_searches=2,
)
EVENTS = {"content-type": "text/event-stream; charset=utf-8"}


def whole(wire_format: str, document: object, **headers: str) -> Reading:
    reader = reader_of(FORMATS[wire_format], {"content-type": "application/json", **headers})
    reader.feed(json.dumps(document).encode())
    return reader.reading()


def stream(wire_format: str, *events: object, end: bytes = b"\n\n") -> Reading:
    reader = reader_of(FORMATS[wire_format], EVENTS)
    for event in events:
        text = event if isinstance(event, str) else json.dumps(event)
        reader.feed(b"data: " + text.encode() + end)
    return reader.reading()


def test_openai_chat() -> None:
    expected = Reading(CHAT_USAGE, "gpt-4o-2024-08-06", "chatcmpl-1", "standard", complete=True)
    assert whole("openai.chat", CHAT) == expected


def test_openai_responses() -> None:
    document = {
        "id": "resp_1",
        "model": "gpt-5",
        "usage": {
            "input_tokens": 30,
            "input_tokens_details": {"cached_tokens": 20},
            "output_tokens": 9,
            "output_tokens_details": {"reasoning_tokens": 4},
        },
    }
    assert whole("openai.responses", document).usage == Usage(30, 9, cache_read_tokens=20, reasoning_tokens=4)


def test_openai_embeddings() -> None:
    assert whole("openai.embeddings", {"model": "e", "usage": {"prompt_tokens": 8, "total_tokens": 8}}).usage == Usage(
        8
    )


def test_anthropic_input_includes_what_the_cache_gave_and_took() -> None:
    reading = whole("anthropic.messages", MESSAGE)
    assert reading.usage == MESSAGE_USAGE
    assert (reading.response_id, reading.service_tier) == ("msg_1", "standard")


@pytest.mark.parametrize("document", [{}, [], "text", {"usage": None}, {"usage": {}}, {"usage": 7}])
def test_a_response_without_usage_states_none(document: object) -> None:
    assert whole("openai.chat", document).usage is None


def test_a_figure_that_is_not_there_counts_for_nothing_and_one_without_fraction_is_whole() -> None:
    for document in ({"completion_tokens": 3.0}, {"prompt_tokens": None, "completion_tokens": 3}):
        usage = whole("openai.chat", {"usage": document}).usage
        assert usage == Usage(0, 3)
        assert isinstance(usage.output_tokens, int)


@pytest.mark.parametrize("bad", [-5, 1.5, "12", True, [], {}, 2**63, float("nan"), float("inf")])
def test_what_is_no_count_is_not_taken_for_none(bad: object) -> None:
    document = {"usage": {"prompt_tokens": bad, "completion_tokens": 3}}
    reading = whole("openai.chat", document)
    assert reading.usage is None
    assert reading.unreadable == (f"prompt_tokens={bad!r}",)


def test_a_usage_without_any_meter_is_none() -> None:
    assert whole("openai.chat", {"usage": {"total_tokens": 7}}).usage is None


def test_what_is_no_json_reads_as_nothing() -> None:
    reader = reader_of(FORMATS["openai.chat"], {})
    reader.feed(b"<html>")
    assert reader.reading() == Reading()


def test_a_chat_stream_states_usage_in_its_last_chunk() -> None:
    reading = stream(
        "openai.chat",
        {"id": "c1", "model": "gpt-4o", "choices": [{"delta": {"content": "He"}}], "usage": None},
        {"id": "c1", "model": "gpt-4o", "choices": [{"delta": {"content": "y"}}]},
        {"id": "c1", "model": "gpt-4o", "choices": [], "usage": CHAT["usage"]},
        "[DONE]",
    )
    assert reading == Reading(CHAT_USAGE, "gpt-4o", "c1", complete=True, output_events=2)


def test_a_chat_stream_without_usage_counts_its_pieces() -> None:
    reading = stream("openai.chat", {"id": "c1", "choices": [{"delta": {}}]}, "[DONE]")
    assert (reading.usage, reading.complete, reading.output_events) == (None, True, 1)


def test_a_responses_stream_states_usage_in_its_completed_event() -> None:
    done = {"type": "response.completed", "response": {"id": "r", "model": "m", "usage": {"input_tokens": 3}}}
    reading = stream(
        "openai.responses",
        {"type": "response.created", "response": {"id": "r", "usage": None}},
        {"type": "response.output_text.delta", "delta": "Hey"},
    )
    assert (reading.usage, reading.complete, reading.output_events) == (None, False, 1)
    reading = stream("openai.responses", done)
    assert (reading.usage, reading.complete) == (Usage(3), True)


def test_an_anthropic_stream_corrects_itself() -> None:
    start = {"type": "message_start", "message": {**MESSAGE, "usage": {**MESSAGE["usage"], "output_tokens": 1}}}  # type: ignore[dict-item] # a dict of dicts
    middle = stream("anthropic.messages", start, {"type": "content_block_delta", "delta": {"text": "Hey"}})
    assert middle.usage == replace(MESSAGE_USAGE, output_tokens=1)
    assert not middle.complete
    end = stream(
        "anthropic.messages",
        start,
        {"type": "content_block_delta", "delta": {"text": "Hey"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 40}},
        {"type": "message_stop"},
    )
    assert end.usage == MESSAGE_USAGE
    assert end.complete
    assert (end.response_id, end.model) == ("msg_1", "claude-sonnet-4-5-20250929")


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\n", b"\r\r"])
def test_any_line_ending_ends_a_line(end: bytes) -> None:
    assert stream("openai.chat", CHAT, "[DONE]", end=end).usage == CHAT_USAGE


def test_a_last_line_without_an_end_is_read_too() -> None:
    assert stream("openai.chat", CHAT, end=b"").usage == CHAT_USAGE


@pytest.mark.parametrize("event", ["not json", "[]", "3", ""])
def test_an_event_that_is_no_object_is_passed_over(event: str) -> None:
    assert stream("openai.chat", event, CHAT).usage == CHAT_USAGE


def test_other_fields_of_an_event_are_passed_over() -> None:
    reader = reader_of(FORMATS["openai.chat"], EVENTS)
    reader.feed(b": ping\nevent: message\nid: 7\nretry: 10\ndata:" + json.dumps(CHAT).encode() + b"\n\n")
    assert reader.reading().usage == CHAT_USAGE


def _raw_deflate(body: bytes) -> bytes:
    return zlib.compress(body)


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("deflate", _raw_deflate),
        ("br", brotli.compress),
        ("zstd", zstandard.compress),
        (" GZip ", gzip.compress),
    ],
)
def test_an_encoded_body_is_read_piece_by_piece(encoding: str, encode: object) -> None:
    body = encode(json.dumps(CHAT).encode())  # type: ignore[operator] # one of several functions
    reader = reader_of(FORMATS["openai.chat"], {"content-encoding": encoding})
    for at in range(len(body)):
        reader.feed(body[at : at + 1])
    assert reader.reading().usage == CHAT_USAGE


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(LookupError):
        reader_of(FORMATS["openai.chat"], {"content-encoding": "rot13"})


def test_an_encoding_whose_library_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", lacks)
    with pytest.raises(LookupError, match="none of brotli, brotlicffi is installed"):
        reader_of(FORMATS["openai.chat"], {"content-encoding": "br"})


def test_a_body_too_large_to_keep_is_passed_on_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "LARGEST", 10)
    assert whole("openai.chat", CHAT) == Reading()


def test_a_usage_of_ever_so_many_figures_is_read() -> None:
    usage = {**CHAT["usage"], **{f"figure_{number}": number for number in range(100)}}
    reading = whole("openai.chat", {**CHAT, "usage": usage})
    assert reading.usage == CHAT_USAGE
    assert reading.unmetered == tuple(f"figure_{number}" for number in range(1, 100))


def test_responses_that_state_the_same_places_are_read_each_by_its_figures() -> None:
    for count, tools in ((1, 0), (0, 3), (7, 1)):
        usage = {"prompt_tokens": count, "num_search_queries": tools, "extra": count}
        reading = whole("openai.chat", {**CHAT, "usage": usage})
        assert reading.usage == Usage(input_tokens=count, web_searches=tools)
        assert reading.unmetered == (("extra",) if count else ())
