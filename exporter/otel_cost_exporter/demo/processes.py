"""The programs that the demo starts, and the promise that none of them outlives it."""

from __future__ import annotations

import http.client
import json
import os
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
        if self.process.poll() is not None:
            said = self.log.read_text(errors="replace").strip().splitlines()
            last = said[-1] if said else "it said nothing"
            raise click.ClickException(f"{self.name} ended with status {self.process.returncode}: {last}")


@contextmanager
def serving(
    name: str, command: Sequence[str], environ: Mapping[str, str], *, port: int, health: str, log: Path
) -> Iterator[Service]:
    """Run `command` as long as the block runs; the block begins when its path `health` answers 200.

    Raises:
        click.ClickException: it ended or gave no answer within a minute.
    """
    with log.open("wb") as output, running(command, environ, stdout=output) as process:
        service = Service(name, port, process, log)
        deadline = time.monotonic() + _START_SECONDS
        while not _healthy(service, health):
            service.check()
            if time.monotonic() > deadline:
                raise click.ClickException(f"{name} gave no answer at {service.url} within {_START_SECONDS} s")
            time.sleep(0.05)
        yield service


def _healthy(service: Service, health: str) -> bool:
    try:
        return _get(service.port, health)[0] == http.client.OK
    except (OSError, http.client.HTTPException):
        return False


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
    process = None
    try:
        with _signals.held():
            process = subprocess.Popen(  # noqa: S603 - programs of this environment
                command,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        yield process
    finally:
        if process is not None:
            with _signals.held():
                _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _Signals:
    """Signals that ask this process to end: each raises KeyboardInterrupt, but only once nothing holds them."""

    def __init__(self) -> None:
        self._holds, self._waiting = 0, False

    def arrive(self, *_: object) -> None:
        if not self._holds:
            raise KeyboardInterrupt
        self._waiting = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let them wait for the end of the block: a program that is just being started would be lost, and run on."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
        if self._waiting and not self._holds:
            self._waiting = False
            raise KeyboardInterrupt


_signals: Final = _Signals()


@contextmanager
def signals_end_the_block() -> Iterator[None]:
    """Make Ctrl-C and the signals that ask a process to end raise KeyboardInterrupt, so that blocks clean up."""
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = {name: signal.signal(getattr(signal, name), _signals.arrive) for name in names if in_main_thread}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


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


def free_ports(count: int) -> list[int]:
    """As many different loopback ports that nobody listens on."""
    probes = [socket.create_server((HOST, 0)) for _ in range(count)]
    try:
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


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
