"""Every combination of instrumentations over one call, each in a fresh copy of this process; one JSON line for each.

A program, for instrumentations cannot be taken out of a process as if they had never been there. It imports what they
need once, and forks for each combination. `OPENAI_BASE_URL` and the like say where the provider is.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import warnings
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import agents
import anthropic
import litellm
import logfire
import openai
import pydantic_ai
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from mistralai.client import Mistral
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor, HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_cost import bootstrap, pricing
from otel_cost.instrumentation.open_calls import end_abandoned
from otel_cost.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.trace import ReadableSpan

USED = "[stand-in input=1000,output=200,cache_read=600]"
MESSAGES: Any = [{"role": "user", "content": USED}]
CLAUDE: Any = {"model": "claude-sonnet-4-5", "max_tokens": 300, "messages": MESSAGES}
GPT: Any = {"model": "gpt-4o", "messages": MESSAGES}
STREAM: Any = {"stream": True, "stream_options": {"include_usage": True}}
EXPORTER = InMemorySpanExporter()
AT_ONCE = 3


# --- the calls -----------------------------------------------------------------------------------------------------
def openai_whole() -> None:
    with openai.OpenAI() as client:
        client.chat.completions.create(**GPT)


def openai_streamed() -> None:
    with openai.OpenAI() as client:
        list(client.chat.completions.create(**GPT, **STREAM))


def openai_responses() -> None:
    with openai.OpenAI() as client:
        client.responses.create(model="gpt-4o", input=USED)


def anthropic_whole() -> None:
    with anthropic.Anthropic() as client:
        client.messages.create(**CLAUDE)


def anthropic_streamed() -> None:
    with anthropic.Anthropic() as client, client.messages.stream(**CLAUDE) as stream:
        stream.until_done()


def langchain_chain() -> None:
    (ChatPromptTemplate.from_messages([("user", "{text}")]) | ChatOpenAI(model="gpt-4o")).invoke({"text": USED})


def langchain_streamed() -> None:
    list(ChatOpenAI(model="gpt-4o", stream_usage=True).stream(USED))


def agents_run() -> None:
    agents.Runner.run_sync(agents.Agent(name="writer", model="gpt-4o"), USED)


def pydantic_ai_run() -> None:
    pydantic_ai.Agent("openai:gpt-4o").run_sync(USED)


def pydantic_ai_anthropic_run() -> None:
    pydantic_ai.Agent("anthropic:claude-sonnet-4-5").run_sync(USED)


def litellm_completion() -> None:
    litellm.completion(model="openai/gpt-4o", messages=MESSAGES, api_base=os.environ["OPENAI_BASE_URL"])
    litellm.utils.executor.shutdown()  # it makes its span when the call is over, elsewhere


def mistral_whole() -> None:
    with Mistral(api_key="stand-in", server_url=os.environ["MISTRAL_URL"]) as client:
        uncached: Any = [{"role": "user", "content": "[stand-in input=1000,output=200]"}]
        client.chat.complete(model="mistral-large-2411", messages=uncached)


@dataclass(frozen=True)
class Watched:
    """What can be watched: the calls that a library makes, and whose instrumentations see them."""

    title: str
    calls: tuple[Callable[[], None], ...]
    own: tuple[str, ...]
    below: tuple[str, ...] = ()


OPENAI = ("genai-openai", "openllmetry-openai", "openinference-openai", "logfire-openai")
ANTHROPIC = ("genai-anthropic", "openllmetry-anthropic", "openinference-anthropic", "logfire-anthropic")
LANGCHAIN = ("genai-langchain", "openllmetry-langchain", "openinference-langchain")
WATCHED = (
    Watched("openai", (openai_whole, openai_streamed, openai_responses), OPENAI),
    Watched("anthropic, with the SDK's own spans", (anthropic_whole, anthropic_streamed), ANTHROPIC),
    Watched("langchain over openai", (langchain_chain, langchain_streamed), LANGCHAIN, OPENAI),
    Watched("openai-agents over openai", (agents_run,), ("genai-agents", "logfire-agents"), OPENAI),
    Watched("pydantic-ai over openai", (pydantic_ai_run,), ("pydantic-ai",), OPENAI),
    Watched("pydantic-ai over anthropic", (pydantic_ai_anthropic_run,), ("pydantic-ai",), ANTHROPIC),
    Watched("litellm over openai", (litellm_completion,), ("litellm",), OPENAI),
    Watched("mistral, with the SDK's own spans", (mistral_whole,), ()),
)


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
}


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
    for call in watched.calls:
        EXPORTER.clear()
        call()
        gc.collect()
        end_abandoned()
        spans = [shown(span) for span in EXPORTER.get_finished_spans()]
        about = {"order": order, "library": watched.title, "by": names, "call": call.__name__}
        found.append({**about, "spans": spans})
    return found


def main() -> int:
    """Print what came of each combination; the number of those that failed."""
    warnings.simplefilter("ignore")
    for name in PACKAGES:
        instrumentor(name)  # imported here, once
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
