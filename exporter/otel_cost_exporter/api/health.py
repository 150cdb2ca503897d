"""Whether the service is well: ``GET /healthz``."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request  # noqa: TC002 - FastAPI reads the annotations
from fastapi.responses import JSONResponse

from otel_cost_exporter import spool
from otel_cost_exporter.errors import LedgerError, SpoolError

if TYPE_CHECKING:
    from pathlib import Path

    from otel_cost_exporter.answers.reader import Reader
    from otel_cost_exporter.receiver.intake import Intake
    from otel_cost_exporter.writing.ledger import Ledger


def routes(ledger: Ledger, reader: Reader, intake: Intake, folder: Path | None) -> APIRouter:
    """The route that tells how `ledger` is, and what has come from `intake` and the spool in `folder`."""
    router = APIRouter()

    @router.get("/healthz")
    def healthz(request: Request) -> JSONResponse:
        """Whether the books can be written, how many calls that came cannot stand in them, and what waits."""
        found: dict[str, Any] = {"ledger": str(ledger.path), "rejected_calls": intake.rejected}
        found |= {"bytes_under_way": intake.room.taken} | _spool(folder)
        failure = ledger.failure
        if failure is None:
            try:
                found["calls"] = reader.calls()
            except LedgerError as error:
                failure = str(error)
        status = {"status": "ok" if failure is None else "failing"}
        if getattr(request.state, "may_read", True):
            status |= found | ({} if failure is None else {"reason": failure})
        return JSONResponse(status, 200 if failure is None else 503)

    return router


def _spool(folder: Path | None) -> dict[str, int]:
    """What lies in the spool; nothing where none is drained, or it cannot be read now."""
    if folder is not None:
        with suppress(SpoolError):
            return {"spool_segments": spool.waiting(folder), "spool_set_aside": spool.set_aside(folder)}
    return {}
