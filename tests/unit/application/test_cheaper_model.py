"""Which requests can ask another model than the application said."""

import json
from dataclasses import dataclass, field

import pytest

from otel_cost.instrumentation.asking import with_model
from otel_cost.usage import recognise

URL = "https://api.openai.com/v1/chat/completions"
SAID = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Grüße"}], "max_tokens": 9}


@dataclass
class Asked:
    """What a client is about to send."""

    content: bytes
    url: str = URL
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"
    takes: bool = True

    def body(self) -> bytes:
        return self.content

    def ask_instead(self, body: bytes) -> bool:
        if self.takes:
            self.content = body
        return self.takes

    def replace_body(self, body: bytes) -> bool:
        raise AssertionError(body)


def test_the_model_is_another_and_all_else_as_it_was() -> None:
    asked = Asked(json.dumps(SAID).encode())
    request = recognise("POST", URL, asked.content)
    assert request is not None
    changed = with_model(asked, request, "gpt-4o-mini")
    assert changed is not None
    assert (changed.model, changed.max_output_tokens, changed.provider) == ("gpt-4o-mini", 9, "openai")
    assert json.loads(asked.content) == {**SAID, "model": "gpt-4o-mini"}


@pytest.mark.parametrize(
    "asked",
    [
        Asked(b"--form\r\n"),
        Asked(b"[]"),
        Asked(json.dumps({**SAID, "model": "gpt-4.1"}).encode()),
        Asked(json.dumps(SAID).encode(), headers={"x-amz-date": "20261123T000000Z"}),
        Asked(json.dumps(SAID).encode(), url="https://api.openai.com/v1/responses"),
        Asked(json.dumps(SAID).encode(), takes=False),
    ],
    ids=["a form", "no object", "the model stands elsewhere", "signed", "another format", "its client cannot"],
)
def test_what_cannot_ask_another_model_stays_as_it_is(asked: Asked) -> None:
    before = asked.content
    request = recognise("POST", URL, json.dumps(SAID).encode())
    assert request is not None
    assert with_model(asked, request, "gpt-4o-mini") is None
    assert asked.content == before
