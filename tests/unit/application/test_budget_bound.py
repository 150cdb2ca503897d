"""What a request can become at most."""

import json
from decimal import Decimal
from typing import Any

import pytest
from msgspec import structs

from otel_cost import pricing
from otel_cost.budgets import Budget, Limit, Policy, claims_of
from otel_cost.budgets.bound import Bound, UnboundedError, bound_of
from otel_cost.pricing import sources
from otel_cost.usage import Request, recognise

CHAT = "https://api.openai.com/v1/chat/completions"
RESPONSES = "https://api.openai.com/v1/responses"
COMPLETIONS = "https://api.openai.com/v1/completions"
EMBEDDINGS = "https://api.openai.com/v1/embeddings"
MESSAGES = "https://api.anthropic.com/v1/messages"
GEMINI = "https://generativelanguage.googleapis.com/v1beta/models/gemini-3.5-flash:generateContent"
CONVERSE = "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"
PER_REQUEST, PER_MESSAGE, PER_TOOL, TOOLS_OF_CLAUDE = 32, 8, 32, 1000
PICTURE = "data:image/png;base64," + "iVBORw0KGgo" + "A" * 4000


def request(url: str, **fields: Any) -> Request:
    found = recognise("POST", url, json.dumps(fields).encode())
    assert found is not None
    return found


def bound(url: str, **fields: Any) -> Bound:
    return bound_of(request(url, **fields))


def user(*content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(content)}]


def size(**fields: Any) -> int:
    return len(json.dumps(fields).encode())


def test_text_counts_by_its_bytes_and_what_stands_around_it() -> None:
    fields = {"model": "gpt-4o", "max_tokens": 10, "messages": [{"role": "user", "content": "H\u00e9llo"}]}
    found = bound(CHAT, **fields)
    assert found.input_tokens == size(**fields) + PER_REQUEST + PER_MESSAGE
    assert found.output_tokens == 10
    assert found.tiers == (None,)
    assert found.terms == {}


@pytest.mark.parametrize(
    ("url", "fields", "tokens"),
    [
        (CHAT, {"model": "gpt-4o", "max_tokens": 100, "n": 3}, 300),
        (CHAT, {"model": "gpt-4o"}, 16_384),
        (CHAT, {"model": "gpt-4o", "n": 2}, 32_768),
        (CHAT, {"model": "gpt-5-2025-08-07"}, 128_000),
        (CHAT, {"model": "gpt-4-0613"}, 8_601),  # no more than its window, which is rounded: 8,192 and a twentieth
        (CHAT, {"model": "gpt-4o", "max_tokens": 10, "prediction": {"type": "content", "content": "x" * 20}}, 10 + 51),
        (RESPONSES, {"model": "gpt-5", "input": "Hi", "max_output_tokens": 50}, 50),
        (COMPLETIONS, {"model": "gpt-3.5-turbo-instruct", "prompt": ["a", "b"], "max_tokens": 7}, 14),
        (COMPLETIONS, {"model": "gpt-3.5-turbo-instruct", "prompt": [1, 2, 3], "max_tokens": 7, "best_of": 4}, 28),
        (COMPLETIONS, {"model": "gpt-3.5-turbo-instruct", "prompt": "a", "max_tokens": 7, "n": 2}, 14),
        (EMBEDDINGS, {"model": "text-embedding-3-small", "input": "Hi"}, 0),
        (MESSAGES, {"model": "claude-sonnet-4-5-20250929", "max_tokens": 9, "messages": []}, 9),
        (GEMINI, {"contents": [], "generationConfig": {"maxOutputTokens": 9, "candidateCount": 2}}, 18),
        (GEMINI, {"contents": []}, 65_536),
        (CONVERSE, {"messages": [], "inferenceConfig": {"maxTokens": True}}, 64_000),
        ("https://api.x.ai/v1/chat/completions", {"model": "grok-4.3", "max_completion_tokens": 5}, 5),
    ],
)
def test_the_answer_has_at_most(url: str, fields: dict[str, Any], tokens: int) -> None:
    assert bound(url, **fields).output_tokens == tokens


def test_a_bound_of_what_can_be_read_alone_is_none() -> None:
    """At xAI ``max_tokens`` leaves the reasoning out."""
    assert pricing.context_window("x_ai", "grok-4.3") == 1_000_000
    assert bound("https://api.x.ai/v1/chat/completions", model="grok-4.3", max_tokens=5).output_tokens == 1_050_000


def test_pictures_count_as_the_most_that_their_vendor_charges() -> None:
    picture = {"type": "image_url", "image_url": {"url": PICTURE}}
    linked = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "high"}}
    fields = {"model": "gpt-4o", "max_tokens": 10, "messages": user({"type": "text", "text": "Hi"}, picture, linked)}
    found = bound(CHAT, **fields)
    pictures = len(PICTURE) + len("https://example.com/a.png")
    assert found.input_tokens == size(**fields) - pictures + 2 * 1_536 + PER_REQUEST + PER_MESSAGE
    assert "image" in found.kinds


@pytest.mark.parametrize(
    ("url", "fields", "pictures"),
    [
        (
            MESSAGES,
            {"model": "claude-opus-4-8", "max_tokens": 9, "messages": user({"type": "image", "source": {}})},
            5_000,
        ),
        (GEMINI, {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": ""}}]}]}, 2_240),
        (CONVERSE, {"messages": user({"image": {"format": "png", "source": {"bytes": ""}}})}, 5_000),
        (CHAT, {"model": "gpt-4o-mini", "messages": user({"type": "image_url", "image_url": ""})}, 48_169),
        (RESPONSES, {"model": "gpt-6-sol", "input": user({"type": "input_image", "file_id": ""})}, 16_200),
    ],
)
def test_pictures_in_every_format(url: str, fields: dict[str, Any], pictures: int) -> None:
    without = PER_REQUEST + (0 if url is GEMINI else PER_MESSAGE)
    longest = {MESSAGES: "image", CONVERSE: "png", CHAT: "image_url", RESPONSES: "input_image", GEMINI: "image/png"}[
        url
    ]
    assert bound(url, **fields).input_tokens == size(**fields) - len(longest) + pictures + without


@pytest.mark.parametrize(
    ("url", "fields", "window", "kinds"),
    [
        (CHAT, {"model": "gpt-4o", "messages": user({"type": "file", "file": {"file_data": "x"}})}, 128_000, {"image"}),
        (
            CHAT,
            {"model": "gpt-4o", "messages": user({"type": "input_audio", "input_audio": {"data": "x"}})},
            128_000,
            {"audio"},
        ),
        (
            MESSAGES,
            {
                "model": "claude-haiku-4-5",
                "messages": user({"type": "document", "source": {"type": "base64", "data": "x"}}),
            },
            200_000,
            {"image"},
        ),
        (GEMINI, {"contents": [{"parts": [{"inline_data": {"mime_type": "audio/wav"}}]}]}, 1_048_576, {"audio"}),
        (GEMINI, {"contents": [{"parts": [{"inlineData": {"mimeType": "application/pdf"}}]}]}, 1_048_576, {"image"}),
        (CONVERSE, {"messages": user({"document": {"source": {"bytes": "x"}}})}, 1_000_000, {"image"}),
        (
            "https://api.mistral.ai/v1/chat/completions",
            {"model": "mistral-large-latest", "messages": user({"type": "image_url", "image_url": PICTURE})},
            262_144,
            {"image"},
        ),
    ],
)
def test_what_has_no_bound_of_its_own_fills_the_window(
    url: str, fields: dict[str, Any], window: int, kinds: set[str]
) -> None:
    found = bound(url, **fields)
    assert found.input_tokens == window
    assert kinds <= found.kinds


def test_a_document_that_is_text_counts_as_text() -> None:
    text = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Hello"}}
    parts = {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "Hello"}]}}
    fields = {"model": "claude-haiku-4-5", "max_tokens": 1, "messages": user(text, parts)}
    assert bound(MESSAGES, **fields).input_tokens == size(**fields) + PER_REQUEST + PER_MESSAGE


def test_tools_of_the_application_add_to_what_they_say() -> None:
    tool = {"name": "look_up", "input_schema": {"type": "object", "properties": {"image": {"type": "image"}}}}
    shell = {"type": "bash_20250124", "name": "bash"}
    fields = {"model": "claude-haiku-4-5", "max_tokens": 1, "messages": [], "tools": [tool, shell]}
    assert bound(MESSAGES, **fields).input_tokens == size(**fields) + PER_REQUEST + TOOLS_OF_CLAUDE + PER_TOOL + 1000
    fields = {"model": "gpt-4o", "messages": [], "tools": [{"type": "function", "function": {}}, "?"]}
    assert bound(CHAT, **fields).input_tokens == size(**fields) + PER_REQUEST + 2 * PER_TOOL
    fields = {"contents": [], "tools": [{"functionDeclarations": [{"name": "f"}]}]}
    assert bound(GEMINI, **fields).input_tokens == size(**fields) + PER_REQUEST + PER_TOOL
    fields = {"messages": [], "toolConfig": {"tools": [{"toolSpec": {}}, {"cachePoint": {"type": "default"}}]}}
    found = bound(CONVERSE, **fields)
    assert found.input_tokens == size(**fields) + PER_REQUEST + 2 * PER_TOOL + TOOLS_OF_CLAUDE
    assert found.kinds == {"write", "5m"}


@pytest.mark.parametrize(
    ("url", "model", "more"),
    [
        (CHAT, "grok-4.3", 1500),
        (CHAT, "openai/gpt-oss-120b", 200),
        (MESSAGES, "claude-haiku-4-5", 1000),
    ],
)
def test_prompts_that_providers_add(url: str, model: str, more: int) -> None:
    fields = {"model": model, "max_tokens": 1, "messages": [], "output_config": {"format": {}}}
    assert bound(url, **fields).input_tokens == size(**fields) + PER_REQUEST + more


def test_what_a_tool_was_asked_and_answered_is_text_whatever_it_looks_like() -> None:
    asked = {"type": "tool_use", "id": "1", "name": "f", "input": {"type": "video", "x": {"type": "y"}}}
    answered = {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "ok"}]}
    fields = {"model": "claude-haiku-4-5", "max_tokens": 1, "messages": user(asked, answered)}
    assert bound(MESSAGES, **fields).input_tokens == size(**fields) + PER_REQUEST + PER_MESSAGE
    call = {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]}
    fields = {"model": "gpt-4o", "messages": [call]}
    assert bound(CHAT, **fields).input_tokens == size(**fields) + PER_REQUEST + PER_MESSAGE


@pytest.mark.parametrize(
    ("cache_control", "kinds"),
    [
        (None, set()),
        ({"type": "ephemeral"}, {"write", "5m"}),
        ({"type": "ephemeral", "ttl": "1h"}, {"write", "5m", "1h"}),
    ],
)
def test_what_is_written_to_a_cache(cache_control: dict[str, str] | None, kinds: set[str]) -> None:
    text = {"type": "text", "text": "Hello", "cache_control": cache_control}
    for fields in (
        {"messages": user(text)},
        {"messages": [], "system": [text]},
        {"messages": [], "cache_control": cache_control},
        {"messages": [], "tools": [{"name": "f", "cache_control": cache_control}]},
    ):
        assert bound(MESSAGES, model="claude-haiku-4-5", max_tokens=1, **fields).kinds == kinds
    written = bound(CHAT, model="gpt-4o", max_tokens=1, messages=[]).kinds
    assert written == {"write", "5m"}  # whoever caches by himself may charge for it


HIDDEN = "the request does not show the file that it names"
RUNS = "the provider runs {} itself, and what that brings is input"


@pytest.mark.parametrize(
    ("url", "fields", "reason"),
    [
        (
            RESPONSES,
            {"previous_response_id": "r", "input": ""},
            "the request does not show what previous_response_id brings",
        ),
        (RESPONSES, {"prompt": {"id": "p"}, "input": ""}, "the request does not show the stored prompt that it names"),
        (
            RESPONSES,
            {"input": [{"type": "item_reference"}]},
            "nobody says what a part of type 'item_reference' has at most",
        ),
        (RESPONSES, {"input": [{"type": "reasoning"}]}, "the request does not show the reasoning that it names"),
        (RESPONSES, {"input": user({"type": "input_file", "file_id": "f"})}, HIDDEN),
        (RESPONSES, {"input": user({"type": "input_file", "file_url": "https://example.com"})}, HIDDEN),
        (RESPONSES, {"input": "", "tools": [{"type": "web_search"}]}, RUNS.format("web_search")),
        (CHAT, {"messages": user({"type": "file", "file": {"file_id": "f"}})}, HIDDEN),
        (CHAT, {"messages": [], "web_search_options": {}}, "the request does not show what web_search_options brings"),
        (
            CHAT,
            {"messages": [], "model": "gpt-4o-search-preview"},
            "'gpt-4o-search-preview' searches the web and reads",
        ),
        (CHAT, {"messages": [], "model": "nobodys"}, "it states no bound of its answer: set max_completion_tokens"),
        (MESSAGES, {"messages": user({"type": "document", "source": {"type": "url"}})}, HIDDEN),
        (MESSAGES, {"messages": user({"type": "document", "source": "?"})}, HIDDEN),
        (
            MESSAGES,
            {"messages": [], "tools": [{"type": "web_search_20250305", "max_uses": 2}]},
            "web_search_20250305 itself",
        ),
        (
            MESSAGES,
            {"messages": user({"type": "container_upload"})},
            "nobody says what a part of type 'container_upload'",
        ),
        (GEMINI, {"contents": [{"parts": [{"fileData": {"fileUri": "gs://x"}}]}]}, HIDDEN),
        (GEMINI, {"contents": [], "cachedContent": "c"}, "the request does not show what cachedContent brings"),
        (GEMINI, {"contents": [], "tools": [{"googleSearch": {}}]}, RUNS.format("googleSearch")),
        (CONVERSE, {"messages": user({"document": {"source": {"s3Location": {}}}})}, HIDDEN),
        (CHAT, {"messages": user({"type": "image_url"}), "model": "nobodys"}, "nobody says how many tokens a picture"),
        (
            "https://api.openai.com/v1/images/generations",
            {"prompt": "A cat"},
            "requests of the format openai.images have none",
        ),
    ],
)
def test_what_has_no_bound(url: str, fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnboundedError) as raised:
        bound(url, **{"model": "claude-haiku-4-5" if url is MESSAGES else "gpt-5", **fields})
    assert str(raised.value).startswith(reason) or reason in str(raised.value)


def test_a_body_that_cannot_be_looked_through_has_no_bound() -> None:
    deep = b'{"model": "gpt-4o", "messages": ' + b"[" * 900 + b"]" * 900 + b"}"
    for body in (b"", b"not json", deep.replace(b"[" * 900, b"[" * 100_000), deep):
        found = recognise("POST", CHAT, body)
        assert found is not None
        if body is deep:
            assert bound_of(found).output_tokens == 16_384
        else:
            with pytest.raises(UnboundedError, match=r"not at hand, or no JSON object|nested too deeply"):
                bound_of(found)


@pytest.mark.parametrize("part", [{"audio": [1]}, {"inlineData": ["x"]}, {"document": []}])
def test_what_no_format_has_is_no_way_around_a_strict_budget(part: dict[str, Any]) -> None:
    asked = request(CHAT, model="gpt-4o", max_tokens=10, messages=[{"role": "user", "content": "Hi", **part}])
    (claim,) = claims_of(asked, [Budget("run", "r1", Limit.of_usd("1"), policy=Policy(sizing="strict"))], {})
    assert claim.amount is None
    assert "its body is not as its format says" in str(claim.reason)


def test_an_amount_beyond_all_money_is_no_way_around_a_strict_budget() -> None:
    asked = request(CHAT, model="gpt-4o", max_tokens=10**25, n=10**30, messages=[{"role": "user", "content": "Hi"}])
    (claim,) = claims_of(asked, [Budget("run", "r1", Limit.of_usd("1"), policy=Policy(sizing="strict"))], {})
    assert claim.amount is None
    assert "it asks for 1" in str(claim.reason)


def test_what_is_nested_too_deeply_has_no_bound() -> None:
    deep = b'{"a":' * 500 + b"1" + b"}" * 500
    found = recognise("POST", CHAT, b'{"model": "gpt-4o", "messages": ' + deep + b"}")
    assert found is not None
    with pytest.raises(UnboundedError, match="nested too deeply"):
        bound_of(found)


def test_a_point_of_bedrocks_cache() -> None:
    assert bound(CONVERSE, messages=user({"text": "Hi"}, {"cachePoint": {"type": "default"}})).kinds == {"write", "5m"}


def test_an_image_in_ollamas_way_counts() -> None:
    ollama = "http://localhost:11434/api/chat"
    with pytest.raises(UnboundedError, match="how many tokens a picture"):
        bound(
            ollama,
            model="llava",
            messages=[{"role": "user", "content": "?", "images": ["x"]}],
            options={"num_predict": 1},
        )


STRICT = Budget("run", "r1", Limit.of_usd("1000"), policy=Policy(sizing="strict"))
MILLION = Decimal(1_000_000)


def held(url: str, **fields: Any) -> tuple[Decimal, Bound]:
    asked = request(url, **fields)
    (claim,) = claims_of(asked, (STRICT,), {})
    assert isinstance(claim.amount, Decimal), claim.reason
    return claim.amount, bound_of(asked)


@pytest.mark.parametrize(
    ("fields", "input_price", "output_price"),
    [
        ({}, 3, 15),
        ({"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}, "3.75", 15),
        ({"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}, 6, 15),
        ({"inference_geo": "us"}, "3.3", "16.5"),
        ({"service_tier": "auto"}, 3, 15),
    ],
)
def test_each_token_at_the_dearest_price_that_it_may_have(
    fields: dict[str, Any], input_price: Any, output_price: Any
) -> None:
    amount, found = held(MESSAGES, model="claude-sonnet-4-6", max_tokens=1000, messages=[], **fields)
    expected = found.input_tokens * Decimal(input_price) + 1000 * Decimal(output_price)
    assert amount == expected / MILLION


def test_a_long_input_is_priced_by_its_bound() -> None:
    """Gemini 2.5 Pro: 1.25 and 10 USD up to 200,000 tokens, 2.50 and 15 above."""
    url = GEMINI.replace("gemini-3.5-flash", "gemini-2.5-pro")
    for text, input_price, output_price in (("x", "1.25", 10), ("x" * 200_000, "2.50", 15)):
        fields = {"contents": [{"parts": [{"text": text}]}], "generationConfig": {"maxOutputTokens": 100}}
        amount, found = held(url, **fields)
        assert amount == (found.input_tokens * Decimal(input_price) + 100 * Decimal(output_price)) / MILLION


def test_the_tier_asked_for_or_the_standard_one_whichever_is_dearer() -> None:
    """GPT-5: 1.25 and 10 USD; priority 2.50 and 20; flex half of the standard."""
    for tier, input_price, output_price in (("priority", "2.50", 20), ("flex", "1.25", 10), ("default", "1.25", 10)):
        amount, found = held(CHAT, model="gpt-5", max_completion_tokens=100, messages=[], service_tier=tier)
        assert amount == (found.input_tokens * Decimal(input_price) + 100 * Decimal(output_price)) / MILLION
    assert bound(CONVERSE, messages=[], serviceTier={"type": "flex"}).tiers == (None, "flex")
    assert bound(CONVERSE, messages=[], performanceConfig={"latency": "optimized"}).terms["latency"] == "optimized"


def test_embeddings_cost_their_input() -> None:
    amount, found = held(EMBEDDINGS, model="text-embedding-3-small", input="Hi")
    assert amount == found.input_tokens * Decimal("0.02") / MILLION


def test_prices_that_have_not_come_yet_are_no_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    awaited = structs.replace(sources.written(), awaited=True)
    monkeypatch.setattr(sources, "written", lambda: awaited)
    (claim,) = claims_of(request(CHAT, model="gpt-4o", messages=[]), (STRICT,), {})
    assert (claim.amount, claim.reason) == (None, "the prices that OTEL_COST_PRICES names were not there yet")
