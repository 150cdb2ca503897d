"""The ``dashboard`` command: the explorer as a child process, on loopback."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
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
_LOOK_EVERY_SECONDS: Final = 0.1
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
    """Open the cost explorer: who spent what, and when."""
    if importlib.util.find_spec("streamlit") is None:
        raise click.ClickException("the cost explorer needs more packages: pip install 'otel-cost[dashboard]'")
    with _asked_to_end() as asked:
        _explore(url, port, asked, browser=browser)


def _explore(url: str, port: int, asked: list[int], *, browser: bool) -> None:
    """Show the page until somebody has `asked` to end."""
    chosen = _free_port(port)
    with _explorer(url, chosen) as child:
        if is_up := _comes_up(child, chosen, asked):
            page = f"http://{HOST}:{chosen}"
            click.echo(f"Cost explorer: {page}\nLedger service: {url}\nCtrl-C ends it.")
            if browser:  # beside, for some come back only when they are closed
                threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()
        while not asked and child.poll() is None:
            time.sleep(_LOOK_EVERY_SECONDS)
    if asked:
        return
    if is_up:
        raise click.ClickException(f"the cost explorer ended with status {child.returncode}")
    if port == 0 and not _is_free(chosen):  # somebody took it before the explorer could
        _explore(url, port, asked, browser=browser)
        return
    raise click.ClickException(f"the cost explorer did not start: it ended with status {child.returncode}")


@contextlib.contextmanager
def _asked_to_end() -> Iterator[list[int]]:
    """The signals that have asked this process to end, as they come while the block runs.

    They are looked at between one step and the next. An exception that a signal raises amid the waiting for a child can
    get lost there, or leave it locked; and a wait without end would not see a signal that comes just before it.
    """
    asked: list[int] = []

    def note(number: int, _frame: object) -> None:
        asked.append(number)

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    heeded = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = [(number, signal.signal(number, note)) for number in heeded]
    try:
        yield asked
    finally:
        for number, handler in before:
            signal.signal(number, handler)


@contextlib.contextmanager
def _explorer(url: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Streamlit on the page, as long as the block runs."""
    command = [sys.executable, "-m", "streamlit", "run", str(_APP), f"--server.port={port}"]
    command += [f"--{name}={value}" for name, value in _OPTIONS.items()]
    # A session of its own: Ctrl-C reaches this process alone, which then ends the child in order.
    child = subprocess.Popen(  # noqa: S603 - our own page, with checked arguments
        command, env={**os.environ, settings.URL.name: url}, start_new_session=True
    )
    try:
        yield child
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _comes_up(child: subprocess.Popen[bytes], port: int, asked: list[int]) -> bool:
    """Wait until the page can be opened; false where `child` ends before that, or somebody has `asked` to end."""
    deadline = time.monotonic() + _START_SECONDS
    while not asked and child.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1.0):
            return True
        if time.monotonic() >= deadline:
            raise click.ClickException(f"the cost explorer did not answer at port {port} within {_START_SECONDS:g} s")
        time.sleep(_LOOK_EVERY_SECONDS)
    return False


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


def _is_free(port: int) -> bool:
    try:
        return _free_port(port) == port
    except click.ClickException:
        return False
