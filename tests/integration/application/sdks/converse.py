"""Answers of Amazon Bedrock's runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.integration.application.sdks.vendor import frames, whole

if TYPE_CHECKING:
    from tests.integration.application.sdks.vendor import Reply

MODEL = "amazon.nova-pro-v1:0"
ASK: dict[str, Any] = {
    "modelId": MODEL,
    "messages": [{"role": "user", "content": [{"text": "Why is the sky blue?"}]}],
    "inferenceConfig": {"maxTokens": 300},
}
USAGE = {"inputTokens": 1000, "outputTokens": 200, "totalTokens": 1200}


def answer() -> Reply:
    """A whole answer of converse."""
    message = {"role": "assistant", "content": [{"text": "Rayleigh scattering."}]}
    document = {"output": {"message": message}, "stopReason": "end_turn", "usage": USAGE, "metrics": {"latencyMs": 7}}
    return whole(document, x_amzn_requestid="req-7")


def stream() -> Reply:
    """The answer as a stream."""
    return frames(
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Rayleigh "}}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "scattering."}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": USAGE, "metrics": {"latencyMs": 7}}),
    )
