"""The programs that the demo starts, and the promise that none of them outlives it."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 60
_STOP_SECONDS: Final = 10
_LOOK_EVERY_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Service:
    """A program that serves HTTP on loopback.

    Attributes:
        name: what a person calls it, such as ``the ledger service``.
        port: its HTTP port.
        process: it.
        log: the file that keeps what it prints.
    """

    name: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.port}"

    def get(self, path: str) -> Any:
        """The JSON that it answers to a GET of `path`.

        Raises:
            click.ClickException: it answers with an error, or not at all.
        """
        try:
            status, body = _get(self.port, path)
        except OSError as error:
            raise click.ClickException(f"{self.name} does not answer at {self.url}: {error}") from None
        if status != http.client.OK:
            raise click.ClickException(f"{self.name} answered {status} to {path}: {body.decode(errors='replace')}")
        return json.loads(body)

    def check(self) -> None:
        """Do nothing while it runs.

        Raises:
            click.ClickException: it has ended.
        """
        _check(self.name, self.process, self.log)


@contextmanager
def serving(
    name: str, command: Sequence[str], environ: Mapping[str, str], *, says: str, log: Path
) -> Iterator[Service]:
    """Run `command` as long as the block runs; the block begins when it prints its URL where the pattern `says` ends.

    Raises:
        click.ClickException: it ended or said nothing of the kind within a minute.
    """
    where = re.compile(f"{says}http://{re.escape(HOST)}:(\\d+)[/\\s]".encode())
    with log.open("wb") as output, running(command, environ, stdout=output) as process:
        deadline = time.monotonic() + _START_SECONDS
        while not (said := where.search(log.read_bytes())):
            _check(name, process, log)
            if time.monotonic() > deadline:
                raise click.ClickException(f"{name} did not say where it listens within {_START_SECONDS} s")
            pause(_LOOK_EVERY_SECONDS)
        yield Service(name, int(said[1]), process, log)


def _check(name: str, process: subprocess.Popen[bytes], log: Path) -> None:
    if process.poll() is not None:
        said = log.read_text(errors="replace").strip().splitlines()
        last = said[-1] if said else "it said nothing"
        raise click.ClickException(f"{name} ended with status {process.returncode}: {last}")


def _get(port: int, path: str) -> tuple[int, bytes]:
    # Not through urllib: a proxy of the environment must not see what goes to loopback.
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@contextmanager
def running(command: Sequence[str], environ: Mapping[str, str], *, stdout: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` as long as the block runs, with both outputs to `stdout`.

    It has a session of its own, so that Ctrl-C reaches this process alone, which then ends the others in order.
    """
    process = subprocess.Popen(  # noqa: S603 - programs of this environment
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _end(process)


def lines_of(process: subprocess.Popen[bytes], log: Path) -> Iterator[str]:
    """The lines that `process` prints into `log`, as they come, until it ends."""
    with log.open("rb") as printed:
        rest = b""
        while True:
            has_ended = process.poll() is not None
            *lines, rest = (rest + printed.read()).split(b"\n")
            yield from (line.decode(errors="replace").rstrip() for line in lines)
            if has_ended:
                break
            pause(_LOOK_EVERY_SECONDS)
        if rest:
            yield rest.decode(errors="replace").rstrip()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _Signals:
    """Signals that ask this process to end. They are noted when they come, and heeded where the program waits.

    An exception that came at any moment could lose a program that is just being started or ended, or get lost itself.
    """

    def __init__(self) -> None:
        self._noted = False

    def note(self, *_: object) -> None:
        self._noted = True

    def heed(self) -> None:
        """Raise KeyboardInterrupt where one has come since the last time."""
        if self._noted:
            self.forget()
            raise KeyboardInterrupt

    def forget(self) -> None:
        self._noted = False


_signals: Final = _Signals()


def pause(seconds: float) -> None:
    """Wait for a short time.

    Raises:
        KeyboardInterrupt: a signal asks this process to end.
    """
    _signals.heed()
    time.sleep(seconds)
    _signals.heed()


@contextmanager
def signals_end_the_block() -> Iterator[None]:
    """Make Ctrl-C and the signals that ask a process to end raise KeyboardInterrupt, from `pause` or the block's end.

    What this process ignores, because it was started with ``nohup`` or in the background, stays ignored.
    """
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    in_main_thread = threading.current_thread() is threading.main_thread()
    numbers = [getattr(signal, name) for name in names if in_main_thread]
    heeded = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = [(number, signal.signal(number, _signals.note)) for number in heeded]
    try:
        yield
        _signals.heed()
    finally:
        for number, handler in before:
            signal.signal(number, handler)
        _signals.forget()


def program(name: str) -> str:
    """The path of a program that came with this environment's packages.

    Raises:
        click.ClickException: it is not there.
    """
    beside = Path(sys.executable).parent
    found = shutil.which(name, path=os.pathsep.join([str(beside), os.environ.get("PATH", "")]))
    if found is None:
        raise click.ClickException(f"{name} is neither in {beside} nor on PATH: reinstall 'otel-cost[demo]'")
    return found


def check_free(port: int) -> None:
    """Do nothing where nobody listens on the loopback `port`.

    Raises:
        click.ClickException: somebody does, or this user may not.
    """
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise click.ClickException(
            f"port {port} of {HOST} cannot be used ({reason}): choose another with --port, or leave it out"
        ) from None
