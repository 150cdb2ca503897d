"""What an artifact cost, as it is published."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, field_serializer

from otel_cost import money, settings
from otel_cost.budgets.outage import StoreGoneError
from otel_cost.budgets.service import RefusedError, Service
from otel_cost.pricing import CostStatus


class ArtifactCost(BaseModel):
    """What the calls cost that made something, such as a chapter or a report: metadata to keep with it.

    In JSON, the amount is a text that holds it exactly.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dimensions: dict[str, str] = Field(description="Whose calls are counted: the ids that each is attributed to.")
    models: tuple[str, ...] = Field(description="The models that answered, the one that cost most first.")
    calls: int = Field(ge=0, description="How many calls to models have ended; refused ones are none.")
    input_tokens: int = Field(ge=0, description="Cached ones included.")
    output_tokens: int = Field(ge=0, description="Reasoning included.")
    cost_usd: Decimal | None = Field(
        description="US dollars, of those calls and charges whose cost is known or estimated; null where there are "
        "some and nobody knows what any of them cost, or no call of the process has had one of the dimensions."
    )
    cost_status: CostStatus = Field(
        description="Known where the cost of every call and charge is. Estimated where that of some is. Unknown where "
        "nobody knows that of some, so that cost_usd lacks it, or no call of the process has had one of the dimensions."
    )
    estimated: int = Field(ge=0, description="How many calls and charges have an estimated cost.")
    unknown: int = Field(ge=0, description="How many have one that nobody knows.")
    complete: bool = Field(
        description="False where the process may have forgotten some of those calls, since it has made too many "
        "others; and where the ledger has fewer of them than the process has counted, or keeps them no longer."
    )
    audited: bool = Field(
        description="True where the ledger says it, of all processes; false where one process says it of its own calls."
    )
    at: datetime = Field(description="When this was so; calls may have followed.")

    @field_serializer("cost_usd", when_used="json")
    def _exact(self, amount: Decimal | None) -> str | None:
        return None if amount is None else money.text(amount)

    def audit(self) -> ArtifactCost:
        """The same as the ledger service at ``OTEL_COST_URL`` has it by now, of whichever process made the calls.

        Spans are on their way for some seconds, so ask once the work is over: while the ledger has fewer calls than
        this record, the answer is not ``complete``. This waits for the service's answer: in an event loop,
        ``await asyncio.to_thread(cost.audit)``.

        Raises:
            LookupError: nobody is named whose calls to count, no ledger service answers, or it has none of the calls.
        """
        if not self.dimensions:
            raise LookupError("the ledger has the calls of all processes: say whose to count, as in run='r1'")
        found = _asked(self.dimensions)
        total, by_model = found["total"], found["rows"]
        if not (total["calls"] or by_model):
            whose = ", ".join(f"{name}={id_!r}" for name, id_ in self.dimensions.items())
            raise LookupError(f"the ledger has no call of {whose} yet: spans arrive some seconds after a call")
        return ArtifactCost(
            dimensions=self.dimensions,
            models=tuple(row["model"] for row in by_model if row["model"] is not None),
            **{name: total[name] for name in ("calls", "input_tokens", "output_tokens", "cost_usd")},
            **doubts(estimated=total["estimated_calls"], unknown=total["unknown_calls"]),
            complete=found["complete_since"] is None and total["calls"] >= self.calls,
            audited=True,
            at=datetime.now(UTC),
        )


def doubts(*, estimated: int, unknown: int, unheard: bool = False) -> dict[str, Any]:
    """The fields that say how sure a sum is.

    Args:
        estimated: how many have an estimated cost.
        unknown: how many have none.
        unheard: whether nobody knows whether there is anything to sum up.
    """
    status = "unknown" if unknown or unheard else "estimated" if estimated else "known"
    return {"cost_status": status, "estimated": estimated, "unknown": unknown}


def _asked(dimensions: dict[str, str]) -> dict[str, Any]:
    """What the ledger service has of the calls that `dimensions` pay for, by model."""
    url: str = settings.get(settings.URL)
    service = Service(url, token=settings.READ_TOKEN)
    try:
        return service.ask("GET", f"/v1/summary?{urlencode([('by', 'model'), *dimensions.items()])}")
    except RefusedError as error:
        hint = f"; set {settings.READ_TOKEN.name}" if error.wants_token else ""
        raise LookupError(f"{url} does not tell what was spent: {error}{hint}") from None
    except StoreGoneError as error:
        raise LookupError(
            f"{url} does not tell what was spent: {error}. Set {settings.URL.name} to where otel-cost serve answers"
        ) from None
    finally:
        service.close()
