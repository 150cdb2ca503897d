"""Events of budgets reach the URL of `OTEL_COST_WEBHOOK`, whatever becomes of the process and of the URL's server."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from opentelemetry import baggage, context

from otel_cost import safety
from otel_cost.budgets import Limit, events, webhook
from otel_cost.budgets.events import BudgetEvent, emit
from otel_cost.budgets.rule import Key
from otel_cost.budgets.tree import Standing
from otel_cost_exporter.demo.stand_in import StandIn

STANDING = Standing(Key("run", "r1", "USD"), Limit.of_usd("0.05"), Decimal("0.041"), Decimal(0), 0, 3, None)
WARNED = BudgetEvent.of("warned", STANDING, share=Decimal("0.8"))


class Chat:
    """A server that takes events, and answers with the statuses that it is told to, 200 afterwards."""

    def __init__(self) -> None:
        self.taken: SimpleQueue[tuple[dict[str, str], dict[str, Any]]] = SimpleQueue()
        self.statuses: list[int] = []
        self.goes_on = threading.Event()
        self.goes_on.set()
        chat = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                chat.taken.put(({name.lower(): value for name, value in self.headers.items()}, body))
                chat.goes_on.wait()
                self.send_response(chat.statuses.pop(0) if chat.statuses else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hooks/secret"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.goes_on.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def chat() -> Iterator[Chat]:
    server = Chat()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _a_sender_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "_sender", webhook._Sender())
    monkeypatch.setattr(webhook, "_PAUSES", (0.0, 0.0))


def test_an_event_is_json_that_chats_understand(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_COST_WEBHOOK", chat.url)
    token = context.attach(baggage.set_baggage("otel_cost.run", "r1"))
    emit(WARNED)
    emit(BudgetEvent.of("spent", STANDING))
    context.detach(token)
    events.flush(60)
    headers, body = chat.taken.get()
    assert chat.taken.empty()
    assert headers["content-type"] == "application/json"
    assert not {"baggage", "traceparent"} & headers.keys()
    assert body.pop("time").endswith("+00:00")
    assert body == {
        "text": "budget of run 'r1': 0.041000 USD spent, which is 80% of 0.050000 USD or more",
        "event": "warned",
        "dimension": "run",
        "id": "r1",
        "unit": "USD",
        "limit": "0.050000",
        "spent": "0.041000",
        "held": "0.000000",
        "share": "0.8",
    }


def test_without_a_url_nothing_is_sent_and_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_COST_WEBHOOK", raising=False)
    emit(WARNED)
    events.flush(60)
    webhook.flush(60)
    assert webhook._sender._thread is None


@pytest.mark.parametrize(("statuses", "tries"), [([503, 200], 2), ([429, 500, 502], 3), ([404], 1), ([408, 400], 2)])
def test_it_is_tried_again_where_that_may_help(chat: Chat, statuses: list[int], tries: int) -> None:
    chat.statuses = statuses
    webhook.send(chat.url, WARNED)
    webhook.flush(60)
    assert chat.taken.qsize() == tries


def test_what_is_lost_is_said_once_without_the_secret_and_when_it_is_over(
    chat: Chat, caplog: pytest.LogCaptureFixture
) -> None:
    chat.statuses = [404, 404]
    for _ in range(3):
        webhook.send(chat.url, WARNED)
    webhook.flush(60)
    webhook.send("http://127.0.0.1:1/hooks/secret", WARNED)
    webhook.flush(60)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 3
    assert warnings[0] == (
        "OTEL_COST_WEBHOOK: an event of a budget did not reach 127.0.0.1: the answer is 404 Not Found"
    )
    assert warnings[1] == "the webhook takes events again; 2 were lost"
    assert "did not reach 127.0.0.1: " in warnings[2]
    assert "secret" not in caplog.text


def test_what_waits_is_bounded(chat: Chat, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(webhook, "_MOST_WAITING", 2)
    chat.goes_on.clear()
    webhook.send(chat.url, WARNED)
    chat.taken.get()  # it is on its way
    for _ in range(4):
        webhook.send(chat.url, WARNED)
    assert "did not reach 127.0.0.1: 2 others wait" in caplog.text
    chat.goes_on.set()
    webhook.flush(60)
    assert chat.taken.qsize() == 2


def test_what_fails_in_another_way_stops_no_other(chat: Chat) -> None:
    webhook._sender.put("no url", b"{}")
    webhook.send(chat.url, WARNED)
    webhook.flush(60)
    assert chat.taken.qsize() == 1
    assert safety.failures() == {"sending a budget's event to the webhook": 1}


def test_a_server_that_does_not_answer_holds_nobody_up(chat: Chat) -> None:
    chat.goes_on.clear()
    webhook.send(chat.url, WARNED)
    chat.taken.get()
    webhook.flush(0.01)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_sends_its_own_events_and_none_of_its_parent(chat: Chat) -> None:
    chat.goes_on.clear()
    webhook.send(chat.url, WARNED)
    chat.taken.get()
    webhook.send(chat.url, WARNED)  # waits
    child = os.fork()
    if not child:
        webhook.send(chat.url, BudgetEvent.of("stopped", STANDING))
        webhook.flush(60)
        os._exit(0)
    _, body = chat.taken.get()
    assert body["event"] == "stopped"
    chat.goes_on.set()
    os.waitpid(child, 0)
    webhook.flush(60)
    assert [chat.taken.get()[1]["event"]] == ["warned"]
    assert chat.taken.empty()


ENDS = {
    "by itself": "",
    "in an error": "raise SystemExit(3)",
    "told to": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
}


@pytest.mark.parametrize("how", ENDS)
def test_they_go_out_before_the_process_ends(
    chat: Chat, bin_folder: Path, tmp_path: Path, provider: StandIn, how: str
) -> None:
    program = tmp_path / "app.py"
    program.write_text(
        "from decimal import Decimal\n"
        "from otel_cost.budgets import Limit\n"
        "from otel_cost.budgets.events import BudgetEvent, emit\n"
        "from otel_cost.budgets.rule import Key\n"
        "from otel_cost.budgets.tree import Standing\n"
        "standing = Standing(Key('run', 'r1', 'USD'), Limit.of_usd('0.05'), Decimal('0.041'), 0, 0, 3, None)\n"
        "emit(BudgetEvent.of('stopped', standing))\n" + ENDS[how]
    )
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    subprocess.run(
        [bin_folder / "opentelemetry-instrument", "--traces_exporter", "none", sys.executable, program],
        env={**unmeasured, **provider.environ, "OTEL_COST_WEBHOOK": chat.url},
        check=False,
        timeout=120,
    )
    assert [chat.taken.get()[1]["event"]] == ["stopped"]
