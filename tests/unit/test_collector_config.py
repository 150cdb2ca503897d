"""The Collector's configurations hold together, and with the wire contract. A real Collector runs them in tests/e2e."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from otel_cost import semconv
from otel_cost_exporter.decode import trim

if TYPE_CHECKING:
    from pathlib import Path

FIGURES = ("COST_", "CALL_", "WASTE_", "GEN_AI_USAGE_")
NEEDED = [
    *(getattr(semconv, name) for name in dir(semconv) if name.startswith(FIGURES)),
    *map(semconv.dimension_key, semconv.DIMENSIONS),
    *map(semconv.budget_key, semconv.DIMENSIONS),
    semconv.dimension_key("customer"),
    semconv.GEN_AI_OPERATION_NAME,
    semconv.GEN_AI_PROVIDER_NAME,
    semconv.GEN_AI_REQUEST_MODEL,
    semconv.GEN_AI_RESPONSE_MODEL,
    semconv.GEN_AI_RESPONSE_ID,
    semconv.ERROR_TYPE,
]
CONTENT = [
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.prompt.0.content",
    "gen_ai.tool.definitions",
    "gen_ai.request.model.prompt",
    "llm.input_messages.0.message.content",
    "input.value",
    "exception.message",
    "my.error.type",
    "not_otel_cost.run",
]
MAY_HAVE_CONTENT = {b"llm.invocation_parameters", b"embedding.invocation_parameters", b"ai.response.providerMetadata"}


@pytest.fixture(scope="module")
def text(root: Path) -> dict[str, str]:
    """The files of the folder by name, without their comments, a statement on one line."""
    files = (root / "collector-config").glob("*.yaml")
    return {file.name: re.sub(r"(?m)(^| )#.*\n|\\\n +", _line, file.read_text()) for file in files}


def _line(found: re.Match[str]) -> str:
    return "\n" if "#" in found[0] else ""


@pytest.fixture(scope="module")
def kept(text: dict[str, str]) -> re.Pattern[str]:
    """What the ledger's pipeline keeps of a span's attributes."""
    [found] = re.findall(r'keep_matching_keys\(span\.attributes, \\"(.+)\\"\)', text["collector.yaml"])
    return re.compile(found)


@pytest.fixture(scope="module")
def kept_of_resource(text: dict[str, str]) -> re.Pattern[str]:
    """What the ledger's pipelines keep of a resource's attributes."""
    [found] = set(re.findall(r'keep_matching_keys\(resource\.attributes, "(.+)"\)', text["collector.yaml"]))
    return re.compile(found)


@pytest.mark.parametrize("key", NEEDED)
def test_the_ledger_gets_what_the_wire_contract_promises(kept: re.Pattern[str], key: str) -> None:
    assert kept.search(key)


@pytest.mark.parametrize("key", sorted(trim.READ - MAY_HAVE_CONTENT))
def test_the_ledger_gets_what_it_reads_of_services_without_otel_cost(kept: re.Pattern[str], key: bytes) -> None:
    assert kept.search(key.decode())


@pytest.mark.parametrize(
    "key",
    [
        *("service.name", "service.instance.id", "host.name", "k8s.pod.name", "deployment.environment"),
        *("deployment.environment.name", "otel_cost.version", "otel_cost.project"),
    ],
)
def test_the_ledger_gets_who_asked_and_who_pays(kept_of_resource: re.Pattern[str], key: str) -> None:
    assert kept_of_resource.search(key)
    assert not kept_of_resource.search(f"not.{key}")


@pytest.mark.parametrize("key", CONTENT)
def test_the_ledger_gets_no_content(kept: re.Pattern[str], key: str) -> None:
    assert not kept.search(key)


def test_what_to_add_is_what_the_whole_configuration_has(text: dict[str, str]) -> None:
    blocks = re.findall(r"(?m)^  \w+/otel_cost:\n(?:    .*\n|\n(?=    ))+", text["add-to-yours.yaml"])
    assert [block.split(":")[0].strip() for block in blocks] == [
        "file_storage/otel_cost",
        "filter/otel_cost",
        "transform/otel_cost",
        "otlp_http/otel_cost",
    ]
    missing = [block for block in blocks if block not in text["collector.yaml"]]
    assert missing == []


def test_the_collector_is_of_one_release(text: dict[str, str]) -> None:
    modules = re.findall(r"gomod: (\S+) v(\S+)", text["builder.yaml"])
    [release] = re.findall(r"version: (\S+)", text["builder.yaml"])
    stable = f"1.{int(release.split('.')[1]) - 94}.0"
    assert len(modules) == 12
    assert {version for _, version in modules} == {release, stable}
    assert {module.split("/")[2] for module, version in modules if version == stable} == {"confmap"}
