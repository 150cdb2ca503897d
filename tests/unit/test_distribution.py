"""What is installed: where it comes from, and what a base install brings."""

import os
import re
from importlib.metadata import requires
from pathlib import Path

import pytest

import otel_cost
import otel_cost_dashboard
import otel_cost_exporter

PACKAGES = (otel_cost, otel_cost_exporter, otel_cost_dashboard)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_the_tests_run_on_what_they_say(package: object, root: Path) -> None:
    found = Path(package.__file__).resolve()  # type: ignore[attr-defined] # a package has one
    installed = "site-packages" in found.parts
    assert installed == (os.environ.get("OTEL_COST_TESTED") == "wheel")
    assert installed or found.is_relative_to(root)
    assert (found.parent / "py.typed").exists()


def test_a_base_install_brings_neither_ledger_nor_dashboard() -> None:
    base = {re.split(r"[<>=]", item)[0] for item in requires("otel-cost") or () if "extra ==" not in item}
    assert base == {
        "click",
        "genai-prices",
        "msgspec",
        "opentelemetry-api",
        "opentelemetry-exporter-otlp",
        "opentelemetry-instrumentation",
        "opentelemetry-instrumentation-httpx",
        "opentelemetry-sdk",
        "protobuf",
        "pydantic",
        "wrapt",
    }
