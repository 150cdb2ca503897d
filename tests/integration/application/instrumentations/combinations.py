"""Every combination of instrumentations over one call, each in a fresh copy of this process; one JSON line for each.

A program, for instrumentations cannot be taken out of a process as if they had never been there. It imports what they
need once, and forks for each combination.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import warnings
from contextvars import copy_context
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import litellm
import logfire
import pydantic_ai
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor, HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_cost
from otel_cost import bootstrap, pricing
from otel_cost.instrumentation import lost_spans
from otel_cost.instrumentation.open_calls import end_abandoned
from otel_cost.usage import Usage
from tests.integration.application import garbage
from tests.integration.application.instrumentations import calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.trace import ReadableSpan

EXPORTER = InMemorySpanExporter()
AT_ONCE = 3
NOWHERE = "http://127.0.0.1:9"


# --- who watches what ----------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Watched:
    """What can be watched.

    Attributes:
        title: what people call it.
        calls: the calls that a library makes.
        own: whose instrumentations see them.
        below: whose see what the library calls in turn.
        more: calls that are made too where not more than one instrumentation watches.
    """

    title: str
    calls: tuple[Callable[[], None], ...]
    own: tuple[str, ...]
    below: tuple[str, ...] = ()
    more: tuple[Callable[[], None], ...] = ()


OPENAI = ("genai-openai", "openllmetry-openai", "openinference-openai", "logfire-openai")
ANTHROPIC = ("genai-anthropic", "openllmetry-anthropic", "openinference-anthropic", "logfire-anthropic")
LANGCHAIN = ("genai-langchain", "openllmetry-langchain", "openinference-langchain")
BEDROCK = ("botocore", "genai-bedrock", "openllmetry-bedrock", "openinference-bedrock")
MISTRAL = ("openinference-mistral",)
GEMINI = ("google-genai", "openllmetry-gemini", "openinference-gemini")
WATCHED = (
    Watched(
        "openai",
        (calls.openai_whole, calls.openai_streamed, calls.openai_responses),
        OPENAI,
        more=(
            calls.openai_async_whole,
            calls.openai_async_streamed,
            calls.openai_closed_early,
            calls.openai_async_closed_early,
        ),
    ),
    Watched(
        "anthropic, with the SDK's own spans",
        (calls.anthropic_whole, calls.anthropic_streamed),
        ANTHROPIC,
        more=(
            calls.anthropic_async_whole,
            calls.anthropic_async_streamed,
            calls.anthropic_closed_early,
            calls.anthropic_async_closed_early,
        ),
    ),
    Watched("boto3's client of Bedrock", calls.BEDROCK, BEDROCK),
    Watched("mistralai, with the SDK's own spans", calls.MISTRAL, MISTRAL),
    Watched("google-genai", calls.GEMINI, GEMINI),
    Watched("langchain over openai", (calls.langchain_chain, calls.langchain_streamed), LANGCHAIN, OPENAI),
    Watched("openai-agents over openai", (calls.agents_run,), ("genai-agents", "logfire-agents"), OPENAI),
    Watched("pydantic-ai over openai", (calls.pydantic_ai_run,), ("pydantic-ai",), OPENAI),
    Watched("pydantic-ai over anthropic", (calls.pydantic_ai_anthropic_run,), ("pydantic-ai",), ANTHROPIC),
    Watched("litellm over openai", (calls.litellm_completion,), ("litellm",), OPENAI),
)


APART = frozenset({("openllmetry-bedrock", "openinference-bedrock")})
"""Pairs that do not go together, without otel-cost neither: a response is gone before the application reads it."""


# --- the instrumentations ------------------------------------------------------------------------------------------
PACKAGES = {
    "genai-openai": "opentelemetry.instrumentation.genai.openai:OpenAIInstrumentor",
    "genai-anthropic": "opentelemetry.instrumentation.genai.anthropic:AnthropicInstrumentor",
    "genai-langchain": "opentelemetry.instrumentation.genai.langchain:LangChainInstrumentor",
    "genai-agents": "opentelemetry.instrumentation.genai.openai_agents:OpenAIAgentsInstrumentor",
    "openllmetry-openai": "opentelemetry.instrumentation.openai:OpenAIInstrumentor",
    "openllmetry-anthropic": "opentelemetry.instrumentation.anthropic:AnthropicInstrumentor",
    "openllmetry-langchain": "opentelemetry.instrumentation.langchain:LangchainInstrumentor",
    "openinference-openai": "openinference.instrumentation.openai:OpenAIInstrumentor",
    "openinference-anthropic": "openinference.instrumentation.anthropic:AnthropicInstrumentor",
    "openinference-langchain": "openinference.instrumentation.langchain:LangChainInstrumentor",
    "botocore": "opentelemetry.instrumentation.botocore:BotocoreInstrumentor",
    "genai-bedrock": "opentelemetry.instrumentation.genai.bedrock:BedrockInstrumentor",
    "openllmetry-bedrock": "opentelemetry.instrumentation.bedrock:BedrockInstrumentor",
    "openinference-bedrock": "openinference.instrumentation.bedrock:BedrockInstrumentor",
    "openinference-mistral": "openinference.instrumentation.mistralai:MistralAIInstrumentor",
    "google-genai": "opentelemetry.instrumentation.google_genai:GoogleGenAiSdkInstrumentor",
    "openllmetry-gemini": "opentelemetry.instrumentation.google_generativeai:GoogleGenerativeAiInstrumentor",
    "openinference-gemini": "openinference.instrumentation.google_genai:GoogleGenAIInstrumentor",
}
IMPORTED_LATE = (
    "anyio._backends._asyncio",
    "langchain_core.tracers.langchain",
    "logfire._internal.integrations.openai_agents",
    "openai.lib.streaming.responses",
    "openai.resources.beta",
    "openai.resources.chat",
    "openai.resources.responses",
    "opentelemetry.instrumentation.openai.v1",
    "pandas",
    "pydantic_ai.models.anthropic",
    "pydantic_ai.models.openai",
)
"""What the libraries import when a call is made: imported once, it costs no combination anything."""


def instrumentor(name: str) -> Any:
    module, _, kind = PACKAGES[name].partition(":")
    return getattr(importlib.import_module(module), kind)()


def turn_on(name: str) -> None:
    family, _, library = name.partition("-")
    if name in PACKAGES:
        instrumentor(name).instrument(skip_dep_check=True)  # langchain-core is there, which is what is instrumented
    elif family == "logfire":
        {
            "openai": logfire.instrument_openai,
            "anthropic": logfire.instrument_anthropic,
            "agents": logfire.instrument_openai_agents,
        }[library]()
    elif name == "pydantic-ai":
        pydantic_ai.Agent.instrument_all()
    else:
        litellm.callbacks = ["otel"]


def asked() -> Iterator[tuple[Watched, tuple[str, ...]]]:
    """What is watched, and by which instrumentations: each alone, then each pair that sees the same call."""
    for watched in WATCHED:
        yield watched, ()
        for name in watched.own:
            yield watched, (name,)
        for pair in combinations(watched.own, 2):
            if pair not in APART:
                yield watched, pair
        for name in watched.own:
            for below in watched.below:
                yield watched, (name, below)


# --- what came of it -----------------------------------------------------------------------------------------------
def shown(span: ReadableSpan) -> dict[str, Any]:
    attributes = span.attributes or {}
    return {
        "scope": span.instrumentation_scope.name if span.instrumentation_scope else "",
        "name": span.name,
        **{name: attributes.get(f"otel_cost.cost.{name}") for name in ("status", "amount")},
        "outcome": attributes.get("otel_cost.call.outcome"),
        "tokens": [attributes.get(f"gen_ai.usage.{kind}_tokens") for kind in ("input", "output")],
        "provider": attributes.get("gen_ai.provider.name"),
        "elsewhere": [attributes.get(name) for name in ("gen_ai.usage.cost", "llm.cost.total", "operation.cost")],
    }


def make(order: int, watched: Watched, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The calls of `watched`, instrumented by `names`: for each, the spans that were exported."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
    trace.set_tracer_provider(provider)
    bootstrap.start()
    for plain in (HTTPXClientInstrumentor(), HTTPX2ClientInstrumentor()):
        plain.instrument()
    if any(name.startswith("logfire") for name in names):
        to_exporter = SimpleSpanProcessor(EXPORTER)
        logfire.configure(
            send_to_logfire=False, console=False, inspect_arguments=False, additional_span_processors=[to_exporter]
        )
    for name in names:
        turn_on(name)
    found = []
    for call in (*watched.calls, *(watched.more if len(names) <= 1 else ())):
        EXPORTER.clear()
        call()
        garbage.collect()
        end_abandoned()
        lost_spans.end_all()
        spans = [shown(span) for span in EXPORTER.get_finished_spans()]
        about = {"order": order, "library": watched.title, "by": names, "call": call.__name__}
        found.append({**about, "spans": spans})
        found.append({**about, **copy_context().run(refuse, call)})
    return found


def refuse(call: Callable[[], None]) -> dict[str, Any]:
    """What comes of `call` with nothing left of its budget, where nobody answers and nobody may sleep."""
    EXPORTER.clear()
    calls.answering().requests.clear()
    said = "nothing was refused"
    nowhere = {"OPENAI_BASE_URL": f"{NOWHERE}/openai/v1", "ANTHROPIC_BASE_URL": f"{NOWHERE}/anthropic"}
    endpoints = f"{nowhere['OPENAI_BASE_URL']}=openai,{nowhere['ANTHROPIC_BASE_URL']}=anthropic"
    with (
        patch.dict(os.environ, {**nowhere, "OTEL_COST_ENDPOINTS": endpoints}),
        patch("time.sleep", side_effect=AssertionError("an SDK went to sleep before a retry")),
        otel_cost.budget("run", "r1", limit_tokens=0),
    ):
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - whatever it is
            said = f"{type(error).__name__}: {error}"
    gc.collect()
    end_abandoned()
    spans = [shown(span) for span in EXPORTER.get_finished_spans()]
    return {"refusal": said, "sent": len(calls.answering().requests), "spans": spans}


def main() -> int:
    """Print what came of each combination; the number of those that failed."""
    warnings.simplefilter("ignore")
    for name in PACKAGES:
        instrumentor(name)  # imported here, once
    for module in IMPORTED_LATE:
        importlib.import_module(module)
    pricing.price(provider="openai", model="gpt-4o", usage=Usage(input_tokens=1))  # loads the prices
    gc.freeze()  # what is imported is not looked through again in each child
    failed = 0
    children: list[int] = []
    for order, (watched, names) in enumerate(asked()):
        if len(children) == AT_ONCE:
            failed += os.waitpid(children.pop(0), 0)[1] != 0
        children.append(os.fork())
        if children[-1] == 0:
            status = 1
            try:
                lines = "".join(json.dumps(found) + "\n" for found in make(order, watched, names))
                os.write(1, lines.encode())  # at once, for others write too
                status = 0
            finally:
                os._exit(status)
    return failed + sum(os.waitpid(child, 0)[1] != 0 for child in children)


if __name__ == "__main__":
    sys.exit(main())
