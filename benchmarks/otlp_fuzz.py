"""Throws OTLP requests that were damaged in every way at a ledger service, and sees that its books stay whole.

    python benchmarks/otlp_fuzz.py [--requests 10000] [--seed 1]

A real ``otel-cost serve`` in a process of its own takes requests over gRPC and HTTP, in protobuf and JSON, of traces
and logs, packed and not: bytes are flipped, cut out, put in and doubled, figures are absurd, texts are enormous, lists
hold lists without end. Between them go good requests, whose calls must stand in the books in the end, each once and to
the last digit. Every answer must be one that the OTLP specification knows.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import grpc
import httpx2
from backports import zstd
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVE = "from otel_cost_exporter.serve_command import serve; serve()"
GRPC_PATHS = {
    "/v1/traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "/v1/logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
GOOD_HTTP = frozenset({200, 400, 413, 415, 503})
GOOD_GRPC = frozenset({"OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "UNAVAILABLE"})
COST = Decimal("0.0045")  # gpt-4o: 1000 tokens in at 2.50 and 200 out at 10 USD a million
ABSURD: list[Any] = [
    *(-1, 0, 1, 2**31, 2**62, -(2**63), 2**63 - 1),
    *(0.0, -0.5, 1e308, float("nan"), float("inf"), float("-inf")),
    *(
        "",
        "NaN",
        "-1",
        "1e999999",
        "0." + "0" * 50 + "1",
        "9" * 100_000,
        "0x10",
        "\uff11\uff12",
        "\x00",
        "\ud7ff",
        "a" * 1_000_000,
    ),
    *(True, None, b"\xff\x00", [], ["a", 1, None], "known", "estimated", "unknown", "cut", "EUR"),
]
TIMES = (0, 1, 2**63, 2**64 - 1, 10**9, 10**18, 4 * 10**18, 1_700_000_000_000_000_000)

EXACT: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 200,
    "otel_cost.cost.status": "known",
    "otel_cost.cost.amount": str(COST),
    "otel_cost.cost.currency": "USD",
    "otel_cost.run": "r1",
    "otel_cost.budget.run": "5.00",
}
OPENINFERENCE: dict[str, Any] = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "gpt-4o",
    "llm.provider": "openai",
    "llm.token_count.prompt": 1000,
    "llm.token_count.completion": 200,
}


@dataclass
class Service:
    """A ledger service in a process of its own."""

    process: subprocess.Popen[str]
    url: str
    grpc: str


def start(folder: Path) -> Service:
    ports = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
    command = [sys.executable, "-c", SERVE, "--ledger", str(folder / "books.duckdb"), "--spool", str(folder / "spool")]
    log = (folder / "service.log").open("w")
    process = subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    said = "".join(process.stdout.readline() for _ in range(5))
    found = re.search(r"OTLP/gRPC +(\S+)\nOTLP/HTTP +(\S+)/v1/traces", said)
    assert found, said
    return Service(process, found[2], found[1])


# --- what is sent ---------------------------------------------------------------------------------------------------
def value(plain: Any) -> AnyValue:
    if isinstance(plain, bool):
        return AnyValue(bool_value=plain)
    if isinstance(plain, int):
        return AnyValue(int_value=plain)
    if isinstance(plain, float):
        return AnyValue(double_value=plain)
    if isinstance(plain, bytes):
        return AnyValue(bytes_value=plain)
    if isinstance(plain, list):
        return AnyValue(array_value=ArrayValue(values=[value(each) for each in plain]))
    return AnyValue() if plain is None else AnyValue(string_value=plain)


def nested(depth: int) -> AnyValue:
    found = inner = AnyValue()
    for _ in range(depth):
        inner = inner.array_value.values.add()
    return found


def field(number: int, content: bytes) -> bytes:
    """A field of protobuf that holds bytes."""
    length, size = len(content), bytearray()
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes((number << 3 | 2, *size, length)) + content


def bottomless(made: Span, depth: int) -> bytes:
    """A request with `made`, and in it a list of lists so deep that nobody's protobuf would write it."""
    lists = b""
    for _ in range(depth):
        lists = field(5, field(1, lists))
    attribute = field(9, field(1, b"gen_ai.usage.input_tokens") + field(2, lists))
    return field(1, field(2, field(2, made.SerializeToString() + attribute)))


def stated(dice: random.Random) -> dict[str, Any]:
    """The attributes of a call: priced by the application, or by an instrumentation that knows nothing of otel-cost."""
    return dice.choice((EXACT | {"otel_cost.run": f"r{dice.randrange(20)}"}, OPENINFERENCE))


def span(number: int, attributes: dict[str, Any]) -> Span:
    now = time.time_ns()
    return Span(
        trace_id=number.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        name="chat gpt-4o",
        start_time_unix_nano=now - 10**9,
        end_time_unix_nano=now,
        attributes=[KeyValue(key=key, value=value(each)) for key, each in attributes.items()],
    )


def traces(*spans: Span) -> ExportTraceServiceRequest:
    resource = Resource(attributes=[KeyValue(key="service.name", value=value("fuzz"))])
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=resource, scope_spans=[ScopeSpans(spans=spans)])]
    )


def absurd_span(dice: random.Random, number: int) -> Span:
    """A call with some of its figures absurd."""
    found = span(number, stated(dice))
    for _ in range(dice.randint(1, 3)):
        item = dice.choice(found.attributes)
        match dice.randrange(6):
            case 0 | 1 | 2:
                item.value.CopyFrom(value(dice.choice(ABSURD)))
            case 3:
                found.attributes.append(KeyValue(key=item.key, value=value(dice.choice(ABSURD))))
            case 4:
                item.value.CopyFrom(nested(dice.choice((3, 30, 40))))
            case 5:
                found.attributes.append(
                    KeyValue(key="otel_cost." + "d" * dice.choice((1, 600)), value=value(dice.choice(ABSURD)))
                )
    match dice.randrange(6):
        case 0:
            found.start_time_unix_nano = dice.choice(TIMES)
        case 1:
            found.end_time_unix_nano = dice.choice(TIMES)
        case 2:
            found.trace_id = dice.randbytes(dice.choice((0, 1, 15, 17, 5000)))
        case 3:
            found.span_id = dice.randbytes(dice.choice((0, 1, 7, 9)))
    return found


def events(dice: random.Random) -> ExportLogsServiceRequest:
    """A log event of a budget or a charge, with some of its fields absurd."""
    fields = {"dimension": "run", "id": "r1", "unit": "USD", "limit": "5.00", "spent": "1.00", "held": "0"}
    fields |= {dice.choice(list(fields)): dice.choice(ABSURD)}
    attributes = [KeyValue(key=f"otel_cost.budget.event.{key}", value=value(each)) for key, each in fields.items()]
    charge = {
        "otel_cost.charge.name": "gpu",
        "otel_cost.charge.units": "2",
        "otel_cost.cost.amount": dice.choice(ABSURD),
    }
    name = dice.choice(("otel_cost.budget.warned", "otel_cost.budget.exceeded", "otel_cost.charge", "something.else"))
    if name == "otel_cost.charge":
        attributes = [KeyValue(key=key, value=value(each)) for key, each in charge.items()]
    record = LogRecord(time_unix_nano=dice.choice((*TIMES, time.time_ns())), event_name=name, attributes=attributes)
    return ExportLogsServiceRequest(resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=[record])])])


def damaged(dice: random.Random, body: bytes) -> bytes:
    """`body` with bytes flipped, cut out, put in or doubled."""
    found = bytearray(body)
    for _ in range(dice.choice((1, 1, 2, 5, 50))):
        at = dice.randrange(len(found) + 1)
        match dice.randrange(5):
            case 0 if at < len(found):
                found[at] ^= 1 << dice.randrange(8)
            case 1:
                del found[at : at + dice.choice((1, 3, 100))]
            case 2:
                found[at:at] = dice.randbytes(dice.choice((1, 4, 20)))
            case 3:
                found[at:at] = found[at : at + dice.choice((5, 50, 500))]
            case 4:
                del found[at:]
        if not found:
            break
    return bytes(found)


def in_json(message: ExportTraceServiceRequest | ExportLogsServiceRequest) -> bytes:
    return json.dumps(MessageToDict(message)).encode()  # its ids are base64, which a receiver must bear as well


# --- how it is sent -------------------------------------------------------------------------------------------------
def requests_of(dice: random.Random, count: int) -> Iterator[tuple[str, bytes, str, str]]:
    """Path, body, content type and encoding of each damaged request."""
    packing: dict[str, Callable[[bytes], bytes]] = {
        "": bytes,
        "gzip": lambda body: gzip.compress(body, 1),
        "deflate": zlib.compress,
        "zstd": zstd.compress,
    }
    for number in range(2**40, 2**40 + count):
        path = dice.choice(("/v1/traces", "/v1/traces", "/v1/traces", "/v1/logs"))
        some = [
            absurd_span(dice, number * 4 + each) if dice.random() < 0.7 else span(number * 4 + each, stated(dice))
            for each in range(dice.randint(1, 4))
        ]
        message = events(dice) if path == "/v1/logs" else traces(*some)
        is_json = dice.random() < 0.25
        body = in_json(message) if is_json else message.SerializeToString()
        if path == "/v1/traces" and not is_json and dice.random() < 0.03:
            body = bottomless(absurd_span(dice, number * 4), dice.choice((60, 500, 20_000)))
        if dice.random() < 0.5:
            body = damaged(dice, body)
        encoding = dice.choice(list(packing))
        body = packing[encoding](body)
        if dice.random() < 0.1:
            body = damaged(dice, body)
        if dice.random() < 0.02:
            encoding = dice.choice(("br", "gzip, gzip", "\x7f"))
        kind = "application/json" if is_json else "application/x-protobuf"
        yield path, body, kind if dice.random() < 0.98 else "text/plain", encoding


def send(
    service: Service,
    client: httpx2.Client,
    channel: grpc.Channel,
    dice: random.Random,
    one: tuple[str, bytes, str, str],
) -> str:
    """What the answer is: ``HTTP 200``, ``gRPC INVALID_ARGUMENT``."""
    path, body, kind, encoding = one
    if kind == "application/x-protobuf" and dice.random() < 0.5:
        try:
            channel.unary_unary(GRPC_PATHS[path])(body, timeout=90)
        except grpc.RpcError as error:
            return f"gRPC {error.code().name}"
        return "gRPC OK"
    headers = {"content-type": kind} | ({"content-encoding": encoding} if encoding else {})
    return f"HTTP {client.post(service.url + path, content=body, headers=headers, timeout=90).status_code}"


def is_known(answer: str) -> bool:
    protocol, _, code = answer.partition(" ")
    return code in GOOD_GRPC if protocol == "gRPC" else int(code) in GOOD_HTTP


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    dice = random.Random(asked.seed)  # noqa: S311 - the same each time
    answers: Counter[str] = Counter()
    good = 0
    with tempfile.TemporaryDirectory() as name:
        service = start(Path(name))
        try:
            with httpx2.Client() as client, grpc.insecure_channel(service.grpc) as channel:
                for number, one in enumerate(requests_of(dice, asked.requests), 1):
                    answers[send(service, client, channel, dice, one)] += 1
                    if number % 10 == 0:
                        good += 1
                        body = traces(span(good, EXACT)).SerializeToString()
                        answer = send(
                            service, client, channel, dice, ("/v1/traces", body, "application/x-protobuf", "")
                        )
                        assert answer in {"gRPC OK", "HTTP 200"}, f"a good request was answered {answer}"
            assert service.process.poll() is None, "the process has ended"
        finally:
            service.process.terminate()
            ended = service.process.wait(120)
        wrong = broken(Path(name) / "books.duckdb", good)
        said = (Path(name) / "service.log").read_text()
    unknown = [answer for answer in answers if not is_known(answer)]
    tracebacks = said.count("A request could not be taken")
    for answer, times in answers.most_common():
        print(f"{times:>7,} {answer}")
    print(wrong or f"{good:>7,} good requests between them, every call of which is in the books once")
    print(f"{tracebacks:>7,} errors that nobody had thought of; the process ended with {ended}")
    if tracebacks:
        print(said[:5000])
    return 1 if wrong or unknown or tracebacks or ended else 0


def broken(ledger: Path, good: int) -> str:
    """What is wrong with the books; nothing where they are whole."""
    with duckdb.connect(str(ledger), read_only=True) as books:
        found = books.execute(
            "SELECT count(*), count(DISTINCT span_id), sum(cost) FROM calls WHERE span_id <= ?", [good]
        ).fetchone()
        rows = books.execute("SELECT count(*), sum(cost) FROM calls").fetchone()
        told = books.execute("SELECT sum(row_count), sum(cost) FROM hourly WHERE dimension = ''").fetchone()
        kept = books.execute("SELECT count(*) FROM quarantine").fetchone()
    print(f"the books: (calls, cost) {rows}, quarantine {kept}")
    if found != (good, good, good * COST):
        return f"of {good} good calls of {COST} USD the books hold {found}"
    return "" if told == rows else f"the rollups say {told}, the rows {rows}"


if __name__ == "__main__":
    sys.exit(main())
