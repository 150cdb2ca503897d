"""``/docs``: the API as a page for people, made from its OpenAPI. It needs no script and nobody else."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Request  # noqa: TC002 - FastAPI reads the annotations
from fastapi.responses import HTMLResponse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color-scheme:light dark}"
    "h2{font:600 1.05em ui-monospace,monospace;margin:2.2em 0 .3em}"
    "table{border-collapse:collapse;width:100%}td{border-top:1px solid #8884;padding:.25em .7em .25em 0;"
    "vertical-align:top}"
    "td:first-child,td:nth-child(2){font:.9em ui-monospace,monospace;white-space:nowrap}summary{cursor:pointer}"
)


def routes() -> APIRouter:
    """The page."""
    router = APIRouter()

    @router.get("/docs", include_in_schema=False)
    def docs(request: Request) -> HTMLResponse:
        return HTMLResponse("".join(_page(request.app.openapi())))

    return router


def _page(described: Mapping[str, Any]) -> Iterator[str]:
    title = escape(described["info"]["title"])
    yield f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    yield f"<h1>{title}</h1><p>As <a href='/v1/openapi.json'>OpenAPI</a>. Money is an exact decimal text in US "
    yield "dollars, and null where it is unknown, which is not zero.</p>"
    shapes = described["components"]["schemas"]
    for path, methods in described["paths"].items():
        for method, said in methods.items():
            yield f"<h2>{method.upper()} {escape(path)}</h2><p>{escape(said.get('description') or said['summary'])}</p>"
            yield from _rows("Parameters", {each["name"]: _parameter(each) for each in said.get("parameters", ())})
            yield from _shape("Body", said.get("requestBody", {}), shapes)
            yield from _shape("Answer", said["responses"].get("200", {}), shapes)


def _parameter(said: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": said.get("description", ""), **said["schema"]}


def _shape(title: str, content: Mapping[str, Any], shapes: Mapping[str, Any]) -> Iterator[str]:
    schema = content.get("content", {}).get("application/json", {}).get("schema", {})
    name = _name(schema)
    if name:
        yield from _rows(f"{title}: {name}", shapes[name].get("properties", {}))


def _rows(title: str, fields: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    if fields:
        yield f"<details><summary>{escape(title)}</summary><table>"
        for name, field in fields.items():
            cells = (name, _kind(field), field.get("description", ""))
            yield "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>"
        yield "</table></details>"


def _kind(field: Mapping[str, Any]) -> str:
    """What a field is, in a word or two."""
    if name := _name(field):
        return name
    if "anyOf" in field:
        return " or ".join(_kind(each) for each in field["anyOf"])
    if "enum" in field:
        return " or ".join(map(str, field["enum"]))
    kind = str(field.get("type", "any"))
    return f"{kind} of {_kind(field['items'])}" if kind == "array" and field.get("items") else kind


def _name(schema: Mapping[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]
