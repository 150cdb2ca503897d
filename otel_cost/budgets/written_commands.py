"""``otel-cost budget check`` and ``sign``: what people write themselves, without any service."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import click

from otel_cost import attribution, semconv, settings, signing
from otel_cost.budgets.context import limit_and_window
from otel_cost.budgets.file import BudgetFileError, read

if TYPE_CHECKING:
    from otel_cost.budgets.config import BudgetConfig
    from otel_cost.budgets.rule import Policy

_TIME: Final = re.compile(r"([1-9]\d{0,8})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
def check(file: Path | None) -> None:
    """Say what FILE bounds, or what is wrong with it. Without FILE, the one that OTEL_COST_BUDGETS names."""
    path = file or settings.get(settings.BUDGETS)
    if path is None:
        raise click.UsageError(f"name a file, or set {settings.BUDGETS.name}")
    try:
        rules = read(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path} cannot be read: {error}") from None
    except BudgetFileError as error:
        raise click.ClickException(str(error)) from None
    for budget in rules.budgets:
        click.echo(_line(budget))
    click.echo(f"{path}: {_count(len(rules.budgets), 'budget')}, {_count(len(rules.profiles), 'profile')}, no problem")


def _line(budget: BudgetConfig) -> str:
    limit = budget.limit
    amount = f"{limit.amount} tokens" if limit.in_tokens else f"{limit.text} USD"
    lasts = "" if budget.window == "life" else f" a {budget.window} ({budget.timezone})"
    return f"{budget.dimension} {budget.match}: {amount}{lasts}{_how(budget.policy)}"


def _how(policy: Policy) -> str:
    """What is said of how it is treated: what is not as always."""
    said: list[str] = []
    if policy.on_exceed != "raise":
        said.append(policy.on_exceed)
    if policy.at != "call":
        said.append(f"at the next {policy.at}")
    if policy.sizing != "expected":
        said.append(policy.sizing)
    if policy.warn_at:
        said.append(f"warns at {', '.join(map(str, policy.warn_at))}")
    return "".join(f", {each}" for each in said)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


@click.command()
@click.argument("dimension")
@click.argument("id")
@click.option("--limit", required=True, metavar="LIMIT", help="0.50 (USD) or 20000tok (tokens); 5/day by window.")
@click.option("--for", "lasts", default="1h", show_default=True, metavar="TIME", help="30m, 1h, 7d: how long it holds.")
def sign(dimension: str, id: str, limit: str, lasts: str) -> None:  # noqa: A002 - what it is
    """Print the baggage of a signed budget. The key is that of OTEL_COST_BUDGET_KEY.

    \b
    curl -H "baggage: $(otel-cost budget sign run r1 --limit 0.50)" http://localhost:8000/answer
    """  # noqa: D301 - click reads the \b
    if not signing.keys():
        raise click.UsageError(
            f"{settings.BUDGET_KEY.name} is not set, or too short: make one with openssl rand -hex 32"
        )
    found = _TIME.fullmatch(lasts)
    if found is None:
        raise click.UsageError(f"--for {lasts}: write a number of s, m, h or d, as in 1h")
    try:
        semconv.check_id(semconv.check_dimension(dimension), id)
        if attribution.as_carried(id) != id:
            raise ValueError("baggage carries no id with ; or with space around it")  # noqa: TRY301 - to be said
        asked, window = limit_and_window(limit)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    value = signing.sign(dimension, id, asked.text + window.text, int(found[1]) * _SECONDS[found[2]])
    click.echo(f"{semconv.dimension_key(dimension)}={quote(id)},{semconv.budget_key(dimension)}={value}")
