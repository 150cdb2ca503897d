"""``otel-cost prices``: look at the prices that hold, and at a price file before it is used."""

from __future__ import annotations

from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from otel_cost import settings
from otel_cost.pricing import catalogue, names, sources, tables
from otel_cost.pricing.meters import METERS, title
from otel_cost.pricing.prices import lines_to_add, plan_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from otel_cost.pricing.plan import Plan


_ALIKE: Final = 0.75
"""How like another a name is that was probably meant to be it; 1 is the same."""


@click.group()
def prices() -> None:
    """What models cost, and your own price file."""


@prices.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check(file: Path) -> None:
    """Say what in a price FILE cannot be read, or looks mistyped. Each with its line."""
    try:
        text = file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{file}: {error}") from None
    table = tables.read(text, str(file), f"file:{file.name}")
    for problem in (*table.problems, *_mistyped(text, file)):
        click.echo(problem, err=True)
    click.echo(f"{table.version}: {len(table.items) + len(table.charges)} can be read, {len(table.problems)} cannot")
    if table.problems:
        raise click.exceptions.Exit(1)


def _mistyped(text: str, file: Path) -> Iterator[str]:
    """Warnings: who may be meant by a provider that nobody knows, and the service tiers that nobody has.

    A provider whose name is like no other is passed over: an endpoint of the user's own is called as the user likes.
    """
    known = {*names.provider_names(), *(provider.id for provider in catalogue.load().providers)}
    for line, provider in tables.texts_at("provider", text):
        plain = names.provider_id(provider)
        if plain not in known and plain != "*" and (near := get_close_matches(plain, known, 1, _ALIKE)):
            yield (
                f"{file}:{line}: warning: no known provider is called {provider!r}: is it {near[0]!r}? Else "
                f"{settings.ENDPOINTS.name} must name it"
            )
    tiers = {"standard"} | {tier for item in sources.facts().items for tier in item.tiers if tier}
    for line, tier in tables.texts_at("service_tier", text):
        if (names.tier_id(tier) or "standard") not in tiers:
            near = get_close_matches(tier.lower(), tiers, 1, _ALIKE)
            meant = f"is it {near[0]!r}?" if near else f"there are {', '.join(sorted(tiers))}"
            yield f"{file}:{line}: warning: no known service tier is called {tier!r}: {meant}"


@prices.command()
@click.argument("provider")
@click.argument("model")
@click.option("--tier", metavar="TIER", help="The service tier: batch, flex, priority.")
@click.option("--term", "terms", metavar="NAME=VALUE", multiple=True, help="Such as inference_geo=us or speed=fast.")
@click.option("--at", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]), help="When, in UTC. Now where not given.")
def show(provider: str, model: str, tier: str | None, terms: tuple[str, ...], at: datetime | None) -> None:
    """Show what a call to MODEL of PROVIDER costs, and who says so."""
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
