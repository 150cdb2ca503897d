"""Write a report whose sections carry what they cost, and have the ledger audit that later.

    opentelemetry-instrument --traces_exporter otlp python examples/artifact.py write report.json
    python examples/artifact.py audit report.json

Needs OPENAI_API_KEY to write, and `otel-cost serve` to audit.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import openai

import otel_cost

TOPICS = ("sources", "findings", "outlook")


async def written(run: str) -> dict[str, object]:
    """The report, its sections written side by side."""
    async with openai.AsyncOpenAI() as client:
        with otel_cost.attribute(run=run):
            sections = await asyncio.gather(*(section(client, topic) for topic in TOPICS))
            return {"sections": sections, "cost": otel_cost.cost_of(run=run).model_dump(mode="json")}


async def section(client: openai.AsyncOpenAI, topic: str) -> dict[str, object]:
    """A section, with its cost beside it."""
    with otel_cost.attribute(stage=topic):
        plan = await ask(client, "gpt-4o-mini", f"Plan a section on {topic}. [stand-in input=200,output=50]")
        text = await ask(client, "gpt-4o", f"Write it: {plan} [stand-in input=300,output=400]")
        return {"topic": topic, "text": text, "cost": otel_cost.cost_of().model_dump(mode="json")}


async def ask(client: openai.AsyncOpenAI, model: str, question: str) -> str | None:
    """Ask a model."""
    answer = await client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": question}], max_tokens=1000
    )
    return answer.choices[0].message.content


def audited(report: dict[str, Any]) -> dict[str, Any]:
    """The report, with what the ledger has in the place of what the process said."""
    for part in (*report["sections"], report):
        part["cost"] = otel_cost.ArtifactCost.model_validate(part["cost"]).audit().model_dump(mode="json")
    return report


def main(action: str, path: Path) -> None:
    """Write the report, or audit the one that is there."""
    report = audited(json.loads(path.read_text())) if action == "audit" else asyncio.run(written(path.stem))
    path.write_text(json.dumps(report, indent=2))
    print(json.dumps(report["cost"]))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
