"""Money is not sampled: the ledger gets every call once, and a tracing backend what the application's sampler chose."""

import gzip
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

import duckdb
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from otel_cost_exporter import spool
from otel_cost_exporter.access.address import Address
from otel_cost_exporter.demo.stand_in import StandIn
from otel_cost_exporter.service import Options, Service

COST = Decimal("0.004500")  # gpt-4o: 1000 x 2.50 + 200 x 10, per million
PROTOBUF = {"content-type": "application/x-protobuf"}
ASK = """
import multiprocessing, os, sys, time

import openai
from opentelemetry import context
from opentelemetry.propagate import extract


def ask(**more):
    client = openai.OpenAI()
    return client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "[stand-in input=1000,output=200]"}], **more
    )


def ask_several(calls):
    for _ in range(calls):
        ask()


def ask_for(traceparent):
    token = context.attach(extract({"traceparent": traceparent}))
    ask()
    context.detach(token)
"""


class Backend(ThreadingHTTPServer):
    """A tracing backend behind a Collector: it keeps the spans that come, and they go on to the ledger."""

    def __init__(self, ledger: str | None) -> None:
        self.ledger, self.paths = ledger, Counter[str]()
        self.spans: list[tuple[int, str, set[str]]] = []
        super().__init__(("127.0.0.1", 0), Collecting)
        self.url = f"http://127.0.0.1:{self.server_port}"

    @property
    def calls(self) -> list[int]:
        """The trace id of each call that came."""
        return sorted(trace_id for trace_id, _, keys in self.spans if "otel_cost.cost.status" in keys)


class Collecting(BaseHTTPRequestHandler):
    server: Backend

    def do_POST(self) -> None:
        self.server.paths[self.path] += 1
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path != "/v1/traces":
            self.send_error(404)
            return
        plain = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
        for resource in ExportTraceServiceRequest.FromString(plain).resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    keys = {item.key for item in span.attributes}
                    self.server.spans.append((int.from_bytes(span.trace_id, "big"), span.name, keys))
        if self.server.ledger is not None:
            with urlopen(Request(f"{self.server.ledger}/v1/traces", plain, PROTOBUF), timeout=30) as answer:  # noqa: S310
                answer.read()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not to the tests' output."""


class Books:
    """A ledger service and its file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        here = Address("127.0.0.1", 0)
        self.service = Service(Options(folder / "books.duckdb", folder / "spool", here, here))

    def calls(self) -> list[tuple[int, Decimal, str, str]]:
        """Each call in the books, once the service has ended: its trace id, cost, outcome and service."""
        spool.drain(self.folder / "spool", self.service.ledger)
        self.service.close()
        with duckdb.connect(str(self.folder / "books.duckdb"), read_only=True) as books:
            rows = books.execute("SELECT trace_id, cost, outcome, service FROM calls ORDER BY trace_id").fetchall()
        return [(trace_id.int, cost, outcome, service) for trace_id, cost, outcome, service in rows]


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    found = Books(tmp_path)
    yield found
    found.service.close()


@pytest.fixture
def backend(books: Books) -> Iterator[Backend]:
    with Backend(books.service.url) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture
def app(
    bin_folder: Path, tmp_path: Path, provider: StandIn, books: Books, backend: Backend
) -> Callable[..., subprocess.Popen[str]]:
    """Start a program under ``opentelemetry-instrument`` whose spans go to `backend`."""
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}

    def start(program: str, **environ: str) -> subprocess.Popen[str]:
        (path := tmp_path / "app.py").write_text(ASK + program)
        return subprocess.Popen(
            [bin_folder / "opentelemetry-instrument", sys.executable, path],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **unmeasured,
                **provider.environ,
                "OTEL_SERVICE_NAME": "shop",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
                "OTEL_COST_URL": books.service.url,
                "OTEL_COST_SPOOL": str(tmp_path / "spool"),
                "OTEL_BSP_SCHEDULE_DELAY": "600000",  # what comes in time comes because the process ended
                **environ,
            },
        )

    return start


def end(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")


def is_told_sampled(traceparent: str) -> bool:
    return bool(int(traceparent[-2:], 16) & 1)


def test_what_no_backend_gets_the_ledger_gets(
    app: Callable[..., subprocess.Popen[str]], books: Books, backend: Backend, provider: StandIn
) -> None:
    end(app("ask_several(3)", OTEL_TRACES_SAMPLER="always_off"))
    assert [call[1:] for call in books.calls()] == [(COST, "ok", "shop")] * 3
    assert (backend.spans, backend.paths) == ([], Counter())
    assert [is_told_sampled(seen.headers["traceparent"]) for seen in provider.requests] == [False] * 3


@pytest.mark.parametrize("ratio", ["0.1", "0.5"])
def test_a_backend_gets_what_the_ratio_chose_and_the_ledger_all_of_it_once(
    ratio: str, app: Callable[..., subprocess.Popen[str]], books: Books, backend: Backend, provider: StandIn
) -> None:
    end(app("ask_several(20)", OTEL_TRACES_SAMPLER="traceidratio", OTEL_TRACES_SAMPLER_ARG=ratio))
    calls = books.calls()
    assert [cost for _, cost, _, _ in calls] == [COST] * 20
    chosen = TraceIdRatioBased(float(ratio))
    expected = [id_ for id_, *_ in calls if chosen.should_sample(None, id_, "").decision.is_sampled()]
    assert backend.calls == expected
    assert sorted(id_ for id_, name, _ in backend.spans if name == "POST") == expected
    sent = [seen.headers["traceparent"] for seen in provider.requests]
    assert sorted(int(one[3:35], 16) for one in sent if is_told_sampled(one)) == expected


def test_a_caller_s_trace_that_is_not_sampled(
    app: Callable[..., subprocess.Popen[str]], books: Books, backend: Backend
) -> None:
    end(app(f"ask_for('00-{1:032x}-{7:016x}-00')\nask_for('00-{2:032x}-{7:016x}-01')\n"))
    assert [call[:2] for call in books.calls()] == [(1, COST), (2, COST)]
    assert backend.calls == [2]
    assert {trace_id for trace_id, _, _ in backend.spans} == {2}


def test_under_other_instrumentations_a_call_is_counted_once_too(
    app: Callable[..., subprocess.Popen[str]], books: Books, backend: Backend
) -> None:
    program = """
from openinference.instrumentation.openai import OpenAIInstrumentor as OpenInference
from opentelemetry.instrumentation.openai import OpenAIInstrumentor as OpenLLMetry

OpenLLMetry().instrument()
OpenInference().instrument()
ask()
openai.OpenAI().responses.create(model="gpt-4o", input="[stand-in input=1000,output=200]")
"""
    end(app(program, OTEL_TRACES_SAMPLER="always_off"))
    assert [cost for _, cost, _, _ in books.calls()] == [COST, COST]
    assert backend.spans == []


def test_with_the_spool_no_service_is_needed(
    app: Callable[..., subprocess.Popen[str]], books: Books, backend: Backend
) -> None:
    environ = {"OTEL_TRACES_EXPORTER": "otlp, otel_cost", "OTEL_COST_URL": "http://127.0.0.1:9"}
    backend.ledger = None
    with_ratio = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
    end(app("ask_several(10)", **environ, **with_ratio))
    calls = books.calls()
    assert [cost for _, cost, _, _ in calls] == [COST] * 10
    chosen = TraceIdRatioBased(0.5)
    assert backend.calls == [id_ for id_, *_ in calls if chosen.should_sample(None, id_, "").decision.is_sampled()]


def test_streams_and_a_process_that_is_told_to_end(
    app: Callable[..., subprocess.Popen[str]], books: Books, backend: Backend
) -> None:
    process = app(
        """
list(ask(stream=True, stream_options={"include_usage": True}))
held = ask(stream=True, stream_options={"include_usage": True})
next(held)
print("asked", flush=True)
time.sleep(600)
""",
        OTEL_TRACES_SAMPLER="always_off",
        OTEL_METRICS_EXPORTER="console",
    )
    assert process.stdout
    assert process.stdout.readline() == "asked\n"
    process.terminate()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGTERM
    assert '"otel_cost.cost"' in output  # metrics are exported in time too
    calls = books.calls()
    assert sorted(outcome for _, _, outcome, _ in calls) == ["cut", "ok"]
    assert COST in [cost for _, cost, outcome, _ in calls if outcome == "ok"]
    assert backend.spans == []


def test_workers_that_are_forked(app: Callable[..., subprocess.Popen[str]], books: Books, backend: Backend) -> None:
    program = """
if __name__ == "__main__":
    ask()  # so that what sends it is there already
    workers = [multiprocessing.get_context("fork").Process(target=ask_several, args=(2,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    if os.fork() == 0:
        ask()
        sys.exit()
    os.wait()
"""
    end(app(program, OTEL_TRACES_SAMPLER="always_off"))
    assert [cost for _, cost, _, _ in books.calls()] == [COST] * 6
    assert backend.spans == []


def test_where_something_else_listens_it_is_said_once_and_nothing_gets_there(
    app: Callable[..., subprocess.Popen[str]], books: Books, backend: Backend
) -> None:
    environ = {"OTEL_COST_URL": backend.url, "OTEL_BSP_SCHEDULE_DELAY": "10"}
    process = app("ask()\ntime.sleep(0.2)\nask()", OTEL_TRACES_SAMPLER="always_off", **environ)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0
    assert errors.count("Set OTEL_COST_URL to where `otel-cost serve` listens") == 1
    assert "the answer is 404" in errors
    assert books.calls() == []
    assert backend.spans == []
