"""The real OpenLIT, in an environment of its own: one call is counted once, at its exact cost, on OpenLIT's span.

Published prices, US dollars per million tokens: gpt-4o 2.50 in, 1.25 cached, 10 out; Claude Sonnet 4.5 3 in,
0.30 cached, 15 out.
"""

from __future__ import annotations

import json
import os
import subprocess
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from otel_cost_exporter.demo import stand_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.timeout(3600)  # the first run installs what it needs
OPENAI = "0.003750"  # 400 x 2.50 + 600 x 1.25 + 200 x 10, per million
ANTHROPIC = "0.004380"  # 400 x 3 + 600 x 0.30 + 200 x 15, per million


@pytest.fixture(scope="module")
def found(fetched: Callable[..., Path], root: Path) -> dict[str, list[list[Any]]]:
    """What stood on the spans of each call."""
    python = fetched("uv", "tests/e2e/backends/install.py", "openlit")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "COVERAGE_"))}
    with stand_in.running() as provider:
        ran = subprocess.run(
            [python, root / "tests" / "e2e" / "foreign" / "openlit_app.py"],
            env={**kept, **provider.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr[-3000:]
    lines = [json.loads(line.removeprefix("FOUND ")) for line in ran.stdout.splitlines() if line.startswith("FOUND ")]
    return {line["call"]: line["spans"] for line in lines}


@pytest.mark.parametrize("call", ["openai whole", "openai streamed", "openai responses"])
def test_a_call_of_openai_is_counted_once_on_openlits_span(call: str, found: dict[str, Any]) -> None:
    assert [span for span in found[call] if span[2] is not None] == [
        ["openlit.instrumentation.openai", "chat gpt-4o", "known", OPENAI, float(Decimal(OPENAI)), 1000]
    ]


@pytest.mark.parametrize("call", ["anthropic whole", "anthropic streamed"])
def test_a_call_of_anthropic_is_counted_once_on_openlits_span(call: str, found: dict[str, Any]) -> None:
    assert [span for span in found[call] if span[2] is not None] == [
        ["openlit.instrumentation.anthropic", "chat claude-sonnet-4-5", "known", ANTHROPIC, float(ANTHROPIC), 1000]
    ]
