"""How many tokens one model makes of what is a token for another: from ``tokenizers.toml``, as a range."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_ARITHMETIC: Final = Context(prec=12, rounding=ROUND_HALF_EVEN)


class Ratio(NamedTuple):
    """How many tokens of one model stand for one of another, at least and at most, whatever the text."""

    low: Decimal
    high: Decimal


SAME: Final = Ratio(Decimal(1), Decimal(1))


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """What cuts texts into tokens.

    Attributes:
        name: its name.
        models: patterns of the models that count by it.
        characters: how many characters of a text one token stands for, by what text it is; empty where nobody measured.
    """

    name: str
    models: tuple[str, ...]
    characters: Mapping[str, Decimal]


@lru_cache(maxsize=1)
def tokenizers() -> tuple[Tokenizer, ...]:
    """Those that are known."""
    written = tomllib.loads(Path(__file__).with_name("tokenizers.toml").read_text("utf-8"), parse_float=Decimal)
    facts = written["tokenizer"]
    return tuple(Tokenizer(one["name"], tuple(one["models"]), one.get("characters_per_token", {})) for one in facts)


@lru_cache(maxsize=1024)
def tokenizer_of(model: str) -> Tokenizer | None:
    """The one that `model` counts by; None where nobody says which."""
    name = model.strip().lower()
    return next((one for one in tokenizers() if any(fnmatchcase(name, each) for each in one.models)), None)


@lru_cache(maxsize=1024)
def ratio(own: str, other: str) -> Ratio:
    """How many tokens the model `other` makes of what is one for the model `own`.

    A tokenizer that was not measured may be like any of those that were.
    """
    one, another = tokenizer_of(own), tokenizer_of(other)
    if own == other or (one is not None and one is another):
        return SAME
    owns, others = map(_like, (one, another))
    texts = owns[0].characters
    return Ratio(
        min(_divide(_of(owns, text, min), _of(others, text, max)) for text in texts),
        max(_divide(_of(owns, text, max), _of(others, text, min)) for text in texts),
    )


def _like(tokenizer: Tokenizer | None) -> tuple[Tokenizer, ...]:
    """Those that were measured and that `tokenizer` may be like."""
    if tokenizer is not None and tokenizer.characters:
        return (tokenizer,)
    return tuple(one for one in tokenizers() if one.characters)


def _of(several: Iterable[Tokenizer], text: str, which: Callable[[Iterable[Decimal]], Decimal]) -> Decimal:
    return which(one.characters[text] for one in several)


_divide: Final = _ARITHMETIC.divide
