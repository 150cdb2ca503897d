"""Calls of openai and anthropic under OpenLIT and otel-cost, in OpenLIT's own environment; one JSON line for each.

The line is what stands on the spans of the call: scope, name, what otel-cost put there, the cost by OpenLIT's name.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import openlit
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_cost import bootstrap

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGES: Any = [{"role": "user", "content": "[stand-in input=1000,output=200,cache_read=600]"}]
GPT: Any = {"model": "gpt-4o", "messages": MESSAGES}
CLAUDE: Any = {"model": "claude-sonnet-4-5", "max_tokens": 300, "messages": MESSAGES}
SHOWN = ("otel_cost.cost.status", "otel_cost.cost.amount", "gen_ai.usage.cost", "gen_ai.usage.input_tokens")


def openai_streamed() -> None:
    list(openai.OpenAI().chat.completions.create(**GPT, stream=True, stream_options={"include_usage": True}))


def anthropic_streamed() -> None:
    with anthropic.Anthropic().messages.stream(**CLAUDE) as stream:
        stream.until_done()


CALLS: dict[str, Callable[[], object]] = {
    "openai whole": lambda: openai.OpenAI().chat.completions.create(**GPT),
    "openai streamed": openai_streamed,
    "openai responses": lambda: openai.OpenAI().responses.create(model="gpt-4o", input=MESSAGES[0]["content"]),
    "anthropic whole": lambda: anthropic.Anthropic().messages.create(**CLAUDE),
    "anthropic streamed": anthropic_streamed,
}

if __name__ == "__main__":
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    bootstrap.start()
    openlit.init(disable_metrics=True, disable_events=True, capture_message_content=False)
    for name, call in CALLS.items():
        exporter.clear()
        call()
        spans = [
            [span.instrumentation_scope.name, span.name, *((span.attributes or {}).get(key) for key in SHOWN)]
            for span in exporter.get_finished_spans()
            if span.instrumentation_scope is not None
        ]
        sys.stdout.write(f"FOUND {json.dumps({'call': name, 'spans': spans})}\n")
