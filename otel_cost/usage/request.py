"""Is this HTTP request a call to a model, and what does it ask for?"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from otel_cost import settings
from otel_cost.usage.formats import FORMATS, PROVIDERS

if TYPE_CHECKING:
    from otel_cost.usage.formats import WireFormat

_logger = logging.getLogger(__name__)
_SHORTEST_MEDIA = 1000
_MEDIA = re.compile(
    rb'"(?:data:(?:image|audio|video|application)/[^"]{1000,}'
    rb'|(?:iVBORw0KGgo|/9j/|R0lGOD|UklGR|JVBERi0|SUQz|//[uv]|T2dnUw|ZkxhQ|GkXfo)[A-Za-z0-9+/_-]{1000,}=*)"'
)
"""JSON strings that are an encoded image, recording or document: a data URL, or long, in base64, and beginning as PNG,
JPEG, GIF, WebP and WAV, PDF, MP3, Ogg, FLAC and WebM files do. Other long words are text, and cost what text does."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a model.

    Attributes:
        wire_format: the format that its response will have.
        provider: value of ``gen_ai.provider.name``; the host where the provider is not known.
        known_provider: whether `provider` is one, and not just a host.
        host, port: where it goes.
        model: the model asked for.
        max_output_tokens: the bound on the answer that the request states, for all its choices; None where it does not.
        stream: whether the answer is asked for as a stream.
        include_usage: what ``stream_options.include_usage`` says; None where it says nothing.
        text_size: bytes of the request's body without encoded images and documents.
        media_size: bytes of those.
    """

    wire_format: WireFormat
    provider: str
    known_provider: bool
    host: str
    port: int | None
    model: str | None
    max_output_tokens: int | None
    stream: bool
    text_size: int
    media_size: int
    include_usage: object = None

    @property
    def unknown_provider(self) -> str:
        """What to say where the provider is not known."""
        return f"{self.provider} is no known provider: name it with OTEL_COST_ENDPOINTS=BASE_URL=provider"


@dataclass(frozen=True, slots=True)
class _Target:
    wire_format: WireFormat
    provider: str
    known: bool
    host: str
    port: int | None


def recognise(method: str, url: str, body: bytes) -> Request | None:
    """The request to a model that ``method url`` with `body` is; None for any other request.

    A host that nobody named counts as a model's where the path and the body have the shape of a known format. Its
    provider is then its host, and what it costs is unknown.
    """
    if method != "POST":
        return None
    target = _target(url.partition("?")[0], settings.get(settings.ENDPOINTS))
    if target is None:
        return None
    fields = _fields(body)
    model = fields.get("model")
    if not target.known and not (isinstance(model, str) and target.wire_format.asks in fields):
        return None
    media_size = sum(map(len, _MEDIA.findall(body))) if len(body) > _SHORTEST_MEDIA else 0
    return Request(
        wire_format=target.wire_format,
        provider=target.provider,
        known_provider=target.known,
        host=target.host,
        port=target.port,
        model=model if isinstance(model, str) else None,
        max_output_tokens=_max_output_tokens(target.wire_format, fields),
        stream=fields.get("stream") is True,
        text_size=len(body) - media_size,
        media_size=media_size,
        include_usage=_include_usage(fields),
    )


def is_providers(url: str) -> bool:
    """Whether `url` is at a provider's that is known, or that `OTEL_COST_ENDPOINTS` names."""
    plain = settings.normal_url(url)
    return (urlsplit(plain).hostname or "") in PROVIDERS or any(
        f"{plain}/".startswith(f"{endpoint.base_url}/") for endpoint in settings.get(settings.ENDPOINTS)
    )


@lru_cache(maxsize=1024)
def _target(url: str, endpoints: tuple[settings.Endpoint, ...]) -> _Target | None:
    url = settings.normal_url(url)
    parts = urlsplit(url)
    host = parts.hostname or ""
    for endpoint in endpoints:
        if url.startswith(f"{endpoint.base_url}/"):
            if endpoint.format is not None and endpoint.format not in FORMATS:
                _logger.warning(
                    "OTEL_COST_ENDPOINTS: there is no format %r, only %s; the path tells it",
                    endpoint.format,
                    ", ".join(FORMATS),
                )
            wire_format = FORMATS.get(endpoint.format or "") or _format_of(parts.path)
            return _Target(wire_format, endpoint.provider, True, host, parts.port) if wire_format else None  # noqa: FBT003
    wire_format = _format_of(parts.path)
    if wire_format is None:
        return None
    provider = PROVIDERS.get(host)
    return _Target(wire_format, provider or host, provider is not None, host, parts.port)


def _format_of(path: str) -> WireFormat | None:
    return next((wire_format for wire_format in FORMATS.values() if path.endswith(wire_format.path)), None)


def _fields(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _max_output_tokens(wire_format: WireFormat, fields: dict[str, Any]) -> int | None:
    if wire_format.operation == "embeddings":
        return 0
    stated = next((fields[name] for name in wire_format.max_tokens if _is_count(fields.get(name))), None)
    choices = fields.get("n")
    return stated if stated is None or not _is_count(choices) else stated * choices


def _include_usage(fields: dict[str, Any]) -> object:
    options = fields.get("stream_options")
    return options.get("include_usage") if isinstance(options, dict) else None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
