"""What a request brings: the spans of it that may be calls, not looked into yet, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Source:
    """Who made a span.

    Attributes:
        service: ``service.name`` of its resource.
        environment: ``deployment.environment.name``.
        metered: whether otel-cost runs in that process: then a span without a cost is no call, or is counted elsewhere.
        scope: the name of the instrumentation scope.
        payers: the dimensions that the resource names, as fields to put before those of an OTLP ``Span``: what a span
            says itself comes after them, and so holds.
        instance: what tells it from the other processes of the service.
    """

    service: str | None = None
    environment: str | None = None
    metered: bool = False
    scope: str = ""
    payers: bytes = b""
    instance: str = ""


@dataclass(frozen=True, slots=True)
class Parcel:
    """What of one request is of use here.

    Attributes:
        spans: each an OTLP ``Span`` message, as it came.
        sources: for each of `spans`, who made it; spans of one source share the object.
        events: log events of use here, each by the columns of its table.
        refused: log events that cannot stand in the books, each by the columns of the quarantine.
        size: bytes of all that, by which a queue knows how full it is.
    """

    spans: list[bytes] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    events: list[Mapping[str, Any]] = field(default_factory=list)
    refused: list[Mapping[str, Any]] = field(default_factory=list)
    size: int = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a parcel, once it is committed.

    Attributes:
        rejections: how many calls cannot stand in the books, by the reason. They stand in the quarantine.
        warnings: what else is odd, and how often.
        services: the services whose calls these are, by the reason; of those that have a name.
    """

    rejections: Counter[str]
    warnings: Counter[str]
    services: dict[str, set[str]] = field(default_factory=dict)

    def reject(self, reason: str, service: str | None) -> None:
        """Tell of one more call that cannot stand in the books."""
        self.rejections[reason] += 1
        if service is not None:
            self.services.setdefault(reason, set()).add(service)
