"""The ``dashboard`` command: the explorer as a child process, on loopback."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from otel_cost import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST: Final = "127.0.0.1"
_APP: Final = Path(__file__).with_name("app.py")
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 5.0
_OPTIONS: Final = {
    "server.address": HOST,
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "logger.hideWelcomeMessage": "true",
    "logger.level": "warning",
    # Per theme: one for both would be a theme of its own, and the browser's light or dark would no longer count.
    "theme.light.primaryColor": "#0072B2",
    "theme.dark.primaryColor": "#56B4E9",
    "theme.metricValueFontSize": "1.6rem",
    "theme.paddingTop": "2rem",
    "theme.paddingBottom": "2rem",
}


def _ledger_url(_context: click.Context, _option: click.Parameter, text: str | None) -> str:
    """The ledger's URL from the option, else from the environment."""
    if text is None:
        return str(settings.get(settings.URL))
    try:
        return str(settings.URL.read(text))
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}") from None


@click.command()
@click.option(
    "--url",
    callback=_ledger_url,
    help=f"Where the ledger service is. [default: ${settings.URL.name}, else {settings.URL.shown_default}]",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8501, show_default=True, help="0 takes a free one.")
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the page in a browser.")
def dashboard(url: str, port: int, *, browser: bool) -> None:
    """Open the cost explorer: who spent the money, when, and how much of each budget is used."""
    if importlib.util.find_spec("streamlit") is None:
        raise click.ClickException("the cost explorer needs more packages: pip install 'otel-cost[dashboard]'")
    port = _free_port(port)
    with _explorer(url, port) as child:
        _wait_until_up(child, port)
        page = f"http://{HOST}:{port}"
        click.echo(f"Cost explorer: {page}\nLedger service: {url}\nCtrl-C ends it.")
        if browser:
            webbrowser.open(page)
        status = child.wait()
    raise click.ClickException(f"the cost explorer ended with status {status}")


@contextlib.contextmanager
def _explorer(url: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Streamlit on the page, as long as the block runs. SIGINT and SIGTERM end the block, the child and the command."""
    command = [sys.executable, "-m", "streamlit", "run", str(_APP), f"--server.port={port}"]
    command += [f"--{name}={value}" for name, value in _OPTIONS.items()]
    previous = signal.signal(signal.SIGTERM, _stop)
    # A session of its own: Ctrl-C reaches this process alone, which then ends the child in order.
    child = subprocess.Popen(  # noqa: S603 - our own page, with checked arguments
        command, env={**os.environ, settings.URL.name: url}, start_new_session=True
    )
    try:
        yield child
    except KeyboardInterrupt:
        raise SystemExit(0) from None
    finally:
        _end(child)
        signal.signal(signal.SIGTERM, previous)


def _stop(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _free_port(port: int) -> int:
    """`port` where it is free, a free one where it is 0."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise click.ClickException(
                f"port {port} of {HOST} cannot be used ({error.strerror}): choose another with --port, or --port 0"
            ) from None
        return int(probe.getsockname()[1])


def _wait_until_up(child: subprocess.Popen[bytes], port: int) -> None:
    """Wait until the page can be opened."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise click.ClickException(f"the cost explorer did not start: it ended with status {child.returncode}")
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1.0):
            return
        time.sleep(0.1)
    raise click.ClickException(f"the cost explorer did not answer at port {port} within {_START_SECONDS:g} s")
