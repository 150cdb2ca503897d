"""What OpenAPI says beside what FastAPI makes of the routes by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_cost_exporter.answers.question import GROUPINGS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    Document = dict[str, Any]

_TIME: Final = "2026-11-22, 2026-11-22T15:00:00Z, or how long ago: 90m, 24h, 7d, 2w. No zone means that of tz."
_PARAMETERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "by": (
        f"Group by this; may be repeated. {', '.join(GROUPINGS)}, or a dimension of your own.",
        {"type": "array", "items": {"type": "string"}},
    ),
    "since": (f"Only calls that began then or later: {_TIME}", {"type": "string"}),
    "until": (f"Only calls that began before then: {_TIME}", {"type": "string"}),
    "tz": ("By whose clocks an hour and a day begin, such as Europe/Berlin.", {"type": "string", "default": "UTC"}),
    "limit": ("How many rows at most.", {"type": "integer", "minimum": 1, "maximum": 1000}),
    "cursor": ("What the answer before had as next.", {"type": "string"}),
    "sort": (
        "What a list is ordered by: newest, oldest, cost; runs: calls; calls: input_tokens, output_tokens, duration.",
        {"type": "string", "default": "newest"},
    ),
    "search": ("Only ids that contain this, in capitals or not.", {"type": "string"}),
    "days": ("How many days, today included.", {"type": "integer", "minimum": 1, "maximum": 3660, "default": 7}),
    "per": ("The dimension that is the unit of work, such as scene.", {"type": "string"}),
    "view": (
        "calls, or focus: what was paid, a row for each meter, in the columns of FOCUS.",
        {"type": "string", "enum": ["calls", "focus"], "default": "calls"},
    ),
    "instead": ("A model to compare with; may be repeated.", {"type": "array", "items": {"type": "string"}}),
}
_IDS: Final = {"type": "array", "items": {"type": "string"}}


def described(takes: Collection[str], *, filters: Collection[str]) -> dict[str, Any]:
    """The parameters of a question, as OpenAPI has them."""
    found = [_parameter(name, *_PARAMETERS[name]) for name in _PARAMETERS if name in takes]
    found += [_parameter(name, f"Only this {name}; repeated, one of them.", _IDS) for name in filters]
    return {"parameters": found}


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


OTLP: Final = "OTLP"
"""The tag of the routes that take calls in."""
_OF_PATHS: Final = {"dimension": "The dimension that it is an id of, such as run.", "id": "The id, percent-encoded."}
_WRONG: Final = {
    "400": "A parameter or the body cannot be read; the answer names it.",
    "401": "No token is shown, or one that nobody has given out.",
    "403": "The token is for something else.",
    "413": "The body is larger than what is taken at once: 16 MiB.",
    "415": "The body is of a content type or an encoding that is not taken.",
    "503": "The books cannot be read or written now: send this again after the seconds of Retry-After.",
}
"""What may be wrong with any request; 413 and 415 with those that have a body."""
_TOKEN: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "Where the service asks for tokens: each right may have one of its own. "
    "/healthz, /docs and /v1/openapi.json need none.",
}
_STATUS: Final = {
    "title": "Status",
    "description": "Why an OTLP request is not taken: a google.rpc.Status.",
    "type": "object",
    "properties": {
        "code": {"type": "integer", "description": "The status of gRPC."},
        "message": {"type": "string", "description": "Why, for a person."},
        "details": {"type": "array", "items": {"type": "object"}, "description": "When to send it again, if at all."},
    },
}
_BINARY: Final = {"application/x-protobuf": {"schema": {"type": "string", "format": "binary"}}}
_REQUEST: Final = _BINARY | {"application/json": {"schema": {"type": "object"}}}


def complete(described: Document) -> None:
    """Add to `described`, as FastAPI makes it of the routes, what it does not know: tokens, errors, ids in paths."""
    components = described["components"]
    components["securitySchemes"] = {"token": _TOKEN}
    components["schemas"]["Status"] = _STATUS
    for unused in ("HTTPValidationError", "ValidationError"):  # what cannot be read is answered with 400, in one line
        components["schemas"].pop(unused, None)
    described["security"] = [{}, {"token": []}]
    for path, method, said in _operations(described):
        said.setdefault("description", said["summary"])
        names = {each["name"]: each for each in said.setdefault("parameters", [])}
        for name in (name for name in _OF_PATHS if f"{{{name}}}" in path):
            if name not in names:
                said["parameters"].append({"name": name, "in": "path", "required": True, "schema": {"type": "string"}})
            next(each for each in said["parameters"] if each["name"] == name)["description"] = _OF_PATHS[name]
        _add_errors(said, has_body=method in {"post", "put"}, is_otlp=OTLP in said.get("tags", ()))


def _operations(described: Document) -> Iterator[tuple[str, str, Document]]:
    for path, methods in described["paths"].items():
        for method, said in methods.items():
            yield path, method, said


def _add_errors(said: Document, *, has_body: bool, is_otlp: bool) -> None:
    answers = said["responses"]
    answers.pop("422", None)
    content = _as_json("Refusal")
    if is_otlp:
        content = _BINARY | _as_json("Status")
        said["requestBody"] = {"required": True, "content": _REQUEST}
        answers["200"]["content"] = _REQUEST
    for status, why in _WRONG.items():
        if has_body or status not in {"413", "415"}:
            answers.setdefault(status, {"description": why, "content": content})
    if any(each["name"] == "id" for each in said["parameters"]):
        answers.setdefault("404", {"description": "The id is not known.", "content": content})


def _as_json(shape: str) -> Document:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{shape}"}}}
