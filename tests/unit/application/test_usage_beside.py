"""What is charged beside the tokens of a response, or at another price for them, is never a known cost."""

import json
from decimal import Decimal

import pytest

import otel_cost
from otel_cost.pricing import Cost

BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com/model"
GEMINI = "https://generativelanguage.googleapis.com/v1beta/models"
GROQ = "https://api.groq.com/openai/v1/chat/completions"
NOVA = "us.amazon.nova-pro-v1:0"
USED = {"inputTokens": 1000, "outputTokens": 200, "totalTokens": 1200}
CLAUDE = {
    "id": "msg_1",
    "type": "message",
    "model": "claude-sonnet-4-5-20250929",
    "usage": {"input_tokens": 1000, "output_tokens": 200},
}
GPT_OSS = {"id": "c1", "model": "openai/gpt-oss-120b"}
CHAT_USED = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}


def cost_of(url: str, answer: object, asked: object = None, **headers: str) -> Cost:
    call = otel_cost.meter(
        url=url,
        request_body=json.dumps(asked or {}),
        response_headers={name.replace("_", "-"): text for name, text in headers.items()},
        response_body=answer if isinstance(answer, bytes) else json.dumps(answer),
    )
    assert call is not None
    return call.cost


def converse(**more: object) -> dict[str, object]:
    return {"output": {}, "stopReason": "end_turn", "usage": USED, **more}


def test_a_latency_that_has_a_price_of_its_own_is_an_estimate() -> None:
    url = f"{BEDROCK}/{NOVA}/converse"
    assert cost_of(url, converse(performanceConfig={"latency": "standard"})).status == "known"
    cost = cost_of(url, converse(performanceConfig={"latency": "optimized"}))
    assert (cost.status, cost.reason) == ("estimated", "no price for latency 'optimized'")


def test_the_header_of_an_invocation_says_its_latency() -> None:
    answer = {"stopReason": "end_turn", "usage": USED}
    url = f"{BEDROCK}/{NOVA}/invoke"
    assert cost_of(url, answer, x_amzn_bedrock_performanceconfig_latency="standard").status == "known"
    cost = cost_of(url, answer, x_amzn_bedrock_performanceconfig_latency="optimized")
    assert (cost.status, cost.reason) == ("estimated", "no price for latency 'optimized'")


@pytest.mark.parametrize("kind", ["provisioned-model", "custom-model-deployment", "imported-model"])
def test_a_model_of_the_customers_own_is_not_known_to_cost_what_its_base_does(kind: str) -> None:
    arn = f"arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3A{kind}%2Fa1b2"
    cost = cost_of(f"{BEDROCK}/{arn}/invoke", CLAUDE)
    assert (cost.status, cost.reason) == ("estimated", f"no price for deployment '{kind}'")


def test_of_a_profile_that_does_not_say_where_it_runs_the_cost_is_an_estimate() -> None:
    profile = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fa1b2"
    cost = cost_of(f"{BEDROCK}/{profile}/invoke", CLAUDE)
    # 1,000 x 3.30 and 200 x 16.50, as in one region; it may as well be global
    assert (cost.amount, cost.status) == (Decimal("0.0066"), "estimated")
    assert cost.reason == "what was asked for has no price: that of the model that answered"
    nobody = cost_of(f"{BEDROCK}/{profile}/invoke", {**CLAUDE, "model": "claude-of-tomorrow"})
    assert nobody.reason == "no price for model 'claude-of-tomorrow' of 'aws.bedrock'"
    unnamed = cost_of(f"{BEDROCK}/{profile}/invoke", {"stopReason": "end_turn", "usage": USED})
    assert unnamed.status == "unknown"


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"guardrailConfig": {"guardrailIdentifier": "g1", "guardrailVersion": "1"}}, converse()),
        ({}, converse(stopReason="guardrail_intervened")),
    ],
    ids=["asked", "answered"],
)
def test_a_guardrail_is_charged_apart_though_nothing_traces_it(asked: object, answer: object) -> None:
    assert cost_of(f"{BEDROCK}/{NOVA}/converse", answer, asked).status == "estimated"


@pytest.mark.parametrize(
    ("metadata", "tool"),
    [
        ({"groundingChunks": [{"maps": {"uri": "https://maps.example"}}, {"maps": {}}, "?"]}, "google_maps"),
        ({"imageSearchQueries": ["a cat"]}, "image_search"),
    ],
    ids=["maps", "pictures"],
)
def test_what_gemini_looked_up_elsewhere_than_in_the_web_is_charged_apart(metadata: object, tool: str) -> None:
    used = {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120}
    answer = {
        "modelVersion": "gemini-2.5-flash",
        "usageMetadata": used,
        "candidates": [{"groundingMetadata": metadata}],
    }
    cost = cost_of(f"{GEMINI}/gemini-2.5-flash:generateContent", answer)
    assert (cost.status, cost.reason) == ("estimated", f"no price for {tool}")


def test_tools_that_groq_ran_are_charged_apart() -> None:
    ran = [{"type": "browser.search", "index": 0, "arguments": "{}"}]
    answer = {**GPT_OSS, "choices": [{"message": {"executed_tools": ran}}, "?"], "usage": CHAT_USED}
    cost = cost_of(GROQ, answer)
    assert (cost.status, cost.reason) == ("estimated", "no price for executed_tools")
    assert cost_of(GROQ, {**answer, "choices": [{"message": {"executed_tools": []}}]}).status == "known"


def test_tools_that_groq_ran_for_a_stream_are_too() -> None:
    ran = [{"type": "browser.search", "index": 0, "arguments": "{}"}]
    deltas = [{"content": "a"}, {"content": "b"}, {"content": "c"}, {"executed_tools": ran}, {"content": "d"}]
    chunks = [{**GPT_OSS, "choices": [{"delta": delta}]} for delta in deltas]
    last = {**GPT_OSS, "choices": [{"delta": {}, "finish_reason": "stop"}], "x_groq": {"usage": CHAT_USED}}
    text = "".join(f"data: {json.dumps(one)}\n\n" for one in (*chunks, last))
    cost = cost_of(GROQ, f"{text}data: [DONE]\n\n".encode())
    assert (cost.status, cost.reason) == ("estimated", "no price for executed_tools")


@pytest.mark.parametrize(
    ("used", "output"),
    [
        ({"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 180}, 80),
        ({"promptTokenCount": 100, "totalTokenCount": 180}, 80),
    ],
    ids=["too small", "missing"],
)
def test_tokens_that_only_geminis_total_has_are_a_doubt(used: object, output: int) -> None:
    call = otel_cost.meter(
        url=f"{GEMINI}/gemini-2.5-flash:generateContent",
        response_body=json.dumps({"modelVersion": "gemini-2.5-flash", "usageMetadata": used}),
    )
    assert call is not None
    assert call.usage == otel_cost.Usage(100, output)
    assert call.cost.status == "estimated"


def test_tokens_that_only_the_total_of_a_chat_has_are_a_doubt_where_the_output_is_missing() -> None:
    answer = {**GPT_OSS, "usage": {"prompt_tokens": 1000, "total_tokens": 1200}}
    cost = cost_of(GROQ, answer)
    assert (cost.status, cost.reason) == ("estimated", "200 tokens that only the total has")
