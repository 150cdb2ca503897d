"""A provider that answers when a test lets it, and tests that know when a call waits."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import openai

from otel_cost.budgets import patience

from .serving import EVENTS, JSON, Answer, Asked, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}], "model": "gpt-4o"}
LONGEST = 60.0
"""Seconds after which a test that waits for something has failed."""


@dataclass
class Gated:
    """A running provider.

    Attributes:
        url: its base URL for the openai SDK.
        client: the openai SDK's client for it.
        asked: the models that it was asked for, oldest first.
        arrived: set when a request is there.
        opened: set when it may answer.
        refuses: a field that it answers with an error; None for none.
    """

    url: str = ""
    client: Any = None
    asked: list[str] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)
    refuses: str | None = None

    def create(self, **more: Any) -> Any:
        """One call of the openai SDK, which is answered with 10 tokens in and 100 out: 0.001025 USD."""
        return self.client.chat.completions.create(**{**ASK, "max_tokens": 100, **more})

    async def create_async(self, **more: Any) -> Any:
        """The same from an event loop."""
        async with openai.AsyncOpenAI(base_url=self.url, api_key="stand-in") as client:
            return await client.chat.completions.create(**{**ASK, "max_tokens": 100, **more})

    def answer(self, asked: Asked) -> Answer:
        said = json.loads(asked.body)
        self.asked.append(said["model"])
        self.arrived.set()
        if self.refuses is not None and self.refuses in said:
            error = {"error": {"message": f"Unknown field: {self.refuses}", "type": "invalid_request_error"}}
            return Answer([json.dumps(error).encode()], status=400, headers=JSON)
        usage = {"prompt_tokens": 10, "completion_tokens": 100, "total_tokens": 110}
        head = {"id": f"chatcmpl-{len(self.asked)}", "created": 1, "model": said["model"]}
        if said.get("stream"):
            chunk = {"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}
            first = {**head, "object": "chat.completion.chunk", "choices": [chunk]}
            return Answer(self._events(first, {**first, "choices": [], "usage": usage}), headers=EVENTS)
        assert self.opened.wait(LONGEST)
        choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
        whole = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
        return Answer([json.dumps(whole).encode()], headers=JSON)

    def _events(self, *chunks: object) -> Iterator[bytes]:
        for chunk in chunks:
            yield b"data: " + json.dumps(chunk).encode() + b"\n\n"
            self.opened.wait(LONGEST)
        yield b"data: [DONE]\n\n"


@contextmanager
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gated]:
    """A provider that holds its answers back; a stream's after its first event."""
    gated = Gated()
    with serving(gated.answer) as url:
        monkeypatch.setenv("OTEL_COST_ENDPOINTS", f"{url}=openai")
        gated.url, gated.client = url, openai.OpenAI(base_url=url, api_key="stand-in")
        try:
            with gated.client:
                yield gated
        finally:
            gated.opened.set()


class Waiting:
    """Knows when calls wait.

    Attributes:
        for_others: released by each look of a call that then waits for others.
        for_a_person: the same for a person.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.for_others, self.for_a_person = threading.Semaphore(0), threading.Semaphore(0)
        self._spy(monkeypatch, patience.ForOthers, self.for_others)
        self._spy(monkeypatch, patience.ForAPerson, self.for_a_person)

    def _spy(self, monkeypatch: pytest.MonkeyPatch, kind: Any, looked: threading.Semaphore) -> None:
        left = kind.left

        def spied(one: Any, seen: Any) -> float:
            seconds: float = left(one, seen)
            looked.release()
            return seconds

        monkeypatch.setattr(kind, "left", spied)
