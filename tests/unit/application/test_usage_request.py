import json

import pytest

from otel_cost.usage import Request, recognise


def asked(url: str, method: str = "POST", **fields: object) -> Request | None:
    return recognise(method, url, json.dumps(fields).encode())


@pytest.mark.parametrize(
    ("url", "provider", "wire_format", "operation"),
    [
        ("https://api.openai.com/v1/chat/completions", "openai", "openai.chat", "chat"),
        ("https://api.openai.com/v1/responses", "openai", "openai.responses", "chat"),
        ("https://api.openai.com/v1/embeddings", "openai", "openai.embeddings", "embeddings"),
        ("https://api.anthropic.com/v1/messages?beta=true", "anthropic", "anthropic.messages", "chat"),
    ],
)
def test_the_vendors_endpoints_are_known(url: str, provider: str, wire_format: str, operation: str) -> None:
    request = asked(url, model="m")
    assert request is not None
    assert (request.provider, request.known_provider) == (provider, True)
    assert (request.wire_format.name, request.wire_format.operation) == (wire_format, operation)
    assert request.model == "m"


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "https://api.openai.com/v1/chat/completions"),
        ("POST", "https://api.openai.com/v1/files"),
        ("POST", "https://api.anthropic.com/v1/messages/count_tokens"),
        ("POST", "https://example.com/"),
    ],
)
def test_other_requests_are_none_of_ours(method: str, url: str) -> None:
    assert asked(url, method, model="m") is None


def test_a_host_that_nobody_named_counts_by_its_shape() -> None:
    request = asked("https://llm.example:8443/v1/chat/completions", model="m", messages=[])
    assert request is not None
    assert (request.provider, request.known_provider, request.host, request.port) == (
        "llm.example",
        False,
        "llm.example",
        8443,
    )
    assert asked("https://chat.example/v1/messages", text="hello") is None
    assert asked("https://forms.example/f/7/responses", model="Tesla Model 3") is None


def test_a_named_base_url_has_the_named_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_COST_ENDPOINTS", "http://gw:1/a=anthropic/anthropic.messages,http://gw:1/o=openai")
    anthropic = asked("http://gw:1/a/anything", model="m")
    openai = asked("http://gw:1/o/v1/chat/completions", model="m")
    assert anthropic is not None
    assert openai is not None
    assert (anthropic.provider, anthropic.wire_format.name) == ("anthropic", "anthropic.messages")
    assert (openai.provider, openai.wire_format.name) == ("openai", "openai.chat")
    assert asked("http://gw:1/o/v1/models", model="m") is None


def test_a_format_that_does_not_exist_is_named_and_the_path_tells(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_COST_ENDPOINTS", "http://gw:2/o=openai/foo")
    for _ in range(2):
        request = asked("http://gw:2/o/v1/responses", model="m")
        assert request is not None
        assert request.wire_format.name == "openai.responses"
    (record,) = caplog.records
    assert "there is no format 'foo', only openai.chat, " in record.getMessage()


@pytest.mark.parametrize(
    ("url", "fields", "bound"),
    [
        ("https://api.openai.com/v1/chat/completions", {"max_completion_tokens": 50, "max_tokens": 9}, 50),
        ("https://api.openai.com/v1/chat/completions", {"max_tokens": 9}, 9),
        ("https://api.openai.com/v1/chat/completions", {"max_tokens": 9, "n": 4}, 36),
        ("https://api.openai.com/v1/chat/completions", {"max_tokens": True}, None),
        ("https://api.openai.com/v1/chat/completions", {"n": 4}, None),
        ("https://api.openai.com/v1/responses", {"max_output_tokens": 7}, 7),
        ("https://api.openai.com/v1/embeddings", {}, 0),
        ("https://api.anthropic.com/v1/messages", {"max_tokens": 1024}, 1024),
    ],
)
def test_the_bound_on_the_answer(url: str, fields: dict[str, object], bound: int | None) -> None:
    request = asked(url, model="m", **fields)
    assert request is not None
    assert request.max_output_tokens == bound


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[1]", b'"text"', b'{"model": 3}'])
def test_a_body_that_says_nothing_is_still_a_call_to_a_vendor(body: bytes) -> None:
    request = recognise("POST", "https://api.openai.com/v1/chat/completions", body)
    assert request is not None
    assert (request.model, request.stream, request.max_output_tokens) == (None, False, None)
    assert request.sizes() == (len(body), 0)


@pytest.mark.parametrize(
    ("media", "kept"),
    [
        ("data:image/png;base64," + "iVBORw0KGgo=" * 100, 0),
        ("data:text/plain;base64," + "aGVsbG8=" * 300, 2423),
        ("iVBORw0KGgo" + "A" * 4000, 0),
        ("/9j/4AAQ" + "A" * 3998 + "==", 0),
        ("ab12" * 50_000, 200_000),  # an id, a hash or a genome is text
        ("word " * 400, 2000),
        ("iVBORw0KGgo" + "A" * 900, 911),
    ],
)
def test_an_encoded_image_is_no_text(media: str, kept: int) -> None:
    request = asked("https://api.openai.com/v1/chat/completions", model="m", messages=[{"content": media}], n=1)
    assert request is not None
    around = len(json.dumps({"model": "m", "messages": [{"content": ""}], "n": 1}))
    text_size, media_size = request.sizes()
    assert text_size + media_size == around + len(media)
    assert media_size == (0 if kept else len(media) + 2)  # and its quotes
