"""`otel-cost top`, in a terminal and without one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import requests
from exporter_building import SECOND, call, request, unknown

from .commanding import fill

if TYPE_CHECKING:
    from pathlib import Path

    from otel_cost_exporter.service import Service

    from .commanding import Run


def just_now(number: int, **more: Any) -> Any:
    """A call that has ended now."""
    ended = int(datetime.now(UTC).timestamp()) * SECOND
    return call(number, start=ended - SECOND, end=ended, otel_cost__project="atlas", **more)


def test_without_a_terminal_there_is_a_line_for_each_look(run: Run, ledger_file: Path) -> None:
    fill(ledger_file, just_now(1, otel_cost__run="r1"), unknown(2))
    shown = run("top", "--by", "run", "--every", "0.1", "--times", "2").output.splitlines()
    assert len(shown) == 2
    for line in shown:
        assert re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  now 0.054000 USD/h, 1 call in 5 minutes  "
            r"today 0.004500 USD, 1 call  most by run r1: 0.004500 USD",
            line,
        )


def test_json_is_a_document_for_each_look_from_file_and_service_alike(
    run: Run, ledger_file: Path, service: Service
) -> None:
    headers = {"content-type": "application/x-protobuf"}
    body = request(just_now(1, otel_cost__budget__project="0.05"))
    requests.post(f"{service.url}/v1/traces", body, headers=headers, timeout=30).raise_for_status()
    one = json.loads(run("top", "--json", "--times", "1", "--url", service.url).output)
    service.close()
    other = json.loads(run("top", "--json", "--times", "1").output)
    assert (one["place"], other["place"]) == (f"service {service.url}", f"ledger {ledger_file}")
    for found in (one, other):
        assert [row["project"] for row in found["dashboard"]["top"]] == ["atlas"]
        assert [(row["id"], row["limit_usd"], row["spent_usd"]) for row in found["budgets"]] == [
            ("atlas", "0.050000", "0.004500")
        ]
        assert [row["cost_usd"] for row in found["calls"]] == ["0.004500"]


def test_what_cannot_be_asked_is_one_line(run: Run, ledger_file: Path) -> None:
    assert run("top").exit_code == 1
    fill(ledger_file, call(1))
    assert "by='modle' is unknown" in run("top", "--by", "modle").output
    assert "tz='Mars' is no time zone" in run("top", "--tz", "Mars").output


class Terminal:
    """A terminal of its own, in which the command runs."""

    def __init__(self, command: list[Any], **environ: str) -> None:
        self._ours, theirs = os.openpty()
        self.text = ""
        environ = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", **environ}
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ)
        os.close(theirs)

    def read_until(self, text: str) -> None:
        """Read what it shows until it shows `text`."""
        deadline = time.monotonic() + 120
        while text not in self.text:
            assert time.monotonic() < deadline, self.text
            self._read()

    def read_to_the_end(self) -> None:
        """Read what it shows until it has ended."""
        while self._read():
            pass
        os.close(self._ours)

    def _read(self) -> bool:
        try:
            self.text += os.read(self._ours, 65536).decode(errors="replace")
        except OSError:  # nobody has the other end any more
            return False
        return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_a_terminal_it_shows_a_screen_and_leaves_it_as_it_was(
    ledger_file: Path, bin_folder: Path, number: signal.Signals
) -> None:
    fill(ledger_file, just_now(1, otel_cost__run="r1"))
    terminal = Terminal([bin_folder / "otel-cost", "top", "--ledger", ledger_file, "--every", "0.2"])
    terminal.read_until("Last calls")
    terminal.process.send_signal(number)
    terminal.read_to_the_end()
    assert terminal.process.wait(60) == 0
    for shown in ("otel-cost top", "now 0.054000 USD/h", "By project today", "atlas", "r1"):
        assert shown in terminal.text
    assert terminal.text.rindex("\x1b[?1049l") > terminal.text.rindex("Last calls")  # the screen from before is back
    assert "Traceback" not in terminal.text


def test_while_the_books_cannot_be_asked_it_says_so_and_goes_on(
    ledger_file: Path, bin_folder: Path, tmp_path: Path
) -> None:
    fill(ledger_file, just_now(1))
    away = tmp_path / "away"
    terminal = Terminal(
        [bin_folder / "otel-cost", "top", "--ledger", ledger_file, "--every", "0.1"],
        OTEL_COST_URL="http://127.0.0.1:9",
    )
    terminal.read_until("Last calls")
    ledger_file.rename(away)
    terminal.read_until("ledger unreachable")
    terminal.text = ""
    away.rename(ledger_file)
    terminal.read_until("Last calls")
    terminal.process.send_signal(signal.SIGINT)
    terminal.read_to_the_end()
    assert terminal.process.wait(60) == 0
