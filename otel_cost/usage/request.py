"""Is this HTTP request a call to a model, and what does it ask for?"""

from __future__ import annotations

import json
import logging
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET

from otel_cost import settings
from otel_cost.usage.documents import dig
from otel_cost.usage.endpoints import Endpoint, endpoint_at, may_be_call, provider_at, provider_of, seller_of
from otel_cost.usage.formats import FORMATS
from otel_cost.usage.location import terms_at

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


class Request(msgspec.Struct, frozen=True):
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
        body: what it carries.
        background: whether the provider is to go on with the answer whoever waits for it.
        retrieves: the id of a response that another call asked for and this one only states again, as a poll of a
            background response does; None mostly.
        terms: what the URL says that its price may depend on.
        charged_beside: what it asks for that is charged apart.
    """

    wire_format: WireFormat
    provider: str
    known_provider: bool = True
    host: str = ""
    port: int | None = None
    model: str | None = None
    max_output_tokens: int | None = None
    stream: bool = False
    include_usage: object = None
    body: bytes = b""
    background: bool = False
    retrieves: str | None = None
    terms: Mapping[str, str] = msgspec.field(default_factory=dict)
    charged_beside: tuple[str, ...] = ()

    def sizes(self) -> tuple[int, int]:
        """Bytes of its body without encoded images and documents, and bytes of those: a look at all of it."""
        media = _media_size(self.body)
        return len(self.body) - media, media

    @property
    def unknown_provider(self) -> str:
        """What to say where the provider is not known."""
        return f"{self.provider} is no known provider: name it with OTEL_COST_ENDPOINTS=BASE_URL=provider"


class _Origin(msgspec.Struct, frozen=True):
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


class Place(msgspec.Struct, frozen=True):
    """Where calls to a model go: a method and a URL.

    Attributes:
        told: whether those tell that it is one. Else the body must look so too.
        terms: what the URL says that its price may depend on.
    """

    endpoint: Endpoint
    provider: str | None
    host: str
    port: int | None
    told: bool
    terms: Mapping[str, str]

    def request(self, body: bytes) -> Request | None:
        """The request to a model that one with `body` is that goes there; None where it is none."""
        fields = _fields(body)
        model = fields.model if isinstance(fields.model, str) else self.endpoint.model
        wire_format = self.endpoint.wire_format
        if not self.told and (model is None or all(getattr(fields, name) is UNSET for name in wire_format.asks)):
            return None
        provider = seller_of(self.provider, model) or wire_format.provider
        return Request(
            wire_format=wire_format,
            provider=provider or self.host,
            known_provider=provider is not None,
            host=self.host,
            port=self.port,
            model=model,
            max_output_tokens=_max_output_tokens(wire_format, fields),
            stream=self.endpoint.stream or fields.stream in (True, "true"),
            include_usage=_include_usage(fields),
            body=body,
            background=fields.background is True,
            retrieves=self.endpoint.retrieves,
            terms=self.terms,
            charged_beside=tuple(name for name in wire_format.charged_beside if getattr(fields, name) is not UNSET),
        )


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
    place = place_at(method, url, by_path=by_path)
    return place.request(body) if place is not None else None


def place_at(method: str, url: str, *, by_path: bool = False) -> Place | None:
    """Where calls to a model go, if `url` is such a place for `method`. What a request carries need not be there."""
    return _place(method, _without_query(url), settings.get(settings.ENDPOINTS), by_path)


@lru_cache(maxsize=1024)
def _place(method: str, url: str, endpoints: tuple[settings.Endpoint, ...], by_path: bool) -> Place | None:  # noqa: FBT001 - a cache's key
    origin, path = _origin_and_path(url, endpoints)
    whose = by_path or origin.known or bool(origin.named)
    if not whose and not (method == "POST" and may_be_call(path)):
        return None
    endpoint, provider = _target(method, path, origin)
    if endpoint is None:
        return None
    told = by_path or origin.known or provider is not None
    return Place(endpoint, provider, origin.host, origin.port, told, terms_at(origin.host, path))


def is_providers(url: str) -> bool:
    """Whether `url` is at a provider's that is known, or that `OTEL_COST_ENDPOINTS` names."""
    origin, path = _origin_and_path(_without_query(url), settings.get(settings.ENDPOINTS))
    return origin.known or (bool(origin.named) and origin.endpoint_named(path) is not None)


def _without_query(url: str) -> str:
    return url.partition("?")[0].partition("#")[0]


def _origin_and_path(url: str, endpoints: tuple[settings.Endpoint, ...]) -> tuple[_Origin, str]:
    slash = url.find("/", url.find("://") + 3)
    return (_origin(url, endpoints), "/") if slash < 0 else (_origin(url[:slash], endpoints), url[slash:])


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


_FORM_FIELD = re.compile(rb'name="(model|stream|n)"\r?\n(?:[^\r\n]+\r?\n)*\r?\n([^\r\n]{0,200})\r?\n')
_FORM_ENDS = 16 * 1024  # a form has its small fields before or after its files

_READ: Final = frozenset(
    {
        *("model", "stream", "stream_options", "background"),
        *(
            place.partition(".")[0]
            for wire_format in FORMATS.values()
            for place in wire_format.max_tokens + wire_format.choices
        ),
    }
)
_SEEN: Final = (
    frozenset(name for wire_format in FORMATS.values() for name in wire_format.asks + wire_format.charged_beside)
    - _READ
)
_Fields: Final[Any] = msgspec.defstruct(
    "_Fields", [*((name, Any, UNSET) for name in _READ), *((name, msgspec.Raw, UNSET) for name in _SEEN)]
)
"""The fields of a request that are read, and those of which only that they are there. A decoder passes over the prompt,
which may be long, without making anything of it."""
_decode: Final = msgspec.json.Decoder(_Fields).decode


def _fields(body: bytes) -> Any:
    """What the body says, a JSON object or a form; of a form only what is told from the files in it at once."""
    if body.startswith(b"--"):
        found = _FORM_FIELD.findall(body[:_FORM_ENDS]) + _FORM_FIELD.findall(body[_FORM_ENDS:][-_FORM_ENDS:])
        return _Fields(file=True, **{name.decode(): value.decode(errors="replace") for name, value in found})
    try:
        return _decode(body)
    except (ValueError, RecursionError):
        pass  # what `json` takes may still be more
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return _NO_FIELDS
    return (
        _Fields(**{name: fields[name] for name in fields.keys() & (_READ | _SEEN)})
        if isinstance(fields, dict)
        else _NO_FIELDS
    )


_NO_FIELDS: Final = _Fields()


def _media_size(body: bytes) -> int:
    if len(body) <= _SHORTEST_MEDIA:
        return 0
    return len(body) if body.startswith(b"--") else sum(map(len, _MEDIA.findall(body)))


def _max_output_tokens(wire_format: WireFormat, fields: Any) -> int | None:
    if wire_format.operation in ("embeddings", "rerank"):
        return 0
    stated = _first_count(wire_format.max_tokens, fields)
    if stated is None:
        return None
    choices = _first_count(wire_format.choices, fields)
    return stated if choices is None else stated * choices


def _first_count(places: tuple[str, ...], fields: Any) -> int | None:
    for place in places:
        if "." in place:
            name, *inner = place.split(".")
            value = dig(getattr(fields, name), tuple(inner))
        else:
            value = getattr(fields, place)
        if type(value) is int and value > 0:
            return value
    return None


def _include_usage(fields: Any) -> object:
    options = fields.stream_options
    return options.get("include_usage") if isinstance(options, dict) else None
