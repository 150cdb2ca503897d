"""What the tests of commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter_building import request

from otel_cost_exporter.decode.walk import walk
from otel_cost_exporter.writing.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    Run = Callable[..., Result]

NOBODY = "http://127.0.0.1:9"
"""The port of "discard", where nobody listens."""


def fill(path: Path, *spans: Span) -> None:
    """Put `spans` into the ledger file."""
    with Ledger(path) as ledger:
        ledger.add(walk(request(*spans))).result(60)


def lines(text: str) -> list[list[str]]:
    """The words of each line that has any."""
    return [line.split() for line in text.splitlines() if line.strip()]
