"""Other instrumentations, alone and in pairs over one call of the real SDKs: it is counted once, at its exact cost.

What came of each combination is the page docs/reference/instrumentations.md. With OTEL_COST_PAGES=1 it is written anew.

Published prices, US dollars per million tokens: gpt-4o 2.50 in, 1.25 cached, 10 out; Claude Sonnet 4.5 3 in,
0.30 cached, 15 out. Each call uses 1000 in (of them 600 cached) and 200 out. What Bedrock, Mistral and Gemini charge
stands in the tests of their SDKs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from otel_cost_exporter.demo import stand_in
from tests.integration.application.sdks import test_boto3, test_google_genai, test_mistralai

if not hasattr(os, "fork"):  # pragma: no cover
    pytest.skip("each combination runs in a fork", allow_module_level=True)

COSTS = {
    "openai": Decimal("0.00375"),  # 400 x 2.50 + 600 x 1.25 + 200 x 10, per million
    "anthropic": Decimal("0.00438"),  # 400 x 3 + 600 x 0.30 + 200 x 15, per million
    "bedrock_converse": Decimal(test_boto3.NOVA_COST),
    "bedrock_invoke": Decimal(test_boto3.CLAUDE_COST),
    "mistral": Decimal(test_mistralai.COST),
    "gemini": Decimal(test_google_genai.COST),
}
OURS = "otel_cost"
PROGRAM = "tests.integration.application.instrumentations.combinations"
PAGE = """\
# Other instrumentations, and which span carries the cost

One call of each library, watched by otel-cost and by other instrumentations, alone and in pairs. Each was made with the
real packages against a provider that states fixed usage, and the figures of all its spans were added up: one call, at
its exact cost, whoever else watches. A stream that the application closes early is one call too, at an estimate. Agent,
chain and workflow spans repeat their children's sum and are never counted.

One pair over Bedrock is missing, for it fails without otel-cost too: with openllmetry and openinference, the body of
`invoke_model` is empty when the application reads it.

The cost stands on the topmost span that stands for the call. Where none does, because it was started beside the call,
ended before it or never ends, the cost stands on a span of otel-cost. With openllmetry and botocore, the botocore span
of a streamed `invoke_model` never ends.

This page is written by the test that makes the calls:
`OTEL_COST_PAGES=1 python3 dev.py test tests/integration/application/instrumentations`
"""


def expected(call: str) -> Decimal:
    return next((cost for name, cost in COSTS.items() if name in call), COSTS["openai"])


def is_whole(result: dict[str, Any]) -> bool:
    """Whether the application heard all of the response."""
    return "early" not in result["call"]


@pytest.fixture(scope="module")
def made(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What came of each combination, in the order in which they are asked, and of each with nothing left to spend."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "LOGFIRE_", "AWS_"))}
    with stand_in.running() as provider:
        environ = {
            **kept,
            **provider.environ,
            "AWS_ACCESS_KEY_ID": "AKIDSTANDIN",
            "AWS_SECRET_ACCESS_KEY": "stand-in",
            "AWS_EC2_METADATA_DISABLED": "true",
            "MISTRAL_SDK_TELEMETRY": "global",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "OPENAI_AGENTS_DISABLE_TRACING": "0",
        }
        command = [sys.executable, "-m", PROGRAM]
        said = tmp_path_factory.mktemp("combinations") / "said"
        with said.open("w") as output:  # no pipe: where it is full, what several processes write is mixed up
            ran = subprocess.run(
                command, cwd=root, env=environ, stdout=output, stderr=subprocess.PIPE, text=True, check=False
            )
        assert ran.returncode == 0, ran.stderr[-5000:]
        found = [json.loads(line) for line in said.read_text().splitlines()]
        elsewhere = ("bedrock", "mistral", "gemini")
        asked = [result for result in found if "refusal" not in result]
        assert len(provider.requests) >= sum(not result["call"].startswith(elsewhere) for result in asked)
    return sorted(found, key=lambda result: result["order"])


@pytest.fixture(scope="module")
def results(made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What came of each combination."""
    return [result for result in made if "refusal" not in result]


def title(by: list[str]) -> str:
    return " + ".join(by) or "nobody else"


def test_each_combination_counts_one_call_at_its_exact_cost(results: list[dict[str, Any]]) -> None:
    wrong = {}
    for result in filter(is_whole, results):
        counted = [span for span in result["spans"] if span["status"] is not None]
        figures = [(span["status"], span["amount"] and Decimal(span["amount"]), span["tokens"]) for span in counted]
        if figures != [("known", expected(result["call"]), [1000, 200])]:
            wrong[result["library"], title(result["by"]), result["call"]] = counted
    assert wrong == {}
    assert len(results) > 200


def test_a_refusal_is_the_budgets_own_and_one_whoever_watches(made: list[dict[str, Any]]) -> None:
    """Some instrumentations swallow what is raised as their span starts, and make the call: it is refused again."""
    wrong = {}
    refusals = [result for result in made if "refusal" in result]
    for result in refusals:
        counted = [(span["status"], span["outcome"]) for span in result["spans"] if span["status"] is not None]
        said = "BudgetExceededError: budget of run 'r1' (0 tokens) refused a call"
        refused = result["refusal"].startswith((f"{said} to '", f"{said}: "))  # a span that starts may name no model
        if counted != [("known", "refused")] or not refused or result["sent"]:
            wrong[result["library"], title(result["by"]), result["call"]] = result["refusal"], counted, result["sent"]
    assert wrong == {}
    assert len(refusals) == len(made) / 2


def test_a_stream_that_is_closed_early_is_counted_once_for_what_was_used_by_then(results: list[dict[str, Any]]) -> None:
    cut = [result for result in results if not is_whole(result)]
    assert len(cut) == 20  # two of OpenAI and two of Anthropic, watched by nobody else and by each of four
    for result in cut:
        (carrier,) = [span for span in result["spans"] if span["status"] is not None]
        assert (carrier["status"], carrier["outcome"]) == ("estimated", "cut")
        assert 0 < Decimal(carrier["amount"]) < expected(result["call"])


def test_the_cost_stands_where_backends_look_for_it_whatever_stood_there(results: list[dict[str, Any]]) -> None:
    names = {"anthropic": "anthropic", "mistral": "mistral_ai", "bedrock": "aws.bedrock", "gemini": "gcp.gemini"}
    for result in filter(is_whole, results):
        (carrier,) = [span for span in result["spans"] if span["status"] is not None]
        assert carrier["elsewhere"] == [float(expected(result["call"]))] * 3
        named = [name for part, name in names.items() if part in result["call"]]
        assert carrier["provider"] == (named or ["openai"])[0]


def test_where_a_span_stands_over_the_call_until_it_ends_it_carries_the_cost(results: list[dict[str, Any]]) -> None:
    """Those that do not: logfire's ends before a stream; langchain's of two, and some others', are beside the call."""
    standing_over = {
        ("genai-openai", "openai_streamed"): "chat gpt-4o",
        ("openllmetry-openai", "openai_streamed"): "openai.chat",
        ("openinference-openai", "openai_streamed"): "ChatCompletion",
        ("genai-anthropic", "anthropic_streamed"): "chat claude-sonnet-4-5",
        ("openinference-anthropic", "anthropic_whole"): "messages.create",
        ("genai-langchain", "langchain_chain"): "chat gpt-4o",
        ("pydantic-ai", "pydantic_ai_run"): "chat gpt-4o",
        ("pydantic-ai", "pydantic_ai_anthropic_run"): "chat claude-sonnet-4-5",
    }
    carriers = {
        (*result["by"], result["call"]): span["name"]
        for result in results
        for span in result["spans"]
        if span["status"] is not None and span["scope"] != OURS
    }
    assert {key: carriers.get(key) for key in standing_over} == standing_over


def test_the_page_says_what_came_of_it(results: list[dict[str, Any]], root: Path) -> None:
    page = root / "docs" / "reference" / "instrumentations.md"
    written = "\n".join([PAGE, *sections(results)]) + "\n"
    if os.environ.get("OTEL_COST_PAGES"):
        page.write_text(written)
    assert page.read_text() == written


def sections(results: list[dict[str, Any]]) -> list[str]:
    lines = []
    for library, of_library in groupby(results, key=lambda result: result["library"]):
        lines += [f"## {library}", "", "| Watched by | Call | Calls | Cost | Exact | On the span |", f"|{' --- |' * 6}"]
        lines += [row(result) for result in of_library]
        lines.append("")
    return lines[:-1]


def row(result: dict[str, Any]) -> str:
    counted = [span for span in result["spans"] if span["status"] is not None]
    total = sum((Decimal(span["amount"]) for span in counted), Decimal(0))
    exact = "yes" if total == expected(result["call"]) and len(counted) == 1 else "no"
    if not is_whole(result) and {span["outcome"] for span in counted} == {"cut"}:
        exact = "estimated, for it was cut"
    carriers = ", ".join(
        "otel-cost's own" if span["scope"] == OURS else f"`{span['name']}` of `{span['scope']}`" for span in counted
    )
    call = result["call"].replace("_", " ")
    return f"| {title(result['by'])} | {call} | {len(counted)} | {total} | {exact} | {carriers} |"
