"""Keeping the books over HTTP: what ``otel-cost ledger`` asks a service for."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask

from otel_cost_exporter.api.parameters import no_parameter
from otel_cost_exporter.keeping.anywhere import Asked, FileKeeping

if TYPE_CHECKING:
    from otel_cost_exporter.writing.ledger import Ledger


class Prune(BaseModel):
    """How long to keep what: ``90d``, ``13w``, ``forever``; null for what the service is set to."""

    keep_calls: str | None = None
    keep_rollups: str | None = None
    apply: bool = Field(default=False, description="Whether what is older is deleted.")


class Reprice(BaseModel):
    """Which calls to price anew, and by what."""

    since: str = Field(description="Only calls from then on: `24h`, `7d`, `2026-11-22`, `2026-11-22T15:00:00Z`.")
    until: str | None = Field(default=None, description="Only calls before then; null for now.")
    prices: str | None = Field(default=None, description="The content of a price file; null for the service's prices.")
    name: str = Field(default="prices.toml", max_length=255, description="The name of that file.")
    apply: bool = Field(default=False, description="Whether the calls get the new costs.")


def routes(ledger: Ledger) -> APIRouter:
    """The routes that keep the books of `ledger`."""
    router = APIRouter(prefix="/v1/ledger", tags=["keeping the books"], dependencies=[Depends(no_parameter)])
    keeping = FileKeeping(ledger.database, ledger)

    @router.get("/check")
    def check() -> dict[str, Any]:
        """Whether all sums are what they are sums of, to the last digit."""
        return keeping.check(repair=False)

    @router.post("/repair")
    def repair() -> dict[str, Any]:
        """The same; sums that are not are made anew."""
        return keeping.check(repair=True)

    @router.post("/prune")
    def prune(asked: Prune) -> dict[str, Any]:
        """Calls and sums that are older than they are to be kept."""
        return keeping.prune(asked.keep_calls, asked.keep_rollups, apply=asked.apply)

    @router.post("/reprice")
    def reprice(asked: Reprice) -> dict[str, Any]:
        """What calls would cost with other prices."""
        return keeping.reprice(Asked(asked.since, asked.until, asked.prices, asked.name), apply=asked.apply)

    @router.get("/backup")
    def backup() -> FileResponse:
        """The books as a DuckDB file, as they stand at one moment."""
        folder = tempfile.TemporaryDirectory(prefix=f".{ledger.path.name}.", dir=ledger.path.parent)
        path = Path(folder.name) / ledger.path.name
        try:
            keeping.backup(path)
        except BaseException:
            folder.cleanup()
            raise
        return FileResponse(path, background=BackgroundTask(folder.cleanup))

    return router
