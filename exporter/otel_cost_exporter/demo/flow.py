"""What the demo does, step by step."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import webbrowser
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from otel_cost import settings
from otel_cost_exporter.demo import stand_in
from otel_cost_exporter.demo.processes import (
    HOST,
    check_free,
    lines_of,
    pause,
    program,
    running,
    serving,
    signals_end_the_block,
)
from otel_cost_exporter.demo.tell import BY, Teller

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_cost_exporter.demo.processes import Service

AGENT: Final = Path(__file__).with_name("agent.py")
KEYS: Final = {"OPENAI_API_KEY": "OpenAI", "ANTHROPIC_API_KEY": "Anthropic"}
_INTERRUPTED: Final = 130
_LOOK_EVERY_SECONDS: Final = 0.3


def run(*, once: bool, live: bool, port: int) -> None:
    """Run the demo to its end: `once` what was spent is printed, or else until the explorer is no longer wanted.

    Args:
        once: leave nothing behind and open no explorer.
        live: call the real vendors.
        port: the explorer's, 0 for a free one.

    Raises:
        click.ClickException: the port is taken, or a part of the demo did not start, or failed.
        SystemExit: it was interrupted before it was done.
    """
    if port:
        check_free(port)
    teller, stays = Teller(), not once
    folder = Path(tempfile.mkdtemp(prefix="otel-cost-demo-"))
    try:
        with signals_end_the_block(), ExitStack() as parts:
            _Demo(teller, folder, parts).run(once=once, live=live, port=port)
    except KeyboardInterrupt:
        stays = False  # half a demo is nothing to look at
        teller.say("Stopped, and nothing is left behind.")
        raise SystemExit(_INTERRUPTED) from None
    finally:
        if not stays:
            shutil.rmtree(folder, ignore_errors=True)


class _Demo:
    """One run of the demo. What it starts ends with `parts`."""

    def __init__(self, teller: Teller, folder: Path, parts: ExitStack) -> None:
        self._teller, self._folder, self._parts = teller, folder, parts
        self._say = teller.say
        self._ledger_file = folder / "ledger.duckdb"
        # Nothing of the demo may reach the books that the user keeps, or come from there.
        own = {settings.LEDGER.name: str(self._ledger_file), settings.SPOOL.name: str(folder / "spool")}
        tokens = (settings.TOKEN, settings.WRITE_TOKEN, settings.READ_TOKEN, settings.BUDGET_TOKEN)
        self._environ = {**os.environ, **own, **{variable.name: "" for variable in tokens}}

    def run(self, *, once: bool, live: bool, port: int) -> None:
        environ = self._live() if live else self._stand_in()
        ledger = self._start_ledger()
        self._run_agent(ledger, environ)
        by = "&".join(f"by={key}" for key in BY)
        summary = ledger.get(f"/v1/summary?{by}")
        if not summary["rows"]:
            raise click.ClickException(f"the agent ran, but no call of it reached the ledger at {ledger.url}")
        self._say()
        self._teller.spent(summary, ledger.get("/v1/budgets"))
        if not once:
            self._explore(ledger, port)

    def _stand_in(self) -> dict[str, str]:
        """Start the stand-in provider; the environment in which the agent talks to it, and no real key is near."""
        provider = self._parts.enter_context(stand_in.running())
        self._say(f"Stand-in LLM provider on {provider.url}: no vendor is called and nothing is charged.")
        vendors = ("OPENAI_", "ANTHROPIC_")
        kept = {name: value for name, value in self._environ.items() if not name.startswith(vendors)}
        return {**kept, **provider.environ}

    def _live(self) -> dict[str, str]:
        """The environment in which the agent talks to real vendors."""
        missing = [key for key in KEYS if not self._environ.get(key)]
        if len(missing) == len(KEYS):
            raise click.ClickException(f"--live needs {' or '.join(KEYS)}: set one of them, or leave --live out")
        vendors = " and ".join(vendor for key, vendor in KEYS.items() if key not in missing)
        self._say(f"LIVE: the agent calls {vendors} with your key. This spends real money, some US cents.", "bold red")
        for key in missing:
            self._say(f"{key} is not set: what needs {KEYS[key]} is left out.", "yellow")
        return self._environ

    def _start_ledger(self) -> Service:
        command = [program("otel-cost"), "serve", "--ledger", str(self._ledger_file)]
        command += ["--grpc", f"{HOST}:0", "--http", f"{HOST}:0"]
        log = self._folder / "serve.log"
        with self._teller.step("Starting the ledger service"):
            return self._parts.enter_context(
                serving("the ledger service", command, self._environ, says="Questions +", log=log)
            )

    def _run_agent(self, ledger: Service, environ: Mapping[str, str]) -> None:
        command = [program("opentelemetry-instrument"), sys.executable, str(AGENT)]
        log = self._folder / "agent.log"
        with (
            self._teller.step("Running the agent: opentelemetry-instrument python agent.py"),
            log.open("wb") as output,
            running(command, _instrumented(environ, ledger), stdout=output) as process,
        ):
            last = ""
            for last in lines_of(process, log):
                self._say(f"  {last}")
            if status := process.returncode:
                raise click.ClickException(f"the agent ended with status {status}: {last}")

    def _explore(self, ledger: Service, port: int) -> None:
        command = [program("otel-cost"), "dashboard", "--url", ledger.url, "--port", str(port), "--no-browser"]
        log = self._folder / "dashboard.log"
        with self._teller.step("Starting the cost explorer"):
            explorer = self._parts.enter_context(
                serving("the cost explorer", command, self._environ, says="Cost explorer: ", log=log)
            )
        try:
            self._say(f"Cost explorer: {explorer.url}", "bold")
            self._say(f"Ledger service: {ledger.url}, its books: {self._ledger_file}")
            self._say("Ctrl-C ends it.")
            if _has_browser():  # beside, for some come back only when they are closed
                threading.Thread(target=webbrowser.open, args=(explorer.url,), daemon=True).start()
            while True:
                ledger.check()
                explorer.check()
                pause(_LOOK_EVERY_SECONDS)
        except KeyboardInterrupt:
            self._say(f"Stopped. The books stay: otel-cost serve --ledger {self._ledger_file}")


def _instrumented(environ: Mapping[str, str], ledger: Service) -> dict[str, str]:
    """`environ` with OpenTelemetry set to send traces to `ledger`, whatever it was set to."""
    kept = {
        name: value for name, value in environ.items() if not name.startswith("OTEL_") or name.startswith("OTEL_COST_")
    }
    hosts = [environ.get("NO_PROXY") or environ.get("no_proxy"), HOST, "localhost"]
    no_proxy = ",".join(host for host in hosts if host)
    return {
        **kept,
        "OTEL_SERVICE_NAME": "demo-agent",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=demo",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_ENDPOINT": ledger.url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",  # the agent's own folder holds modules of the demo
    }


def _has_browser() -> bool:
    """Whether a browser would open a window, and not take over the terminal or fail."""
    if sys.platform in {"darwin", "win32"}:
        return True
    return any(os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"))
