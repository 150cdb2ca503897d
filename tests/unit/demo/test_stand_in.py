"""The real SDKs talk to the stand-in provider and understand it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import anthropic
import httpx2
import openai
import pytest

from otel_cost_exporter.demo import stand_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HELLO = [{"role": "user", "content": "Say hello"}]
STEER = {"x-stand-in-usage": "input=1000,output=200,cache_read=600,cache_write=100"}


@pytest.fixture(scope="module")
def server() -> Iterator[stand_in.StandIn]:
    with stand_in.running() as provider:
        yield provider


@pytest.fixture
def provider(server: stand_in.StandIn) -> stand_in.StandIn:
    server.requests.clear()
    return server


@pytest.fixture
def gpt(provider: stand_in.StandIn) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=provider.openai_url, api_key="stand-in", max_retries=0) as client:
        yield client


@pytest.fixture
def claude(provider: stand_in.StandIn) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=provider.anthropic_url, api_key="stand-in", max_retries=0) as client:
        yield client


def test_chat_completion(gpt: openai.OpenAI, provider: stand_in.StandIn) -> None:
    raw = gpt.chat.completions.with_raw_response.create(model="gpt-4o", messages=HELLO, extra_headers=STEER)
    answer = raw.parse()
    assert raw.headers["x-stand-in-provider"] == "otel-cost"
    assert answer.model == "gpt-4o"
    assert "stand-in" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (1000, 200, 1200)
    assert answer.usage.prompt_tokens_details
    assert answer.usage.prompt_tokens_details.cached_tokens == 600
    (seen,) = provider.requests
    assert (seen.method, seen.path, seen.body["messages"]) == ("POST", "/openai/v1/chat/completions", HELLO)
    assert seen.headers["authorization"] == "Bearer stand-in"


def test_natural_usage_is_deterministic_and_bounded(gpt: openai.OpenAI) -> None:
    asked = [{"role": "user", "content": "x" * 400}]
    first, second = (gpt.chat.completions.create(model="gpt-4o", messages=asked) for _ in range(2))
    assert first.usage == second.usage
    assert first.id != second.id
    assert first.usage
    assert first.usage.prompt_tokens == 100
    assert 20 <= first.usage.completion_tokens < 80
    bounded = gpt.chat.completions.create(model="gpt-4o", messages=asked, max_completion_tokens=7)
    assert bounded.usage
    assert bounded.usage.completion_tokens == 7
    assert bounded.choices[0].finish_reason == "length"


@pytest.mark.parametrize("asked", [True, False])
def test_chat_stream_states_usage_only_when_asked(gpt: openai.OpenAI, *, asked: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if asked else {}
    chunks = list(
        gpt.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True, extra_headers=STEER, **options)
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text.startswith("This is the otel-cost stand-in")
    usages = [c.usage for c in chunks if c.usage]
    assert [u.total_tokens for u in usages] == ([1200] if asked else [])
    assert bool(chunks[-1].choices) is not asked
    assert ("usage" in chunks[0].to_dict()) is asked


def test_responses_whole_and_streamed(gpt: openai.OpenAI) -> None:
    whole = gpt.responses.create(model="gpt-5", input="Say hello", instructions="Be kind", extra_headers=STEER)
    assert "stand-in" in whole.output_text
    assert whole.usage
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (1000, 200)
    assert whole.usage.input_tokens_details.cached_tokens == 600
    events = list(gpt.responses.create(model="gpt-5", input="Say hello", stream=True, extra_headers=STEER))
    assert events[0].type == "response.created"
    assert events[0].response.usage is None
    assert events[-1].type == "response.completed"
    assert events[-1].response.usage == whole.usage
    deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert deltas == events[-1].response.output_text
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_responses_ended_by_the_limit_are_incomplete(gpt: openai.OpenAI) -> None:
    with gpt.responses.stream(model="gpt-5", input="Say hello", max_output_tokens=5) as stream:
        events = list(stream)
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.usage
    assert events[-1].response.usage.output_tokens == 5


# --- tools ---------------------------------------------------------------------------------------------------------
ASKED = "Look it up [stand-in call=look_up+hand_over]"
SCHEMA = {"type": "object", "properties": {}}


def test_a_chat_calls_each_tool_once_and_then_speaks(gpt: openai.OpenAI) -> None:
    names = ("hand_over", "look_up", "other")
    tools = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in names]
    messages: list[Any] = [{"role": "user", "content": ASKED}]
    called = []
    while calls := gpt.chat.completions.create(model="gpt-4o", messages=messages, tools=tools).choices[0].message:
        if not calls.tool_calls:
            assert "stand-in" in (calls.content or "")
            break
        called += [(call.function.name, call.function.arguments) for call in calls.tool_calls]
        messages.append(calls.to_dict())
        messages.append({"role": "tool", "tool_call_id": calls.tool_calls[0].id, "content": "found"})
    assert called == [("look_up", "{}"), ("hand_over", "{}")]
    with gpt.chat.completions.stream(model="gpt-4o", messages=messages[:1], tools=tools) as stream:
        (choice,) = stream.get_final_completion().choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls
    assert choice.message.tool_calls[0].function.name == "look_up"


def test_responses_call_tools(gpt: openai.OpenAI) -> None:
    tools = [{"type": "function", "name": "look_up", "parameters": SCHEMA, "strict": False}]
    asked: list[Any] = [{"role": "user", "content": ASKED}]
    (call,) = gpt.responses.create(model="gpt-5", input=asked, tools=tools).output
    assert (call.type, call.name, call.arguments) == ("function_call", "look_up", "{}")
    with gpt.responses.stream(model="gpt-5", input=asked, tools=tools) as stream:
        assert stream.get_final_response().output[0].arguments == "{}"
    asked += [call.to_dict(), {"type": "function_call_output", "call_id": call.call_id, "output": "found"}]
    assert "stand-in" in gpt.responses.create(model="gpt-5", input=asked, tools=tools).output_text


def test_messages_call_tools(claude: anthropic.Anthropic) -> None:
    more: Any = {"model": "claude-haiku-4-5", "max_tokens": 99, "tools": [{"name": "look_up", "input_schema": SCHEMA}]}
    asked: list[Any] = [{"role": "user", "content": ASKED}]
    answer = claude.messages.create(messages=asked, **more)
    (block,) = answer.content
    assert (block.type, block.name, block.input, answer.stop_reason) == ("tool_use", "look_up", {}, "tool_use")
    with claude.messages.stream(messages=asked, **more) as stream:
        (streamed,) = stream.get_final_message().content
    assert (streamed.name, streamed.input) == ("look_up", {})
    result = {"type": "tool_result", "tool_use_id": block.id, "content": "found"}
    asked += [{"role": "assistant", "content": [block.to_dict()]}, {"role": "user", "content": [result]}]
    assert claude.messages.create(messages=asked, **more).content[0].type == "text"


def test_embeddings(gpt: openai.OpenAI) -> None:
    asked = ["a" * 40, "b" * 40]
    for encoding in ({}, {"encoding_format": "float"}):
        answer = gpt.embeddings.create(model="text-embedding-3-small", input=asked, **encoding)
        assert [item.embedding for item in answer.data] == [[0.125] * 8] * 2
        assert answer.usage.prompt_tokens == 20  # 81 characters with the line between
    assert len(gpt.embeddings.create(model="text-embedding-3-small", input="a", dimensions=3).data[0].embedding) == 3


def test_message(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(
        model="claude-haiku-4-5",
        max_tokens=500,
        system=[{"type": "text", "text": "Be kind"}],
        messages=HELLO,
        extra_headers=STEER,
    )
    assert answer.content[0].type == "text"
    assert "stand-in" in answer.content[0].text
    usage = answer.usage
    assert (usage.input_tokens, usage.output_tokens) == (300, 200)
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (600, 100)


def test_message_stream(claude: anthropic.Anthropic) -> None:
    events = list(
        claude.messages.create(
            model="claude-haiku-4-5", max_tokens=500, messages=HELLO, stream=True, extra_headers=STEER
        )
    )
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    start, delta = events[0], events[-2]
    assert start.type == "message_start"
    assert (start.message.usage.input_tokens, start.message.usage.output_tokens) == (300, 1)
    assert delta.type == "message_delta"
    assert (delta.usage.output_tokens, delta.usage.cache_read_input_tokens) == (200, 600)
    with claude.messages.stream(model="claude-haiku-4-5", max_tokens=9, messages=HELLO) as stream:
        final = stream.get_final_message()
    assert (final.usage.output_tokens, final.stop_reason) == (9, "max_tokens")


def test_async_clients(provider: stand_in.StandIn) -> None:
    async def calls() -> tuple[int, int, int]:
        async with (
            openai.AsyncOpenAI(base_url=provider.openai_url, api_key="stand-in") as gpt,
            anthropic.AsyncAnthropic(base_url=provider.anthropic_url, api_key="stand-in") as claude,
        ):
            whole = await gpt.chat.completions.create(model="gpt-4o", messages=HELLO, extra_headers=STEER)
            stream = await gpt.chat.completions.create(
                model="gpt-4o",
                messages=HELLO,
                stream=True,
                stream_options={"include_usage": True},
                extra_headers=STEER,
            )
            last = [chunk async for chunk in stream][-1]
            message = await claude.messages.create(
                model="claude-haiku-4-5", max_tokens=9, messages=HELLO, extra_headers=STEER
            )
            assert whole.usage
            assert last.usage
            return whole.usage.total_tokens, last.usage.total_tokens, message.usage.output_tokens

    assert asyncio.run(calls()) == (1200, 1200, 200)
    assert len(provider.requests) == 3


def test_errors_are_the_vendors_own(gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    with pytest.raises(openai.RateLimitError, match="asked to fail") as limited:
        gpt.chat.completions.create(
            model="gpt-4o", messages=HELLO, extra_headers={"x-stand-in": "status=429,retry_after=0.5"}
        )
    assert limited.value.response.headers["retry-after"] == "0.5"
    steered = [{"role": "user", "content": "Please fail [stand-in status=500]"}]
    with pytest.raises(anthropic.InternalServerError) as failed:
        claude.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=steered)
    assert failed.value.body == {
        "type": "error",
        "error": {"type": "api_error", "message": "the otel-cost stand-in was asked to fail"},
    }


def test_only_the_first_attempts_fail(gpt: openai.OpenAI, provider: stand_in.StandIn) -> None:
    steer = {"x-stand-in": "status=429,failures=2,retry_after=0.01"}
    answer = gpt.with_options(max_retries=2).chat.completions.create(
        model="gpt-4o", messages=HELLO, extra_headers=steer
    )
    assert answer.usage
    assert len(provider.requests) == 3


def test_a_cut_stream_fails_and_a_truncated_one_just_ends(gpt: openai.OpenAI) -> None:
    received = []
    stream = gpt.chat.completions.create(
        model="gpt-4o", messages=HELLO, stream=True, extra_headers={"x-stand-in": "cut=3"}
    )
    with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
        received.extend(stream)
    assert len(received) == 3
    stream = gpt.chat.completions.create(
        model="gpt-4o", messages=HELLO, stream=True, extra_headers={"x-stand-in": "truncate=3"}
    )
    assert len(list(stream)) == 3


def test_gzip_whole_and_streamed(gpt: openai.OpenAI) -> None:
    steer = {"x-stand-in": "gzip=1,input=10,output=2"}
    raw = gpt.chat.completions.with_raw_response.create(model="gpt-4o", messages=HELLO, extra_headers=steer)
    assert raw.headers["content-encoding"] == "gzip"
    usage = raw.parse().usage
    assert usage
    assert usage.total_tokens == 12
    events = list(gpt.responses.create(model="gpt-5", input="Hi", stream=True, extra_headers=steer))
    assert events[-1].type == "response.completed"


def test_chunks_wait_and_the_answering_model_is_steered(gpt: openai.OpenAI) -> None:
    began = time.monotonic()
    steer = {"x-stand-in": "delay=0.02,model=gpt-4o-2024-08-06"}
    chunks = list(gpt.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True, extra_headers=steer))
    assert time.monotonic() - began > 0.02 * len(chunks)
    assert {chunk.model for chunk in chunks} == {"gpt-4o-2024-08-06"}


@pytest.mark.parametrize(
    ("body", "header", "said"),
    [
        (b"no json", "", "a JSON object with a model"),
        (b'{"messages": []}', "", "a JSON object with a model"),
        (b'{"model": "m"}', "colour=red", "the stand-in knows no 'colour'"),
        (b'{"model": "m"}', "input=many", "cannot read 'input=many'"),
    ],
)
def test_bad_requests_are_told_why(provider: stand_in.StandIn, body: bytes, header: str, said: str) -> None:
    answer = httpx2.post(f"{provider.url}/v1/chat/completions", content=body, headers={"x-stand-in": header})
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]
    # What it saw can be asked for over HTTP as well.
    seen = httpx2.get(f"{provider.url}/stand-in/requests").json()
    assert seen["count"] == 1
    assert seen["requests"][0]["path"] == "/v1/chat/completions"


def test_a_taken_port_is_an_error(provider: stand_in.StandIn) -> None:
    with pytest.raises(OSError, match="in use"), stand_in.running(int(provider.url.rpartition(":")[2])):
        pass


class NeverReady:
    """A server that runs until it is told to stop, and never says that it has started."""

    started = should_exit = False

    def run(self, _: object) -> None:
        while not self.should_exit:
            time.sleep(0.001)


class DiesAtOnce(NeverReady):
    """A server whose thread ends before it has started."""

    def run(self, _: object) -> None:
        pass


@pytest.mark.parametrize("server", [NeverReady, DiesAtOnce])
def test_a_server_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch, server: type[NeverReady]) -> None:
    monkeypatch.setattr(stand_in, "_server", lambda _: server())
    monkeypatch.setattr(stand_in, "_STARTUP_SECONDS", 0.05)
    with pytest.raises(RuntimeError, match="did not start"), stand_in.running():
        pass


def test_it_runs_as_a_program_without_the_ledgers_packages(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "otel_cost_exporter.demo.stand_in", "--port", "0"]
    imports = tmp_path / "imports.txt"  # no pipe: it would be full before anybody reads it
    with imports.open("w") as log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        assert "Stand-in" in line
        assert "no vendor is called" in line
        url = line.split()[-1]
        answer = httpx2.post(f"{url}/anthropic/v1/messages", json={"model": "m", "max_tokens": 3, "messages": HELLO})
        assert answer.json()["usage"]["output_tokens"] == 3
        process.terminate()
    lines = imports.read_text().splitlines()
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if "|" in line}
    assert "fastapi" in names
    assert not names & {"duckdb", "pyarrow"}
