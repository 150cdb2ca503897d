"""An exchange, or the results of a batch, taken apart by hand."""

import gzip
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

import otel_cost
from otel_cost import Metered, Usage

CHAT = "https://api.openai.com/v1/chat/completions"
ANSWER = {
    "id": "chatcmpl-1",
    "model": "gpt-4o-2024-08-06",
    "choices": [],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 200, "prompt_tokens_details": {"cached_tokens": 600}},
}
COST = Decimal("0.001") + Decimal("0.00075") + Decimal("0.002")  # gpt-4o: $2.50 in, $1.25 read, $10 out, per million
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)


def metered(answer: object, url: str = CHAT, **more: object) -> Metered:
    call = otel_cost.meter(url=url, response_body=json.dumps(answer).encode(), at=NOVEMBER, **more)  # type: ignore[arg-type] # what the test varies
    assert call is not None
    return call


def test_an_exchange_says_what_it_used_and_what_that_costs() -> None:
    call = metered(ANSWER, request_body=b'{"model": "gpt-4o", "messages": []}')
    assert (call.provider, call.operation) == ("openai", "chat")
    assert (call.request_model, call.response_model, call.response_id) == ("gpt-4o", "gpt-4o-2024-08-06", "chatcmpl-1")
    assert call.usage == Usage(1000, 200, cache_read_tokens=600)
    assert (call.cost.amount, call.cost.status, call.cost.source) == (COST, "known", "local")


def test_another_exchange_is_none() -> None:
    assert otel_cost.meter(url="https://api.openai.com/v1/files") is None
    assert otel_cost.meter(url=CHAT, method="get") is None


def test_the_path_alone_tells_a_host_that_nobody_named() -> None:
    call = metered(ANSWER, "http://127.0.0.1:8000/v1/chat/completions")
    assert call.usage == Usage(1000, 200, cache_read_tokens=600)
    assert (call.provider, call.cost.status) == ("127.0.0.1", "unknown")
    assert metered(ANSWER, "<GATEWAY>/v1/chat/completions").usage is not None


@pytest.mark.parametrize("status", [400, 429, 500])
def test_an_error_costs_nothing(status: int) -> None:
    call = metered({"error": {"message": "no"}}, status=status)
    assert (call.usage, call.cost.amount, call.cost.status) == (None, 0, "known")


def test_what_states_nothing_is_unknown_and_not_zero() -> None:
    call = metered({"choices": []}, request_body=b'{"model": "gpt-4o"}')
    assert (call.usage, call.cost.amount, call.cost.status) == (None, None, "unknown")


def test_a_stream_that_is_cut_is_an_estimate() -> None:
    start = {"id": "msg_1", "model": "claude-sonnet-4-6", "usage": {"input_tokens": 1000, "output_tokens": 1}}
    events = (
        {"type": "message_start", "message": start},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hey"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 200}},
        {"type": "message_stop"},
    )
    calls = []
    for sent in (2, 4):
        call = otel_cost.meter(
            url="https://api.anthropic.com/v1/messages",
            response_headers={"content-type": "text/event-stream"},
            response_body=b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events[:sent]),
        )
        assert call is not None
        calls.append(call)
    # Claude Sonnet 4.6: input 3, output 15
    assert [call.cost.amount for call in calls] == [Decimal("0.003015"), Decimal("0.006")]
    assert [call.cost.status for call in calls] == ["estimated", "known"]
    assert calls[0].cost.reason == "the response was cut: about what it had used by then"


def test_a_body_is_read_encoded_as_its_headers_say_or_already_decoded() -> None:
    plain = json.dumps(ANSWER).encode()
    for body in (gzip.compress(plain), plain):
        call = otel_cost.meter(url=CHAT, response_headers={"Content-Encoding": "gzip"}, response_body=body)
        assert call is not None
        assert call.usage == Usage(1000, 200, cache_read_tokens=600)
    url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/m/invoke"
    headers = {"content-encoding": "gzip", "x-amzn-bedrock-input-token-count": "5"}
    answer = b'{"id": "msg_1", "usage": {"input_tokens": 5}}'
    kept = otel_cost.meter(url=url, response_headers=headers, response_body=answer)
    assert kept is not None
    assert (kept.response_id, kept.usage) == ("msg_1", Usage(5))
    call = otel_cost.meter(url=CHAT, response_headers={"content-encoding": "rot13"}, response_body=b"cnff")
    assert call is not None
    assert call.cost.status == "unknown"


def test_a_poll_is_metered_as_the_response_that_it_states() -> None:
    usage = {"input_tokens": 10, "output_tokens": 2}
    call = metered(
        {"id": "resp_1", "model": "gpt-4o", "usage": usage}, "https://api.openai.com/v1/responses/resp_1", method="GET"
    )
    assert (call.response_id, call.usage) == ("resp_1", Usage(10, 2))


def test_a_response_without_a_model_of_its_own_has_the_price_of_the_one_asked_for() -> None:
    call = metered({"usage": {"prompt_tokens": 100}}, request_body=b'{"model": "gpt-4o"}')
    assert call.cost.amount == Decimal("0.00025")
    assert metered({"usage": {"prompt_tokens": 100}}).cost.reason == "neither request nor response names a model"


def test_bedrock_is_priced_by_the_name_that_says_where_the_model_runs() -> None:
    url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/{}anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke"
    answer = {"model": "claude-sonnet-4-5-20250929", "usage": {"input_tokens": 100_000, "output_tokens": 0}}
    assert metered(answer, url.format("global.")).cost.amount == Decimal("0.3")
    assert metered(answer, url.format("us.")).cost.amount == Decimal("0.33")


def test_what_is_no_count_is_unknown_and_said() -> None:
    call = metered({"model": "gpt-4o", "usage": {"prompt_tokens": "12"}})
    assert (call.usage, call.cost.status) == (None, "unknown")
    assert call.cost.reason == "the response states what is no count: prompt_tokens='12'"


# --- a cost that the provider states --------------------------------------------------------------------------------
def stating(url: str, **usage: object) -> Metered:
    return metered({"model": "m", "usage": {"prompt_tokens": 20, "completion_tokens": 1, **usage}}, url)


OPENROUTER = "https://openrouter.ai/api/v1/chat/completions"


@pytest.mark.parametrize(
    ("url", "usage", "amount"),
    [
        ("https://api.x.ai/v1/chat/completions", {"cost_in_usd_ticks": 2488500}, "0.00024885"),
        (OPENROUTER, {"cost": 0.0076509169000000005, "is_byok": False}, "0.0076509169"),
        (OPENROUTER, {"cost": 0}, "0"),
        (OPENROUTER, {"cost": 0.1, "is_byok": True, "cost_details": {"upstream_inference_cost": 3.6e-06}}, "0.1000036"),
        ("https://api.perplexity.ai/chat/completions", {"cost": {"total_cost": 0.00507}}, "0.00507"),
        ("https://ai-gateway.vercel.sh/v1/chat/completions", {"cost": "0.002769"}, "0.002769"),
    ],
)
def test_what_the_provider_states_wins(url: str, usage: dict[str, object], amount: str) -> None:
    cost = stating(url, **usage).cost
    assert (cost.amount, cost.status, cost.source, cost.price_version) == (Decimal(amount), "known", "provider", None)


def test_a_gateway_may_state_the_cost_beside_the_usage() -> None:
    answer = {"usage": {"prompt_tokens": 5}, "provider_metadata": {"gateway": {"cost": "0.00001"}}}
    cost = metered(answer, "https://ai-gateway.vercel.sh/v1/chat/completions").cost
    assert (cost.amount, cost.source) == (Decimal("0.00001"), "provider")


def test_a_cost_without_usage_is_known_too() -> None:
    call = metered({"usage": {"cost_in_usd_ticks": 700_000_000}}, "https://api.x.ai/v1/images/generations")
    assert (call.usage, call.cost.amount) == (None, Decimal("0.07"))


@pytest.mark.parametrize("cost", [-1, True, "free", None, [], float("nan")])
def test_what_is_no_cost_is_not_taken_for_one(cost: object) -> None:
    assert stating(OPENROUTER, cost=cost).cost.source != "provider"


def test_a_fee_alone_is_not_all_that_is_charged() -> None:
    assert stating(OPENROUTER, cost=0.1, is_byok=True).cost.source != "provider"


def test_nobody_else_s_figure_is_taken_for_dollars() -> None:
    assert stating("https://llm.example/v1/chat/completions", cost=7).cost.status == "unknown"
    assert stating(CHAT, cost=7).cost.source != "provider"


# --- batches --------------------------------------------------------------------------------------------------------
def lines(*results: object) -> io.StringIO:
    return io.StringIO("".join(json.dumps(result) + "\n" for result in results) + "\n")


def test_the_results_of_openai_are_charged_at_the_batch_tier_and_once() -> None:
    chat = {"custom_id": "a", "response": {"status_code": 200, "body": {"object": "chat.completion", **ANSWER}}}
    response = {"object": "response", "id": "resp_1", "model": "gpt-4o", "usage": {"input_tokens": 100}}
    embeddings = {"object": "list", "model": "text-embedding-3-small", "usage": {"prompt_tokens": 1000}}
    legacy = {"object": "text_completion", "model": "gpt-3.5-turbo-instruct", "usage": {"prompt_tokens": 8}}
    results = [
        chat,
        chat,
        *({"custom_id": kind["object"], "response": {"body": kind}} for kind in (response, embeddings, legacy)),
        {"custom_id": "f", "response": {"status_code": 500, "body": {"error": {}}}},
        {"custom_id": "g", "response": None, "error": {"code": "batch_expired"}},
        ["no result"],
        {},
    ]
    calls = list(otel_cost.meter_batch(lines(*results), at=NOVEMBER))
    assert [call.custom_id for call in calls] == ["a", "response", "list", "text_completion", "f", "g"]
    assert calls[0].service_tier == "batch"
    # gpt-4o in a batch: $1.25 in, read from the cache or not, and $5 out, per million tokens
    assert calls[0].cost.amount == Decimal("0.00125") + Decimal("0.001")
    # half of gpt-4o's $2.50 and of text-embedding-3-small's $0.02 per million tokens
    assert [call.cost.amount for call in calls[1:3]] == [Decimal("0.000125"), Decimal("0.00001")]
    assert [(call.usage, call.cost.amount) for call in calls[4:]] == [(None, 0), (None, 0)]


def test_the_results_of_anthropic() -> None:
    message = {"type": "message", "id": "msg_1", "model": "claude-sonnet-4-6", "usage": {"input_tokens": 1000}}
    results = [
        {"custom_id": "a", "result": {"type": "succeeded", "message": message}},
        {"custom_id": "b", "result": {"type": "errored", "error": {}}},
    ]
    first, second = otel_cost.meter_batch(lines(*results))
    assert (first.provider, first.response_id) == ("anthropic", "msg_1")
    assert first.cost.amount == Decimal("0.0015")  # half of $3 per million tokens
    assert (second.provider, second.usage, second.cost.amount) == ("anthropic", None, 0)


@pytest.mark.parametrize(
    ("result", "provider"),
    [
        ({"custom_id": "a", "result": {"type": "expired"}}, "anthropic"),
        ({"custom_id": "a", "response": {"status_code": 400, "body": {"error": {}}}}, "openai"),
        ({"custom_id": "a", "response": None, "error": {"code": "batch_expired"}}, "openai"),
        ({"key": "a", "error": {"code": 3}}, "gcp.gemini"),
        ({"status": "Bad Request", "request": {}, "response": {}}, "gcp.gemini"),
        ({"recordId": "a", "modelInput": {}, "error": {"errorCode": 400}}, "aws.bedrock"),
    ],
)
def test_a_result_that_failed_names_its_provider(result: dict[str, Any], provider: str) -> None:
    (call,) = otel_cost.meter_batch(lines(result))
    assert (call.provider, call.usage, call.cost.amount) == (provider, None, 0)


def test_bodies_may_be_text() -> None:
    asked = {"url": "https://api.openai.com/v1/chat/completions", "at": NOVEMBER}
    request, answer = json.dumps({"model": "gpt-4o", "messages": []}), json.dumps(ANSWER)
    as_text = otel_cost.meter(**asked, request_body=request, response_body=answer)
    assert as_text == otel_cost.meter(
        **asked, request_body=bytearray(request.encode()), response_body=memoryview(answer.encode())
    )
    assert as_text is not None
    assert as_text.cost.status == "known"


def test_what_is_of_a_wrong_type_is_said_and_what_to_do() -> None:
    url = "https://api.openai.com/v1/chat/completions"
    wrong: Any = {"model": "gpt-4o"}
    with pytest.raises(TypeError, match="request_body is a dict; pass the body as it crossed the wire"):
        otel_cost.meter(url=url, request_body=wrong)
    with pytest.raises(TypeError, match="response_body is a NoneType"):
        otel_cost.meter(url=url, response_body=None)  # type: ignore[arg-type] # on purpose
    with pytest.raises(TypeError, match=r"at is a str; pass a datetime, as datetime\.fromisoformat makes it"):
        otel_cost.price(provider="openai", model="gpt-4o", usage=Usage(1), at="2026-11-01")  # type: ignore[arg-type] # on purpose
    with pytest.raises(TypeError, match="takes lines, and not one text: pass the open file"):
        otel_cost.meter_batch("{}\n{}")
    with pytest.raises(TypeError, match="a line is a dict; pass it as it stands in the file"):
        list(otel_cost.meter_batch([wrong]))


def test_the_results_of_gemini() -> None:
    response = {"modelVersion": "gemini-2.5-flash", "usageMetadata": {"promptTokenCount": 1000}}
    (call,) = otel_cost.meter_batch([json.dumps({"key": "a", "response": response}).encode()])
    assert (call.provider, call.custom_id) == ("gcp.gemini", "a")
    assert call.cost.amount == Decimal("0.00015")  # half of $0.30 per million tokens


def test_the_results_of_bedrock_need_the_model_s_name() -> None:
    output = {"usage": {"inputTokens": 1_000_000, "outputTokens": 0}}
    results = lines({"recordId": "a", "modelInput": {}, "modelOutput": output})
    (call,) = otel_cost.meter_batch(results, model="amazon.nova-micro-v1:0")
    assert (call.provider, call.usage) == ("aws.bedrock", Usage(1_000_000))
    assert call.service_tier == "batch"


def test_a_line_of_a_batch_that_cannot_be_read_is_said(caplog: pytest.LogCaptureFixture) -> None:
    whole = json.dumps({"custom_id": "a", "response": {"body": ANSWER}})
    assert len(list(otel_cost.meter_batch([whole, "\n", whole[:50]], at=NOVEMBER))) == 1
    assert caplog.messages == ["line 3 of a batch's results is passed over: it cannot be read as one"]


def test_a_batch_of_another_provider_has_its_prices() -> None:
    result = {"custom_id": "a", "response": {"body": {"object": "chat.completion", **ANSWER}}}
    (call,) = otel_cost.meter_batch(lines(result), provider="azure.ai.openai")
    assert call.provider == "azure.ai.openai"
    assert list(otel_cost.meter_batch(["no json"])) == []
