"""Where a request was served changes its price, or leaves it openly in doubt. Costs are worked out by hand.

Every call here has 1,000 input and 100 output tokens unless it says otherwise.
"""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from otel_cost.budgets.sizing import likely_cost
from otel_cost.metering import meter, meter_batch
from otel_cost.pricing import Cost
from otel_cost.usage import recognise
from otel_cost.usage.location import terms_at

AT = datetime(2026, 11, 1, tzinfo=UTC)
CHAT = {"usage": {"prompt_tokens": 1_000, "completion_tokens": 100}, "choices": []}
MESSAGE = {"type": "message", "usage": {"input_tokens": 1_000, "output_tokens": 100}}
CONTENT = {"usageMetadata": {"promptTokenCount": 1_000, "candidatesTokenCount": 100, "totalTokenCount": 1_100}}
CONVERSED = {"usage": {"inputTokens": 1_000, "outputTokens": 100, "totalTokens": 1_100}}


def cost(url: str, answer: dict[str, object], *, at: datetime = AT, **asked: object) -> Cost:
    metered = meter(
        url=url,
        request_body=json.dumps(asked).encode(),
        response_headers={"content-type": "application/json"},
        response_body=json.dumps(answer).encode(),
        at=at,
    )
    assert metered is not None
    return metered.cost


@pytest.mark.parametrize(
    ("host", "path", "location"),
    [
        ("api.openai.com", "/v1/responses", None),
        ("eu.api.openai.com", "/v1/responses", "eu"),
        ("europe-west1-aiplatform.googleapis.com", "/v1/publishers/google/models/m:generateContent", "europe-west1"),
        ("aiplatform.us.rep.googleapis.com", "/v1/projects/p/locations/us/publishers/anthropic/models/m", "us"),
        ("aiplatform.googleapis.com", "/v1/projects/p/locations/global/publishers/google/models/m", None),
        ("aiplatform.googleapis.com", "/v1/publishers/google/models/gemini-2.5-flash:generateContent", None),
        (
            "gateway.ai.cloudflare.com",
            "/v1/a/g/google-vertex-ai/v1/projects/p/locations/us-east5/publishers/anthropic/models/m:rawPredict",
            "us-east5",
        ),
        ("gateway.ai.cloudflare.com", "/v1/a/g/aws-bedrock/bedrock-runtime/us-east-1/model/m/invoke", "us-east-1"),
        ("bedrock-runtime.eu-central-1.amazonaws.com", "/model/anthropic.claude-opus-5/converse", "eu-central-1"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "/model/m/converse", "us-gov-west-1"),
        ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "/model/m/converse", "cn-north-1"),
        ("bedrock-mantle.ap-southeast-2.api.aws", "/v1/chat/completions", "ap-southeast-2"),
        ("vpce-0a1-b2.bedrock-runtime.us-east-2.vpce.amazonaws.com", "/model/m/converse", "us-east-2"),
        ("bedrock.internal", "/model/anthropic.claude-opus-5/converse", None),
        ("mine.openai.azure.com", "/openai/deployments/d/chat/completions", None),
        ("mine.openai.azure.us", "/openai/deployments/d/chat/completions", "azure.us"),
        ("mine.openai.azure.cn", "/openai/deployments/d/chat/completions", "azure.cn"),
        ("api.moonshot.ai", "/v1/chat/completions", None),
        ("api.moonshot.cn", "/v1/chat/completions", "moonshot.cn"),
        ("api.anthropic.com", "/v1/messages", None),
    ],
)
def test_the_url_says_where(host: str, path: str, location: str | None) -> None:
    assert dict(terms_at(host, path)) == ({} if location is None else {"location": location})


@pytest.mark.parametrize(
    ("host", "model", "usd"),
    [
        ("api.openai.com", "gpt-5.4-mini", "0.0012"),  # 0.75 and 4.50: 0.00075 + 0.00045
        ("eu.api.openai.com", "gpt-5.4-mini", "0.00132"),  # 1.1 times that
        ("us.api.openai.com", "gpt-5.4-mini-2026-03-17", "0.00132"),
        ("au.api.openai.com", "gpt-5.4-mini", "0.00132"),
        ("eu.api.openai.com", "gpt-4o", "0.0035"),  # released before there was a premium: 0.0025 + 0.001
    ],
)
def test_data_residency_of_openai(host: str, model: str, usd: str) -> None:
    charged = cost(f"https://{host}/v1/chat/completions", CHAT, model=model)
    assert (charged.amount, charged.status, charged.reason) == (Decimal(usd), "known", None)


def test_data_residency_counts_at_every_service_tier() -> None:
    # gpt-5.4-mini at Flex is half of 0.0012; 1.1 times that
    charged = cost(
        "https://eu.api.openai.com/v1/chat/completions", {**CHAT, "service_tier": "flex"}, model="gpt-5.4-mini"
    )
    assert (charged.amount, charged.status) == (Decimal("0.00066"), "known")


@pytest.mark.parametrize(
    ("host", "model"), [("eu.api.openai.com", "gpt-5.5-cyber"), ("mars.api.openai.com", "gpt-5.4-mini")]
)
def test_a_model_or_a_host_without_published_premium_leaves_a_doubt(host: str, model: str) -> None:
    charged = cost(f"https://{host}/v1/chat/completions", CHAT, model=model)
    assert (charged.status, charged.reason) == ("estimated", f"no price for location '{host.partition('.')[0]}'")


def vertex(location: str, publisher: str, model: str) -> str:
    host = {
        "global": "aiplatform.googleapis.com",
        "us": "aiplatform.us.rep.googleapis.com",
        "eu": "aiplatform.eu.rep.googleapis.com",
    }.get(location, f"{location}-aiplatform.googleapis.com")
    does = "rawPredict" if publisher == "anthropic" else "generateContent"
    return f"https://{host}/v1/projects/p/locations/{location}/publishers/{publisher}/models/{model}:{does}"


@pytest.mark.parametrize(
    ("location", "model", "usd"),
    [
        ("global", "claude-sonnet-4-5@20250929", "0.0045"),  # 3 and 15: 0.003 + 0.0015
        ("us-east5", "claude-sonnet-4-5@20250929", "0.00495"),
        ("eu", "claude-sonnet-4-5@20250929", "0.00495"),
        ("europe-west1", "claude-haiku-4-5@20251001", "0.00165"),  # 1 and 5: 1.1 times 0.001 + 0.0005
        ("us-east5", "claude-3-5-haiku@20241022", "0.0012"),  # 0.80 and 4 everywhere: 0.0008 + 0.0004
    ],
)
def test_claude_on_vertex(location: str, model: str, usd: str) -> None:
    charged = cost(vertex(location, "anthropic", model), MESSAGE, anthropic_version="vertex-2023-10-16")
    assert (charged.amount, charged.status) == (Decimal(usd), "known")


@pytest.mark.parametrize(
    ("location", "model", "usd"),
    [
        ("europe-west1", "gemini-2.5-flash", "0.00055"),  # 0.30 and 2.50 everywhere
        ("global", "gemini-3.5-flash", "0.0024"),  # 1.50 and 9: 0.0015 + 0.0009
        ("europe-west1", "gemini-3.5-flash", "0.00264"),
        ("us", "gemini-3.5-flash", "0.00264"),
    ],
)
def test_gemini_on_vertex(location: str, model: str, usd: str) -> None:
    charged = cost(vertex(location, "google", model), CONTENT)
    assert (charged.amount, charged.status) == (Decimal(usd), "known")


@pytest.mark.parametrize(
    ("model", "at"),
    [("gemini-3-flash-preview", AT), ("gemini-3.5-flash", datetime(2026, 6, 30, tzinfo=UTC))],
)
def test_a_location_without_published_price_leaves_a_doubt(model: str, at: datetime) -> None:
    charged = cost(vertex("europe-west4", "google", model), CONTENT, at=at)
    assert (charged.status, charged.reason) == ("estimated", "no price for location 'europe-west4'")


@pytest.mark.parametrize(
    ("region", "model", "usd", "status"),
    [
        ("us-east-1", "amazon.nova-pro-v1:0", "0.00112", "known"),  # 0.80 and 3.20: 0.0008 + 0.00032
        ("ap-southeast-2", "amazon.nova-pro-v1:0", "0.00112", "estimated"),
        ("us-gov-west-1", "amazon.nova-pro-v1:0", "0.00112", "estimated"),
        ("eu-west-1", "eu.amazon.nova-pro-v1:0", "0.00147", "known"),  # 1.05 and 4.20: 0.00105 + 0.00042
        ("us-east-1", "anthropic.claude-sonnet-4-5-20250929-v1:0", "0.00495", "known"),  # 3.30 and 16.50 in a region
        ("eu-central-1", "anthropic.claude-sonnet-4-5-20250929-v1:0", "0.00495", "known"),
        ("us-gov-west-1", "anthropic.claude-sonnet-4-5-20250929-v1:0", "0.00495", "estimated"),
        ("ap-northeast-1", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", "0.0045", "known"),
    ],
)
def test_regions_of_bedrock(region: str, model: str, usd: str, status: str) -> None:
    charged = cost(f"https://bedrock-runtime.{region}.amazonaws.com/model/{model}/converse", CONVERSED)
    assert (charged.amount, charged.status) == (Decimal(usd), status)
    assert charged.reason == (f"no price for location '{region}'" if status == "estimated" else None)


def test_that_a_region_changes_no_price_leaves_their_version() -> None:
    charged = cost("https://bedrock-runtime.us-east-1.amazonaws.com/model/amazon.nova-micro-v1:0/converse", CONVERSED)
    assert (charged.price_version or "").startswith("genai-prices/")


@pytest.mark.parametrize(("domain", "status"), [("com", "known"), ("us", "estimated"), ("cn", "estimated")])
def test_clouds_of_azure(domain: str, status: str) -> None:
    url = f"https://mine.openai.azure.{domain}/openai/v1/chat/completions"
    charged = cost(url, {**CHAT, "model": "gpt-4o-2024-11-20"}, model="prod")
    assert (charged.amount, charged.status) == (Decimal("0.0035"), status)


def test_what_is_likely_knows_where_too() -> None:
    asked = {"model": "gpt-5.4-mini", "max_completion_tokens": 100, "messages": []}
    body = json.dumps(asked).encode().ljust(300)  # 300 bytes count as 100 tokens
    home = recognise("POST", "https://api.openai.com/v1/chat/completions", body)
    abroad = recognise("POST", "https://eu.api.openai.com/v1/chat/completions", body)
    assert home is not None
    assert abroad is not None
    # 100 of each: 0.000075 + 0.00045
    assert likely_cost(home).amount == Decimal("0.000525")
    assert likely_cost(abroad).amount == Decimal("0.0005775")


@pytest.mark.parametrize(("location", "usd"), [(None, "0.00225"), ("global", "0.00225"), ("eu", "0.002475")])
def test_a_batch_ran_where_its_owner_says(location: str | None, usd: str) -> None:
    # claude-sonnet-4-5 on Vertex AI: half of 3 and 15
    line = json.dumps({"response": {**MESSAGE, "model": "claude-sonnet-4-5-20250929"}})
    (call,) = meter_batch([line], provider="gcp.vertex_ai", at=AT, location=location)
    assert (call.cost.amount, call.cost.status) == (Decimal(usd), "known")
