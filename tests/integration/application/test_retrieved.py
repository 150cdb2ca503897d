"""A response that is stated again and again is one call: background responses, polled runs, resumed streams.

Published prices, US dollars per million tokens: gpt-4o 2.50 in, 10 out.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx2
import openai
import pytest
import requests
from opentelemetry import trace

import otel_cost
from otel_cost.instrumentation import background, open_calls

from .accounts import account
from .serving import EVENTS, JSON, Answer, Asked, serving

pytestmark = pytest.mark.usefixtures("nothing_of_ours_fails")

COST = Decimal("0.0045")  # 1000 x 2.50 + 200 x 10, per million
USED = {"input_tokens": 1000, "output_tokens": 200, "total_tokens": 1200}


def response(status: str, number: int = 1, **more: Any) -> dict[str, Any]:
    usage = USED if status == "completed" else None
    stated = {"id": f"resp_{number}", "object": "response", "model": "gpt-4o", "status": status, "usage": usage}
    return {"error": None, "output": [], "background": True, **stated, **more}


def event(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


CREATED = event("response.created", response=response("in_progress"))
DELTA = event("response.output_text.delta", delta="Hello")
COMPLETED = event("response.completed", response=response("completed"))


class Worker:
    """A provider that works in the background: each answer to a poll is the next of `states`, the last for ever."""

    def __init__(self, *states: dict[str, Any]) -> None:
        self._states, self.asked = list(states), list[str]()

    def __call__(self, asked: Asked) -> Answer:
        self.asked.append(f"{asked.method} {asked.path}")
        if asked.method == "POST" and not asked.path.endswith("/cancel"):
            if json.loads(asked.body).get("stream"):
                return Answer([CREATED, DELTA])
            return Answer([json.dumps(response("queued")).encode()], headers=JSON)
        if "stream=true" in asked.path:
            return Answer([DELTA, COMPLETED], headers=EVENTS)
        state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        return Answer([json.dumps(state).encode()], headers=JSON)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., openai.OpenAI]]:
    running: list[Any] = []

    def start(answer: Callable[[Asked], Answer], kind: Any = openai.OpenAI) -> Any:
        server = serving(answer)
        running.append(server)
        url = server.__enter__()
        monkeypatch.setenv("OTEL_COST_ENDPOINTS", f"{url}=openai")
        return kind(base_url=f"{url}/v1", api_key="stand-in", max_retries=0)

    yield start
    for server in running:
        server.__exit__(None, None, None)


def test_a_background_response_is_one_call_however_often_it_is_polled(client: Any, spans: Any) -> None:
    worker = Worker(response("queued"), response("in_progress"), response("completed"))
    with client(worker) as gpt, otel_cost.budget("run", "r1", limit_usd="1"):
        asked = gpt.responses.create(model="gpt-4o", input="Why?", background=True, max_output_tokens=200)
        assert asked.status == "queued"
        for status in ("queued", "in_progress"):
            assert gpt.responses.retrieve(asked.id).status == status
            assert spans.calls == []
            assert account("run", "r1").held_usd > 0
        for _ in range(3):
            assert gpt.responses.retrieve(asked.id).status == "completed"
    assert len(worker.asked) == 6
    assert (spans.cost, spans.call["otel_cost.cost.status"], spans.call["otel_cost.call.outcome"]) == (
        COST,
        "known",
        "ok",
    )
    assert (spans.call["otel_cost.run"], spans.call["gen_ai.request.model"]) == ("r1", "gpt-4o")
    found = account("run", "r1")
    assert (found.spent_usd, found.held_usd, found.under_way) == (COST, 0, 0)


@pytest.mark.parametrize("so_far", [0, 10])
@pytest.mark.parametrize("asks", [True, False], ids=["asked here", "asked elsewhere"])
def test_what_is_stated_while_the_provider_works_is_not_the_end_of_it(
    so_far: int,
    asks: bool,  # noqa: FBT001 - a parameter of the test
    client: Any,
    spans: Any,
) -> None:
    usage = {"input_tokens": 100 * so_far, "output_tokens": so_far, "total_tokens": 101 * so_far}
    working = {**response("in_progress"), "usage": usage}
    answers = iter([working, working, response("completed")])
    with client(lambda _: Answer([json.dumps(next(answers)).encode()], headers=JSON)) as gpt:
        if asks:
            gpt.responses.create(model="gpt-4o", input="Why?", background=True)
        else:
            gpt.responses.retrieve("resp_1")
        gpt.responses.retrieve("resp_1")
        assert spans.calls == []
        gpt.responses.retrieve("resp_1")
    assert (spans.cost, spans.call["otel_cost.cost.status"]) == (COST, "known")


@pytest.mark.parametrize(
    "more", [{"status": "requires_action"}, {"status": "in_progress", "background": False}], ids=["app", "at once"]
)
def test_what_is_stated_at_last_ends_a_call_whatever_its_status(more: dict[str, Any], client: Any, spans: Any) -> None:
    answer = {**response("completed"), **more}
    with client(lambda _: Answer([json.dumps(answer).encode()], headers=JSON)) as gpt:
        gpt.responses.create(model="gpt-4o", input="Why?")
    assert (spans.cost, spans.call["otel_cost.cost.status"]) == (COST, "known")


def test_the_async_sdks_too(client: Any, spans: Any) -> None:
    worker = Worker(response("completed"))

    async def ask() -> None:
        async with client(worker, openai.AsyncOpenAI) as gpt:
            asked = await gpt.responses.create(model="gpt-4o", input="Why?", background=True)
            await gpt.responses.retrieve(asked.id)

    asyncio.run(ask())
    assert spans.cost == COST


def test_it_does_not_matter_by_which_client_it_is_polled(client: Any, spans: Any) -> None:
    with client(Worker(response("completed"))) as gpt:
        asked = gpt.responses.create(model="gpt-4o", input="Why?", background=True)
        with requests.get(f"{gpt.base_url}responses/{asked.id}", stream=True, timeout=60) as polled:
            while polled.raw.read(50):
                pass
            assert polled.raw.read() == b""
    assert (spans.cost, spans.call["gen_ai.response.id"]) == (COST, asked.id)


def test_a_background_stream_that_is_cut_and_resumed_is_one_call(client: Any, spans: Any) -> None:
    with client(Worker(response("completed"))) as gpt:
        list(gpt.responses.create(model="gpt-4o", input="Why?", background=True, stream=True))
        assert spans.calls == []
        for _ in range(2):
            list(gpt.responses.retrieve("resp_1", stream=True, starting_after=1))
        gpt.responses.retrieve("resp_1")
    assert (spans.cost, spans.call["otel_cost.cost.status"]) == (COST, "known")


def test_a_stream_that_states_its_usage_is_not_counted_again_by_a_poll(client: Any, spans: Any) -> None:
    def answer(asked: Asked) -> Answer:
        if asked.method == "POST":
            return Answer([CREATED, DELTA, COMPLETED])
        return Answer([json.dumps(response("completed")).encode()], headers=JSON)

    with client(answer) as gpt:
        stream = gpt.responses.create(model="gpt-4o", input="Why?", background=True, stream=True)
        next(stream)
        gpt.responses.retrieve("resp_1")  # while the stream is being read
        assert spans.calls == []
        list(stream)
        gpt.responses.retrieve("resp_1")
    assert spans.cost == COST


def test_a_background_response_that_fails_or_is_cancelled_is_over(client: Any, spans: Any) -> None:
    failed = response("failed", error={"code": "server_error", "message": "oops"})
    for number, last in enumerate((failed, response("cancelled"))):
        with client(Worker(last)) as gpt, otel_cost.budget("run", "r1", limit_usd="1"):
            asked = gpt.responses.create(model="gpt-4o", input="Why?", background=True, max_output_tokens=200)
            if number:
                gpt.responses.cancel(asked.id)
            else:
                gpt.responses.retrieve(asked.id)
    assert [call["otel_cost.cost.status"] for call in spans.calls] == ["unknown", "unknown"]
    assert [call.get("error.type") for call in spans.calls] == ["server_error", None]
    assert [call["otel_cost.call.outcome"] for call in spans.calls] == ["error", "ok"]
    assert account("run", "r1").under_way == 0


def test_a_response_that_another_process_asked_for_is_counted_once(client: Any, spans: Any) -> None:
    worker = Worker(response("in_progress"), response("completed"))
    with client(worker) as gpt, otel_cost.budget("run", "r2", limit_usd="1"):
        for _ in range(4):
            gpt.responses.retrieve("resp_1")
    assert (spans.cost, spans.call["otel_cost.run"]) == (COST, "r2")
    assert account("run", "r2").spent_usd == COST


@pytest.mark.parametrize(
    ("path", "stored"),
    [
        ("responses/resp_1", response("completed", background=False)),
        (
            "chat/completions/chatcmpl-1",
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "model": "gpt-4o",
                "usage": {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200},
            },
        ),
    ],
    ids=["response", "chat"],
)
def test_a_response_that_another_process_waited_for_is_not_counted_again(
    path: str, stored: dict[str, Any], client: Any, spans: Any
) -> None:
    with client(lambda _: Answer([json.dumps(stored).encode()], headers=JSON)) as gpt:
        httpx2.get(f"{gpt.base_url}{path}")
    assert spans.calls == []


def test_an_answer_that_is_fetched_by_a_ticket_is_one_call(spans: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """xAI's deferred completions: 202 as long as the answer is not there."""
    used = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
    done = {"id": "c1", "object": "chat.completion", "model": "gpt-4o", "usage": used}
    answers = iter([({"request_id": "d1"}, 200), ({}, 202), ({}, 202), (done, 200), (done, 200)])

    def answer(_: Asked) -> Answer:
        document, status = next(answers)
        return Answer([json.dumps(document).encode()], status, JSON)

    with serving(answer) as url:
        monkeypatch.setenv("OTEL_COST_ENDPOINTS", f"{url}=openai")
        httpx2.post(f"{url}/v1/chat/completions", json={"model": "gpt-4o", "messages": [], "deferred": True})
        httpx2.get(f"{url}/v1/chat/deferred-completion/d1")
        with httpx2.stream("GET", f"{url}/v1/chat/deferred-completion/d1") as polled:
            polled.read()
        assert spans.calls == []
        for _ in range(2):
            httpx2.get(f"{url}/v1/chat/deferred-completion/d1")
    assert (spans.cost, spans.call["otel_cost.cost.status"]) == (COST, "known")


def test_an_answer_around_which_its_progress_is_told_is_one_call(spans: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Perplexity's asynchronous chat: the answer stands in a field of what a poll gets."""
    used = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
    done = {"id": "a1", "model": "gpt-4o", "status": "COMPLETED", "response": {"id": "r1", "usage": used}}
    states = [{"id": "a1", "model": "gpt-4o", "status": status} for status in ("CREATED", "IN_PROGRESS")]
    answers = iter([*states, done, done])

    def answer(_: Asked) -> Answer:
        return Answer([json.dumps(next(answers)).encode()], headers=JSON)

    with serving(answer) as url:
        monkeypatch.setenv("OTEL_COST_ENDPOINTS", f"{url}=openai")
        httpx2.post(f"{url}/async/chat/completions", json={"request": {"model": "gpt-4o", "messages": []}})
        httpx2.get(f"{url}/async/chat/completions/a1")
        assert spans.calls == []
        for _ in range(2):
            httpx2.get(f"{url}/async/chat/completions/a1")
    assert (spans.cost, spans.call["otel_cost.cost.status"]) == (COST, "known")


def test_a_poll_that_is_not_read_or_fails_states_nothing(client: Any, spans: Any) -> None:
    broken = b'{"id": "resp_1", "usage": {'
    answers = iter([Answer([b"{}"], 404, JSON), Answer([b"{}"], 404, JSON), Answer([broken], headers=JSON)])
    with client(lambda _: next(answers)) as gpt:
        with pytest.raises(openai.NotFoundError):
            gpt.responses.retrieve("resp_1")
        with pytest.raises(openai.NotFoundError):
            gpt.responses.retrieve("resp_1", stream=True)
        url = f"{gpt.base_url}responses/resp_1"
        with httpx2.stream("GET", url) as response:
            assert response.read()
            response.stream.close()
    assert spans.calls == []


def test_who_never_asks_again_has_a_call_of_unknown_cost_when_the_process_ends(client: Any, spans: Any) -> None:
    with client(Worker(response("completed"))) as gpt, otel_cost.budget("run", "r1", limit_usd="1"):
        gpt.responses.create(model="gpt-4o", input="Why?", background=True, max_output_tokens=200)
        assert spans.calls == []
        open_calls.end_all()
    assert spans.call["otel_cost.cost.status"] == "unknown"
    assert spans.call["otel_cost.cost.reason"].startswith("nobody asked what the response had used")
    found = account("run", "r1")
    assert found.spent_usd > Decimal("0.002")  # what was held: 200 output tokens at 10 per million, and the input
    assert (found.held_usd, found.under_way) == (0, 0)


@pytest.mark.parametrize("bound", ["_MOST", "_LONGEST_SECONDS"])
def test_calls_do_not_wait_for_ever(bound: str, client: Any, spans: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = iter(range(9))
    monkeypatch.setattr(background, bound, 1)
    if bound == "_LONGEST_SECONDS":
        monkeypatch.setattr(background, bound, 0.0)

    def answer(_: Asked) -> Answer:
        return Answer([json.dumps(response("queued", next(ids))).encode()], headers=JSON)

    with client(answer) as gpt:
        for _ in range(3):
            gpt.responses.create(model="gpt-4o", input="Why?", background=True)
    left = 1 if bound == "_MOST" else 0
    assert len(spans.calls) == 3 - left
    assert len(background._waiting) == len(open_calls._open) == left
    open_calls.end_all()
    background.end_overdue()


def test_a_polled_run_is_one_call(client: Any, spans: Any) -> None:
    used = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}

    def run(status: str) -> bytes:
        usage = used if status == "completed" else None
        stated = {"id": "run_1", "object": "thread.run", "status": status, "model": "gpt-4o", "usage": usage}
        return json.dumps(stated).encode()

    states = iter(["queued", "in_progress", "requires_action", "completed", "completed"])

    def answer(_: Asked) -> Answer:
        return Answer([run(next(states))], headers=JSON)

    with client(answer) as gpt:
        url = f"{gpt.base_url}threads/t1/runs"
        httpx2.post(url, json={"assistant_id": "asst_1", "model": "gpt-4o"})
        httpx2.get(f"{url}/run_1")
        httpx2.get(f"{url}/run_1")
        httpx2.post(f"{url}/run_1/submit_tool_outputs", json={"tool_outputs": []})
        httpx2.get(f"{url}/run_1")
    assert (spans.cost, spans.call["otel_cost.cost.status"]) == (COST, "known")


def test_a_span_of_somebody_elses_ends_before_a_background_response_is_known(client: Any, spans: Any) -> None:
    with client(Worker(response("completed"))) as gpt:
        with trace.get_tracer("t").start_as_current_span("theirs", attributes={"gen_ai.operation.name": "chat"}):
            asked = gpt.responses.create(model="gpt-4o", input="Why?", background=True)
        assert spans.calls == []
        gpt.responses.retrieve(asked.id)
    (call,) = [span for span in spans.all if "otel_cost.cost.status" in span.attributes]
    assert (call.name, spans.cost) == ("chat gpt-4o", COST)
