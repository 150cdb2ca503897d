"""``otel-cost prices``: look at the prices that hold, and at a price file before it is used."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from otel_cost.pricing import tables
from otel_cost.pricing.meters import METERS, title
from otel_cost.pricing.prices import lines_to_add, plan_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from otel_cost.pricing.plan import Plan


@click.group()
def prices() -> None:
    """What models cost, and your own price file."""


@prices.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check(file: Path) -> None:
    """Say what in a price FILE cannot be read, with its line."""
    try:
        table = tables.read(file.read_text("utf-8"), str(file), f"file:{file.name}")
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{file}: {error}") from None
    for problem in table.problems:
        click.echo(problem, err=True)
    click.echo(f"{table.version}: {len(table.items)} can be read, {len(table.problems)} cannot")
    if table.problems:
        raise click.exceptions.Exit(1)


@prices.command()
@click.argument("provider")
@click.argument("model")
@click.option("--tier", metavar="TIER", help="The service tier: batch, flex, priority.")
@click.option("--term", "terms", metavar="NAME=VALUE", multiple=True, help="Such as inference_geo=us or speed=fast.")
@click.option("--at", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]), help="When, in UTC. Now where not given.")
def show(provider: str, model: str, tier: str | None, terms: tuple[str, ...], at: datetime | None) -> None:
    """Show what a call to MODEL of PROVIDER costs, and from where that is known."""
    if bad := next((term for term in terms if "=" not in term), None):
        raise click.UsageError(f"--term {bad}: write NAME=VALUE, as in --term speed=fast")
    moment = at.replace(tzinfo=UTC) if at else datetime.now(UTC)
    plan = plan_for(provider, model, tier, moment, dict(term.split("=", 1) for term in terms))
    if plan is None:
        lines = lines_to_add(provider, model)
        raise click.ClickException(f"no price for {model!r} of {provider!r}. To give it one:\n{lines}")
    for line in _lines(plan):
        click.echo(line)


def _lines(plan: Plan) -> Iterator[str]:
    yield plan.version
    if plan.per_request:
        yield f"  {'request':26} {plan.per_request.normalize():f} USD"
    for charge in plan.charges:
        if not charge.guessed:
            yield f"  {title(charge.meter):26} {_usd(charge.meter, charge.price)}"
        for start, price in charge.steps if not charge.guessed else ():
            yield f"    above {start:,} input tokens  {_usd(charge.meter, price)}"
    for doubt in plan.doubts:
        yield f"  no price for {doubt}: the rest is a guess"


def _usd(meter: str, price: Decimal) -> str:
    millions = METERS[meter].counts_tokens
    amount = (price * 1_000_000 if millions else price).normalize()
    return f"{amount:f} USD{' per million' if millions else ' each'}"
