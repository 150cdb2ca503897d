"""Is this HTTP request a call to a model, and what does it ask for?"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from otel_cost import settings
from otel_cost.usage.endpoints import Endpoint, endpoint_at, may_be_call, provider_at, provider_of, seller_of
from otel_cost.usage.formats import FORMATS
from otel_cost.usage.location import terms_at
from otel_cost.usage.statement import dig

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        background: whether the provider is to go on with the answer whoever waits for it.
        retrieves: the id of a response that another call asked for and this one only states again, as a poll of a
            background response does; None mostly.
        terms: what the URL says that its price may depend on.
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
    background: bool = False
    retrieves: str | None = None
    terms: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, wire_format: WireFormat, provider: str, model: str | None, terms: Mapping[str, str]) -> Request:
        """A request of which no more is known than its format, its provider, its model and the terms of its price."""
        return cls(
            wire_format=wire_format,
            provider=provider,
            known_provider=True,
            host="",
            port=None,
            model=model,
            max_output_tokens=None,
            stream=False,
            text_size=0,
            media_size=0,
            terms=terms,
        )

    @property
    def unknown_provider(self) -> str:
        """What to say where the provider is not known."""
        return f"{self.provider} is no known provider: name it with OTEL_COST_ENDPOINTS=BASE_URL=provider"


@dataclass(frozen=True, slots=True)
class _Origin:
    """Scheme, host and port of a URL, and what is known of what is there.

    Attributes:
        named: the base URLs there that `OTEL_COST_ENDPOINTS` names, by their path.
        known: whether a provider is there.
    """

    host: str
    port: int | None
    named: tuple[tuple[str, settings.Endpoint], ...]
    known: bool

    def endpoint_named(self, path: str) -> settings.Endpoint | None:
        """What the setting says of `path`."""
        return next((endpoint for base, endpoint in self.named if path == base or path.startswith(f"{base}/")), None)


def recognise(method: str, url: str, body: bytes, *, by_path: bool = False) -> Request | None:
    """The request to a model that ``method url`` with `body` is; None for any other request.

    A host that nobody named counts as a model's where the path and the body have the shape of a known format. Its
    provider is then its host, and what it costs is unknown.

    Args:
        method: in upper case.
        url: where it goes.
        body: what it carries.
        by_path: whether the path alone may tell, for a request whose body is not at hand.
    """
    origin, path = _origin_and_path(url)
    told = by_path or origin.known or bool(origin.named)
    if not told and not (method == "POST" and may_be_call(path)):
        return None
    endpoint, provider = _target(method, path, origin)
    if endpoint is None:
        return None
    fields = _fields(body)
    model = fields.get("model")
    model = model if isinstance(model, str) else endpoint.model
    wire_format = endpoint.wire_format
    if not by_path and not origin.known and provider is None and not _has_shape(wire_format, model, fields):
        return None
    provider = seller_of(provider, model) or wire_format.provider
    media_size = _media_size(body)
    return Request(
        wire_format=wire_format,
        provider=provider or origin.host,
        known_provider=provider is not None,
        host=origin.host,
        port=origin.port,
        model=model,
        max_output_tokens=_max_output_tokens(wire_format, fields),
        stream=endpoint.stream or fields.get("stream") in (True, "true"),
        text_size=len(body) - media_size,
        media_size=media_size,
        include_usage=_include_usage(fields),
        background=fields.get("background") is True,
        retrieves=endpoint.retrieves,
        terms=terms_at(origin.host, path),
    )


def is_providers(url: str) -> bool:
    """Whether `url` is at a provider's that is known, or that `OTEL_COST_ENDPOINTS` names."""
    origin, path = _origin_and_path(url)
    return origin.known or (bool(origin.named) and origin.endpoint_named(path) is not None)


def _origin_and_path(url: str) -> tuple[_Origin, str]:
    start = url.find("://") + 3
    slash = url.find("/", start)
    if slash < 0:
        return _origin(url, settings.get(settings.ENDPOINTS)), "/"
    path = url[slash:].partition("?")[0].partition("#")[0]
    return _origin(url[:slash], settings.get(settings.ENDPOINTS)), path


@lru_cache(maxsize=1024)
def _origin(url: str, endpoints: tuple[settings.Endpoint, ...]) -> _Origin:
    url = settings.normal_url(url)
    parts = urlsplit(url)
    found = tuple((urlsplit(endpoint.base_url), endpoint) for endpoint in endpoints)
    named = tuple(
        (base.path, endpoint) for base, endpoint in found if (base.scheme, base.netloc) == (parts.scheme, parts.netloc)
    )
    host = parts.hostname or ""
    return _Origin(host, parts.port, named, provider_of(host) is not None)


def _target(method: str, path: str, origin: _Origin) -> tuple[Endpoint | None, str | None]:
    """What is behind a path, and whose it is."""
    named = origin.endpoint_named(path) if origin.named else None
    provider = named.provider if named is not None else provider_at(origin.host, path) if origin.known else None
    endpoint = endpoint_at(method, path, provider)
    if named is not None and named.format is not None:
        wire_format = _format_named(named.format)
        if wire_format is not None and method == "POST":
            endpoint = Endpoint(wire_format, None, stream=False, retrieves=None)
    return endpoint, provider


@lru_cache(maxsize=64)
def _format_named(name: str) -> WireFormat | None:
    if name not in FORMATS:
        known = ", ".join(FORMATS)
        _logger.warning("OTEL_COST_ENDPOINTS: there is no format %r, only %s; the path tells it", name, known)
    return FORMATS.get(name)


def _has_shape(wire_format: WireFormat, model: str | None, fields: dict[str, Any]) -> bool:
    return model is not None and any(name in fields for name in wire_format.asks)


_FORM_FIELD = re.compile(rb'name="(model|stream|n)"\r?\n(?:[^\r\n]+\r?\n)*\r?\n([^\r\n]{0,200})\r?\n')
_FORM_ENDS = 16 * 1024  # a form has its small fields before or after its files


def _fields(body: bytes) -> dict[str, Any]:
    """What the body says, a JSON object or a form; of a form only what is told from the files in it at once."""
    if body.startswith(b"--"):
        found = _FORM_FIELD.findall(body[:_FORM_ENDS]) + _FORM_FIELD.findall(body[_FORM_ENDS:][-_FORM_ENDS:])
        return {name.decode(): value.decode(errors="replace") for name, value in found} | {"file": True}
    try:
        return {name: _decoded(value) if name in _WANTED else None for name, value in _DECODER.decode(body).items()}
    except (ValueError, RecursionError):
        pass  # what `json` takes may still be more
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


_DECODER: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
"""Passes over the prompt, which may be long, without making anything of it."""
_decoded: Final = msgspec.json.Decoder().decode
_WANTED: Final = frozenset(
    {
        *("model", "stream", "stream_options", "background"),
        *(
            place.partition(".")[0]
            for wire_format in FORMATS.values()
            for place in wire_format.max_tokens + wire_format.choices
        ),
    }
)
"""The fields of a request that are read; of the others only that they are there."""


def _media_size(body: bytes) -> int:
    if len(body) <= _SHORTEST_MEDIA:
        return 0
    return len(body) if body.startswith(b"--") else sum(map(len, _MEDIA.findall(body)))


def _max_output_tokens(wire_format: WireFormat, fields: dict[str, Any]) -> int | None:
    if wire_format.operation in ("embeddings", "rerank"):
        return 0
    stated = _first_count(wire_format.max_tokens, fields)
    choices = _first_count(wire_format.choices, fields)
    return stated if stated is None or choices is None else stated * choices


def _first_count(places: tuple[str, ...], fields: dict[str, Any]) -> int | None:
    for place in places:
        value = dig(fields, tuple(place.split("."))) if "." in place else fields.get(place)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def _include_usage(fields: dict[str, Any]) -> object:
    options = fields.get("stream_options")
    return options.get("include_usage") if isinstance(options, dict) else None
