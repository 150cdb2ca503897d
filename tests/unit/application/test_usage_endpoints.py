"""Which endpoint is whose, what it speaks, and what its path and its body say."""

import json
from urllib.parse import urlsplit

import pytest

from otel_cost.usage import FORMATS, TAKES_INCLUDE_USAGE, Request, is_providers, recognise
from otel_cost.usage.endpoints import may_be_call


def asked(url: str, method: str = "POST", **fields: object) -> Request | None:
    return recognise(method, url, json.dumps(fields).encode())


VERTEX = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1"
GEMINI = "https://generativelanguage.googleapis.com/v1beta"
BEDROCK = "https://bedrock-runtime.eu-west-1.amazonaws.com/model"
ARN = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3A"


CALLS = [
        ("https://eu.api.openai.com/v1/responses", "openai", "openai.responses", None),
        ("https://api.openai.com/v1/responses/compact", "openai", "openai.responses", None),
        ("https://api.openai.com/v1/images/edits", "openai", "openai.images", None),
        ("https://api.openai.com/v1/audio/translations", "openai", "openai.audio", None),
        ("https://r.openai.azure.com/openai/deployments/d1/chat/completions?api-version=1", "azure.ai.openai",
         "openai.chat", "d1"),
        ("https://r.openai.azure.com//openai/deployments/d1/chat/completions", "azure.ai.openai", "openai.chat", "d1"),
        ("https://r.services.ai.azure.com/openai/v1/responses", "azure.ai.openai", "openai.responses", None),
        ("https://r.services.ai.azure.com/models/chat/completions", "azure.ai.inference", "openai.chat", None),
        ("https://r.services.ai.azure.com/anthropic/v1/messages", "azure.ai.inference", "anthropic.messages", None),
        ("https://r.cognitiveservices.azure.com/openai/deployments/d1/embeddings", "azure.ai.openai",
         "openai.embeddings", "d1"),
        ("https://api.anthropic.com/v1/complete", "anthropic", "anthropic.complete", None),
        (f"{GEMINI}/models/gemini-2.5-pro:generateContent", "gcp.gemini", "gemini.generate", "gemini-2.5-pro"),
        (f"{GEMINI}/models/text-embedding-004:embedContent", "gcp.gemini", "gemini.embed", "text-embedding-004"),
        (f"{GEMINI}/openai/chat/completions", "gcp.gemini", "gemini.chat", None),
        (f"{GEMINI}/interactions", "gcp.gemini", "gemini.interactions", None),
        (f"{VERTEX}/publishers/google/models/gemini-2.5-pro:generateContent", "gcp.vertex_ai", "gemini.generate",
         "gemini-2.5-pro"),
        (f"{VERTEX}/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict", "gcp.vertex_ai",
         "anthropic.messages", "claude-sonnet-4-5@20250929"),
        (f"{VERTEX}/publishers/mistralai/models/mistral-small-2503:rawPredict", "gcp.vertex_ai", "gemini.chat",
         "mistral-small-2503"),
        (f"{VERTEX}/endpoints/openapi/chat/completions", "gcp.vertex_ai", "gemini.chat", None),
        ("https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/publishers/google/models/m:embedContent",
         "gcp.vertex_ai", "gemini.embed", "m"),
        (f"{BEDROCK}/eu.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse", "aws.bedrock", "bedrock.converse",
         "eu.anthropic.claude-haiku-4-5-20251001-v1:0"),
        (f"{BEDROCK}/{ARN}inference-profile%2Fus.amazon.nova-pro-v1%3A0/invoke", "aws.bedrock", "bedrock.invoke",
         "us.amazon.nova-pro-v1:0"),
        (f"{BEDROCK}/{ARN}application-inference-profile%2Fabc/invoke", "aws.bedrock", "bedrock.invoke",
         "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"),
        ("https://vpce-1-2.bedrock-runtime.us-east-1.vpce.amazonaws.com/model/m/converse", "aws.bedrock",
         "bedrock.converse", "m"),
        ("https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com/model/m/converse", "aws.bedrock",
         "bedrock.converse", "m"),
        ("https://bedrock-mantle.us-east-1.api.aws/v1/chat/completions", "aws.bedrock", "openai.chat", None),
        ("https://bedrock-agent-runtime.us-east-1.amazonaws.com/agents/A/agentAliases/B/sessions/c/text",
         "aws.bedrock", "bedrock.agent", None),
        ("https://api.mistral.ai/v1/fim/completions", "mistral_ai", "openai.completions", None),
        ("https://api.mistral.ai/v1/chat/completions#stream", "mistral_ai", "openai.chat", None),
        ("https://api.groq.com/openai/v1/audio/transcriptions", "groq", "openai.audio", None),
        ("https://api.cohere.com/v2/chat", "cohere", "cohere.chat", None),
        ("https://api.cohere.com/v2/embed", "cohere", "cohere.embed", None),
        ("https://api.cohere.com/v2/rerank", "cohere", "rerank", None),
        ("https://api.together.xyz/v1/rerank", "together", "rerank", None),
        ("https://api.fireworks.ai/inference/v1/chat/completions", "fireworks", "openai.chat", None),
        ("https://openrouter.ai/api/v1/chat/completions", "openrouter", "openai.chat", None),
        ("https://router.huggingface.co/v1/chat/completions", "huggingface", "openai.chat", None),
        ("https://router.huggingface.co/together/v1/chat/completions", "huggingface_together", "openai.chat", None),
        ("https://ollama.com/api/chat", "ollama", "ollama", None),
        ("https://us-south.ml.cloud.ibm.com/ml/v1-beta/generation/text_stream", "ibm.watsonx.ai",
         "watsonx.generation", None),
        ("https://us.inference.heroku.com/v1/chat/completions", "heroku", "openai.chat", None),
        ("https://dbc-1.cloud.databricks.com/serving-endpoints/dbrx/invocations", "databricks",
         "databricks.invocations", "dbrx"),
        ("https://gateway.ai.cloudflare.com/v1/a/g/anthropic/v1/messages", "anthropic", "anthropic.messages", None),
        ("https://gateway.ai.cloudflare.com/v1/a/g/google-ai-studio/v1/models/m:generateContent", "gcp.gemini",
         "gemini.generate", "m"),
        ("https://gateway.pydantic.dev/proxy/openai/responses", "openai", "openai.responses", None),
        ("https://oai.helicone.ai/v1/chat/completions", "openai", "openai.chat", None),
        ("https://api.portkey.ai/v1/prompts/pp-1/completions", "portkey", "openai.completions", None),
        ("https://api.deepgram.com/v1/listen?model=nova-3", "deepgram", "deepgram.listen", None),
        ("https://api.openai.com/v1/completions", "openai", "openai.completions", None),
        ("https://api.openai.com/v1/threads/thread_1/runs", "openai", "openai.runs", None),
        ("https://api.x.ai/v1/stt", "x_ai", "xai.stt", None),
        ("https://api.mistral.ai/v1/ocr", "mistral_ai", "mistral.ocr", None),
        ("https://r.services.ai.azure.com/providers/mistral/azure/ocr", "azure.ai.inference", "mistral.ocr", None),
        ("https://api.mistral.ai/v1/conversations/conv_1", "mistral_ai", "mistral.conversations", None),
        ("https://api.mistral.ai/v1/conversations", "mistral_ai", "mistral.conversations", None),
        ("https://api.replicate.com/v1/models/meta/llama/predictions", "replicate", "replicate.predictions",
         "meta/llama"),
        ("https://api.cloudflare.com/client/v4/accounts/a/ai/run/@cf/meta/llama", "cloudflare", "cloudflare.run",
         "@cf/meta/llama"),
        ("https://api-inference.huggingface.co/models/org/model", "huggingface", "huggingface.tgi", "org/model"),
        ("https://ollama.com/api/embed", "ollama", "ollama.embed", None),
        ("https://ollama.com/api/embeddings", "ollama", "ollama.embed", None),
        ("https://us-south.ml.cloud.ibm.com/ml/v1/text/embeddings", "ibm.watsonx.ai", "watsonx.embeddings", None),
        (f"{VERTEX}/publishers/google/models/text-embedding-005:predict", "gcp.vertex_ai", "vertex.predict",
         "text-embedding-005"),
]  # fmt: skip


@pytest.mark.parametrize(("url", "provider", "wire_format", "model"), CALLS)
def test_an_endpoint_is_known_by_its_host_and_path(
    url: str, provider: str, wire_format: str, model: str | None
) -> None:
    request = asked(url)
    assert request is not None
    assert (request.provider, request.wire_format.name, request.model) == (provider, wire_format, model)
    assert request.known_provider
    assert is_providers(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1/responses/input_tokens",
        "https://api.openai.com/v1/threads/thread_1/messages",
        f"{GEMINI}/models/gemini-2.5-pro:countTokens",
        f"{GEMINI}/cachedContents",
        f"{BEDROCK}/m/count-tokens",
        "https://api.openai.com/v1/conversations",
        "https://api.openai.com/v1/conversations/conv_1",
        "https://r.openai.azure.com/openai/v1/conversations",
        "https://api.together.xyz/v2/projects/p/models/uploads",
        "https://api.mistral.ai/v1/fine_tuning/models/m/archive",
        "https://api.replicate.com/v1/models/meta/llama/versions/1/trainings",
    ],
)
def test_other_endpoints_of_a_provider_are_no_calls(url: str) -> None:
    assert asked(url) is None
    assert is_providers(url)


@pytest.mark.parametrize(
    ("base", "provider", "path", "field"),
    [
        ("http://gw:1/m", "mistral_ai", "/v1/conversations", "inputs"),
        ("http://gw:1/m", "my-mistral", "/v1/conversations", "inputs"),
        ("http://gw:1/h", "huggingface", "/models/org/model", "inputs"),
    ],
)
def test_what_one_provider_speaks_is_known_behind_a_base_url_of_its(
    base: str, provider: str, path: str, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_COST_ENDPOINTS", f"{base}={provider}")
    request = asked(base + path, **{field: "Hi"})
    assert request is not None
    assert request.provider == provider


def test_what_one_provider_speaks_is_known_at_a_host_that_nobody_named_by_its_body() -> None:
    url = "https://gateway.example/v1/conversations"
    assert asked(url, model="mistral-small-latest", inputs="Hi") is not None
    assert asked(url, items=[]) is None


@pytest.mark.parametrize("url", ["https://example.com/", "https://example.com", "https://gateway.example/v1/models"])
def test_other_hosts_are_no_providers(url: str) -> None:
    assert not is_providers(url)


def test_a_gateway_that_names_nobody_who_is_known_counts_by_its_shape() -> None:
    url = "https://gateway.ai.cloudflare.com/v1/a/g/compat/chat/completions"
    request = asked(url, model="openai/gpt-4o", messages=[])
    assert request is not None
    assert (request.provider, request.known_provider) == ("gateway.ai.cloudflare.com", False)


@pytest.mark.parametrize(
    ("url", "fields", "stream"),
    [
        (f"{GEMINI}/models/m:streamGenerateContent?alt=sse", {}, True),
        (f"{GEMINI}/models/m:generateContent", {}, False),
        (f"{BEDROCK}/m/converse-stream", {}, True),
        (f"{BEDROCK}/m/invoke-with-response-stream", {}, True),
        (f"{BEDROCK}/m/invoke", {}, False),
        (f"{VERTEX}/publishers/anthropic/models/m:streamRawPredict", {}, True),
        ("https://api.openai.com/v1/chat/completions", {"stream": True}, True),
        ("https://api.openai.com/v1/chat/completions", {"stream": "yes"}, False),
    ],
)
def test_a_stream_is_asked_for_by_path_or_body(url: str, fields: dict[str, object], stream: bool) -> None:  # noqa: FBT001 - a parameter of the test
    request = asked(url, **fields)
    assert request is not None
    assert request.stream is stream


@pytest.mark.parametrize(
    ("method", "url", "id_"),
    [
        ("GET", "https://api.openai.com/v1/responses/resp_1", "resp_1"),
        ("POST", "https://api.openai.com/v1/responses/resp_1/cancel", "resp_1"),
        ("GET", "https://r.openai.azure.com/openai/v1/responses/resp_1?api-version=preview", "resp_1"),
        ("GET", "https://api.openai.com/v1/chat/completions/chatcmpl-1", "chatcmpl-1"),
        ("GET", "https://api.openai.com/v1/threads/thread_1/runs/run_1", "run_1"),
        ("POST", "https://api.openai.com/v1/threads/thread_1/runs/run_1/submit_tool_outputs", "run_1"),
        ("GET", f"{GEMINI}/interactions/int_1", "int_1"),
        ("GET", "https://api.replicate.com/v1/predictions/p1", "p1"),
        ("GET", "https://api.perplexity.ai/async/chat/completions/a1", "a1"),
        ("GET", "https://api.x.ai/v1/chat/deferred-completion/d1", "d1"),
    ],
)
def test_a_retrieval_names_the_response_that_it_states_again(method: str, url: str, id_: str) -> None:
    request = recognise(method, url, b"")
    assert request is not None
    assert request.retrieves == id_


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "https://api.openai.com/v1/responses/resp_1/input_items"),
        ("DELETE", "https://api.openai.com/v1/responses/resp_1"),
        ("GET", "https://api.openai.com/v1/threads/thread_1/runs/run_1/steps"),
        ("GET", "https://example.com/responses/resp_1"),
        ("GET", "https://api.openai.com/v1/chat/completions"),
    ],
)
def test_what_is_near_a_retrieval_is_none(method: str, url: str) -> None:
    assert recognise(method, url, b"") is None


def test_a_call_retrieves_nothing() -> None:
    request = asked("https://api.openai.com/v1/responses", model="m", input="Hi")
    assert request is not None
    assert request.retrieves is None


@pytest.mark.parametrize(
    ("model", "provider"),
    [("Qwen/Qwen3:groq", "huggingface_groq"), ("Qwen/Qwen3:cheapest", "huggingface"), ("Qwen/Qwen3", "huggingface")],
)
def test_the_model_may_name_who_serves_it_behind_a_router(model: str, provider: str) -> None:
    request = asked("https://router.huggingface.co/v1/chat/completions", model=model)
    assert request is not None
    assert request.provider == provider
    assert request.provider in TAKES_INCLUDE_USAGE


def test_ollama_is_known_by_its_own_path_wherever_it_runs() -> None:
    request = asked("http://10.0.0.7:11434/api/chat", model="qwen3", messages=[])
    assert request is not None
    assert (request.provider, request.known_provider, request.port) == ("ollama", True, 11434)
    assert asked("https://app.example/api/chat", messages=[]) is None


def form(*fields: tuple[str, str], file: bytes = b"RIFF") -> bytes:
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields]
    parts.append(
        b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n' + file
    )
    return b"".join(b"--x1\r\n" + part + b"\r\n" for part in parts) + b"--x1--\r\n"


@pytest.mark.parametrize("size", [4, 100_000])
@pytest.mark.parametrize("first", [True, False])
def test_a_form_says_its_model_before_or_after_the_file(size: int, first: bool) -> None:  # noqa: FBT001 - a parameter of the test
    body = form(("model", "whisper-1"), ("stream", "true"), file=b"\0" * size)
    if not first:
        head, _, rest = body.partition(b'--x1\r\nContent-Disposition: form-data; name="file"')
        body = b'--x1\r\nContent-Disposition: form-data; name="file"' + rest.replace(b"--x1--\r\n", b"") + head
    for url in ("https://api.openai.com/v1/audio/transcriptions", "http://127.0.0.1:8000/v1/audio/transcriptions"):
        request = recognise("POST", url, body)
        assert request is not None
        assert (request.model, request.stream) == ("whisper-1", True)
    assert size < 1000 or request.sizes() == (0, len(body))


@pytest.mark.parametrize(
    ("url", "fields", "bound"),
    [
        (f"{GEMINI}/models/m:generateContent", {"generationConfig": {"maxOutputTokens": 50, "candidateCount": 2}}, 100),
        (f"{BEDROCK}/m/converse", {"inferenceConfig": {"maxTokens": 512}}, 512),
        (f"{BEDROCK}/m/invoke", {"textGenerationConfig": {"maxTokenCount": 64}}, 64),
        (f"{BEDROCK}/m/invoke", {"max_gen_len": 32}, 32),
        ("https://api.anthropic.com/v1/complete", {"max_tokens_to_sample": 8}, 8),
        ("http://localhost:11434/api/chat", {"model": "m", "messages": [], "options": {"num_predict": 16}}, 16),
        ("http://localhost:11434/api/chat", {"model": "m", "messages": [], "options": None}, None),
        ("https://api.cohere.com/v2/rerank", {}, 0),
    ],
)
def test_the_bound_on_the_answer_has_many_names(url: str, fields: dict[str, object], bound: int | None) -> None:
    request = asked(url, **fields)
    assert request is not None
    assert request.max_output_tokens == bound


def test_a_base_url_without_more_is_at_the_provider_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_COST_ENDPOINTS", "http://gw:1/o=openai,https://all.example=groq/openai.chat")
    assert is_providers("http://gw:1/o")
    assert is_providers("HTTP://GW:1/o/v1/models?x=1")
    assert not is_providers("http://gw:1/other")
    assert not is_providers("http://gw:2/o")
    request = asked("https://all.example", model="m")
    assert request is not None
    assert (request.provider, request.wire_format.name) == ("groq", "openai.chat")


def test_the_quick_look_lets_every_call_pass() -> None:
    paths = {urlsplit(url).path: wire_format for url, _, wire_format, _ in CALLS}
    assert set(paths.values()) == set(FORMATS) - {"vercel.chat"}  # which is openai.chat by another host
    for path, wire_format in paths.items():
        # These end in a name; nobody else's host speaks them.
        assert may_be_call(path) or wire_format in ("cloudflare.run", "huggingface.tgi", "mistral.conversations")
    assert not may_be_call("/v1/users/7")
