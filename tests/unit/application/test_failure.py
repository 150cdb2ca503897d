import asyncio
import json
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
import urllib3

from otel_cost.instrumentation.failure import Failure

QUOTA = {"error": {"message": "You exceeded your quota", "type": "insufficient_quota", "param": None}}


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (429, {"error": {**QUOTA["error"], "code": "insufficient_quota"}}, "429 insufficient_quota"),  # OpenAI
        (429, {"error": {"type": "requests", "code": "rate_limit_exceeded"}}, "429 rate_limit_exceeded"),
        (500, {"error": {"message": "oops", "type": "server_error", "code": None}}, "500 server_error"),
        (529, {"type": "error", "error": {"type": "overloaded_error"}}, "529 overloaded_error"),  # Anthropic
        (429, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}, "429 RESOURCE_EXHAUSTED"),  # Gemini
        (429, [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}], "429 RESOURCE_EXHAUSTED"),  # its streams
        (400, {"code": "Some requested entity was not found", "error": "no model"}, "400"),  # xAI
        (
            422,
            {"object": "error", "type": "invalid_request_error", "code": 3051},
            "422 invalid_request_error",
        ),  # Mistral
        (404, {"message": "model 'x' not found"}, "404"),  # Cohere
        (502, "Bad Gateway", "502"),
        (500, [], "500"),
        (500, {"error": {"code": "a" * 65}}, "500"),
    ],
)
def test_an_error_is_named_by_its_status_and_the_providers_code(status: int, body: Any, text: str) -> None:
    assert str(Failure.of_status(status, {}, json.dumps(body).encode())) == text


def test_what_is_no_json_has_no_code() -> None:
    assert str(Failure.of_status(503, {}, b"<html>upstream</html>")) == "503"


@pytest.mark.parametrize("header", ["ThrottlingException", "ThrottlingException:http://internal.amazon.com/coral/"])
def test_aws_states_its_code_in_a_header(header: str) -> None:
    body = b'{"message": "Too many tokens, please wait before trying again."}'
    assert str(Failure.of_status(429, {"x-amzn-errortype": header}, body)) == "429 ThrottlingException"


NOBODY = "http://127.0.0.1:9/"


def ask_aiohttp(url: str) -> None:
    async def ask() -> None:
        async with aiohttp.ClientSession() as session:
            await session.post(url)

    asyncio.run(ask())


@pytest.mark.parametrize(
    "ask",
    [
        httpx.post,
        httpx2.post,
        requests.post,
        lambda url: urllib3.request("POST", url, retries=False),
        lambda url: urllib3.request("POST", url, retries=0),
        ask_aiohttp,
    ],
)
def test_where_nobody_listens_nothing_was_sent(ask: Any) -> None:
    with pytest.raises(Exception, match=r"(?i)connect|refused") as error:
        ask(NOBODY)
    assert not Failure.of_error(error.value).broke_off


def test_an_error_that_was_being_handled_says_nothing_of_the_next() -> None:
    late = httpx2.ReadTimeout("the second provider is slow")
    late.__context__ = httpx2.ConnectError("the first is away")
    assert Failure.of_error(late).broke_off


def test_a_request_that_never_arrived_did_not_break_off() -> None:
    assert Failure.of_error(httpx2.ReadTimeout("")).broke_off
    assert Failure.of_error(None).broke_off
    assert not Failure.of_status(500, {}).broke_off
    assert Failure.of_error(asyncio.CancelledError()).given_up
