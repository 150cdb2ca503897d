"""The command ``otel-cost estimate``."""

from __future__ import annotations

import re
from typing import Any, Final

import click

from otel_cost import money
from otel_cost.budgets.estimate import Tokens, estimate


class _Tokens(click.ParamType[Tokens]):
    name = "tokens"

    def convert(self, value: str | Tokens, param: click.Parameter | None, ctx: click.Context | None) -> Tokens:
        if (found := re.fullmatch(r"(\d+)(?:-(\d+))?", str(value))) is None:
            self.fail(f"{value!r} is no number of tokens: write 1500, or 200-800", param, ctx)
        return int(found[1]) if found[2] is None else (int(found[1]), int(found[2]))


_PARAMETERS: Final = "stage|role|since|calls|model|provider|input_tokens|output_tokens"


def _as_options(said: str) -> str:
    """What is said of parameters, as in ``stage='draft'``, said of options, as in ``--stage draft``."""

    def option(found: re.Match[str]) -> str:
        name, value = found.groups()
        return f"--{name.replace('_', '-')}" + (f" {value}" if value else "")

    return re.sub(rf"\b({_PARAMETERS})=(?:'([^']*)')?", option, said)


@click.command("estimate")
@click.option("--stage", help="From the history of this stage.")
@click.option("--role", help="From the history of this role.")
@click.option("--where", multiple=True, metavar="NAME=ID", help="Of this id of another dimension. May be repeated.")
@click.option("--since", help="History from then on: 24h, 30d, 2026-11-22.")
@click.option("--calls", type=int, help="For so many calls; without it, for one run of the stage.")
@click.option("--model", help="At the prices of this model.")
@click.option("--provider", help="Who sells it. Default: its maker.")
@click.option("--input-tokens", type=_Tokens(), help="Of each call: 1500, or 1000-2000.")
@click.option("--output-tokens", type=_Tokens(), help="Likewise.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(stage: str | None, role: str | None, where: tuple[str, ...], *, as_json: bool, **given: Any) -> None:
    """What calls are likely to cost. From sizes, or from the history that the ledger service has."""
    asked: dict[str, Any] = {name: id_ for name, id_ in (("stage", stage), ("role", role)) if id_}
    for text in where:
        name, equals, id_ = text.partition("=")
        if not equals:
            raise click.UsageError(f"--where {text}: write NAME=ID, as in project=atlas")
        asked[name] = id_
    try:
        found = estimate(**given, **asked)
    except ValueError as error:
        raise click.UsageError(_as_options(str(error))) from None
    except LookupError as error:
        raise click.ClickException(_as_options(str(error))) from None
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return
    low, likely, high = (money.text(amount) for amount in (found.low, found.likely, found.high))
    click.echo(f"{likely} {found.currency} are likely, {low} to {high}")
    seen = "given sizes" if found.basis == "sizes" else f"{found.seen} {found.basis.split()[0]} of the ledger"
    counted = f", {found.calls} calls" if found.calls is not None else ""
    prices = f" at the prices of {found.model}" if found.model is not None else ""
    click.echo(f"from {seen}{counted}{prices}")
    for doubt in found.doubts:
        click.echo(f"Not sure: {doubt}")
