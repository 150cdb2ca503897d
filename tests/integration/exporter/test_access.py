"""Who may do what: tokens and TLS, on both ports, and in every client of the service that is ours."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
import requests
from certificates import make
from exporter_building import call, request
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_cost import cost_of, estimate
from otel_cost.budgets.outage import StoreGoneError
from otel_cost.budgets.service import RefusedError, ServiceServer
from otel_cost.budgets.service import Service as BudgetClient
from otel_cost.ledger_exporter import LedgerExporter
from otel_cost_dashboard.client import Ledger as DashboardLedger
from otel_cost_dashboard.client import LedgerUnreachableError
from otel_cost_exporter.access.address import Address
from otel_cost_exporter.access.tls import Tls
from otel_cost_exporter.access.tokens import Tokens
from otel_cost_exporter.books import ServiceBooks
from otel_cost_exporter.errors import CertificateError, UnreachableError
from otel_cost_exporter.service import Options, Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from .commanding import Run

FREE = Address("127.0.0.1", 0)
PROTOBUF = {"content-type": "application/x-protobuf"}
VERIFY = r"CERTIFICATE_VERIFY_FAILED.*\. OTEL_COST_CERTIFICATE names the file of its certificate, or of who vouches"
LIMIT = {"limit": "1.00", "by": "a person"}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return make(tmp_path / "tls")


@pytest.fixture
def service(ledger_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service that wants a token for each right."""
    for name in ("READ", "WRITE", "BUDGET", "KEEP"):
        monkeypatch.setenv(f"OTEL_COST_{name}_TOKEN", f"{name.lower()}-1")
    with Service(Options(ledger=ledger_file, grpc=FREE, http=FREE, tokens=Tokens.of_settings())) as running:
        monkeypatch.setenv("OTEL_COST_URL", running.url)
        yield running


@pytest.fixture
def secure(ledger_file: Path, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service with one token for all, and TLS."""
    monkeypatch.setenv("OTEL_COST_TOKEN", "all-1")
    options = Options(ledger=ledger_file, grpc=FREE, http=FREE, tokens=Tokens.of_settings(), tls=Tls(*files))
    with Service(options) as running:
        monkeypatch.setenv("OTEL_COST_URL", running.url)
        monkeypatch.setenv("OTEL_COST_CERTIFICATE", str(files[0]))
        yield running


def bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def spans() -> tuple[ReadableSpan, ...]:
    held = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(held))
    stated = {"otel_cost.cost.status": "known", "otel_cost.cost.amount": "0.0045"}
    provider.get_tracer("test").start_span("chat", attributes=stated).end()
    return held.get_finished_spans()


@pytest.mark.parametrize(
    ("method", "path", "right"),
    [
        ("GET", "/v1/summary", "read"),
        ("GET", "/v1/dimensions", "read"),
        ("GET", "/v1/budgets", "read"),
        ("GET", "/v1/budgets", "budget"),
        ("PUT", "/v1/budgets/run/r/limit", "budget"),
        ("POST", "/v1/traces", "write"),
        ("POST", "/v1/calls", "write"),
    ],
)
def test_each_right_has_its_token(service: Service, method: str, path: str, right: str) -> None:
    def status(token: str | None) -> int:
        body = {"data": request(call(1))} if path in {"/v1/traces", "/v1/calls"} else {"json": LIMIT}
        kind = PROTOBUF if "data" in body else {}
        return requests.request(
            method, service.url + path, headers=kind | bearer(token), timeout=10, **body
        ).status_code

    assert status(f"{right}-1") in {200, 404, 409}  # 404: no such run; what the path does is others' affair
    assert (status(None), status("nobody's"), status("")) == (401, 401, 401)
    assert 403 in {status(f"{other}-1") for other in ("read", "write", "budget")}


def test_who_may_only_send_calls_cannot_read_them_where_they_are_sent_to(service: Service) -> None:
    url = f"{service.url}/v1/calls"
    requests.post(url, request(call(1)), headers=PROTOBUF | bearer("write-1"), timeout=10).raise_for_status()
    assert len(requests.get(url, headers=bearer("read-1"), timeout=10).json()["calls"]) == 1
    for method in ("GET", "HEAD"):
        assert requests.request(method, url, headers=bearer("write-1"), timeout=10).status_code == 403
    missing = requests.get(url, timeout=10)
    assert missing.json() == {"detail": "to ask questions, a token is needed: Authorization: Bearer TOKEN"}


def test_what_is_refused_says_why_in_the_form_of_its_path(service: Service) -> None:
    missing = requests.get(f"{service.url}/v1/summary", timeout=10)
    assert (missing.status_code, missing.headers["www-authenticate"]) == (401, "Bearer")
    assert missing.json() == {"detail": "to ask questions, a token is needed: Authorization: Bearer TOKEN"}
    other = requests.get(f"{service.url}/v1/summary", headers=bearer("write-1"), timeout=10)
    assert other.json() == {"detail": "to ask questions, another token is needed: this one is to send calls"}
    assert "www-authenticate" not in other.headers
    sent = requests.post(f"{service.url}/v1/traces", request(call(1)), headers=PROTOBUF, timeout=10)
    assert Status.FromString(sent.content).message.startswith("to send calls, a token is needed")


@pytest.mark.parametrize(
    ("shown", "code"),
    [
        (None, grpc.StatusCode.UNAUTHENTICATED),
        ("Bearer nobody's", grpc.StatusCode.UNAUTHENTICATED),
        ("write-1", grpc.StatusCode.UNAUTHENTICATED),
        ("Bearer read-1", grpc.StatusCode.PERMISSION_DENIED),
        ("bearer write-1", grpc.StatusCode.OK),
    ],
)
def test_grpc_asks_for_the_token_to_send(service: Service, shown: str | None, code: grpc.StatusCode) -> None:
    with grpc.insecure_channel(str(service.grpc)) as channel:
        export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        metadata = () if shown is None else (("authorization", shown),)
        _, made = _with_call(export, request(call(1)), metadata)
    assert made is code


def _with_call(
    export: Callable[..., bytes], body: bytes, metadata: tuple[tuple[str, str], ...]
) -> tuple[bytes, grpc.StatusCode]:
    try:
        return export(body, metadata=metadata, timeout=10), grpc.StatusCode.OK
    except grpc.RpcError as error:
        return b"", error.code()


def test_whether_it_is_well_everybody_may_ask_and_no_more(service: Service) -> None:
    assert requests.get(f"{service.url}/healthz", timeout=10).json() == {"status": "ok"}
    told = requests.get(f"{service.url}/healthz", headers=bearer("read-1"), timeout=10).json()
    assert told["ledger"] == str(service.ledger.path)


def test_what_can_be_asked_everybody_may_read_and_it_says_nothing_of_the_books(service: Service) -> None:
    for path in ("/docs", "/v1/openapi.json"):
        answer = requests.get(service.url + path, timeout=10)
        assert answer.status_code == 200
        assert service.ledger.path.name not in answer.text


def test_while_a_token_is_changed_both_are_taken_and_what_has_none_is_closed(
    ledger_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_COST_READ_TOKEN", "new-1, old-1")
    tokens = Tokens.of_settings()
    assert tokens.everybody_may == ()
    with Service(Options(ledger=ledger_file, grpc=FREE, http=FREE, tokens=tokens)) as running:
        for token, status in (("new-1", 200), ("old-1", 200), ("older-1", 401)):
            asked = requests.get(f"{running.url}/v1/summary", headers=bearer(token), timeout=10)
            assert asked.status_code == status
        closed = requests.post(f"{running.url}/v1/traces", headers=PROTOBUF | bearer("new-1"), timeout=10)
        assert closed.status_code == 401
        assert "it wants OTEL_COST_WRITE_TOKEN" in Status.FromString(closed.content).message


def test_a_token_that_no_header_can_carry_lets_nobody_in(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_COST_TOKEN", "two words")
    assert Tokens.of_settings() == Tokens((), (), (), ())
    assert "two words" not in caplog.text


def test_every_client_of_ours_shows_its_token(service: Service) -> None:
    assert LedgerExporter().export(spans()) is SpanExportResult.SUCCESS
    assert ServiceBooks(service.url).ask("summary")["total"]["calls"] == 1
    assert ServiceBooks(service.url).ledger() == str(service.ledger.path)
    with closing(DashboardLedger(service.url)) as explorer, closing(ServiceServer(service.url)) as server:
        assert (explorer.dimensions(), server.standings()) == ((), [])


def test_every_client_of_ours_without_a_token_says_which_it_wants(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("READ", "WRITE", "BUDGET"):
        monkeypatch.delenv(f"OTEL_COST_{name}_TOKEN")
    assert LedgerExporter().export(spans()) is SpanExportResult.FAILURE
    assert "the answer is 401 Unauthorized (set OTEL_COST_WRITE_TOKEN)" in caplog.text
    with pytest.raises(UnreachableError, match=r"answers 401: .*; set OTEL_COST_READ_TOKEN"):
        ServiceBooks(service.url).ask("summary")
    with (
        closing(DashboardLedger(service.url)) as explorer,
        pytest.raises(LedgerUnreachableError, match=r"a token is needed.* Set OTEL_COST_READ_TOKEN\."),
    ):
        explorer.dimensions()
    with (
        closing(BudgetClient(service.url)) as client,
        pytest.raises(RefusedError, match="to change budgets, a token is needed"),
    ):
        client.ask("POST", "/v1/budgets/reserve", {})


@pytest.mark.parametrize(
    ("command", "variable"),
    [(("summary",), "READ"), (("report",), "READ"), (("ledger", "check"), "KEEP"), (("budget", "list"), "READ")],
)
def test_a_command_without_the_token_says_that_it_is_refused_and_which_it_wants(
    service: Service, run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], variable: str
) -> None:
    monkeypatch.setenv("OTEL_COST_URL", service.url)
    monkeypatch.setenv("OTEL_COST_LEDGER", str(service.ledger.path.with_name("other.duckdb")))
    for name in ("READ", "WRITE", "BUDGET", "KEEP"):
        monkeypatch.delenv(f"OTEL_COST_{name}_TOKEN")
    for said in ("token is needed: Authorization", "token is needed: this one is unknown"):
        done = run(*command)
        assert (done.exit_code, done.output.count("\n")) == (1, 1)
        assert said in done.output
        assert f"OTEL_COST_{variable}_TOKEN" in done.output
        assert "otel-cost serve" not in done.output
        monkeypatch.setenv(f"OTEL_COST_{variable}_TOKEN", "nobodys")


def test_a_file_that_a_service_may_keep_is_asked_for_with_its_token(
    service: Service, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = ("--ledger", str(service.ledger.path.with_name("other.duckdb")))
    monkeypatch.setenv("OTEL_COST_URL", service.url)
    assert f"keeps {service.ledger.path}; name the right" in run("summary", *named).output
    monkeypatch.delenv("OTEL_COST_READ_TOKEN")
    assert run("summary", *named).output.endswith("it does not take our token. Set OTEL_COST_READ_TOKEN\n")


def test_code_without_the_token_is_told_which_it_wants(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_COST_URL", service.url)
    monkeypatch.delenv("OTEL_COST_READ_TOKEN")
    with pytest.raises(LookupError, match=r"a token is needed: .*; set OTEL_COST_READ_TOKEN\Z"):
        cost_of(run="r").audit()
    with pytest.raises(ValueError, match=r"a token is needed: .*; set OTEL_COST_READ_TOKEN\Z"):
        estimate(stage="draft")


def test_whoever_may_only_look_sees_the_budgets(service: Service, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_COST_BUDGET_TOKEN")
    for command in ("list", "events"):
        assert run("budget", command, "--url", service.url).exit_code == 0
    refused = run("budget", "raise", "run", "r", "--to", "8", "--url", service.url)
    assert "this one is to ask questions; set OTEL_COST_BUDGET_TOKEN" in refused.output


def test_every_client_of_ours_speaks_tls(secure: Service) -> None:
    assert secure.url.startswith("https://")
    assert LedgerExporter().export(spans()) is SpanExportResult.SUCCESS
    assert ServiceBooks(secure.url).ask("summary")["total"]["calls"] == 1
    with closing(DashboardLedger(secure.url)) as explorer, closing(ServiceServer(secure.url)) as server:
        assert (explorer.dimensions(), server.standings()) == ((), [])


def test_opentelemetrys_exporters_speak_tls_and_show_a_token(
    secure: Service, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # they win over what an exporter is told
        monkeypatch.delenv(name, raising=False)
    headers = {"authorization": "Bearer all-1"}
    credentials = grpc.ssl_channel_credentials(files[0].read_bytes())
    by_grpc = GrpcExporter(endpoint=f"https://{secure.grpc}", credentials=credentials, headers=headers)
    by_http = HttpExporter(endpoint=f"{secure.url}/v1/traces", certificate_file=str(files[0]), headers=headers)
    for exporter in (by_grpc, by_http):
        assert exporter.export(spans()) is SpanExportResult.SUCCESS
        exporter.shutdown()
    assert secure.reader.ask("summary")["total"]["calls"] == 2


def test_a_service_that_nobody_vouches_for_is_told_nothing(
    secure: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("otel_cost.ledger_exporter._PATIENCE_SECONDS", 0)
    for certificate, reason in (
        (make(tmp_path / "others")[0], VERIFY),
        (
            tmp_path / "missing.pem",
            r"OTEL_COST_CERTIFICATE=.*missing.pem cannot be read.*: No such file",
        ),
        (None, VERIFY),
    ):
        monkeypatch.delenv("OTEL_COST_CERTIFICATE", raising=False)
        if certificate is not None:
            monkeypatch.setenv("OTEL_COST_CERTIFICATE", str(certificate))
        caplog.clear()
        assert LedgerExporter().export(spans()) is SpanExportResult.FAILURE
        assert re.search(reason, caplog.text)
        with pytest.raises(UnreachableError, match=reason):
            ServiceBooks(secure.url).ask("summary")
        with pytest.raises(LedgerUnreachableError, match=reason), closing(DashboardLedger(secure.url)) as explorer:
            explorer.dimensions()
        with pytest.raises(StoreGoneError, match=reason), closing(ServiceServer(secure.url)) as server:
            server.standings()
    assert secure.reader.ask("summary")["total"]["calls"] == 0


def test_a_certificate_that_cannot_be_used_is_refused_with_what_is_wrong(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    certificate, key = files
    (nonsense := tmp_path / "nonsense.pem").write_text("no certificate")
    locked, locked_key = make(tmp_path / "locked", password=b"secret")
    for pair, reason in (
        ((certificate, tmp_path / "missing.pem"), "cannot be read: No such file or directory"),
        ((nonsense, key), "cannot be used for TLS"),
        ((certificate, locked_key), "cannot be used for TLS"),
        ((locked, locked_key), "the key must have no password"),
    ):
        with pytest.raises(CertificateError, match=reason):
            Tls(*pair)
