"""What the budget accounts of this process say, in one place for both units."""

from dataclasses import dataclass
from decimal import Decimal

from otel_cost.budgets.chosen import MEMORY


@dataclass(frozen=True)
class Account:
    spent_usd: Decimal
    held_usd: Decimal
    spent_tokens: int
    held_tokens: int
    under_way: int


def account(dimension: str, id: str) -> Account:  # noqa: A002 - what it is
    """The accounts of one id; zero in a unit that it has no budget in."""
    found = {s.key.unit: s for s in MEMORY.standings() if (s.key.dimension, s.key.id) == (dimension, id)}
    usd, tokens = found.get("USD"), found.get("tokens")
    return Account(
        Decimal(usd.spent) if usd else Decimal(0),
        Decimal(usd.held) if usd else Decimal(0),
        int(tokens.spent) if tokens else 0,
        int(tokens.held) if tokens else 0,
        max(s.under_way for s in found.values()) if found else 0,
    )
