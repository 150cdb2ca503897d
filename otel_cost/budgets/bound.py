"""What a request can become at most: for the sizing ``strict``.

Text is counted by its bytes, because a tokenizer that works on bytes never makes more tokens than there are; the
braces and escapes of JSON are counted with it. What the provider adds comes on top, a picture counts as the most that
its vendor charges for one, and other media as all that fits into the model's window. What a request only points to, or
lets the provider fetch, has no bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from otel_cost.budgets import facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_cost.usage import Request


class Bound(NamedTuple):
    """The most that a request can become.

    Attributes:
        input_tokens: tokens of input.
        output_tokens: tokens of output, reasoning included, of all its choices together.
        kinds: what its input may be charged as, beside plain and cached text, in the words of `pricing.meters`.
        tiers: the service tiers that it may be served at.
        terms: what else its price depends on.
    """

    input_tokens: int
    output_tokens: int
    kinds: frozenset[str]
    tiers: tuple[str | None, ...]
    terms: Mapping[str, str]


class UnboundedError(ValueError):
    """What of a request has no bound, and what to do about it."""


def bound_of(request: Request) -> Bound:
    """The most that `request` can become.

    Raises:
        UnboundedError: nobody can say.
    """
    try:
        return _bound_of(request)
    except (AttributeError, LookupError, TypeError):  # what no format has: a list where fields should be
        raise UnboundedError(f"its body is not as its format says. {_INSTEAD}") from None


def _bound_of(request: Request) -> Bound:
    asked = _asked(request)
    model = request.model or ""
    read = _Content(of_claude="claude" in model or request.wire_format.name.startswith("anthropic"))
    try:
        read.take_request(asked)
    except RecursionError:
        raise UnboundedError(f"it is nested too deeply to be looked through. {_INSTEAD}") from None
    if facts.searches_by_itself(request.provider, model):
        raise UnboundedError(f"{model!r} searches the web and reads what it finds. {_INSTEAD}")
    most = facts.most_of(request.provider, model)
    if read.images and most.image is None:
        read.fills_window = True
    if read.fills_window:
        if most.window is None:
            raise UnboundedError(f"nobody says how many tokens a picture or a document has at most. {_INSTEAD}")
        input_tokens = most.window
    else:
        images = read.images * (most.image or 0)
        input_tokens = len(request.body) - read.image_size + images + read.added + most.prompt
    return Bound(
        input_tokens=input_tokens,
        output_tokens=_output_tokens(request, asked, most.output),
        kinds=frozenset(read.kinds) if request.wire_format.name in _CACHES_WHERE_ASKED else _WRITTEN.union(read.kinds),
        tiers=_tiers(asked),
        terms=_terms(request, asked),
    )


_MOST_TOKENS: Final = 10**12
"""Of output. No model has more by far, and what they would cost is beyond all amounts."""
_INSTEAD: Final = 'Use sizing = "expected" for such calls'
_CACHES_WHERE_ASKED: Final = frozenset(
    {"anthropic.messages", "anthropic.complete", "bedrock.converse", "bedrock.invoke"}
)
"""Formats in which nothing is written to a cache unless the request asks for it."""
_WRITTEN: Final = frozenset({"write", "5m"})
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


def _asked(request: Request) -> dict[str, Any]:
    wire_format = request.wire_format
    if not wire_format.max_tokens and wire_format.operation != "embeddings":
        raise UnboundedError(f"requests of the format {wire_format.name} have none. {_INSTEAD}")
    try:
        return _decode(request.body)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        raise UnboundedError(f"its body is not at hand, or no JSON object. {_INSTEAD}") from None


class _Content:
    """What a request carries, as it is walked through.

    Attributes:
        images: how many pictures.
        image_size: bytes of the body that are those.
        added: tokens that the provider adds to what the body says.
        kinds: what input may be charged as.
        fills_window: whether there is something that only the model's window bounds.
    """

    def __init__(self, *, of_claude: bool) -> None:
        self._of_claude = of_claude
        self.images = self.image_size = 0
        self.added: int = facts.table()["overhead"]["request"]
        self.kinds: set[str] = set()
        self.fills_window = False

    def take_request(self, asked: dict[str, Any]) -> None:
        for key, value in asked.items():
            if key in _CONVERSATION:
                self._take(value)
            elif key in _TOOLS:
                self._take_tools(value)
            elif key == "cache_control":
                self._take_cached(value)
            elif key in _SCHEMAS and self._of_claude:
                self.added += facts.table()["anthropic"]["schema"]
            elif key in _FETCHED and value not in (None, False, "", []):
                raise UnboundedError(f"the request does not show what {key} brings. {_INSTEAD}")
        if isinstance(asked.get("prompt"), dict):
            raise UnboundedError(f"the request does not show the stored prompt that it names. {_INSTEAD}")

    def _take(self, value: Any) -> None:
        if isinstance(value, list):
            for each in value:
                self._take(each)
        elif isinstance(value, dict):
            self._take_part(value)

    def _take_part(self, part: dict[str, Any]) -> None:
        kind = part.get("type")
        kind = kind if isinstance(kind, str) else None
        self._take_cached(part.get("cache_control"))
        if kind in _IMAGES:
            self._take_image(part)
        elif kind in _MEDIA and not _is_text(part):
            self._take_media(part, _MEDIA[kind])
        elif kind is not None and kind not in _TEXTS and kind not in _MEDIA:
            raise UnboundedError(f"nobody says what a part of type {kind!r} has at most. {_INSTEAD}")
        elif kind == "reasoning" and not part.get("encrypted_content"):
            raise UnboundedError(f"the request does not show the reasoning that it names. {_INSTEAD}")
        else:
            if "role" in part:
                self.added += facts.table()["overhead"]["message"]
            for key, value in part.items():
                if isinstance(value, dict | list):
                    self._take_field(key, value, opaque=kind in _OPAQUE_INPUT)

    def _take_field(self, key: str, value: Any, *, opaque: bool) -> None:
        if key == "cachePoint":  # Bedrock's
            self._take_cached(value)
        elif key in ("inlineData", "inline_data"):
            self._take_inline(value)
        elif key in ("fileData", "file_data"):
            raise UnboundedError(f"the request does not show the file that it names. {_INSTEAD}")
        elif key == "image":  # Bedrock's
            self._take_image(value)
        elif key in ("document", "video", "audio"):
            self._take_media(value, _MEDIA[key])
        elif key == "images" and isinstance(value, list):  # Ollama's
            for image in value:
                self._take_image({"data": image})
        elif key not in _OPAQUE and not (opaque and key == "input"):
            self._take(value)

    def _take_image(self, part: Any) -> None:
        self.images += 1
        self.image_size += _longest(part)
        self.kinds.add("image")

    def _take_inline(self, part: dict[str, Any]) -> None:
        """A part of Gemini's, by its media type."""
        mime = str(part.get("mimeType", part.get("mime_type", "")))
        family = mime.partition("/")[0]
        if family == "image":
            self._take_image(part)
        else:
            self._take_media(part, _MEDIA.get(family, _MEDIA["document"]))

    def _take_media(self, part: dict[str, Any], kinds: frozenset[str]) -> None:
        if _points_elsewhere(part):
            raise UnboundedError(f"the request does not show the file that it names. {_INSTEAD}")
        self.kinds |= kinds
        self.fills_window = True

    def _take_cached(self, value: Any) -> None:
        if value is not None:
            self.kinds |= _WRITTEN | ({"1h"} if isinstance(value, dict) and value.get("ttl") == "1h" else set())

    def _take_tools(self, value: Any) -> None:
        """Tools that the application runs; what the provider runs itself brings in what nobody can tell."""
        tools = value.get("tools") if isinstance(value, dict) else value
        for tool in tools if isinstance(tools, list) else ():
            self.added += _overhead_of(tool)
            if isinstance(tool, dict):
                self._take_cached(tool.get("cache_control", tool.get("cachePoint")))
        if tools and self._of_claude:
            self.added += facts.table()["anthropic"]["tools"]


def _overhead_of(tool: Any) -> int:
    """What the provider adds for a tool, beside its definition in the request."""
    table = facts.table()
    own = next((key for key in tool if key in _GOOGLES_TOOLS), "function") if isinstance(tool, dict) else "function"
    kind = str(tool.get("type") or own) if isinstance(tool, dict) else own
    if kind in _TOOLS_OF_THE_APP:
        return int(table["overhead"]["tool"])
    for name, tokens in table["anthropic"]["tool"].items():
        if kind.startswith(f"{name}_2"):  # bash_20250124
            return int(tokens)
    raise UnboundedError(f"the provider runs {kind} itself, and what that brings is input. {_INSTEAD}")


def _points_elsewhere(part: dict[str, Any]) -> bool:
    """Whether a document or a recording is only named: by an id, or by where it is."""
    source = part.get("source", part.get("file", part))
    if not isinstance(source, dict):
        return True
    if source.get("type") in ("url", "file") or "s3Location" in source:
        return True
    if any(source.get(key) or part.get(key) for key in ("file_id", "document_url", "video_url", "audio_url")):
        return True
    at = part.get("file_url", part.get("url"))
    return isinstance(at, str) and not at.startswith("data:")


def _is_text(part: dict[str, Any]) -> bool:
    """Whether a document is text that stands in the request."""
    source = part.get("source")
    return isinstance(source, dict) and source.get("type") in ("text", "content")


def _longest(value: Any) -> int:
    """How long the longest text in a part is: of a picture, its data or where it is."""
    if isinstance(value, dict):
        return max(map(_longest, value.values()), default=0)
    return len(value) if isinstance(value, str) else 0


def _output_tokens(request: Request, asked: dict[str, Any], most: int | None) -> int:
    wire_format = request.wire_format
    if wire_format.operation == "embeddings":
        return 0
    visible = facts.table()["visible"].get(request.provider)
    places = wire_format.max_tokens
    each = _first_count(asked, [place for place in places if place not in visible] if visible else places) or most
    if each is None:
        raise UnboundedError(f"it states no bound of its answer: set {wire_format.max_tokens[0]}")
    choices = _first_count(asked, wire_format.choices) or 1
    if wire_format.operation == "text_completion":
        choices = max(choices, _first_count(asked, ("best_of",)) or 1) * _prompts(asked.get("prompt"))
    guessed = asked.get("prediction")  # what was predicted and is not in the answer is charged as output too
    tokens = each * choices + (0 if guessed is None else len(msgspec.json.encode(guessed)))
    if tokens > _MOST_TOKENS:
        raise UnboundedError(f"it asks for {tokens} tokens of output. {_INSTEAD}")
    return tokens


def _prompts(prompt: Any) -> int:
    """How many prompts a completion is asked for: a list of texts, or of lists of tokens, is as many."""
    return len(prompt) if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int) else 1


def _first_count(asked: dict[str, Any], places: Iterable[str]) -> int | None:
    for place in places:
        value: Any = asked.get(place)
        if "." in place:
            value = asked
            for name in place.split("."):
                value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def _tiers(asked: dict[str, Any]) -> tuple[str | None, ...]:
    """The tier asked for, and the standard one, at which it may be served instead."""
    tier = asked.get("service_tier", asked.get("serviceTier"))
    if isinstance(tier, dict):
        tier = tier.get("type")
    return (None, tier.lower().removeprefix("service_tier_")) if isinstance(tier, str) else (None,)


def _terms(request: Request, asked: dict[str, Any]) -> Mapping[str, str]:
    """What else the price depends on: where it is served, and what of the rest the request itself says."""
    said = {name: asked[name] for name in request.wire_format.terms if isinstance(asked.get(name), str)}
    latency = asked.get("performanceConfig")
    if isinstance(latency, dict) and isinstance(latency.get("latency"), str):
        said["latency"] = latency["latency"]
    return {**request.terms, **said} if said else request.terms


_CONVERSATION: Final = frozenset(
    {
        *("messages", "input", "instructions", "system", "contents", "content", "requests", "prompt", "instances"),
        *("systemInstruction", "system_instruction", "message", "chat_history", "inputs", "texts", "documents"),
    }
)
_TOOLS: Final = frozenset({"tools", "functions", "toolConfig"})
_SCHEMAS: Final = frozenset({"output_format", "output_config", "response_format"})
_FETCHED: Final = frozenset(
    {
        *("previous_response_id", "conversation", "conversation_id", "cachedContent", "cached_content", "container"),
        *("mcp_servers", "context_management", "plugins", "web_search_options", "search_parameters", "enable_search"),
        *("web_search", "connectors", "models", "fallbacks", "fallback_models", "route", "assistant_id", "skills"),
        *("guardrailConfig", "promptVariables", "images"),
    }
)
"""Fields that bring in what the request does not show, or have another model answer."""
_IMAGES: Final = frozenset({"image_url", "input_image", "image", "computer_screenshot"})
_MEDIA: Final[Mapping[Any, frozenset[str]]] = {
    **dict.fromkeys(("document", "input_file", "file", "document_url", "file_url"), frozenset({"image"})),
    **dict.fromkeys(("input_audio", "audio", "audio_url"), frozenset({"audio"})),
    **dict.fromkeys(("video", "video_url", "input_video"), frozenset({"video", "audio", "image"})),
}
_TEXTS: Final = frozenset(
    {
        *("text", "input_text", "output_text", "refusal", "message", "summary_text", "reasoning_text", "reasoning"),
        *("thinking", "redacted_thinking", "tool_use", "tool_result", "function", "function_call", "tool_call"),
        *("function_call_output", "custom", "custom_tool_call", "custom_tool_call_output", "computer_call"),
        *("computer_call_output", "local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output"),
        *("apply_patch_call", "apply_patch_call_output", "search_result", "server_tool_use", "web_search_tool_result"),
        *("web_search_result", "web_search_tool_result_error", "content"),
    }
)
_OPAQUE: Final = frozenset(
    {
        *("functionCall", "function_call", "toolUse", "arguments", "args", "response", "json", "citations", "function"),
        *("annotations", "logprobs", "caller", "action", "metadata", "videoMetadata", "reasoningContent", "custom"),
        "cache_control",
    }
)
"""Fields of a part whose text is counted as it stands, whatever it looks like."""
_OPAQUE_INPUT: Final = frozenset({"tool_use", "server_tool_use"})
_TOOLS_OF_THE_APP: Final = frozenset(
    {"function", "custom", "computer_use_preview", "computer", "local_shell", "shell", "apply_patch"}
)
_GOOGLES_TOOLS: Final = frozenset(
    {
        *("googleSearch", "google_search", "googleSearchRetrieval", "google_search_retrieval", "codeExecution"),
        *("code_execution", "urlContext", "url_context", "fileSearch", "file_search", "googleMaps", "google_maps"),
        *("enterpriseWebSearch", "retrieval", "systemTool", "nova_grounding"),
    }
)
