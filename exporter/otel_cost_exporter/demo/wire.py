"""What the stand-in provider says, in the wire formats of OpenAI and Anthropic. Pure functions, no sockets.

Each `Format` turns one `Answer` into a whole JSON body or into the events of a stream. A stream's events are pairs of
the SSE event name (None where the format names none) and its data.
"""

from __future__ import annotations

import base64
import struct
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Json = dict[str, Any]
Event = tuple[str | None, Json | str]

_CHUNKS: Final = 6
_DIMENSIONS: Final = 8


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one call used. `input` includes the cached tokens, `output` the reasoning, whatever the wire format does."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, before it has a wire format.

    Attributes:
        body: the request that it answers.
        model: the model that says to have answered.
        text: what it says.
        tokens: what the call used.
        full: False where the request's limit of output tokens ended the answer.
        tool: the tool that it calls, without arguments, in place of the text; None where it calls none.
    """

    body: Json
    model: str
    text: str
    tokens: Tokens
    full: bool
    tool: str | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def pieces(self) -> Iterator[str]:
        """The text in as many pieces as a stream sends it."""
        size = max(1, -(-len(self.text) // _CHUNKS))
        for start in range(0, len(self.text), size):
            yield self.text[start : start + size]


@dataclass(frozen=True, slots=True)
class Format:
    """One wire format.

    Attributes:
        whole: the JSON body of an answer.
        events: the events of an answer as a stream; None where the format has no streams.
        error: the JSON body of an error, from its HTTP status and message.
        limit: the request's fields that bound the output tokens, the first that is set counts.
        request_id: the response header that carries the request's id.
    """

    whole: Callable[[Answer], Json]
    events: Callable[[Answer], Iterator[Event]] | None
    error: Callable[[int, str], Json]
    limit: tuple[str, ...]
    request_id: str


# --- OpenAI chat completions ---------------------------------------------------------------------------------------
def _chat_usage(tokens: Tokens) -> Json:
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cache_read, "cache_write_tokens": tokens.cache_write},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }


def _chat_head(answer: Answer, kind: str) -> Json:
    return {"id": f"chatcmpl-{answer.id}", "object": kind, "created": answer.created, "model": answer.model}


def _finish_reason(answer: Answer) -> str:
    if answer.tool:
        return "tool_calls"
    return "stop" if answer.full else "length"


def _chat_tool(answer: Answer, arguments: str) -> Json:
    return {"id": f"call_{answer.id}", "type": "function", "function": {"name": answer.tool, "arguments": arguments}}


def _chat(answer: Answer) -> Json:
    message: Json = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.tool:
        message |= {"content": None, "tool_calls": [_chat_tool(answer, "{}")]}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(answer)}
    return {**_chat_head(answer, "chat.completion"), "choices": [choice], "usage": _chat_usage(answer.tokens)}


def _chat_events(answer: Answer) -> Iterator[Event]:
    """Usage comes only where `stream_options.include_usage` asks for it: then null on each chunk, and a last one."""
    head = _chat_head(answer, "chat.completion.chunk")
    asked = bool((answer.body.get("stream_options") or {}).get("include_usage"))
    if asked:
        head["usage"] = None

    def chunk(delta: Json, finish: str | None = None) -> Event:
        return None, {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

    if answer.tool:
        yield chunk({"role": "assistant", "content": None, "tool_calls": [{"index": 0, **_chat_tool(answer, "")}]})
        yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]})
    else:
        yield chunk({"role": "assistant", "content": ""})
        for piece in answer.pieces():
            yield chunk({"content": piece})
    yield chunk({}, _finish_reason(answer))
    if asked:
        yield None, {**head, "choices": [], "usage": _chat_usage(answer.tokens)}
    yield None, "[DONE]"


# --- OpenAI responses ----------------------------------------------------------------------------------------------
def _response(answer: Answer, *, status: str | None = None) -> Json:
    ended = "completed" if answer.full else "incomplete"
    status = status or ended
    done = status == ended
    tokens = answer.tokens
    usage = {
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cache_read, "cache_write_tokens": tokens.cache_write},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.input + tokens.output,
    }
    return {
        "id": f"resp_{answer.id}",
        "object": "response",
        "created_at": answer.created,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": answer.body.get("instructions"),
        "model": answer.model,
        "output": [_response_item(answer, status)] if done else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage if done else None,
    }


def _response_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _response_item(answer: Answer, status: str) -> Json:
    if answer.tool:
        arguments = "" if status == "in_progress" else "{}"
        called = {"call_id": f"call_{answer.id}", "name": answer.tool, "arguments": arguments}
        return {"id": f"fc_{answer.id}", "type": "function_call", "status": status, **called}
    content = [] if status == "in_progress" else [_response_part(answer.text)]
    return {"id": f"msg_{answer.id}", "type": "message", "role": "assistant", "status": status, "content": content}


def _response_events(answer: Answer) -> Iterator[Event]:
    ended = "completed" if answer.full else "incomplete"
    at = {"output_index": 0}
    started = _response(answer, status="in_progress")
    events: list[tuple[str, Json]] = [
        ("response.created", {"response": started}),
        ("response.in_progress", {"response": started}),
        ("response.output_item.added", {**at, "item": _response_item(answer, "in_progress")}),
        *(_response_tool_events(answer) if answer.tool else _response_text_events(answer)),
        ("response.output_item.done", {**at, "item": _response_item(answer, ended)}),
        (f"response.{ended}", {"response": _response(answer)}),
    ]
    for number, (name, data) in enumerate(events):
        yield name, {"type": name, "sequence_number": number, **data}


def _response_text_events(answer: Answer) -> Iterator[tuple[str, Json]]:
    part = {"output_index": 0, "item_id": f"msg_{answer.id}", "content_index": 0}
    yield "response.content_part.added", {**part, "part": _response_part("")}
    for piece in answer.pieces():
        yield "response.output_text.delta", {**part, "delta": piece, "logprobs": []}
    yield "response.output_text.done", {**part, "text": answer.text, "logprobs": []}
    yield "response.content_part.done", {**part, "part": _response_part(answer.text)}


def _response_tool_events(answer: Answer) -> Iterator[tuple[str, Json]]:
    item = {"output_index": 0, "item_id": f"fc_{answer.id}"}
    yield "response.function_call_arguments.delta", {**item, "delta": "{}"}
    yield "response.function_call_arguments.done", {**item, "name": answer.tool, "arguments": "{}"}


# --- OpenAI embeddings ---------------------------------------------------------------------------------------------
def _embeddings(answer: Answer) -> Json:
    asked = answer.body.get("input")
    count = len(asked) if isinstance(asked, list) and not all(isinstance(item, int) for item in asked) else 1
    size = answer.body.get("dimensions") or _DIMENSIONS
    vector: Any = [1.0 / size] * size
    if answer.body.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": vector} for index in range(count)],
        "model": answer.model,
        "usage": {"prompt_tokens": answer.tokens.input, "total_tokens": answer.tokens.input},
    }


# --- Anthropic messages --------------------------------------------------------------------------------------------
def _message_usage(tokens: Tokens, output: int) -> Json:
    """Anthropic counts cached input tokens beside `input_tokens`, not within them."""
    return {
        "input_tokens": tokens.input - tokens.cache_read - tokens.cache_write,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cache_read,
        "output_tokens": output,
    }


def _message(answer: Answer, *, started: bool = False) -> Json:
    tokens = answer.tokens
    cache_creation = {"ephemeral_5m_input_tokens": tokens.cache_write, "ephemeral_1h_input_tokens": 0}
    usage = _message_usage(tokens, 1 if started else tokens.output)
    return {
        "id": f"msg_{answer.id}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [] if started else [_message_block(answer)],
        "stop_reason": None if started else _stop_reason(answer),
        "stop_sequence": None,
        "usage": {**usage, "cache_creation": cache_creation, "service_tier": "standard"},
    }


def _message_block(answer: Answer, *, started: bool = False) -> Json:
    if answer.tool:
        return {"type": "tool_use", "id": f"toolu_{answer.id}", "name": answer.tool, "input": {}}
    return {"type": "text", "text": "" if started else answer.text}


def _message_deltas(answer: Answer) -> Iterator[Json]:
    if answer.tool:
        yield {"type": "input_json_delta", "partial_json": "{}"}
    else:
        for piece in answer.pieces():
            yield {"type": "text_delta", "text": piece}


def _stop_reason(answer: Answer) -> str:
    if answer.tool:
        return "tool_use"
    return "end_turn" if answer.full else "max_tokens"


def _message_events(answer: Answer) -> Iterator[Event]:
    """The first event states the input and one output token, the last but one the cumulative usage."""
    index = {"index": 0}
    ending = {"stop_reason": _stop_reason(answer), "stop_sequence": None}
    events: list[tuple[str, Json]] = [
        ("message_start", {"message": _message(answer, started=True)}),
        ("content_block_start", {**index, "content_block": _message_block(answer, started=True)}),
        ("ping", {}),
        *(("content_block_delta", {**index, "delta": delta}) for delta in _message_deltas(answer)),
        ("content_block_stop", index),
        ("message_delta", {"delta": ending, "usage": _message_usage(answer.tokens, answer.tokens.output)}),
        ("message_stop", {}),
    ]
    for name, data in events:
        yield name, {"type": name, **data}


# --- errors --------------------------------------------------------------------------------------------------------
_OPENAI_ERRORS: Final = {400: "invalid_request_error", 401: "invalid_request_error", 429: "rate_limit_exceeded"}
_ANTHROPIC_ERRORS: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def _openai_error(status: int, message: str) -> Json:
    kind = _OPENAI_ERRORS.get(status, "server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def _anthropic_error(status: int, message: str) -> Json:
    return {"type": "error", "error": {"type": _ANTHROPIC_ERRORS.get(status, "api_error"), "message": message}}


_CHAT_LIMITS: Final = ("max_completion_tokens", "max_tokens")

FORMATS: Final = {
    "/openai/v1/chat/completions": Format(_chat, _chat_events, _openai_error, _CHAT_LIMITS, "x-request-id"),
    "/openai/v1/responses": Format(_response, _response_events, _openai_error, ("max_output_tokens",), "x-request-id"),
    "/openai/v1/embeddings": Format(_embeddings, None, _openai_error, (), "x-request-id"),
    "/anthropic/v1/messages": Format(_message, _message_events, _anthropic_error, ("max_tokens",), "request-id"),
}
"""Every path that the stand-in serves; each also without its vendor's name in front."""
