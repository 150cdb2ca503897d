"""Write a book within a budget: no chapter is left half done, and a later run goes on where this one stopped.

    opentelemetry-instrument python examples/checkpoint.py book.json 0.01

What it has spent on which stage and model is in cost_report.json afterwards, however it came out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import openai

import otel_cost

CHAPTERS = 6


def main(path: Path, limit_usd: str) -> None:
    """Write what is missing of the book, as far as the budget goes."""
    book: list[str] = json.loads(path.read_text()) if path.exists() else []

    def save(guard: otel_cost.Guard) -> None:
        path.write_text(json.dumps(book))
        print(f"saved {len(book)} of {CHAPTERS} chapters; {guard.status().spent:.4f} USD spent")

    guard = otel_cost.budget(
        "run", path.stem, limit_usd=limit_usd, at="stage", warn_at=[0.8], on_exhausted=save, report="cost_report.json"
    )
    unsubscribe = otel_cost.subscribe(lambda event: print(f"  {event.message}"), kinds=["spent"])
    try:
        with guard, openai.OpenAI() as client:
            while len(book) < CHAPTERS:
                chapter(client, book)
        path.write_text(json.dumps(book))
        print("the book is finished")
    except otel_cost.BudgetExceededError as refused:
        print(refused)
    unsubscribe()


@otel_cost.stage("chapter")
def chapter(client: openai.OpenAI, book: list[str]) -> None:
    """Look something up, and write one more chapter: all of it, or nothing."""
    otel_cost.charge("library", cost_usd="0.0005")
    book.append(ask(client, "writer", f"Write chapter {len(book) + 1}. [stand-in input=100,output=150]"))
    ask(client, "critic", f"What is wrong with this? {book[-1]} [stand-in input=200,output=50]")


def ask(client: openai.OpenAI, role: str, question: str) -> str:
    """One call."""
    with otel_cost.attribute(role=role):
        answer = client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": question}], max_tokens=300
        )
    return answer.choices[0].message.content or ""


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
