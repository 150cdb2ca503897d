"""boto3's client of Bedrock's runtime, which sends by urllib3.

Published prices, US dollars per million tokens: Nova Pro 0.80 in, 3.20 out; Claude Sonnet 4.5 on a region's own
endpoint 3.30 in, 0.33 cached, 16.50 out; Titan Text Embeddings V2 0.02 in.
"""

import base64
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.integration.application import garbage
from tests.integration.application.conftest import Spans
from tests.integration.application.sdks import converse, messages
from tests.integration.application.sdks.conftest import one_call, refused, retried
from tests.integration.application.sdks.vendor import Reply, Vendor, frames, whole

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails")

NOVA_COST = "0.00144"  # 1000 x 0.80 + 200 x 3.20, per million
CLAUDE_COST = "0.004818"  # 400 x 3.30 + 600 x 0.33 + 200 x 16.50, per million
CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
INVOKE: Any = {
    "modelId": CLAUDE,
    "body": json.dumps({"anthropic_version": "bedrock-2023-05-31", **messages.ASK}),
    "contentType": "application/json",
}


@contextmanager
def client(vendor: Vendor, retries: Any = "standard") -> Iterator[Any]:
    """It means the true host, without TLS, and has the vendor for a proxy."""
    config = Config(proxies={"http": vendor.url}, retries={"mode": retries, "max_attempts": 3})
    url = "http://bedrock-runtime.us-east-1.amazonaws.com"
    bedrock = boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=url, config=config)
    yield bedrock
    bedrock.close()


def ask(vendor: Vendor) -> None:
    with client(vendor) as bedrock:
        bedrock.converse(**converse.ASK)


def stream(vendor: Vendor) -> None:
    with client(vendor) as bedrock:
        assert len(list(bedrock.converse_stream(**converse.ASK)["stream"])) == 6


def invoke(vendor: Vendor) -> None:
    with client(vendor) as bedrock:
        answer = bedrock.invoke_model(**INVOKE)
        assert json.loads(answer["body"].read())["id"] == "msg_7"


def invoke_in_pieces(vendor: Vendor) -> None:
    with client(vendor) as bedrock:
        body = bedrock.invoke_model(**INVOKE)["body"]
        assert json.loads(b"".join(body.iter_chunks(chunk_size=10)))["id"] == "msg_7"


def invoke_stream(vendor: Vendor) -> None:
    with client(vendor) as bedrock:
        answer = bedrock.invoke_model_with_response_stream(**INVOKE)
        kinds = [json.loads(event["chunk"]["bytes"])["type"] for event in answer["body"]]
        assert kinds[-1] == "message_stop"


def embed(vendor: Vendor) -> None:
    with client(vendor) as bedrock:
        body = json.dumps({"inputText": "sky"})
        bedrock.invoke_model(modelId="amazon.titan-embed-text-v2:0", body=body)["body"].read()


def answer(way: Any) -> Reply:
    if way in (ask, stream):
        return converse.answer() if way is ask else converse.stream()
    if way is embed:
        counts = {"x_amzn_bedrock_input_token_count": "1000"}
        return whole({"embedding": [0.1], "inputTextTokenCount": 1000}, **counts)
    if way is not invoke_stream:
        counts = {"x_amzn_bedrock_input_token_count": "400", "x_amzn_bedrock_output_token_count": "200"}
        return whole(messages.answer("claude-sonnet-4-5-20250929"), **counts)
    coded = [
        base64.b64encode(json.dumps(one).encode()).decode() for one in messages.stream("claude-sonnet-4-5-20250929")
    ]
    return frames(*(("chunk", {"bytes": one, "p": "abcdefghij"}) for one in coded))


EXPECTED: dict[Any, Any] = {
    ask: {"cost": NOVA_COST, "tokens": (1000, 200), "response_id": None},
    stream: {"cost": NOVA_COST, "tokens": (1000, 200), "response_id": None},
    invoke: {"cost": CLAUDE_COST, "tokens": (1000, 200), "response_id": "msg_7"},
    invoke_in_pieces: {"cost": CLAUDE_COST, "tokens": (1000, 200), "response_id": "msg_7"},
    invoke_stream: {"cost": CLAUDE_COST, "tokens": (1000, 200), "response_id": "msg_7"},
    embed: {"cost": "0.00002", "tokens": (1000, 0), "response_id": None},
}


@pytest.mark.parametrize("way", EXPECTED, ids=lambda way: way.__name__)
def test_a_call(way: Any, vendor: Vendor, spans: Spans) -> None:
    vendor.answers(answer(way))
    one_call(way, vendor, spans, **EXPECTED[way], provider="aws.bedrock")
    assert vendor.request.host == "bedrock-runtime.us-east-1.amazonaws.com"
    assert "signature" in vendor.request.headers["authorization"].lower()


@pytest.mark.parametrize("way", EXPECTED, ids=lambda way: way.__name__)
def test_a_refusal_reaches_the_application(way: Any, vendor: Vendor, spans: Spans) -> None:
    refused(way, vendor, spans)


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_retries_are_attempts_of_one_call(
    mode: str, vendor: Vendor, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    vendor.answers(converse.answer())

    def retry(vendor: Vendor) -> None:
        with client(vendor, mode) as bedrock:
            bedrock.converse(**converse.ASK)

    retried(retry, vendor, spans, cost=NOVA_COST)


@pytest.mark.parametrize("ending", ["closed", "dropped", "never read"])
def test_a_stream_that_ends_early_is_one_estimated_call(ending: str, vendor: Vendor, spans: Spans) -> None:
    vendor.answers(converse.stream())
    with client(vendor) as bedrock:
        events = bedrock.converse_stream(**converse.ASK)["stream"]
        if ending != "never read":
            next(iter(events))
        if ending == "closed":
            events.close()
        del events  # which is in a cycle of references: only the collector finds it
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # the connection that nobody closed
            garbage.collect()
    assert (spans.call["otel_cost.cost.status"], spans.call["otel_cost.call.outcome"]) == ("estimated", "cut")
