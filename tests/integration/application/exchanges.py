"""An exchange or two of every wire format, small, in the form that they have on the wire."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.event_stream import frame

if TYPE_CHECKING:
    from collections.abc import Mapping

AWS, SSE, JSON = "application/vnd.amazon.eventstream", "text/event-stream", "application/json"
OPENAI, AZURE = "https://api.openai.com/v1", "https://atlas.openai.azure.com/openai/deployments/gpt"
GOOGLE = "https://generativelanguage.googleapis.com/v1beta"
VERTEX = "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5/publishers/google"
BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com/model"
WATSONX = "https://us-south.ml.cloud.ibm.com/ml/v1"
CONTEXT = {"messages": [{"role": "user", "content": "Grüße 👋"}]}


@dataclass(frozen=True)
class Answered:
    """What is asked, and the answer."""

    url: str
    asked: Mapping[str, Any]
    body: bytes
    content_type: str = JSON


def whole(url: str, asked: Mapping[str, Any], answer: object) -> Answered:
    return Answered(url, asked, json.dumps(answer, ensure_ascii=False).encode())


def streamed(url: str, asked: Mapping[str, Any], *events: object, end: bytes = b"\n", done: bool = False) -> Answered:
    """Server-sent events; those that have a type are called by it."""
    body = b""
    for event in events:
        kind = event.get("type") if isinstance(event, dict) else None
        name = b"event: " + kind.encode() + end if isinstance(kind, str) else b""
        body += name + b"data: " + json.dumps(event, ensure_ascii=False).encode() + end + end
    return Answered(url, asked, body + (b"data: [DONE]" + end + end if done else b""), SSE)


def framed(url: str, asked: Mapping[str, Any], *events: tuple[str, object]) -> Answered:
    """Messages of an AWS event stream."""
    return Answered(url, asked, b"".join(frame(name, payload) for name, payload in events), AWS)


def chunk(payload: object) -> tuple[str, object]:
    return "chunk", {"bytes": base64.b64encode(json.dumps(payload).encode()).decode(), "p": "abc"}


def chat(**more: object) -> dict[str, object]:
    choices = [{"index": 0, "message": {"role": "assistant", "content": "Grüße 👋"}, "finish_reason": "stop"}]
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "choices": choices, **more}


def delta(text: str) -> dict[str, object]:
    choices = [{"index": 0, "delta": {"content": text}, "finish_reason": None}]
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m", "choices": choices, "usage": None}


def chatted(url: str, **asked: object) -> tuple[Answered, Answered]:
    """A chat completion, whole and streamed."""
    asks = {"model": "m", **CONTEXT, **asked}
    usage = {**USED, "prompt_tokens_details": {"cached_tokens": 3}}
    last = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m", "choices": [], "usage": usage}
    stream = {**asks, "stream": True, "stream_options": {"include_usage": True}}
    return (
        whole(url, asks, chat(usage=usage)),
        streamed(url, stream, *(delta(text) for text in ("Grü", "ße ", "👋")), last, done=True),
    )


USED = {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}
TOKENS = {"input_tokens": 12, "output_tokens": 7}
RESPONSE = {"id": "resp_1", "model": "m", "status": "completed", "output": [], "usage": {**TOKENS, "total_tokens": 19}}
MESSAGE = {"id": "msg_1", "type": "message", "model": "m", "content": [], "usage": TOKENS}
MESSAGE_EVENTS: tuple[dict[str, Any], ...] = (
    {"type": "message_start", "message": {**MESSAGE, "usage": {"input_tokens": 12, "output_tokens": 1}}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Grüße 👋"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
    {"type": "message_stop"},
)
GENERATED = {
    "candidates": [{"content": {"parts": [{"text": "Grüße [{👋"}], "role": "model"}, "index": 0}],
    "usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 7, "totalTokenCount": 19},
    "modelVersion": "m",
    "responseId": "r1",
}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "Grüße"}]}]}
BILLED = {"billed_units": TOKENS, "tokens": TOKENS}
OLLAMA = {"model": "m", "created_at": "now", "message": {"role": "assistant", "content": "ü"}, "done": False}
OLLAMA_LAST = {**OLLAMA, "done": True, "done_reason": "stop", "prompt_eval_count": 12, "eval_count": 7}
CONVERSE = (
    ("messageStart", {"role": "assistant", "p": "ab"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Grüße"}, "p": "a"}),
    ("messageStop", {"stopReason": "end_turn"}),
    ("metadata", {"usage": {"inputTokens": 12, "outputTokens": 7, "totalTokens": 19}, "metrics": {"latencyMs": 9}}),
)
TRANSCRIBED = {"text": "Grüße", "usage": {"type": "tokens", **TOKENS, "total_tokens": 19}}

EXCHANGES: dict[str, tuple[Answered, ...]] = {
    "openai.chat": (*chatted(f"{OPENAI}/chat/completions"), *chatted(f"{AZURE}/chat/completions?api-version=1")),
    "gemini.chat": chatted(f"{GOOGLE}/openai/chat/completions"),
    "vercel.chat": chatted("https://ai-gateway.vercel.sh/v1/chat/completions"),
    "openai.completions": (
        whole(
            f"{OPENAI}/completions",
            {"model": "m", "prompt": "Grüße"},
            {"id": "cmpl-1", "model": "m", "choices": [{"text": "👋"}], "usage": USED},
        ),
    ),
    "databricks.invocations": (
        whole("https://dbc-1.cloud.databricks.com/serving-endpoints/m/invocations", CONTEXT, chat(usage=USED)),
    ),
    "openai.responses": (
        whole(f"{OPENAI}/responses", {"model": "m", "input": "Grüße"}, RESPONSE),
        streamed(
            f"{OPENAI}/responses",
            {"model": "m", "input": "Grüße", "stream": True},
            {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "usage": None}},
            {"type": "response.output_text.delta", "delta": "Grüße 👋", "sequence_number": 1},
            {"type": "response.completed", "response": RESPONSE, "sequence_number": 2},
        ),
    ),
    "openai.runs": (
        whole(
            f"{OPENAI}/threads/thread_1/runs",
            {"assistant_id": "asst_1"},
            {"id": "run_1", "object": "thread.run", "model": "m", "status": "completed", "usage": USED},
        ),
    ),
    "openai.embeddings": (
        whole(
            f"{OPENAI}/embeddings",
            {"model": "m", "input": ["Grüße"]},
            {"data": [{"embedding": [0.1, -2e-3]}], "model": "m", "usage": {"prompt_tokens": 12, "total_tokens": 12}},
        ),
    ),
    "openai.images": (
        whole(
            f"{OPENAI}/images/generations",
            {"model": "m", "prompt": "ein Gruß"},
            {"created": 1, "data": [{"b64_json": "aGVsbG8="}], "usage": {**TOKENS, "total_tokens": 19}},
        ),
    ),
    "openai.audio": (
        whole(f"{OPENAI}/audio/transcriptions", {"model": "m", "file": "f"}, TRANSCRIBED),
        Answered(f"{OPENAI}/audio/speech", {"model": "m", "input": "Grüße"}, bytes(range(256)), "audio/mpeg"),
    ),
    "anthropic.messages": (
        whole("https://api.anthropic.com/v1/messages", {"model": "m", "max_tokens": 9, **CONTEXT}, MESSAGE),
        streamed(
            "https://api.anthropic.com/v1/messages",
            {"model": "m", "max_tokens": 9, "stream": True, **CONTEXT},
            *MESSAGE_EVENTS,
        ),
    ),
    "anthropic.complete": (
        streamed(
            "https://api.anthropic.com/v1/complete",
            {"model": "m", "prompt": "Grüße", "max_tokens_to_sample": 9, "stream": True},
            {"type": "completion", "id": "compl_1", "completion": "Gr", "stop_reason": None, "model": "m"},
            {"type": "completion", "id": "compl_1", "completion": "", "stop_reason": "stop_sequence", "model": "m"},
            end=b"\r\n",
        ),
    ),
    "gemini.generate": (
        whole(f"{GOOGLE}/models/m:generateContent", CONTENTS, GENERATED),
        whole(f"{GOOGLE}/models/m:streamGenerateContent", CONTENTS, [GENERATED, GENERATED]),
        streamed(f"{GOOGLE}/models/m:streamGenerateContent?alt=sse", CONTENTS, GENERATED, GENERATED, end=b"\r\n"),
    ),
    "gemini.embed": (
        whole(
            f"{GOOGLE}/models/m:embedContent",
            {"content": {"parts": [{"text": "Grüße"}]}},
            {"embedding": {"values": [0.1]}, "usageMetadata": {"promptTokenCount": 12}},
        ),
    ),
    "vertex.predict": (
        whole(
            f"{VERTEX}/models/m:predict",
            {"instances": [{"content": "Grüße"}]},
            {"predictions": [{"embeddings": {"values": [0.1], "statistics": {"token_count": 12, "truncated": False}}}]},
        ),
    ),
    "gemini.interactions": (
        whole(
            f"{GOOGLE}/interactions",
            {"model": "m", "input": "Grüße"},
            {"id": "i1", "status": "completed", "usage": {"total_input_tokens": 12, "total_output_tokens": 7}},
        ),
    ),
    "bedrock.converse": (
        whole(f"{BEDROCK}/m/converse", CONTEXT, {"output": {}, "usage": CONVERSE[-1][1]["usage"]}),  # type: ignore[index] # a dictionary
        framed(f"{BEDROCK}/m/converse-stream", CONTEXT, *CONVERSE),
    ),
    "bedrock.invoke": (
        whole(f"{BEDROCK}/anthropic.m/invoke", {"max_tokens": 9, **CONTEXT}, MESSAGE),
        framed(f"{BEDROCK}/anthropic.m/invoke-with-response-stream", CONTEXT, *map(chunk, MESSAGE_EVENTS)),
    ),
    "bedrock.agent": (
        framed(
            "https://bedrock-agent-runtime.us-east-1.amazonaws.com/agents/A/agentAliases/B/sessions/c/text",
            {"inputText": "Grüße"},
            chunk("Grüße"),
        ),
    ),
    "cohere.chat": (
        whole("https://api.cohere.com/v2/chat", {"model": "m", **CONTEXT}, {"id": "c1", "usage": BILLED}),
        streamed(
            "https://api.cohere.com/v2/chat",
            {"model": "m", "stream": True, **CONTEXT},
            {"type": "message-start", "id": "c1"},
            {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Grüße"}}}},
            {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": BILLED}},
        ),
    ),
    "cohere.embed": (
        whole(
            "https://api.cohere.com/v2/embed",
            {"model": "m", "texts": ["Grüße"]},
            {"id": "c1", "embeddings": {"float": [[0.1]]}, "meta": {"billed_units": {"input_tokens": 12}}},
        ),
    ),
    "rerank": (
        whole(
            "https://api.cohere.com/v2/rerank",
            {"model": "m", "query": "Grüße", "documents": ["a"]},
            {"id": "c1", "results": [], "meta": {"billed_units": {"search_units": 1}}},
        ),
    ),
    "ollama": (
        Answered(
            "http://127.0.0.1:11434/api/chat",
            {"model": "m", **CONTEXT},
            b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in (OLLAMA, OLLAMA, OLLAMA_LAST)),
            "application/x-ndjson",
        ),
    ),
    "ollama.embed": (
        whole(
            "http://127.0.0.1:11434/api/embed",
            {"model": "m", "input": "Grüße"},
            {"model": "m", "embeddings": [[0.1]], "prompt_eval_count": 12},
        ),
    ),
    "huggingface.tgi": (
        streamed(
            "https://router.huggingface.co/hf-inference/models/m",
            {"inputs": "Grüße", "stream": True},
            {"token": {"id": 1, "text": "👋"}, "generated_text": None, "details": None},
            {"token": {"id": 2, "text": ""}, "generated_text": "👋", "details": {"generated_tokens": 7}},
        ),
    ),
    "watsonx.generation": (
        streamed(
            f"{WATSONX}/text/generation_stream?version=1",
            {"model_id": "m", "input": "Grüße"},
            {"model_id": "m", "results": [{"generated_text": "", "generated_token_count": 0, "input_token_count": 12}]},
            {
                "model_id": "m",
                "results": [{"generated_text": "👋", "generated_token_count": 7, "input_token_count": 0}],
            },
        ),
    ),
    "watsonx.embeddings": (
        whole(
            f"{WATSONX}/text/embeddings?version=1",
            {"model_id": "m", "inputs": ["Grüße"]},
            {"model_id": "m", "results": [{"embedding": [0.1]}], "input_token_count": 12},
        ),
    ),
    "mistral.conversations": (
        whole(
            "https://api.mistral.ai/v1/conversations",
            {"model": "m", "inputs": "Grüße"},
            {"object": "conversation.response", "conversation_id": "c", "outputs": [], "usage": USED},
        ),
    ),
    "mistral.ocr": (
        whole(
            "https://api.mistral.ai/v1/ocr",
            {"model": "m", "document": {"type": "document_url"}},
            {"pages": [], "model": "m", "usage_info": {"pages_processed": 2}},
        ),
    ),
    "cloudflare.run": (
        whole(
            "https://api.cloudflare.com/client/v4/accounts/a/ai/run/@cf/meta/m",
            CONTEXT,
            {"result": {"response": "👋", "usage": USED}, "success": True, "errors": []},
        ),
    ),
    "replicate.predictions": (
        whole(
            "https://api.replicate.com/v1/models/meta/m/predictions",
            {"input": {"prompt": "Grüße"}},
            {"id": "p1", "status": "succeeded", "metrics": {"input_token_count": 12, "output_token_count": 7}},
        ),
    ),
    "deepgram.listen": (
        whole(
            "https://api.deepgram.com/v1/listen?model=m", {"url": "https://a/b.wav"}, {"metadata": {"duration": 9.5}}
        ),
    ),
    "xai.stt": (whole("https://api.x.ai/v1/stt", {"file": "f"}, {"text": "Grüße", "seconds": 2.5}),),
}
