"""The questions that the books answer, over HTTP: a route for each of `answers.routes`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Request  # noqa: TC002 - FastAPI reads the annotations
from fastapi.responses import Response

from otel_cost_exporter.answers import export, shapes
from otel_cost_exporter.answers.question import FILTERS
from otel_cost_exporter.answers.routes import ROUTES, find
from otel_cost_exporter.answers.tables import ARROW
from otel_cost_exporter.api import formats, parameters
from otel_cost_exporter.api.documented import described

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_cost_exporter.answers.reader import Reader
    from otel_cost_exporter.answers.routes import Route

_TABLE: Final = (formats.JSON, formats.CSV, ARROW)
_STREAM: Final = (formats.CSV, formats.LINES, ARROW)


def routes(reader: Reader) -> APIRouter:
    """A route for each question, answered by `reader`."""
    router = APIRouter(prefix="/v1", tags=["questions"])
    for route in ROUTES:
        router.add_api_route(
            "/" + route.path.replace("{id}", parameters.ID),
            _answering(reader, route),
            summary=(route.answer.__doc__ or "").splitlines()[0],
            responses=_responses({"model": route.shape} | _content(_TABLE[1:] if route.table else ())),
            openapi_extra=described(route.takes, filters=route.filters),
            response_class=Response,
        )
    router.add_api_route(
        "/export",
        _exporting(reader),
        summary="All calls that are asked for, in the order in which the books took them, as a stream.",
        responses=_responses(_content(_STREAM)),
        openapi_extra=described(export.TAKES, filters=FILTERS),
        response_class=Response,
    )
    return router


def _responses(answer: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    wrong = {"model": shapes.Refusal}
    return {
        200: answer,
        400: wrong | {"description": "A parameter is unknown or cannot be read."},
        404: wrong | {"description": "It is not in the books."},
        406: wrong | {"description": "None of the media types is one that there is."},
        503: wrong | {"description": "The books cannot be read now: ask again after the seconds of Retry-After."},
    }


def _content(kinds: tuple[str, ...]) -> dict[str, Any]:
    return {"content": {kind: {} for kind in kinds}}


def _answering(reader: Reader, route: Route) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        kind = formats.accepted(request, _TABLE if route.table else _TABLE[:1])
        path = request.scope["raw_path"].decode().partition("?")[0].removeprefix("/v1/")
        asked, found = reader.answer(path, request.query_params.multi_items())
        return formats.answered(kind, find(path)[0], asked, found)

    answer.__name__ = route.path
    return answer


def _exporting(reader: Reader) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        kind = formats.accepted(request, _STREAM)
        return formats.exported(kind, reader, request.query_params.multi_items())

    answer.__name__ = "export"
    return answer
