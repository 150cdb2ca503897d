"""What responses of every family state, in the form that they have on the wire."""

import base64
import json
from decimal import Decimal

import pytest

import otel_cost
from otel_cost import Metered, Usage
from otel_cost.usage import Reading
from tests.event_stream import frame

OPENAI = "https://api.openai.com/v1"
BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com/model"
VERTEX = "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5/publishers"
GEMINI = "https://generativelanguage.googleapis.com/v1beta/models"


def metered(url: str, answer: object, asked: dict[str, object] | None = None, **headers: str) -> Metered:
    """What `answer` to `asked` is metered as."""
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    call = otel_cost.meter(
        url=url, request_body=json.dumps(asked or {}).encode(), response_headers=headers, response_body=body
    )
    assert call is not None
    return call


def events(*documents: object) -> bytes:
    """Server-sent events."""
    lines = (document if isinstance(document, str) else json.dumps(document) for document in documents)
    return b"".join(b"data: " + line.encode() + b"\n\n" for line in lines)


def chunk(payload: object) -> bytes:
    """One event of a model inside an AWS event stream."""
    return frame("chunk", {"bytes": base64.b64encode(json.dumps(payload).encode()).decode(), "p": "abc"})


def chat(prompt: int, completion: int, total: int | None = None, **more: object) -> dict[str, object]:
    """A whole chat completion with this usage."""
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total or prompt + completion}
    choices = [{"index": 0, "message": {"role": "assistant", "content": "Hey"}, "finish_reason": "stop"}]
    return {"id": "chatcmpl-1", "object": "chat.completion", "choices": choices, "usage": {**usage, **more}}


def gemini(**usage: object) -> dict[str, object]:
    """A whole response of Gemini with this usage."""
    candidate = {"content": {"parts": [{"text": "Hey"}], "role": "model"}, "finishReason": "STOP"}
    model = "gemini-2.5-flash"
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": "r1"}


WHOLE = {
    "a chat": (f"{OPENAI}/chat/completions", chat(10, 5), Usage(10, 5)),
    "sound in a prompt and an answer": (
        f"{OPENAI}/chat/completions",
        chat(100, 50, prompt_tokens_details={"audio_tokens": 60}, completion_tokens_details={"audio_tokens": 40}),
        Usage(100, 50, input_audio_tokens=60, output_audio_tokens=40),
    ),
    "a chat that writes to the cache": (
        f"{OPENAI}/chat/completions",
        chat(1220, 3, prompt_tokens_details={"cached_tokens": 0, "cache_write_tokens": 1217}),
        Usage(1220, 3, cache_write_tokens=1217),
    ),
    "what is read and written again": (
        f"{OPENAI}/responses",
        {
            "object": "response",
            "usage": {
                "input_tokens": 4020,
                "input_tokens_details": {"cached_tokens": 4000, "cache_write_tokens": 4012},
                "output_tokens": 5,
                "total_tokens": 4025,
            },
        },
        Usage(4020, 5, cache_read_tokens=4000, cache_write_tokens=4012),
    ),
    "legacy completions": (f"{OPENAI}/completions", chat(8, 2), Usage(8, 2)),
    "a run of an assistant": (
        f"{OPENAI}/threads/thread_1/runs",
        {"id": "run_1", "status": "completed", "usage": {"prompt_tokens": 30, "completion_tokens": 4}},
        Usage(30, 4),
    ),
    "an edited picture": (
        f"{OPENAI}/images/edits",
        {
            "data": [{"b64_json": "aGk="}],
            "usage": {
                "input_tokens": 373,
                "input_tokens_details": {"image_tokens": 323, "text_tokens": 50},
                "output_tokens": 1056,
                "total_tokens": 1429,
            },
        },
        Usage(373, 1056, input_image_tokens=323, output_image_tokens=1056),
    ),
    "a picture with words": (
        f"{OPENAI}/images/generations",
        {
            "usage": {
                "input_tokens": 12,
                "output_tokens": 415,
                "output_tokens_details": {"image_tokens": 272, "text_tokens": 143},
            }
        },
        Usage(12, 415, output_image_tokens=272),
    ),
    "a transcript by tokens": (
        f"{OPENAI}/audio/transcriptions",
        {
            "text": "Hey",
            "usage": {
                "type": "tokens",
                "input_tokens": 26,
                "input_token_details": {"text_tokens": 5, "audio_tokens": 21},
                "output_tokens": 5,
                "total_tokens": 31,
            },
        },
        Usage(26, 5, input_audio_tokens=21),
    ),
    "a transcript by the second": (
        f"{OPENAI}/audio/transcriptions",
        {"text": "Hey", "usage": {"type": "duration", "seconds": 37}},
        Usage(audio_seconds=37),
    ),
    "a transcript by parts of a second": (
        f"{OPENAI}/audio/transcriptions",
        {"text": "Hey", "usage": {"type": "duration", "seconds": 3.7}},
        Usage(audio_seconds=Decimal("3.7")),
    ),
    "xAI's reasoning beside the output": (
        "https://api.x.ai/v1/chat/completions",
        chat(
            468,
            82,
            870,
            prompt_tokens_details={"cached_tokens": 305},
            completion_tokens_details={"reasoning_tokens": 320},
        ),
        Usage(468, 402, cache_read_tokens=305, reasoning_tokens=320),
    ),
    "xAI's reasoning in the output": (
        "https://us-east-1.api.x.ai/v1/responses",
        {
            "usage": {
                "input_tokens": 199,
                "output_tokens": 184,
                "output_tokens_details": {"reasoning_tokens": 181},
                "total_tokens": 383,
            }
        },
        Usage(199, 184, reasoning_tokens=181),
    ),
    "reasoning that the output is too small for": (
        "http://gateway.example/v1/chat/completions",
        chat(20, 10, completion_tokens_details={"reasoning_tokens": 100}),
        Usage(20, 110, reasoning_tokens=100),
    ),
    "Vercel's reasoning, which the total lacks too": (
        "https://ai-gateway.vercel.sh/v1/chat/completions",
        chat(113, 327, completion_tokens_details={"reasoning_tokens": 256}),
        Usage(113, 583, reasoning_tokens=256),
    ),
    "Gemini's thoughts, which only the total has": (
        "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
        chat(35, 12, 109),
        Usage(35, 74),
    ),
    "Mistral's sound beside the prompt": (
        "https://api.mistral.ai/v1/chat/completions",
        chat(9, 248, 632, prompt_audio_seconds=3, prompt_tokens_details={"cached_tokens": 0, "audio_tokens": 375}),
        Usage(384, 248, input_audio_tokens=375, audio_seconds=3),
    ),
    "Mistral's other name for cached": (
        "https://api.mistral.ai/v1/chat/completions",
        chat(64, 6, num_cached_tokens=32),
        Usage(64, 6, cache_read_tokens=32),
    ),
    "a conversation with Mistral's connectors": (
        "https://api.mistral.ai/v1/conversations",
        {
            "conversation_id": "conv_1",
            "usage": {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "total_tokens": 520,
                "connector_tokens": 400,
                "connectors": {"web_search": 1},
            },
        },
        Usage(500, 20, web_searches=1),
    ),
    "DeepSeek's hits": (
        "https://api.deepseek.com/chat/completions",
        chat(339, 92, prompt_cache_hit_tokens=320, prompt_cache_miss_tokens=19),
        Usage(339, 92, cache_read_tokens=320),
    ),
    "cached beside the input": (
        "https://llm.example/v1/chat/completions",
        chat(50, 10, 560, prompt_tokens_details={"cached_tokens": 500}),
        Usage(550, 10, cache_read_tokens=500),
    ),
    "Groq": (
        "https://api.groq.com/openai/v1/chat/completions",
        chat(20, 4, queue_time=0.19, prompt_time=0.01, completion_time=0.08, total_time=0.1),
        Usage(20, 4),
    ),
    "Cohere's billed units": (
        "https://api.cohere.com/v2/chat",
        {
            "id": "c1",
            "usage": {
                "billed_units": {"input_tokens": 121, "output_tokens": 51},
                "tokens": {"input_tokens": 624, "output_tokens": 54},
                "cached_tokens": 448,
            },
        },
        Usage(121, 51),
    ),
    "Cohere's first version": (
        "https://api.cohere.ai/v1/chat",
        {
            "response_id": "c1",
            "meta": {
                "api_version": {"version": "1"},
                "billed_units": {"input_tokens": 5, "output_tokens": 3},
                "tokens": {"input_tokens": 206, "output_tokens": 3},
            },
        },
        Usage(5, 3),
    ),
    "Cohere's embeddings of text and pictures": (
        "https://api.cohere.com/v2/embed",
        {"id": "e1", "meta": {"billed_units": {"input_tokens": 7, "image_tokens": 208}}},
        Usage(215, input_image_tokens=208),
    ),
    "Cohere's rerank": (
        "https://api.cohere.com/v2/rerank",
        {"id": "r1", "results": [], "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 2}}},
        Usage(rerank_searches=2),
    ),
    "a rerank by tokens": (
        "https://api.voyageai.com/v1/rerank",
        {"object": "list", "model": "rerank-2", "usage": {"total_tokens": 12}},
        Usage(12),
    ),
    "Voyage's embeddings": (
        "https://api.voyageai.com/v1/embeddings",
        {"object": "list", "model": "voyage-3.5", "usage": {"total_tokens": 4}},
        Usage(4),
    ),
    "Gemini with thoughts, tools and a cache of sound": (
        f"{GEMINI}/gemini-2.5-flash:generateContent",
        gemini(
            promptTokenCount=3000,
            cachedContentTokenCount=2917,
            toolUsePromptTokenCount=80,
            candidatesTokenCount=41,
            thoughtsTokenCount=47,
            totalTokenCount=3168,
            promptTokensDetails=[
                {"modality": "TEXT", "tokenCount": 1000},
                {"modality": "AUDIO", "tokenCount": 1500},
                {"modality": "IMAGE", "tokenCount": 258},
                {"modality": "IMAGE", "tokenCount": 142},
                {"modality": "VIDEO", "tokenCount": 100},
            ],
            cacheTokensDetails=[{"modality": "AUDIO", "tokenCount": 1400}],
        ),
        Usage(
            3080,
            88,
            cache_read_tokens=2917,
            reasoning_tokens=47,
            input_audio_tokens=1500,
            cache_read_audio_tokens=1400,
            input_image_tokens=400,
            input_video_tokens=100,
        ),
    ),
    "Gemini's picture": (
        f"{VERTEX}/google/models/gemini-2.5-flash-image:generateContent",
        gemini(
            promptTokenCount=20,
            candidatesTokenCount=1299,
            candidatesTokensDetails=[
                {"modality": "IMAGE", "tokenCount": 1290},
                {"modality": "TEXT", "tokenCount": 9},
            ],
        ),
        Usage(20, 1299, output_image_tokens=1290),
    ),
    "Gemini's embeddings": (
        f"{GEMINI}/gemini-embedding-2:batchEmbedContents",
        {
            "embeddings": [{"values": [0.1]}],
            "usageMetadata": {
                "promptTokenCount": 261,
                "promptTokenDetails": [
                    {"modality": "TEXT", "tokenCount": 3},
                    {"modality": "IMAGE", "tokenCount": 258},
                ],
            },
        },
        Usage(261, input_image_tokens=258),
    ),
    "Vertex AI's older embeddings": (
        f"{VERTEX}/google/models/text-embedding-005:predict",
        {
            "predictions": [
                {"embeddings": {"values": [0.1], "statistics": {"token_count": 4, "truncated": False}}},
                {"embeddings": {"values": [0.2], "statistics": {"token_count": 6.0, "truncated": False}}},
            ]
        },
        Usage(10),
    ),
    "an interaction": (
        "https://generativelanguage.googleapis.com/v1beta/interactions",
        {
            "id": "int_1",
            "model": "gemini-3-pro-preview",
            "status": "completed",
            "usage": {
                "total_input_tokens": 100,
                "total_cached_tokens": 30,
                "total_output_tokens": 20,
                "total_thought_tokens": 50,
                "total_tool_use_tokens": 7,
                "total_tokens": 177,
                "input_tokens_by_modality": [{"modality": "text", "tokens": 60}, {"modality": "audio", "tokens": 40}],
                "grounding_tool_count": [{"type": "google_search", "count": 2}],
            },
        },
        Usage(107, 70, cache_read_tokens=30, reasoning_tokens=50, input_audio_tokens=40, web_searches=2),
    ),
    "Bedrock's converse": (
        f"{BEDROCK}/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse",
        {
            "output": {"message": {"role": "assistant", "content": [{"text": "OK"}]}},
            "usage": {
                "inputTokens": 10,
                "outputTokens": 4,
                "totalTokens": 7365,
                "cacheReadInputTokens": 51,
                "cacheReadInputTokenCount": 51,
                "cacheWriteInputTokens": 7300,
                "cacheWriteInputTokenCount": 7300,
                "cacheDetails": [{"inputTokens": 7000, "ttl": "1h"}, {"inputTokens": 300, "ttl": "5m"}],
                "serverToolUsage": {},
            },
            "metrics": {"latencyMs": 951},
        },
        Usage(
            7361,
            4,
            cache_read_tokens=51,
            cache_write_tokens=7300,
            cache_write_5m_tokens=300,
            cache_write_1h_tokens=7000,
        ),
    ),
    "Claude at Bedrock": (
        f"{BEDROCK}/anthropic.claude-3-5-sonnet-20240620-v1%3A0/invoke",
        {
            "id": "msg_bdrk_1",
            "type": "message",
            "model": "claude-3-5-sonnet-20240620",
            "usage": {
                "input_tokens": 4,
                "cache_creation_input_tokens": 1209,
                "cache_read_input_tokens": 7,
                "output_tokens": 10,
            },
        },
        Usage(1220, 10, cache_read_tokens=7, cache_write_tokens=1209),
    ),
    "Titan's text": (
        f"{BEDROCK}/amazon.titan-text-lite-v1/invoke",
        {
            "inputTextTokenCount": 5,
            "results": [{"tokenCount": 7, "outputText": "Hey", "completionReason": "FINISH"}],
        },
        Usage(5, 7),
    ),
    "Titan's embeddings": (
        f"{BEDROCK}/amazon.titan-embed-text-v2:0/invoke",
        {"embedding": [0.1], "inputTextTokenCount": 2},
        Usage(2),
    ),
    "Llama at Bedrock": (
        f"{BEDROCK}/meta.llama3-8b-instruct-v1%3A0/invoke",
        {"generation": "Hey", "prompt_token_count": 23, "generation_token_count": 120, "stop_reason": "length"},
        Usage(23, 120),
    ),
    "Jamba at Bedrock": (f"{BEDROCK}/ai21.jamba-1-5-mini-v1:0/invoke", chat(17, 8), Usage(17, 8)),
    "Claude at Vertex AI": (
        f"{VERTEX}/anthropic/models/claude-sonnet-4-5@20250929:rawPredict",
        {"id": "msg_vrtx_1", "type": "message", "usage": {"input_tokens": 9, "output_tokens": 3}},
        Usage(9, 3),
    ),
    "Ollama": (
        "http://127.0.0.1:11434/api/chat",
        {"model": "qwen3", "done": True, "total_duration": 17, "prompt_eval_count": 21, "eval_count": 143},
        Usage(21, 143),
    ),
    "Ollama's embeddings": (
        "http://127.0.0.1:11434/api/embed",
        {"model": "all-minilm", "embeddings": [[0.1]], "prompt_eval_count": 8, "total_duration": 14},
        Usage(8),
    ),
    "watsonx": (
        "https://us-south.ml.cloud.ibm.com/ml/v1/text/generation?version=2024-05-31",
        {
            "model_id": "ibm/granite-3-8b-instruct",
            "results": [{"generated_text": "Hey", "generated_token_count": 11, "input_token_count": 8}],
        },
        Usage(8, 11),
    ),
    "Workers AI": (
        "https://api.cloudflare.com/client/v4/accounts/a1/ai/run/@cf/meta/llama-3.1-8b-instruct",
        {"result": {"response": "Hey", "usage": {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}}},
        Usage(12, 7),
    ),
    "a model that Databricks serves": (
        "https://dbc-1.cloud.databricks.com/serving-endpoints/databricks-claude-sonnet-4/invocations",
        chat(11, 3),
        Usage(11, 3),
    ),
    "modalities of Gemini by their numbers": (
        f"{GEMINI}/gemini-2.5-flash:generateContent?%24alt=json%3Benum-encoding%3Dint",
        gemini(
            promptTokenCount=1400,
            candidatesTokenCount=30,
            promptTokensDetails=[
                {"modality": 1, "tokenCount": 10},
                {"modality": 2, "tokenCount": 258},
                {"modality": 3, "tokenCount": 526},
                {"modality": 4, "tokenCount": 320},
                {"modality": 5, "tokenCount": 286},
            ],
            candidatesTokensDetails=[{"modality": 1, "tokenCount": 30}],
        ),
        Usage(1400, 30, input_audio_tokens=320, input_image_tokens=258, input_video_tokens=526),
    ),
    "a chat with Writer": (
        "https://api.writer.com/v1/chat",
        chat(40, 300, prompt_token_details={"cached_tokens": 8}, completion_token_details={"reasoning_tokens": 60}),
        Usage(40, 300, cache_read_tokens=8, reasoning_tokens=60),
    ),
    "a recording that lies outside the prompt": (
        "https://api.mistral.ai/v1/audio/transcriptions",
        {
            "model": "voxtral-mini-latest",
            "text": "Hey",
            "usage": {
                "prompt_audio_seconds": 3,
                "prompt_tokens": 3,
                "completion_tokens": 11,
                "total_tokens": 389,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 375},
            },
        },
        Usage(378, 11, input_audio_tokens=375, audio_seconds=3),
    ),
    "pictures by OpenRouter's own endpoint": (
        "https://openrouter.ai/api/v1/images",
        {
            "created": 0,
            "data": [{"b64_json": "aGV5", "media_type": "image/jpeg"}],
            "usage": {
                "prompt_tokens": 1125,
                "completion_tokens": 1537,
                "total_tokens": 2662,
                "cost": 0.034,
                "prompt_tokens_details": {"cached_tokens": 512, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 417, "image_tokens": 1120},
            },
        },
        Usage(1125, 1537, cache_read_tokens=512, reasoning_tokens=417, output_image_tokens=1120),
    ),
    "TGI": (
        "https://x1.eu-west-1.aws.endpoints.huggingface.cloud/generate",
        {"generated_text": "Hey", "details": {"finish_reason": "length", "generated_tokens": 20, "seed": None}},
        Usage(output_tokens=20),
    ),
    "Replicate": (
        "https://api.replicate.com/v1/models/meta/meta-llama-3-8b-instruct/predictions",
        {"id": "p1", "status": "succeeded", "metrics": {"input_token_count": 14, "output_token_count": 9}},
        Usage(14, 9),
    ),
}


@pytest.mark.parametrize(("url", "answer", "usage"), WHOLE.values(), ids=WHOLE)
def test_a_whole_response(url: str, answer: object, usage: Usage) -> None:
    call = metered(url, answer)
    assert call.usage == usage
    assert call.complete


START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "model": "claude-sonnet-4-6",
        "usage": {"input_tokens": 100, "cache_read_input_tokens": 55096, "output_tokens": 7},
    },
}
STREAMS = {
    "a chat": (
        f"{OPENAI}/chat/completions",
        events(
            {"choices": [], "id": "", "model": "", "prompt_filter_results": []},
            {"choices": [{"delta": {"content": "Hey"}}], "id": "chatcmpl-1", "model": "gpt-4o", "usage": None},
            {**chat(9, 10), "choices": []},
            "[DONE]",
        ),
        Usage(9, 10),
        "chatcmpl-1",
    ),
    "Groq's own place for usage": (
        "https://api.groq.com/openai/v1/chat/completions",
        events(
            {"id": "chatcmpl-1", "choices": [{"delta": {"content": "Hey"}}], "x_groq": {"id": "req_1"}},
            {
                "id": "chatcmpl-1",
                "choices": [{"delta": {}, "finish_reason": "stop"}],
                "x_groq": {"id": "req_1", "usage": {"prompt_tokens": 21, "completion_tokens": 988, "total_time": 3.4}},
            },
            "[DONE]",
        ),
        Usage(21, 988),
        "chatcmpl-1",
    ),
    "usage that grows in every chunk": (
        "https://api.perplexity.ai/chat/completions",
        events({**chat(11, 1), "object": "chat.completion.chunk"}, {**chat(11, 434), "object": "chat.completion.done"}),
        Usage(11, 434),
        "chatcmpl-1",
    ),
    "a response": (
        f"{OPENAI}/responses",
        events(
            {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", "usage": None}},
            {"type": "response.output_text.delta", "delta": "Hey"},
            {
                "type": "response.completed",
                "response": {"id": "resp_1", "status": "completed", "usage": {"input_tokens": 10, "output_tokens": 2}},
            },
        ),
        Usage(10, 2),
        "resp_1",
    ),
    "a transcript": (
        f"{OPENAI}/audio/transcriptions",
        events(
            {"type": "transcript.text.delta", "delta": "Hey"},
            {
                "type": "transcript.text.done",
                "text": "Hey",
                "usage": {"type": "tokens", "input_tokens": 37, "output_tokens": 12, "total_tokens": 49},
            },
        ),
        Usage(37, 12),
        None,
    ),
    "Claude, who corrects what was read": (
        "https://api.anthropic.com/v1/messages",
        events(
            START,
            {"type": "content_block_delta", "delta": {"text": "Hey"}},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn"},
                "usage": {"input_tokens": 181, "cache_read_input_tokens": 0, "output_tokens": 8},
            },
            {"type": "message_stop"},
        ),
        Usage(181, 8),
        "msg_1",
    ),
    "Cohere": (
        "https://api.cohere.com/v2/chat",
        events(
            {"type": "message-start", "id": "c1", "delta": {"message": {"role": "assistant"}}},
            {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hey"}}}},
            {
                "type": "message-end",
                "delta": {
                    "finish_reason": "COMPLETE",
                    "usage": {
                        "billed_units": {"input_tokens": 4, "output_tokens": 69},
                        "tokens": {"input_tokens": 70, "output_tokens": 69},
                    },
                },
            },
        ),
        Usage(4, 69),
        "c1",
    ),
    "Cohere's first version, by lines": (
        "https://api.cohere.ai/v1/generate",
        b"\n".join(
            json.dumps(line).encode()
            for line in (
                {"text": "Hey", "is_finished": False, "event_type": "text-generation"},
                {
                    "is_finished": True,
                    "event_type": "stream-end",
                    "response": {"id": "g1", "meta": {"billed_units": {"input_tokens": 5, "output_tokens": 55}}},
                },
            )
        ),
        Usage(5, 55),
        "g1",
    ),
    "Gemini": (
        f"{GEMINI}/gemini-2.5-flash:streamGenerateContent?alt=sse",
        events(gemini(promptTokenCount=32), gemini(promptTokenCount=32, candidatesTokenCount=12, thoughtsTokenCount=4)),
        Usage(32, 16, reasoning_tokens=4),
        "r1",
    ),
    "Gemini, as an array": (
        f"{GEMINI}/gemini-2.5-flash:streamGenerateContent",
        json.dumps([gemini(promptTokenCount=32), gemini(promptTokenCount=32, candidatesTokenCount=12)]).encode(),
        Usage(32, 12),
        "r1",
    ),
    "an interaction": (
        "https://generativelanguage.googleapis.com/v1beta/interactions",
        events(
            {"event_type": "interaction.created", "interaction": {"id": "int_1", "status": "in_progress"}},
            {"event_type": "step.delta", "delta": {"type": "text", "text": "Hey"}},
            {
                "event_type": "interaction.completed",
                "interaction": {"id": "int_1", "usage": {"total_input_tokens": 3, "total_output_tokens": 10}},
            },
        ),
        Usage(3, 10),
        "int_1",
    ),
    "Ollama": (
        "http://localhost:11434/api/generate",
        b'{"response":"Hey","done":false}\n{"response":"","done":true,"prompt_eval_count":31,"eval_count":58}\n',
        Usage(31, 58),
        None,
    ),
    "watsonx, who counts upwards": (
        "https://us-south.ml.cloud.ibm.com/ml/v1/text/generation_stream",
        events(
            {"model_id": "m", "results": [{"generated_token_count": 1, "input_token_count": 8}]},
            {"model_id": "m", "results": [{"generated_token_count": 11, "input_token_count": 0}]},
        ),
        Usage(8, 11),
        None,
    ),
    "Bedrock's converse": (
        f"{BEDROCK}/us.amazon.nova-2-lite-v1:0/converse-stream",
        frame("messageStart", {"role": "assistant"})
        + frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hey"}})
        + frame("metadata", {"usage": {"inputTokens": 11, "outputTokens": 236, "cacheWriteInputTokens": 1028}}),
        Usage(1039, 236, cache_write_tokens=1028),
        None,
    ),
    "Claude at Bedrock, where the figures of Bedrock differ": (
        f"{BEDROCK}/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/invoke-with-response-stream",
        chunk({"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 577, "output_tokens": 2}}})
        + chunk({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 54}})
        + chunk(
            {
                "type": "message_stop",
                "amazon-bedrock-invocationMetrics": {
                    "inputTokenCount": 577,
                    "outputTokenCount": 61,
                    "invocationLatency": 1298,
                },
            }
        ),
        Usage(577, 54),
        "msg_1",
    ),
    "Titan": (
        f"{BEDROCK}/amazon.titan-text-express-v1/invoke-with-response-stream",
        chunk({"outputText": "Hey", "index": 0, "totalOutputTextTokenCount": None, "inputTextTokenCount": 13})
        + chunk(
            {
                "outputText": "",
                "index": 0,
                "totalOutputTextTokenCount": 100,
                "inputTextTokenCount": None,
                "amazon-bedrock-invocationMetrics": {"inputTokenCount": 13, "outputTokenCount": 100},
            }
        ),
        Usage(13, 100),
        None,
    ),
}


@pytest.mark.parametrize(("url", "answer", "usage", "response_id"), STREAMS.values(), ids=STREAMS)
def test_a_stream(url: str, answer: bytes, usage: Usage, response_id: str | None) -> None:
    call = metered(url, answer)
    assert call.usage == usage
    assert (call.response_id, call.pending) == (response_id, False)


def test_where_bedrock_disagrees_with_its_model_the_cost_is_an_estimate() -> None:
    url, answer, _, _ = STREAMS["Claude at Bedrock, where the figures of Bedrock differ"]
    cost = metered(url, answer).cost
    assert (cost.status, cost.reason) == (
        "estimated",
        "Bedrock counts otherwise than its model: outputTokenCount 61, not 54",
    )


def test_bedrock_may_state_usage_in_its_headers_only() -> None:
    url = f"{BEDROCK}/anthropic.claude-v2:1/invoke"
    headers = {
        "X-Amzn-Bedrock-Input-Token-Count": "16",
        "X-Amzn-Bedrock-Output-Token-Count": "11",
        "X-Amzn-Bedrock-Cache-Read-Input-Token-Count": "7",
        "X-Amzn-Bedrock-Cache-Write-Input-Token-Count": "many",
        "X-Amzn-Bedrock-Service-Tier": "flex",
    }
    call = metered(url, {"type": "completion", "completion": "Hey"}, **headers)
    assert call.usage == Usage(23, 11, cache_read_tokens=7)
    assert (call.request_model, call.service_tier) == ("anthropic.claude-v2:1", "flex")


def test_what_the_body_leaves_out_the_headers_have() -> None:
    answer = {"output": {}, "usage": {"inputTokens": 30}, "amazon-bedrock-guardrailAction": "INTERVENED"}
    headers = {"x-amzn-bedrock-input-token-count": "30", "x-amzn-bedrock-output-token-count": "51"}
    call = metered(f"{BEDROCK}/amazon.nova-lite-v1%3A0/invoke", answer, **headers)
    assert call.usage == Usage(30, 51)
    assert (call.cost.status, call.cost.reason) == ("estimated", "no price for guardrail")
    trace = {"usage": {"inputTokens": 30, "outputTokens": 51}, "trace": {"guardrail": {"inputAssessment": {}}}}
    assert metered(f"{BEDROCK}/amazon.nova-lite-v1%3A0/converse", trace).cost.reason == "no price for guardrail"


@pytest.mark.parametrize(
    ("url", "answer", "tier"),
    [
        (f"{OPENAI}/chat/completions", {**chat(1, 1), "service_tier": "default"}, "standard"),
        (f"{OPENAI}/chat/completions", {**chat(1, 1), "service_tier": "flex"}, "flex"),
        ("https://api.groq.com/openai/v1/chat/completions", {**chat(1, 1), "service_tier": "on_demand"}, "standard"),
        ("https://api.mistral.ai/v1/chat/completions", chat(1, 1, service_tier="standard"), "standard"),
        (f"{GEMINI}/gemini-2.5-flash:generateContent", gemini(promptTokenCount=1, trafficType=1), "standard"),
        (f"{GEMINI}/gemini-2.5-flash:generateContent", gemini(promptTokenCount=1, trafficType=2), "2"),
        (f"{GEMINI}/m:generateContent", gemini(promptTokenCount=1, serviceTier="priority"), "priority"),
        (f"{GEMINI}/m:generateContent", gemini(promptTokenCount=1, trafficType="ON_DEMAND_FLEX"), "flex"),
        (f"{BEDROCK}/m/converse", {"usage": {"inputTokens": 1}, "serviceTier": {"type": "reserved"}}, "reserved"),
        (f"{OPENAI}/chat/completions", chat(1, 1), None),
    ],
)
def test_the_service_tier_has_the_name_that_prices_use(url: str, answer: object, tier: str | None) -> None:
    assert metered(url, answer).service_tier == tier


@pytest.mark.parametrize("status", ["queued", "in_progress"])
@pytest.mark.parametrize("tools", [{}, {"tool_usage": {"web_search": {"num_requests": 0}}}], ids=["", "no tool yet"])
def test_a_response_that_is_still_made_has_no_usage_yet(status: str, tools: dict[str, object]) -> None:
    answer = {"id": "resp_1", "background": True, "status": status, "usage": None, **tools}
    call = metered(f"{OPENAI}/responses", answer)
    assert (call.usage, call.pending, call.response_id) == (None, True, "resp_1")
    assert call.cost.amount is None


def test_what_a_response_has_used_while_it_is_made_is_an_estimate() -> None:
    usage = {"input_tokens": 1000, "output_tokens": 10, "total_tokens": 1010}
    answer = {"id": "resp_1", "model": "gpt-4o", "background": True, "status": "in_progress", "usage": usage}
    call = metered(f"{OPENAI}/responses", answer)
    assert (call.pending, call.cost.amount, call.cost.status) == (True, Decimal("0.0026"), "estimated")


def test_a_response_that_failed_is_not_waited_for() -> None:
    assert not metered(f"{OPENAI}/responses", {"id": "resp_1", "status": "failed", "usage": None}).pending


@pytest.mark.parametrize(
    ("model", "searches"), [("gemini-2.5-flash", 1), ("gemini-3-pro-preview", 2), ("gemini-3.5-flash", 2)]
)
def test_gemini_searches_once_a_prompt_or_once_a_query(model: str, searches: int) -> None:
    answer = gemini(promptTokenCount=5, candidatesTokenCount=2)
    queries = ["euro 2024 winner", "euro 2024 final", "", 7]
    candidates = [{"groundingMetadata": {"webSearchQueries": queries}}, {"groundingMetadata": None}, "?"]
    call = metered(f"{GEMINI}/{model}:generateContent", {**answer, "candidates": candidates, "modelVersion": model})
    assert call.usage == Usage(5, 2, web_searches=searches)


def response(output: list[object], **more: object) -> dict[str, object]:
    """A whole response of OpenAI with these items."""
    usage = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
    return {"id": "resp_1", "model": "gpt-5", "output": output, "usage": usage, **more}


def test_searches_are_counted_where_they_search() -> None:
    output = [
        {"type": "web_search_call", "action": {"type": "search", "query": "q"}},
        {"type": "web_search_call", "action": {"type": "open_page", "url": "https://x.example"}},
        {"type": "web_search_call"},
        {"type": "file_search_call"},
        {"type": "function_call"},
        "?",
    ]
    call = metered(f"{OPENAI}/responses", response(output))
    assert call.usage == Usage(100, 20, web_searches=2, file_searches=1)
    billed = metered(f"{OPENAI}/responses", response(output, tool_usage={"web_search": {"num_requests": 1}}))
    assert billed.usage == Usage(100, 20, web_searches=1, file_searches=1)


@pytest.mark.parametrize(
    ("model", "tool", "cost"),
    [
        # 10 for 1,000 searches; 25 with the older tool of a model that does not reason. gpt-4.1: input 2; gpt-5: 1.25
        ("gpt-4.1-2025-04-14", "web_search", "0.022"),
        ("gpt-4.1-2025-04-14", "web_search_preview", "0.052"),
        ("gpt-4.1-2025-04-14", "web_search_preview_2025_03_11", "0.052"),
        ("gpt-5-2025-08-07", "web_search_preview", "0.02125"),
    ],
)
def test_a_search_costs_what_its_tool_does(model: str, tool: str, cost: str) -> None:
    search = {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}
    answer = {
        "id": "resp_1",
        "model": model,
        "output": [search, search],
        "tools": [{"type": tool}],
        "usage": {"input_tokens": 1000, "output_tokens": 0, "total_tokens": 1000},
    }
    call = metered(f"{OPENAI}/responses", answer)
    assert (call.cost.amount, call.cost.status) == (Decimal(cost), "known")


@pytest.mark.parametrize(("model", "searches"), [("gpt-4o-search-preview-2025-03-11", 1), ("gpt-4o", 0), (None, 0)])
def test_a_search_model_searches_for_every_answer(model: str | None, searches: int) -> None:
    call = metered(f"{OPENAI}/chat/completions", {**chat(20, 10), "model": model})
    assert call.usage == Usage(20, 10, web_searches=searches)


def test_a_tool_without_a_meter_makes_the_cost_an_estimate() -> None:
    call = metered(f"{OPENAI}/responses", response([{"type": "code_interpreter_call"}]))
    assert (call.cost.status, call.cost.reason) == ("estimated", "no price for code_interpreter_call")


def test_tools_alone_are_no_usage() -> None:
    call = metered(f"{OPENAI}/responses", {**response([{"type": "web_search_call"}]), "usage": None})
    assert call.usage is None
    assert call.cost.status == "unknown"


PICTURES = {
    "image_gen": {
        "input_tokens": 50,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 50},
        "output_tokens": 1056,
        "output_tokens_details": {"image_tokens": 1056, "text_tokens": 0},
        "total_tokens": 1106,
    }
}


def test_a_picture_inside_a_response_is_a_pass_of_another_model() -> None:
    tools = [{"type": "image_generation", "model": "gpt-image-1"}]
    call = metered(
        f"{OPENAI}/responses", response([{"type": "image_generation_call"}], tools=tools, tool_usage=PICTURES)
    )
    assert call.usage == Usage(100, 20)
    assert call.shares == (("gpt-image-1", Usage(50, 1056, output_image_tokens=1056)),)
    # gpt-5: $1.25 in, $10 out; gpt-image-1: $5 text in, $40 pictures out, per million tokens
    assert call.cost.amount == Decimal("0.000125") + Decimal("0.0002") + Decimal("0.00025") + Decimal("0.04224")


def test_a_picture_of_a_model_that_is_not_named_is_not_priced() -> None:
    call = metered(f"{OPENAI}/responses", response([{"type": "image_generation_call"}], tool_usage=PICTURES))
    assert (call.shares, call.cost.reason) == ((), "no price for image_generation_call")


def iteration(kind: str, read: int, written: int, cached: int = 0, **more: object) -> dict[str, object]:
    """One pass of Claude."""
    return {
        "type": kind,
        "input_tokens": read,
        "output_tokens": written,
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": 0,
        **more,
    }


def message(model: str, read: int, written: int, *iterations: object) -> dict[str, object]:
    """A whole message of Claude."""
    usage = {"input_tokens": read, "output_tokens": written, "iterations": list(iterations), "inference_geo": "global"}
    return {"id": "msg_1", "type": "message", "model": model, "usage": usage}


def test_what_an_advisor_used_is_charged_at_its_own_prices() -> None:
    call = metered(
        "https://api.anthropic.com/v1/messages",
        message(
            "claude-sonnet-5",
            2482,
            166,
            iteration("message", 1128, 155),
            iteration("advisor_message", 2564, 99, model="claude-fable-5"),
            iteration("message", 1354, 11),
        ),
    )
    assert call.usage == Usage(2482, 166)
    assert call.shares == (("claude-fable-5", Usage(2564, 99)),)
    # Sonnet 5: $2 in, $10 out; Fable 5: $10 in, $50 out, per million tokens
    assert call.cost.amount == Decimal("0.004964") + Decimal("0.00166") + Decimal("0.02564") + Decimal("0.00495")
    assert call.cost.status == "known"


def test_a_compaction_is_charged_on_top_of_what_the_message_used() -> None:
    call = metered(
        "https://api.anthropic.com/v1/messages",
        message(
            "claude-sonnet-4-6", 181, 8, iteration("compaction", 100, 83, 55096), iteration("message", 181, 8), "?"
        ),
    )
    assert call.usage == Usage(181, 8)
    assert call.shares == (("claude-sonnet-4-6", Usage(55196, 83, cache_read_tokens=55096)),)
    # Sonnet 4.6: $3 in, $0.30 read, $15 out: 281 in, 55,096 read, 91 out
    assert call.cost.amount == Decimal("0.000843") + Decimal("0.0165288") + Decimal("0.001365")


def test_a_model_that_stood_in_for_another_makes_the_cost_an_estimate() -> None:
    declined = iteration("message", 100, 5, model="claude-opus-4-8")
    served = iteration("fallback_message", 100, 50, model="claude-sonnet-4-6")
    call = metered("https://api.anthropic.com/v1/messages", message("claude-sonnet-4-6", 200, 55, declined, served))
    assert (call.usage, call.shares, call.cost.status) == (Usage(200, 55), (), "estimated")
    assert call.cost.reason == "claude-opus-4-8 and claude-sonnet-4-6 wrote parts of the message"


def test_a_correction_of_what_was_written_takes_its_split_with_it() -> None:
    split = {"ephemeral_5m_input_tokens": 1057, "ephemeral_1h_input_tokens": 0}
    start = {"input_tokens": 3, "cache_creation_input_tokens": 1057, "cache_creation": split}
    answer = events(
        {"type": "message_start", "message": {"id": "msg_1", "usage": start}},
        {"type": "message_delta", "usage": {"cache_creation_input_tokens": 40, "output_tokens": 8}},
        {"type": "message_stop"},
    )
    assert metered("https://api.anthropic.com/v1/messages", answer).usage == Usage(43, 8, cache_write_tokens=40)


def test_a_pass_of_a_model_without_a_price_leaves_the_rest_as_the_least() -> None:
    advice = iteration("advisor_message", 100, 100, model="claude-of-tomorrow")
    call = metered("https://api.anthropic.com/v1/messages", message("claude-sonnet-4-6", 1000, 0, advice))
    assert (call.cost.amount, call.cost.status) == (Decimal("0.003"), "estimated")
    assert "claude-of-tomorrow" in (call.cost.reason or "")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (chat(20, 10, 90), "60 tokens that only the total has"),
        (
            chat(50, 10, 60, prompt_tokens_details={"cached_tokens": 500}),
            "input tokens, of which more were read from the cache than there are",
        ),
        (chat(0, 0), "the response states that it used nothing"),
        (chat(20, 10, premium_lookups=2), "no price for premium_lookups"),
        (chat(20, 10, plan="gold"), "no price for plan gold"),
    ],
)
def test_what_is_in_doubt_is_an_estimate(answer: dict[str, object], reason: str) -> None:
    call = metered(f"{OPENAI}/chat/completions", {**answer, "model": "gpt-4o"})
    assert (call.cost.status, call.cost.reason) == ("estimated", reason)


@pytest.mark.parametrize(
    "more",
    [
        {"queue_time": 0.2, "total_time": 1.5, "time_to_first_token_ms": 28.5, "tokens_per_second": 31.0},
        {"latency_checkpoint": {"engine_ttft_ms": 31}},
        {"completion_tokens_details": {"accepted_prediction_tokens": 4, "rejected_prediction_tokens": 3}},
        {"prompt_tokens_details": {"text_tokens": 20, "audio_tokens": 0}, "completion_tokens_details": None},
    ],
)
def test_what_changes_no_price_leaves_the_cost_known(more: dict[str, object]) -> None:
    call = metered(f"{OPENAI}/chat/completions", {**chat(20, 10, **more), "model": "gpt-4o"})
    assert call.cost.status == "known"


def test_what_a_budget_in_tokens_counts_is_all_of_it() -> None:
    usages = (("claude-fable-5", Usage(2564, 99)),)
    assert Reading(usage=Usage(2482, 166), shares=usages).total_tokens == 2482 + 166 + 2564 + 99
    assert Reading().total_tokens == 0


def test_a_list_that_tells_nothing_apart_is_not_taken_for_a_figure() -> None:
    call = metered(f"{OPENAI}/chat/completions", {**chat(20, 10, parts=[{"n": 1}, 2]), "model": "gpt-4o"})
    assert (call.cost.status, call.cost.reason) == ("estimated", "no price for parts")


def test_a_tool_that_makes_pictures_without_any_adds_nothing() -> None:
    usage = {"image_gen": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, "web_search": {"num_requests": 0}}
    tools = [{"type": "web_search"}, {"type": "image_generation", "model": "gpt-image-1"}]
    call = metered(f"{OPENAI}/responses", response([], tools=tools, tool_usage=usage))
    assert (call.shares, call.cost.status) == ((), "known")
