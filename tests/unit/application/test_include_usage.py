"""The chunk that states the usage of a stream that we asked, cut out of it wherever its pieces are cut."""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_cost.instrumentation import include_usage
from otel_cost.instrumentation.include_usage import UsageCut, asking
from otel_cost.usage import recognise

URL = "https://api.openai.com/v1/chat/completions"
ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Grüß Gott"}], "stream": True}
USED = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
FIRST = {"id": "c1", "choices": [{"index": 0, "delta": {"content": "né"}}], "usage": None}
FILTER = {"id": "c1", "choices": [], "prompt_filter_results": [{"prompt_index": 0}], "usage": None}
QUOTES = {"id": "c1", "choices": [{"index": 0, "delta": {"content": '"choices": []'}}], "usage": USED}
USAGE = {"id": "c1", "choices": [], "usage": USED}


def event(data: Any, end: str, *, loose: bool = True) -> bytes:
    text = json.dumps(data, ensure_ascii=False, separators=None if loose else (",", ":"))
    return f"data: {text}{end}{end}".encode()


def stream(end: str, *, loose: bool = True) -> tuple[bytes, bytes]:
    """A stream, and what of it is for the application."""
    before = [event(item, end, loose=loose) for item in (FILTER, FIRST, QUOTES)]
    comment = f": keep-alive{end}{end}".encode()
    done = f"data: [DONE]{end}{end}".encode()
    for_the_app = [*before, comment, done]
    return b"".join([*before, comment, event(USAGE, end, loose=loose), done]), b"".join(for_the_app)


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    edges = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    for start, end in pairwise(edges):
        yield data[start:end]


@given(st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(), st.lists(st.integers(0, 5000), max_size=40))
def test_the_application_gets_all_but_the_usage_however_it_is_cut(end: str, loose: bool, cuts: list[int]) -> None:  # noqa: FBT001 - drawn
    sent, expected = stream(end, loose=loose)
    cut = UsageCut()
    assert b"".join([*(cut.feed(piece) for piece in pieces(sent, cuts)), cut.rest()]) == expected


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_byte_by_byte_each_event_passes_with_its_last_byte(end: str) -> None:
    sent, expected = stream(end)
    cut, passed = UsageCut(), b""
    for number, byte in enumerate(sent):
        passed += cut.feed(bytes([byte]))
        whole = sent[: number + 1]
        if whole.endswith((end * 2).encode()) and b'"choices": [], "usage"' not in whole:
            assert passed == whole
    assert passed + cut.rest() == expected


@given(st.lists(st.sampled_from([b"data: {", b'"choices": []', b"\n", b"\r", b"\n\n", b"[]", b"data: [", b"\xff"])))
def test_what_is_no_usage_passes_whatever_it_is(sent: list[bytes]) -> None:
    cut = UsageCut()
    assert b"".join([*map(cut.feed, sent), cut.rest()]) == b"".join(sent)


def test_an_event_that_is_not_whole_is_left_over() -> None:
    cut = UsageCut()
    assert cut.feed(b"data: [DONE]\n\ndata: {") == b"data: [DONE]\n\n"
    assert (cut.rest(), cut.rest()) == (b"data: {", b"")


def test_an_event_that_grows_without_end_is_not_held_back() -> None:
    cut, sent = UsageCut(), b"data: " + b"x" * 40_000
    assert cut.feed(sent) == b""
    assert cut.feed(sent) == sent * 2
    assert cut.feed(b"\n\n") == b"\n\n"


# --- asking --------------------------------------------------------------------------------------------------------
def asked(body: bytes, url: str = URL, headers: dict[str, str] | None = None) -> bytes | None:
    request = recognise("POST", url, body)
    assert request is not None
    return asking(request, url, headers or {})


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, {"include_usage": True}),
        ({"stream_options": None}, {"include_usage": True}),
        ({"stream_options": {"include_obfuscation": False}}, {"include_obfuscation": False, "include_usage": True}),
        ({"metadata": {"stream_options": 1}}, {"include_usage": True}),
    ],
)
def test_a_stream_is_asked_for_its_usage_and_all_else_stays(options: Any, sent: Any) -> None:
    body = {**ASK, **options}
    for text in (json.dumps(body), json.dumps(body, ensure_ascii=False, indent=2) + "\n"):
        more = asked(text.encode())
        assert more is not None
        assert json.loads(more) == {**body, "stream_options": sent}


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({**ASK, "stream": False}).encode(),
        json.dumps({**ASK, "stream_options": {"include_usage": False}}).encode(),
        json.dumps({**ASK, "stream_options": {"include_usage": True}}).encode(),
        json.dumps({**ASK, "stream_options": "all"}).encode(),
        json.dumps(ASK).encode("utf-16"),
        json.dumps(ASK).encode("utf-16-le"),
    ],
)
def test_what_states_its_wish_or_is_no_such_stream_is_left_alone(body: bytes) -> None:
    assert asked(body) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1/responses",
        "https://api.mistral.ai/v1/chat/completions",
        "https://gateway.example/v1/chat/completions",
    ],
)
def test_who_is_not_known_to_take_the_question_is_not_asked(url: str) -> None:
    assert asked(json.dumps({**ASK, "input": "x"}).encode(), url) is None


def test_not_more_endpoints_are_remembered_than_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(include_usage, "_MOST_REFUSING", 1)
    refusal = b'{"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]}'
    assert include_usage.refuses(f"{URL}?api-version=2023-05-15", refusal)
    assert include_usage.refuses("https://gateway.example/v1/chat/completions", refusal)
    assert include_usage._refusing == {URL}
    assert asked(json.dumps(ASK).encode()) is None


def test_what_is_signed_or_switched_off_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps(ASK).encode()
    assert asked(body) is not None
    assert asked(body, headers={"x-amz-content-sha256": "5d41"}) is None
    monkeypatch.setenv("OTEL_COST_INCLUDE_USAGE", "false")
    assert asked(body) is None
