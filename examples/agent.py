"""A sample agent whose every LLM call otel-cost accounts for: two vendors, three projects, and a budget that holds.

    opentelemetry-instrument python examples/agent.py

Nothing is wrapped and no client is configured: the calls below are the vendors' own SDKs. Only two things come from
otel-cost, and both are optional: `attribute` says who pays, and `budget` says how much may be spent.
Needs OPENAI_API_KEY and ANTHROPIC_API_KEY; where one of them is missing, its part is left out.
"""

from __future__ import annotations

import asyncio
import os
import textwrap

import anthropic
import openai

import otel_cost

NOTES = (
    "Tide tables drawn up in 1836 still predict high water at London Bridge to within eleven minutes.",
    "A lighthouse keeper's log shows that fog came twice as often in the years before the railway.",
    "The harbour board paid its pilots by the foot of draught, so deep ships were never kept waiting.",
)
TICKETS = {
    "T-1": "The parcel says delivered, but nothing has arrived and the neighbours have not seen it either.",
    "T-2": "How can I change the address on my account? The form keeps sending me back to the first page.",
    "T-3": "You charged me twice for the same order last Tuesday, please put one of the two payments back.",
}
CHAPTERS = (
    "Arrivals",
    "The pilots",
    "Fog",
    "The board meets",
    "A deep ship",
    "Low water",
    "The new light",
    "Departures",
)


def research() -> None:
    """A plain call and an embedding. `attribute` marks every call inside it, however deep."""
    with openai.OpenAI() as client, otel_cost.attribute(stage="research", role="librarian"):
        vectors = client.embeddings.create(model="text-embedding-3-small", input=list(NOTES))
        print(f"  research: {len(vectors.data)} notes indexed")
        answer = client.chat.completions.create(
            model="gpt-5.4-mini",
            messages=[
                {"role": "system", "content": "You find the one story in a heap of notes. Answer in two sentences."},
                {"role": "user", "content": "\n".join(NOTES)},
            ],
            max_completion_tokens=400,
        )
        print(f"  research: {_start(answer.choices[0].message.content)}")


def draft() -> None:
    """A stream: its cost is known when the stream ends, and not one piece of it comes later for that."""
    with anthropic.Anthropic() as client, otel_cost.attribute(stage="draft", role="writer"):
        prompt = f"Write the opening paragraph of a letter to readers about this: {NOTES[0]}"
        with client.messages.stream(
            model="claude-sonnet-5-5", max_tokens=300, messages=[{"role": "user", "content": prompt}]
        ) as stream:
            pieces = list(stream.text_stream)
        print(f"  draft: {len(pieces)} pieces streamed, {_start(''.join(pieces))}")


def review() -> None:
    """OpenAI's responses API, streamed."""
    with openai.OpenAI() as client, otel_cost.attribute(stage="review", role="editor"):
        stream = client.responses.create(
            model="gpt-5.4-mini",
            instructions="You are a strict editor. Name the weakest sentence and say why.",
            input=" ".join(NOTES),
            max_output_tokens=400,
            stream=True,
        )
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        print(f"  review: {_start(text)}")


def triage() -> None:
    """Several calls at once. Each task keeps its own attribution, as it keeps its own context."""

    async def sort(client: openai.AsyncOpenAI, ticket: str, complaint: str) -> None:
        with otel_cost.attribute(task=ticket):
            stream = await client.chat.completions.create(
                model="gpt-5.4-nano",
                messages=[{"role": "user", "content": f"Delivery, account or payment? One word. {complaint}"}],
                max_completion_tokens=200,
                stream=True,
                stream_options={"include_usage": True},  # without it OpenAI's chat streams state no usage
            )
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
            print(f"  triage of {ticket}: {_start(text)}")

    async def sort_all() -> None:
        async with openai.AsyncOpenAI() as client:
            await asyncio.gather(*(sort(client, ticket, complaint) for ticket, complaint in TICKETS.items()))

    with otel_cost.attribute(stage="triage", role="dispatcher"):
        asyncio.run(sort_all())


def reply() -> None:
    """The async client of the other vendor."""

    async def answer_first() -> None:
        async with anthropic.AsyncAnthropic() as client:
            message = await client.messages.create(
                model="claude-haiku-4-5",
                max_tokens=300,
                system="You answer customers in one kind sentence.",
                messages=[{"role": "user", "content": TICKETS["T-1"]}],
            )
            text = "".join(block.text for block in message.content if block.type == "text")
            print(f"  reply: {_start(text)}")

    with otel_cost.attribute(stage="reply", role="clerk"):
        asyncio.run(answer_first())


def novel() -> None:
    """A run that would go on for too long. The call that would break its budget is never sent."""
    written = 0
    with anthropic.Anthropic() as client, otel_cost.attribute(stage="write", role="novelist"):
        try:
            with otel_cost.budget("run", "night-7", limit_usd="0.0047"):
                for chapter in CHAPTERS:
                    prompt = f"Write the first paragraph of the chapter '{chapter}' of a novel about a harbour."
                    client.messages.create(
                        model="claude-opus-5-5", max_tokens=150, messages=[{"role": "user", "content": prompt}]
                    )
                    written += 1
                    print(f"  chapter {written} of {len(CHAPTERS)}: {chapter}")
        except otel_cost.BudgetExceededError as refused:
            print(f"  stopped after {written} chapters: {refused}")


WORK = (
    ("newsletter", "issue-42", research, "OPENAI_API_KEY"),
    ("newsletter", "issue-42", draft, "ANTHROPIC_API_KEY"),
    ("newsletter", "issue-42", review, "OPENAI_API_KEY"),
    ("support", "monday", triage, "OPENAI_API_KEY"),
    ("support", "monday", reply, "ANTHROPIC_API_KEY"),
    ("novel", "night-7", novel, "ANTHROPIC_API_KEY"),
)


def main() -> None:
    """Do all the work for which there is a key."""
    for project, run, work, key in WORK:
        print(f"{project}, run {run}: {work.__name__}", flush=True)
        if not os.environ.get(key):
            print(f"  left out: {key} is not set")
            continue
        with otel_cost.attribute(project=project, run=run):
            work()


def _start(text: str | None) -> str:
    return textwrap.shorten(text or "", 64, placeholder=" ...")


if __name__ == "__main__":
    main()
