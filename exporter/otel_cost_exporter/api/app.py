"""The read API. Money in its answers is an exact decimal string, and null where it is unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request  # noqa: TC002 - FastAPI reads the annotations
from fastapi.responses import JSONResponse

from otel_cost_exporter.errors import QuestionError
from otel_cost_exporter.receiver import http

if TYPE_CHECKING:
    from otel_cost_exporter.ledger import Ledger
    from otel_cost_exporter.reader import Reader
    from otel_cost_exporter.receiver.intake import Intake


def app(ledger: Ledger, reader: Reader, intake: Intake) -> FastAPI:
    """The whole HTTP side: the read API on `reader`, the health of `ledger`, and OTLP in for `intake`."""
    found = FastAPI(title="otel-cost ledger", docs_url=None, redoc_url=None, openapi_url="/v1/openapi.json")
    for router in (_questions(reader), _health(ledger, reader, intake), http.routes(intake)):
        found.include_router(router)
    return found


def _questions(reader: Reader) -> APIRouter:
    router = APIRouter(prefix="/v1")

    @router.get("/summary")
    def summary(request: Request) -> JSONResponse:
        """What was spent, by whatever is asked."""
        try:
            return JSONResponse(reader.summary(request.query_params.multi_items()))
        except QuestionError as error:
            raise HTTPException(400, str(error)) from None

    @router.get("/budgets", dependencies=[Depends(_no_parameter)])
    def budgets() -> dict[str, list[dict[str, Any]]]:
        """Every budget that was seen, with what is spent of it, the most used first."""
        return {"budgets": reader.budgets()}

    @router.get("/dimensions", dependencies=[Depends(_no_parameter)])
    def dimensions() -> dict[str, list[str]]:
        """The dimensions that occur in the books."""
        return {"dimensions": reader.dimensions()}

    return router


def _no_parameter(request: Request) -> None:
    """Refuse what would be passed over: whoever filters by it would take the answer for a part."""
    names = ", ".join(repr(name) for name in request.query_params)
    if names:
        what = f"parameters {names} are" if len(request.query_params) > 1 else f"parameter {names} is"
        raise HTTPException(400, f"{what} unknown, none is allowed here")


def _health(ledger: Ledger, reader: Reader, intake: Intake) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz")
    def healthz() -> JSONResponse:
        """Whether the books can be written, and how many calls that came cannot stand in them."""
        known = {"ledger": str(ledger.path), "rejected_calls": intake.rejected}
        if ledger.failure is not None:
            return JSONResponse({"status": "failing", **known, "reason": ledger.failure}, 503)
        return JSONResponse({"status": "ok", **known, "calls": reader.calls()})

    return router
