"""The read API. Money in its answers is an exact decimal string, and null where it is unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, Request  # noqa: TC002 - FastAPI reads the annotations
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from otel_cost_exporter.api import budgets, docs, documented, health, keeping, questions
from otel_cost_exporter.errors import LedgerError, NotInBooksError, QuestionError
from otel_cost_exporter.receiver import http

if TYPE_CHECKING:
    from pathlib import Path

    from otel_cost_exporter.answers.reader import Reader
    from otel_cost_exporter.budgets.accounts import Accounts
    from otel_cost_exporter.receiver.intake import Intake
    from otel_cost_exporter.writing.ledger import Ledger


_RETRY_SECONDS: Final = 5
"""When to ask again what the books cannot answer now."""


class _Api(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """What it is, as OpenAPI has it."""
        if self.openapi_schema is None:
            documented.complete(super().openapi())
        return super().openapi()


def app(ledger: Ledger, reader: Reader, accounts: Accounts, intake: Intake, spool: Path | None) -> FastAPI:
    """The whole HTTP side: the read API on `reader`, budgets, how all this is, and OTLP in for `intake`."""
    found = _Api(title="otel-cost ledger", docs_url=None, redoc_url=None, openapi_url="/v1/openapi.json")
    for kind, answer in _ERRORS.items():
        found.add_exception_handler(kind, answer)
    routers = (
        questions.routes(reader),
        budgets.routes(accounts, reader),
        keeping.routes(ledger),
        health.routes(ledger, reader, intake, spool),
        docs.routes(),
    )
    for router in (*routers, http.routes(intake)):
        found.include_router(router)
    return found


async def _not_there(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 404)


async def _no_question(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 400)


async def _not_now(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 503, {"Retry-After": str(_RETRY_SECONDS)})


async def _no_body(_: Request, error: Exception) -> JSONResponse:
    """A body that cannot be read is answered in one line, as everything is."""
    wrong = error.errors() if isinstance(error, RequestValidationError) else []
    lines = (f"{'.'.join(map(str, each['loc'][1:])) or 'body'}: {each['msg']}" for each in wrong)
    return JSONResponse({"detail": "; ".join(lines)}, 400)


_ERRORS: Final = {
    NotInBooksError: _not_there,
    QuestionError: _no_question,
    LedgerError: _not_now,
    RequestValidationError: _no_body,
}
"""What is answered to whatever is raised on purpose on the way to an answer."""
