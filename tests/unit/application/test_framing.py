"""A body taken apart into its JSON documents, whatever its framing, wherever it is cut."""

import base64
import json
import random
import struct
import tracemalloc
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any
from zlib import crc32

import pytest

from otel_cost.usage import framing
from otel_cost.usage.framing import framer_of
from tests.event_stream import message, text

Documents = list[tuple[str, Any]]


def fed(body: bytes, *, step: int = 0, content_type: str = "") -> tuple[Documents, bool]:
    """What a body, cut into pieces of `step` bytes, says by its end, and whether that is its own end."""
    framer = framer_of(content_type)
    found = []
    for start in range(0, len(body), step or len(body) or 1):
        found += framer.feed(body[start : start + step] if step else body)
    found += framer.end()
    return [(document.name, document.value) for document in found], framer.complete


def documents(body: bytes, **how: Any) -> Documents:
    whole, complete = fed(body, **how)
    for step in (1, 2, 3, 7, 64):
        assert fed(body, step=step, **how) == (whole, complete)
    return whole


def values(body: bytes, **how: Any) -> list[Any]:
    return [value for _, value in documents(body, **how)]


class TestWhole:
    def test_a_document(self) -> None:
        assert values(b'{"a": 1}') == [{"a": 1}]

    def test_of_many_lines(self) -> None:
        body = json.dumps({"a": [{"b": 1}, {"c": "}\n{"}], "d": {"e": {}}}, indent=2).encode() + b"\n"
        assert values(body) == [json.loads(body)]

    def test_under_any_content_type(self) -> None:
        for content_type in ("text/event-stream", "application/x-ndjson", "text/plain", "application/octet-stream"):
            assert values(b'{"a": 1}\n', content_type=content_type) == [{"a": 1}]

    def test_behind_white_space_and_a_byte_order_mark(self) -> None:
        assert values(b'\n\n \xef\xbb\xbf {"a": 1}') == [{"a": 1}]

    def test_is_complete_as_soon_as_it_is_whole(self) -> None:
        framer = framer_of("application/json")
        framer.feed(b'{"a": ')
        assert not framer.complete
        framer.feed(b"1}")
        assert framer.complete

    def test_cut_short_is_none(self) -> None:
        assert fed(b'{"a": 1') == ([("", None)], False)

    def test_nothing_at_all(self) -> None:
        assert fed(b"") == fed(b" \n") == fed(b"\xef\xbb") == ([], False)

    def test_what_is_no_object_is_none(self) -> None:
        assert [value for value in values(b"<html></html>") if value] == []
        assert fed(b"{" * 100_000) == ([("", None)], False)
        assert fed(b'{"a":' * 100_000) == ([("", None)], False)

    def test_a_byte_that_is_no_utf8_spoils_one_word(self) -> None:
        assert values(b'{"a": "\xff\xfe", "b": 2}') == [{"a": "\ufffd\ufffd", "b": 2}]

    def test_too_large_is_not_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(framing, "LARGEST", 20)
        assert fed(b'{"a": "%s"}' % (b"x" * 40), step=8) == ([("", None)], False)


class TestEvents:
    BODY = (
        b': keep-alive\n\nevent: start\ndata: {"a": "\xc3\xa4\xf0\x9f\x98\x80"}\n\nid: 7\nretry: 3\ndata:{"b": 2}\n\n'
        b'event:sum\ndata: {"c":\ndata: [3,\ndata: 4]}\n\ndata: [DONE]\n\n'
    )
    FOUND = (("start", {"a": "ä😀"}), ("", {"b": 2}), ("sum", {"c": [3, 4]}))

    @pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
    @pytest.mark.parametrize("content_type", ["text/event-stream; charset=utf-8", "text/plain", "application/json", ""])
    def test_any_line_ending_under_any_content_type(self, end: bytes, content_type: str) -> None:
        assert documents(self.BODY.replace(b"\n", end), content_type=content_type) == [*self.FOUND]
        assert fed(self.BODY.replace(b"\n", end))[1]

    def test_cut_at_every_two_positions(self) -> None:
        body = self.BODY.replace(b"\n", b"\r\n")
        for first, second in pairwise(range(0, len(body), 3)):
            framer = framer_of("text/event-stream")
            found = [*framer.feed(body[:first]), *framer.feed(body[first:second]), *framer.feed(body[second:])]
            assert [(document.name, document.value) for document in found] == [*self.FOUND]

    def test_a_byte_order_mark(self) -> None:
        assert documents(b"\xef\xbb\xbf" + self.BODY) == [*self.FOUND]

    def test_an_event_is_there_with_its_last_line_even_where_a_line_feed_may_follow(self) -> None:
        framer = framer_of("text/event-stream")
        assert [document.value for document in framer.feed(b'data: {"a": 1}\r\n\r')] == [{"a": 1}]
        assert framer.feed(b"\n") == []
        assert [document.value for document in framer.feed(b'data: {"a": 2}\r\r')] == [{"a": 2}]

    def test_the_end_of_the_stream_ends_the_last_event(self) -> None:
        assert values(b'data: {"a": 1}\n\ndata: {"b": 2}') == [{"a": 1}, {"b": 2}]
        assert fed(b'data: {"a": 1}\n\ndata: [DONE]') == ([("", {"a": 1})], True)

    def test_events_without_an_empty_line_between_them(self) -> None:
        assert values(b'data: {"a": 1}\ndata: {"b": 2}\ndata: [DONE]\n') == [{"a": 1}, {"b": 2}]

    def test_the_name_of_an_event_is_its_own(self) -> None:
        assert documents(b'event: one\n\ndata: {"a": 1}\n\n') == [("", {"a": 1})]

    def test_data_that_is_no_json(self) -> None:
        assert values(b"event: output\ndata: , here's\ndata\ndata: \n\nsomething: else\n\n") == [None]

    def test_an_event_is_seen_without_being_parsed(self) -> None:
        (document,) = framer_of("").feed(b'data: {"a": 1}\n\n')
        assert document.text == b'{"a": 1}'

    def test_too_long_a_line_is_passed_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(framing, "LARGEST", 20)
        body = b'data: {"a": "%s"}\n\ndata: {"b": 2}\n\n' % (b"x" * 100)
        assert fed(body, step=8) == ([("", {"b": 2})], False)

    def test_too_much_data_in_one_event_is_passed_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(framing, "LARGEST", 20)
        assert values(b"data: 12345678\n" * 9 + b'\ndata: {"b": 2}\n\n') == [{"b": 2}]

    def test_a_line_without_end_takes_no_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(framing, "LARGEST", 100_000)
        framer = framer_of("text/event-stream")
        tracemalloc.start()
        for _ in range(1000):
            framer.feed(b"data: " + b"x" * 10_000)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
        tracemalloc.stop()


class TestLines:
    @pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n"])
    def test_one_document_on_each(self, end: bytes) -> None:
        body = end.join([b'{"a": "}"}', b'{"b": [{}]}', b'{"c": 3}'])
        assert values(body) == values(body + end) == [{"a": "}"}, {"b": [{}]}, {"c": 3}]

    def test_they_come_as_they_end(self) -> None:
        framer = framer_of("application/x-ndjson")
        seen = [[document.value for document in framer.feed(b'{"a": %d}\n' % n)] for n in range(3)]
        assert seen == [[], [{"a": 0}, {"a": 1}], [{"a": 2}]]
        assert not framer.complete

    def test_a_line_that_is_cut_is_none(self) -> None:
        assert values(b'{"a": 1}\n{"b": 2}\n{"c": ') == [{"a": 1}, {"b": 2}, None]


class TestArray:
    ELEMENTS = ({"a": 'x"]}\\'}, {"b": [{"c": "\n\\n"}], "d": {}}, {"e": "ä😀"})

    @pytest.mark.parametrize(("start", "between", "end"), [("[", ",", "]"), ("\n[\n ", "\n,\r\n", "\n]\n")])
    def test_each_object(self, start: str, between: str, end: str) -> None:
        for ascii_only in (True, False):
            elements = between.join(json.dumps(element, ensure_ascii=ascii_only) for element in self.ELEMENTS)
            body = (start + elements + end).encode()
            assert values(body) == list(self.ELEMENTS)
            assert fed(body)[1]
            assert not fed(body.rstrip()[:-1])[1]

    def test_it_comes_as_it_ends(self) -> None:
        framer = framer_of("application/json")
        pieces = (b'[{"a": 1', b"}", b"", b',{"b": "\\', b"", b'""}', b"]")
        seen = [[document.value for document in framer.feed(piece)] for piece in pieces]
        assert seen == [[], [{"a": 1}], [], [], [], [{"b": '"'}], []]
        assert framer.complete

    def test_what_is_no_object_is_passed_over(self) -> None:
        assert fed(b'[0.1, [1, {"a": 1}], "x", {"b": 2}, null]') == ([("", {"b": 2})], True)

    def test_too_large_an_object_is_not_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(framing, "LARGEST", 20)
        assert [value for _, value in fed(b'[{"a": "%s"}, {"b": 2}]' % (b"x" * 100), step=8)[0]] == [None, {"b": 2}]


class TestFrames:
    INNER = base64.b64encode(b'{"outputText": "w", "n": 2}')
    NAMED = text(":event-type", "metadata") + text(":content-type", "application/json") + text(":message-type", "event")

    def test_each_payload_with_its_name(self) -> None:
        body = message(b'{"a": 1}', text(":event-type", "messageStart")) + message(b'{"usage": 2}', self.NAMED)
        assert documents(body) == [("messageStart", {"a": 1}), ("metadata", {"usage": 2})]
        assert documents(body, content_type="application/vnd.amazon.eventstream") == documents(body)

    def test_what_a_model_said_itself_is_unwrapped(self) -> None:
        body = message(b'{"bytes":"%s","p":"abc"}' % self.INNER, text(":event-type", "chunk"))
        assert documents(body) == [("chunk", {"outputText": "w", "n": 2})]

    def test_bytes_that_are_something_else_are_left(self) -> None:
        for inner in (base64.b64encode(b"no JSON").decode(), "abcde"):
            assert values(message(b'{"bytes": "%s"}' % inner.encode())) == [{"bytes": inner}]

    @pytest.mark.parametrize("kind", [":exception-type", ":error-code"])
    def test_an_exception_has_its_name(self, kind: str) -> None:
        headers = text(":message-type", "exception") + text(kind, "throttlingException")
        assert documents(message(b'{"message": "slow"}', headers)) == [("throttlingException", {"message": "slow"})]

    def test_headers_of_every_type(self) -> None:
        lengths = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
        others = b"".join(b"\x01x" + bytes([kind]) + bytes(length) for kind, length in lengths.items())
        others += b"\x01y\x06" + struct.pack(">H", 3) + b"abc"
        assert documents(message(b"{}", others + self.NAMED)) == [("metadata", {})]

    @pytest.mark.parametrize("headers", [b"\x0a:event", b"\x01x\x20" + NAMED, b"\x01x", b"\x01x\x07\xff"])
    def test_headers_that_are_none(self, headers: bytes) -> None:
        assert documents(message(b"{}", headers)) == [("", {})]

    def test_a_payload_that_its_checksum_does_not_confirm_is_passed_over(self) -> None:
        broken = bytearray(message(b'{"a": 1}'))
        broken[-6] ^= 1
        assert values(message(b'{"b": 2}') + broken + message(b'{"c": 3}')) == [{"b": 2}, {"c": 3}]

    def test_nothing_is_read_after_a_length_that_its_checksum_does_not_confirm(self) -> None:
        broken = bytearray(message(b'{"a": 1}'))
        broken[3] ^= 1
        assert values(message(b'{"b": 2}') + broken + message(b'{"c": 3}')) == [{"b": 2}]

    @pytest.mark.parametrize(("length", "headers"), [(framing.LARGEST + 1, 0), (15, 0), (100, 90)])
    def test_nor_after_a_length_that_cannot_be(self, length: int, headers: int) -> None:
        prelude = struct.pack(">II", length, headers)
        assert values(prelude + struct.pack(">I", crc32(prelude)) + bytes(200)) == []

    def test_a_frame_that_is_cut_is_none(self) -> None:
        assert fed(message(b'{"a": 1}')[:-1]) == ([], False)


BODIES: Iterable[Callable[[], bytes]] = (
    lambda: TestEvents.BODY,
    lambda: b'{"a": 1}\n{"b": 2}\n',
    lambda: json.dumps(TestArray.ELEMENTS).encode(),
    lambda: message(b'{"a": 1}', TestFrames.NAMED) * 3,
)


@pytest.mark.parametrize("body", BODIES)
def test_no_byte_that_is_changed_raises(body: Callable[[], bytes]) -> None:
    chance = random.Random(7)  # noqa: S311 - a test that is the same each time
    for at in range(len(body())):
        broken = bytearray(body())
        broken[at] = chance.randrange(256)
        for _, value in documents(bytes(broken)):
            assert value is None or isinstance(value, dict)
