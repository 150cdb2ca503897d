"""Answers in OpenAI's chat format, which several vendors speak."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.integration.application.sdks.vendor import events, whole

if TYPE_CHECKING:
    from tests.integration.application.sdks.vendor import Reply

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "Why is the sky blue?"}], "max_tokens": 300}
USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}


def answer(model: str, tier: str = "default", **usage: Any) -> Reply:
    """A whole answer."""
    message = {"role": "assistant", "content": "Rayleigh scattering.", "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    head = {"id": "chatcmpl-7", "object": "chat.completion", "created": 1790000000, "model": model}
    return whole({**head, "choices": [choice], "usage": {**USAGE, **usage}, "service_tier": tier})


def stream(model: str, usage_in: str = "chunk", **usage: Any) -> Reply:
    """The answer as a stream, its usage in a chunk of its own, or in the last one with a choice."""
    head = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1790000000, "model": model}
    stated = {**USAGE, **usage}

    def chunk(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return {**head, "choices": [choice], **more}

    start = [chunk({"role": "assistant", "content": ""}), chunk({"content": "Rayleigh "}), chunk({"content": "it is."})]
    if usage_in == "chunk":
        return events(*start, chunk({}, "stop"), {**head, "choices": [], "usage": stated})
    more = {"x_groq": {"id": "req_7", "usage": stated}} if usage_in == "x_groq" else {"usage": stated}
    return events(*start, chunk({}, "stop", **more))
