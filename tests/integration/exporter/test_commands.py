"""The commands as a person types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import requests
from exporter_building import DAY, NOON, call, refused, request, unknown

from otel_cost_exporter import segments, spool
from otel_cost_exporter.writing.ledger import Ledger

from .commanding import NOBODY, fill, lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from otel_cost_exporter.service import Service

    from .commanding import Run


def test_a_summary_is_a_table_that_says_what_is_unknown(run: Run, ledger_file: Path) -> None:
    fill(
        ledger_file,
        call(1, otel_cost__project="a", otel_cost__stage="draft"),
        call(2, otel_cost__project="a", otel_cost__cost__status="estimated", otel_cost__call__outcome="cut"),
        unknown(3, otel_cost__project="b", gen_ai__usage__input_tokens=1_234_567),
    )
    done = run("summary", "--by", "project", "--by", "stage")
    assert done.exit_code == 0
    assert lines(done.output)[:-2] == [
        ["ledger", str(ledger_file)],
        ["project", "stage", "calls", "input", "output", "cut", "off", "no", "price", "cost", "in", "USD"],
        ["─" * len(done.output.splitlines()[3].strip())],
        ["a", "draft", "1", "1,000", "200", "0", "0", "0.004500"],
        ["a", "(none)", "1", "1,000", "200", "1", "0", "0.004500"],
        ["b", "(none)", "1", "1,234,567", "200", "0", "1", "unknown"],
        ["total", "3", "1,236,567", "600", "1", "1", "0.009000"],
    ]
    assert done.output.splitlines()[-2:] == [
        "Of this 0.004500 USD, for 1 call or charge, are estimated.",
        "The cost of 1 call or charge is unknown and in no sum: 1,234,567 input and 200 output tokens have no price.",
    ]


def test_money_is_right_aligned(run: Run, ledger_file: Path) -> None:
    fill(ledger_file, call(1), call(2, gen_ai__request__model="big", otel_cost__cost__amount="1234.5"))
    output = run("summary", "--by", "model").output
    ends = {len(line.rstrip()) for line in output.splitlines() if line.strip().startswith(("gpt-4o", "big", "total"))}
    assert len(ends) == 1


def test_a_table_that_is_piped_is_not_cut_and_ids_cannot_steer_a_terminal(
    run: Run, ledger_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(ledger_file, call(1, otel_cost__project="p" * 300), call(2, otel_cost__project="\x1b[31m[red]x[/red]"))
    monkeypatch.setenv("COLUMNS", "60")
    output = run("summary", "--by", "project").output
    assert "p" * 300 in output
    assert "\x1b" not in output
    assert "\ufffd[31m[red]x[/red]" in output


@pytest.mark.parametrize("command", [("summary", "--by", "project", "--by", "model"), ("report", "nightly-7")])
def test_a_narrow_terminal_keeps_the_labels(
    ledger_file: Path, bin_folder: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """In a terminal of its own, 58 columns wide."""
    stated = {"otel_cost__project": "atlas", "otel_cost__run": "nightly-7", "otel_cost__stage": "draft"}
    failed = {"otel_cost__call__outcome": "error"} | stated
    fill(ledger_file, call(1, **stated), refused(2, **stated), unknown(3, **stated), call(4, **failed))
    ours, theirs = os.openpty()
    environ = os.environ | {
        "COLUMNS": "58",
        "TERM": "xterm",
        "NO_COLOR": "1",
        "OTEL_COST_SPOOL": str(tmp_path / "none"),
    }
    arguments = [bin_folder / "otel-cost", *command, "--ledger", ledger_file]
    subprocess.run(arguments, stdout=theirs, env=environ, check=True, timeout=60)
    output = os.read(ours, 65536).decode()
    os.close(theirs)
    os.close(ours)
    assert "gpt-4o" in output
    assert ("atlas" if command[0] == "summary" else "draft") in output
    assert output.count("Left out for want of room: input, output") == 1


def test_without_by_there_is_a_total(run: Run, ledger_file: Path) -> None:
    fill(ledger_file, call(1), call(2))
    assert lines(run("summary").output)[-1] == ["total", "2", "2,000", "400", "0.009000"]


def test_json_on_the_file_is_the_document_of_the_api(
    run: Run, ledger_file: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = (call(1, otel_cost__project="a", otel_cost__tenant="x"), call(2, otel_cost__project="b"), unknown(3))
    headers = {"content-type": "application/x-protobuf"}
    requests.post(f"{service.url}/v1/traces", request(*spans), headers=headers, timeout=10).raise_for_status()
    asked = ("summary", "--by", "model", "--by", "project", "--project", "a", "--project", "b", "--where", "tenant=x")
    asked += ("--since", "2026-03-01", "--until", "2026-03-03", "--json")
    query = "by=model&by=project&project=a&project=b&tenant=x&since=2026-03-01&until=2026-03-03"
    document = requests.get(f"{service.url}/v1/summary?{query}", timeout=10).json()
    assert document["rows"][0]["cost_usd"] == "0.004500"
    assert json.loads(run(*asked, "--url", service.url).output) == document
    monkeypatch.setenv("OTEL_COST_URL", service.url)
    service.close()
    assert json.loads(run(*asked).output) == document
    assert json.loads(run(*asked, "--ledger", str(ledger_file)).output) == document


def test_the_service_is_asked_where_it_has_the_file(
    run: Run,
    serving: Callable[[], AbstractContextManager[Any]],
    monkeypatch: pytest.MonkeyPatch,
    ledger_file: Path,
    tmp_path: Path,
) -> None:
    fill(ledger_file, call(1, otel_cost__run="r1"))
    with serving() as running:
        for explicit in ((), ("--ledger", str(ledger_file))):
            alone = run("summary", *explicit)
            assert alone.exit_code == 1
            assert (
                f"ledger unreachable: {ledger_file} is open in another process, and no ledger service" in alone.output
            )
            assert alone.output.endswith(
                "; if that is otel-cost serve, say where it listens with --url or OTEL_COST_URL\n"
            )
        monkeypatch.setenv("OTEL_COST_URL", running.url)
        for explicit in ((), ("--ledger", str(ledger_file)), ("--url", running.url)):
            assert lines(run("summary", *explicit).output)[0] == ["service", running.url]
        elsewhere = run("summary", "--ledger", str(tmp_path / "other.duckdb"))
        assert elsewhere.exit_code == 1
        assert f"keeps {ledger_file}; name the right service with --url" in elsewhere.output
        unknown_by = run("summary", "--by", "modle")
        assert unknown_by.exit_code == 2
        assert "by='modle' is unknown, by can be: project" in unknown_by.output
        report = run("report", "r1")
        assert lines(report.output)[0] == ["Run", "r1,", "service", running.url]


@pytest.mark.parametrize("command", [("summary",), ("report",), ("report", "r1")])
def test_neither_file_nor_service_is_one_clear_line(run: Run, ledger_file: Path, command: tuple[str, ...]) -> None:
    done = run(*command)
    assert done.exit_code == 1
    assert done.output.startswith(
        f"Error: ledger unreachable: {ledger_file} is not there, and no ledger service answers at {NOBODY}: "
    )
    assert done.output.endswith(
        "; start one with otel-cost serve, "
        "or run an application with --traces_exporter otel_cost, then otel-cost report\n"
    )
    assert done.output.count("\n") == 1
    named = run(*command, "--url", NOBODY)
    assert (named.exit_code, named.output.count("\n")) == (1, 1)
    assert f"no ledger service answers at {NOBODY}: " in named.output


def test_a_service_that_cannot_write_now_still_answers(
    run: Run, service: Service, monkeypatch: pytest.MonkeyPatch, ledger_file: Path
) -> None:
    monkeypatch.setattr(Ledger, "failure", "No space left on device")
    monkeypatch.setenv("OTEL_COST_URL", service.url)
    monkeypatch.setenv("OTEL_COST_LEDGER", str(ledger_file.with_name("other.duckdb")))
    assert lines(run("summary").output)[0] == ["service", service.url]


ODD = """
import http.server, sys
class Odd(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(sys.argv[1]))
        self.end_headers()
        self.wfile.write(sys.argv[2].encode())
server = http.server.HTTPServer(("127.0.0.1", 0), Odd)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.mark.parametrize(
    ("status", "body", "line"),
    [
        ("200", "<html>", "no ledger service answers at {url}: "),
        ("200", "[]", "no ledger service answers at {url}: its answer is no JSON object"),
        ("200", "{}", "what answers at {url} is no ledger service"),
        ("500", "<html>", "the ledger service at {url} answers 500: "),
        ("404", "{}", "what answers at {url} is no ledger service"),
        ("404", "404 page not found", "what answers at {url} is no ledger service"),
        ("404", '{"detail": "Not Found"}', "what answers at {url} is no ledger service"),
    ],
)
def test_what_is_no_ledger_service_is_said(
    run: Run, monkeypatch: pytest.MonkeyPatch, status: str, body: str, line: str
) -> None:
    odd = subprocess.Popen(
        [sys.executable, "-c", ODD, status, body], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with odd:
        assert odd.stdout is not None
        url = f"http://127.0.0.1:{odd.stdout.readline().strip()}"
        monkeypatch.setenv("OTEL_COST_URL", url)
        done = run("summary")
        odd.terminate()
    assert done.exit_code == 1
    assert line.format(url=url) in done.output


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--by", "modle"), "by='modle' is unknown, by can be: project, plan"),
        (("--since", "yesterday"), "since='yesterday' is no time"),
        (("--where", "tenant"), "--where tenant: write it like --where tenant=acme"),
        (
            ("--where", "tenant=x"),
            "--where tenant=x: no call in the books has a dimension 'tenant'; of your own they have area",
        ),
        (("--where", "by=model"), "--where by=model: no call in the books has a dimension 'by'"),
        (("--where", "since=24h"), "--where since=24h: no call in the books has a dimension 'since'"),
        (("--where", "area=x", "--where", "day=1"), "--where day=1: no call in the books has a dimension 'day'"),
    ],
)
def test_bad_parameters_are_named(run: Run, ledger_file: Path, arguments: tuple[str, ...], line: str) -> None:
    fill(ledger_file, call(1, otel_cost__area="x"))
    done = run("summary", *arguments)
    assert done.exit_code == 2
    assert line in done.output


def test_an_unknown_dimension_is_said_alike_by_file_and_service(run: Run, service: Service) -> None:
    done = run("summary", "--where", "tenant=x", "--url", service.url)
    assert done.exit_code == 2
    assert "no call in the books has a dimension 'tenant'; of your own they have none" in done.output


@pytest.mark.parametrize("command", [("summary",), ("report",), ("report", "r1")])
def test_two_books_at_once_are_refused(
    run: Run, ledger_file: Path, spool_folder: Path, command: tuple[str, ...]
) -> None:
    segments.write(spool_folder, request(call(1)))
    done = run(*command, "--url", NOBODY, "--ledger", str(ledger_file))
    assert done.exit_code == 2
    assert "--ledger and --url name different books: give one of them" in done.output
    assert spool.waiting(spool_folder) == 1


@pytest.mark.parametrize("url", ["127.0.0.1:4318", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://"])
def test_a_url_that_is_none_is_a_usage_error(run: Run, url: str) -> None:
    for command in ("summary", "report"):
        done = run(command, "--url", url)
        assert done.exit_code == 2
        assert f"{url!r}: it must be a URL like http://127.0.0.1:4318" in done.output


def test_a_service_without_tls_is_asked_by_http(run: Run, service: Service) -> None:
    url = service.url.replace("http:", "https:")
    done = run("summary", "--url", url)
    assert done.exit_code == 1
    assert done.output.startswith(f"Error: no ledger service answers at {url}: ")
    assert done.output.endswith(". It speaks no TLS: write http://\n")


def test_a_grpc_port_is_no_place_to_ask(run: Run, service: Service) -> None:
    done = run("summary", "--url", f"http://{service.grpc}")
    assert done.exit_code == 1
    assert done.output.startswith(f"Error: no ledger service answers at http://{service.grpc}: ")
    assert done.output.endswith(": what answers there speaks no HTTP: is it the gRPC port?\n")


def test_a_path_that_cannot_be_is_one_clear_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ledger_file: Path
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    monkeypatch.setenv("OTEL_COST_SPOOL", str(in_the_way))
    for arguments in (("report",), ("report", "r1"), ("serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")):
        done = run(*arguments)
        line = f"spool {in_the_way} cannot be used: it is no folder. Choose another with --spool or OTEL_COST_SPOOL"
        assert (done.exit_code, done.output) == (1, f"Error: {line}\n")
    below = run("serve", "--spool", str(in_the_way / "x"), "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
    assert (below.exit_code, below.output.count("\n")) == (1, 1)
    assert f"spool {in_the_way / 'x'} cannot be used: Not a directory" in below.output
    assert not ledger_file.exists()  # nothing is left of a service that does not start
    for ledger in (tmp_path / ("x" * 300), in_the_way / "x", in_the_way):
        monkeypatch.setenv("OTEL_COST_LEDGER", str(ledger))
        done = run("summary")
        assert (done.exit_code, done.output.count("\n")) == (1, 1)
        assert str(ledger) in done.output


def test_what_waits_in_the_spool_is_said_and_how_to_book_it(run: Run, ledger_file: Path, spool_folder: Path) -> None:
    for n in (1, 2):
        segments.write(spool_folder, request(call(n)))
    done = run("summary")
    assert done.exit_code == 1
    assert done.output.endswith(
        f"; 2 segments wait in the spool {spool_folder} and are not in the books yet: otel-cost report takes them in\n"
    )
    named = run("summary", "--ledger", str(ledger_file))
    assert named.output.endswith(f": otel-cost report --ledger {ledger_file} takes them in\n")
    assert lines(run("report").output)[0] == ["Runs,", "ledger", str(ledger_file)]
    segments.write(spool_folder, request(call(3)))
    later = run("summary")
    assert later.exit_code == 0
    assert later.stderr == (
        f"1 segment waits in the spool {spool_folder} and is not in the books yet: otel-cost report takes it in\n"
    )
    assert lines(later.stdout)[-1][:2] == ["total", "2"]
    assert run("summary", "--ledger", str(ledger_file)).stderr == ""  # which may have another spool
    json.loads(run("summary", "--json").stdout)


def test_serve_says_where_it_listens_drains_and_stops_cleanly(
    serving: Callable[[], AbstractContextManager[Any]], ledger_file: Path, spool_folder: Path
) -> None:
    segments.write(spool_folder, request(call(1, start=NOON - DAY)))
    for number, held in ((signal.SIGTERM, "0 calls and charges"), (signal.SIGINT, "2 calls and charges")):
        with serving() as running:
            assert running.said.startswith(f"Ledger     {ledger_file} ({held})\n")
            assert f"Spool      {spool_folder}\n" in running.said
            body, headers = request(call(2)), {"content-type": "application/x-protobuf"}
            requests.post(f"{running.url}/v1/traces", body, headers=headers, timeout=10).raise_for_status()
            running.process.send_signal(number)
            output, errors = running.process.communicate(timeout=20)
            assert (running.process.returncode, errors) == (0, "")
            assert output == "Stopped. Everything that was acknowledged is in the ledger.\n"
            assert sorted(path.name for path in ledger_file.parent.iterdir()) == [ledger_file.name, spool_folder.name]
    assert not spool.waiting(spool_folder)


@pytest.mark.parametrize(
    ("token", "said"),
    [("", "whoever reaches it can ask questions, send calls"), ("t-1", "tokens and calls come there in the clear")],
)
def test_serve_warns_where_others_can_reach_it(  # noqa: PLR0917 - two are its table
    bin_folder: Path, ledger_file: Path, spool_folder: Path, monkeypatch: pytest.MonkeyPatch, token: str, said: str
) -> None:
    monkeypatch.setenv("OTEL_COST_TOKEN", token)
    where = ("--grpc", "127.0.0.1:0", "--http", "0.0.0.0:0", "--ledger", str(ledger_file), "--spool", str(spool_folder))
    with subprocess.Popen([bin_folder / "otel-cost", "serve", *where], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        warning = process.stderr.readline()
        process.terminate()
        process.communicate(timeout=20)
    assert warning.startswith("WARNING: 0.0.0.0:")
    assert f"can be reached from other machines, and {said}" in warning


def test_serve_on_a_file_or_port_that_is_taken_is_one_clear_line(
    run: Run, serving: Callable[[], AbstractContextManager[Any]], ledger_file: Path, tmp_path: Path
) -> None:
    with serving() as running:
        free = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
        locked = run("serve", "--ledger", str(ledger_file), *free)
        assert (locked.exit_code, locked.output.count("\n")) == (1, 1)
        assert locked.output.startswith(f"Error: {ledger_file} is open in another process: PID ")
        assert "Stop it, or ask it, if it is otel-cost serve" in locked.output
        port = run("serve", "--ledger", str(tmp_path / "b"), "--grpc", running.grpc, "--http", "127.0.0.1:0")
        assert (port.exit_code, port.output.count("\n")) == (1, 1)
        assert f"{running.grpc} cannot be listened on for OTLP/gRPC" in port.output
    bad = run("serve", "--grpc", "4317")
    assert bad.exit_code == 2
    assert "'4317' is no address: write it like 127.0.0.1:4317" in bad.output


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        *(("summary", missing) for missing in ("duckdb", "pyarrow", "rich")),
        *(("serve", missing) for missing in ("duckdb", "fastapi", "uvicorn", "grpc")),
        *((command, "duckdb") for command in ("report", "top", "export", "compare")),
    ],
)
def test_a_base_install_says_which_extra_it_takes(command: str, missing: str) -> None:
    arguments = [command, "r", "--model", "gpt-4o"] if command == "compare" else [command]
    code = f"import sys; sys.modules[{missing!r}] = None; from otel_cost.cli import main; main({arguments})"
    environ = {**os.environ, "PYDANTIC_DISABLE_PLUGINS": "__all__"}  # logfire's, which our tests have, needs rich too
    program = [sys.executable, "-c", code]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=30, env=environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Error: 'otel-cost {command}' needs more packages: pip install 'otel-cost[ledger]'\n"
