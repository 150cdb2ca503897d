"""The ``otel-cost`` command. Each of its commands lives in the room whose work it does and joins by an entry point."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import entry_points, version
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

# Which extra brings a module that a command needs and a base install lacks.
_EXTRAS = {
    "duckdb": "ledger",
    "pyarrow": "ledger",
    "fastapi": "ledger",
    "uvicorn": "ledger",
    "grpc": "ledger",
    "rich": "ledger",
    "altair": "dashboard",
    "httpx2": "dashboard",
    "pandas": "dashboard",
    "streamlit": "dashboard",
    "openai": "demo",
    "anthropic": "demo",
}


class _Commands(click.Group):
    """Commands by entry point, each loaded only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(entry_points(group="otel_cost.commands").names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        found = entry_points(group="otel_cost.commands", name=cmd_name)
        return _load(next(iter(found))) if found else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is asked for; where there is none, the error names those that are written alike."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if not (alike := get_close_matches(args[0], self.list_commands(ctx))):
                raise
            raise click.UsageError(f"{error.message} Did you mean {' or '.join(alike)}?", ctx) from None

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. Some import what they need only then."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            raise _lack(str(ctx.invoked_subcommand), _extra_of(error)) from None


def _load(entry: EntryPoint) -> click.Command:
    try:
        command: click.Command = entry.load()
    except ModuleNotFoundError as error:
        return _missing(entry.name, _extra_of(error))
    return command


def _extra_of(error: ModuleNotFoundError) -> str:
    """The extra that brings the module.

    Raises:
        ModuleNotFoundError: `error`, where none does.
    """
    extra = _EXTRAS.get((error.name or "").partition(".")[0])
    if extra is None:
        raise error
    return extra


def _lack(command: str, extra: str) -> click.ClickException:
    return click.ClickException(f"'otel-cost {command}' needs more packages: pip install 'otel-cost[{extra}]'")


def _missing(name: str, extra: str) -> click.Command:
    """A command that says which extra brings the real one."""
    help_line = f"Needs: pip install 'otel-cost[{extra}]'"

    @click.command(name, help=help_line, context_settings={"ignore_unknown_options": True})
    @click.argument("arguments", nargs=-1)
    def missing(arguments: tuple[str, ...]) -> None:  # noqa: ARG001 - takes whatever the real command takes
        raise _lack(name, extra)

    return missing


@click.group(cls=_Commands)
@click.version_option(version("otel-cost"), prog_name="otel-cost")
def main() -> None:
    """What LLM calls cost, who spent it, and budgets that hold.

    See it work: otel-cost demo. To use it: otel-cost serve, opentelemetry-instrument python app.py, and otel-cost
    summary or dashboard. Without a service: opentelemetry-instrument --traces_exporter otel_cost python app.py, and
    otel-cost report.
    """
