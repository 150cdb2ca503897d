"""Answers in Anthropic's messages format, which Bedrock and Vertex serve too."""

from __future__ import annotations

from typing import Any

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "Why is the sky blue?"}], "max_tokens": 300}
USAGE = {"input_tokens": 400, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 600, "output_tokens": 200}


def answer(model: str) -> dict[str, Any]:
    """A whole answer."""
    return {
        "id": "msg_7",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": "Rayleigh scattering."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": USAGE,
    }


def stream(model: str) -> list[dict[str, Any]]:
    """The answer as the events of a stream."""
    start = {**answer(model), "content": [], "stop_reason": None, "usage": {**USAGE, "output_tokens": 1}}
    end: dict[str, Any] = {"stop_reason": "end_turn", "stop_sequence": None}
    return [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Rayleigh scattering."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": 200}},
        {"type": "message_stop"},
    ]
