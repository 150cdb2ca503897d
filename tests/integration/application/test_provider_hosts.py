"""What a provider sees of us: nothing, whatever is asked of it."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from opentelemetry import baggage, context

import otel_cost

HELLO: Any = [{"role": "user", "content": "Hi"}]
OTHER_REQUESTS: dict[str, Callable[[openai.OpenAI, anthropic.Anthropic], object]] = {
    "models": lambda gpt, _: gpt.models.list(),
    "a file": lambda gpt, _: gpt.files.create(file=b"x", purpose="batch"),
    "moderation": lambda gpt, _: gpt.moderations.create(input="Hi"),
    "claude's models": lambda _, claude: claude.models.list(),
    "tokens counted": lambda _, claude: claude.messages.count_tokens(model="claude-sonnet-4-5", messages=HELLO),
}


class Refusing(BaseHTTPRequestHandler):
    """Answers 404, and notes which baggage came."""

    def answer(self) -> None:
        self.server.baggage.append(self.headers.get("baggage"))  # type: ignore[attr-defined] # of the server below
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(404)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST = answer  # noqa: N815 - the names that the server looks for

    def log_message(self, *_: object) -> None:
        """Not to the tests' output."""


@pytest.fixture
def server() -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    server.baggage = []  # type: ignore[attr-defined] # what came
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def paying() -> Iterator[None]:
    token = context.attach(baggage.set_baggage("user", "ann"))
    with otel_cost.attribute(project="secret"), otel_cost.budget("run", "secret", limit_usd=1):
        yield
    context.detach(token)


@pytest.mark.parametrize("named", ["{url}=openai", ""], ids=["a provider's host", "a host that nobody named"])
@pytest.mark.parametrize("what", OTHER_REQUESTS)
@pytest.mark.usefixtures("paying", "nothing_of_ours_fails")
def test_no_request_of_an_sdk_tells_a_provider_who_pays(
    what: str, named: str, server: Any, spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("OTEL_COST_ENDPOINTS", named.format(url=url))
    with (
        openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as gpt,
        anthropic.Anthropic(base_url=url, api_key="x", max_retries=0) as claude,
        pytest.raises((openai.NotFoundError, anthropic.NotFoundError)),
    ):
        OTHER_REQUESTS[what](gpt, claude)
    assert server.baggage == ["user=ann"]
    assert spans.calls == []


@pytest.mark.usefixtures("paying", "nothing_of_ours_fails")
def test_a_bare_client_tells_no_provider_and_every_other_host(
    server: Any, spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("OTEL_COST_ENDPOINTS", f"{url}/llm=openai")
    with httpx2.Client(headers={"x": "y"}) as client:
        client.get(f"{url}/llm/v1/models", headers={"baggage": "otel_cost.run=secret,user=ann"})
        client.get(f"{url}/llm")
        client.get(f"{url}/own-service")
    assert server.baggage[:2] == ["user=ann", "user=ann"]
    assert set(server.baggage[2].split(",")) == {
        *("user=ann", "otel_cost.project=secret", "otel_cost.run=secret", "otel_cost.budget.run=1")
    }
    assert spans.calls == []
