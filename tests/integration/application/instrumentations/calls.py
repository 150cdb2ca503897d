"""The calls that others watch too: of each library one, made in each of the ways that differ.

`OPENAI_BASE_URL` and the like say where the stand-in provider is. Bedrock, Mistral and Gemini are answered by a vendor
in this process.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Any

import agents
import anthropic
import litellm
import openai
import pydantic_ai
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

from tests.integration.application.sdks import chat, test_boto3, test_google_genai, test_mistralai, vendor

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.application.sdks.vendor import Reply, Vendor

USED = "[stand-in input=1000,output=200,cache_read=600]"
MESSAGES: Any = [{"role": "user", "content": USED}]
CLAUDE: Any = {"model": "claude-sonnet-4-5", "max_tokens": 300, "messages": MESSAGES}
GPT: Any = {"model": "gpt-4o", "messages": MESSAGES}
STREAM: Any = {"stream": True, "stream_options": {"include_usage": True}}
_AS_LONG_AS_THE_PROCESS = ExitStack()


# --- OpenAI --------------------------------------------------------------------------------------------------------
def openai_whole() -> None:
    with openai.OpenAI() as client:
        client.chat.completions.create(**GPT)


def openai_streamed() -> None:
    with openai.OpenAI() as client:
        list(client.chat.completions.create(**GPT, **STREAM))


def openai_responses() -> None:
    with openai.OpenAI() as client:
        client.responses.create(model="gpt-4o", input=USED)


def openai_async_whole() -> None:
    async def call() -> None:
        async with openai.AsyncOpenAI() as client:
            await client.chat.completions.create(**GPT)

    asyncio.run(call())


def openai_async_streamed() -> None:
    async def call() -> None:
        async with openai.AsyncOpenAI() as client:
            async for _ in await client.chat.completions.create(**GPT, **STREAM):
                pass

    asyncio.run(call())


def openai_closed_early() -> None:
    with openai.OpenAI() as client:
        stream = client.chat.completions.create(**GPT, **STREAM)
        next(iter(stream))
        stream.close()


def openai_async_closed_early() -> None:
    async def call() -> None:
        async with openai.AsyncOpenAI() as client:
            stream = await client.chat.completions.create(**GPT, **STREAM)
            async for _ in stream:
                break
            await stream.close()

    asyncio.run(call())


# --- Anthropic -----------------------------------------------------------------------------------------------------
def anthropic_whole() -> None:
    with anthropic.Anthropic() as client:
        client.messages.create(**CLAUDE)


def anthropic_streamed() -> None:
    with anthropic.Anthropic() as client, client.messages.stream(**CLAUDE) as stream:
        stream.until_done()


def anthropic_async_whole() -> None:
    async def call() -> None:
        async with anthropic.AsyncAnthropic() as client:
            await client.messages.create(**CLAUDE)

    asyncio.run(call())


def anthropic_async_streamed() -> None:
    async def call() -> None:
        async with anthropic.AsyncAnthropic() as client, client.messages.stream(**CLAUDE) as stream:
            await stream.until_done()

    asyncio.run(call())


def anthropic_closed_early() -> None:
    with anthropic.Anthropic() as client, client.messages.stream(**CLAUDE) as stream:
        next(iter(stream.text_stream))


def anthropic_async_closed_early() -> None:
    async def call() -> None:
        async with anthropic.AsyncAnthropic() as client, client.messages.stream(**CLAUDE) as stream:
            await anext(aiter(stream.text_stream))

    asyncio.run(call())


# --- frameworks ----------------------------------------------------------------------------------------------------
def langchain_chain() -> None:
    (ChatPromptTemplate.from_messages([("user", "{text}")]) | ChatOpenAI(model="gpt-4o")).invoke({"text": USED})


def langchain_streamed() -> None:
    list(ChatOpenAI(model="gpt-4o", stream_usage=True).stream(USED))


def agents_run() -> None:
    agents.Runner.run_sync(agents.Agent(name="writer", model="gpt-4o"), USED)


def pydantic_ai_run() -> None:
    pydantic_ai.Agent("openai:gpt-4o").run_sync(USED)


def pydantic_ai_anthropic_run() -> None:
    pydantic_ai.Agent("anthropic:claude-sonnet-4-5").run_sync(USED)


def litellm_completion() -> None:
    litellm.completion(model="openai/gpt-4o", messages=MESSAGES, api_base=os.environ["OPENAI_BASE_URL"])
    litellm.utils.executor.shutdown()  # it makes its span when the call is over, elsewhere


# --- Bedrock, Mistral and Gemini -----------------------------------------------------------------------------------
@cache
def answering() -> Vendor:
    """The vendor of this process."""
    return _AS_LONG_AS_THE_PROCESS.enter_context(vendor.running())


def call(name: str, way: Callable[[Vendor], Any], answer: Reply) -> Callable[[], None]:
    """The call that a test of an SDK makes, `way`, when the vendor says `answer`."""

    def made() -> None:
        answering().answers(answer)
        if asyncio.iscoroutine(awaited := way(answering())):
            asyncio.run(awaited)

    made.__name__ = name
    return made


BEDROCK = tuple(
    call(f"bedrock_{name}", way, test_boto3.answer(way))
    for name, way in {
        "converse": test_boto3.ask,
        "converse_streamed": test_boto3.stream,
        "invoke": test_boto3.invoke,
        "invoke_streamed": test_boto3.invoke_stream,
    }.items()
)
MISTRAL = tuple(
    call(f"mistral_{name}", way, answer)
    for name, way, answer in (
        ("whole", test_mistralai.complete, chat.answer(test_mistralai.MODEL)),
        ("streamed", test_mistralai.stream, chat.stream(test_mistralai.MODEL, "last")),
        ("async_whole", test_mistralai.complete_async, chat.answer(test_mistralai.MODEL)),
        ("async_streamed", test_mistralai.stream_async, chat.stream(test_mistralai.MODEL, "last")),
    )
)
GEMINI = tuple(
    call(f"gemini_{name}", test_google_genai.WAYS[f"gcp.gemini-{way}"], test_google_genai.answer(way))
    for name, way in {
        "whole": "generate",
        "streamed": "stream",
        "async_whole": "generate_async",
        "async_streamed": "stream_async",
    }.items()
)
