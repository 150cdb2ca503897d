"""What is known of models where a request does not say it: ``bounds.toml``, read when it is first needed."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from otel_cost import pricing
from otel_cost.pricing import names


class Most(NamedTuple):
    """The most of a model; None where nobody says.

    Attributes:
        output: tokens that it answers with, reasoning included.
        window: tokens that it takes in.
        image: tokens that one picture counts as.
        prompt: tokens of a prompt that its maker puts before every request.
    """

    output: int | None
    window: int | None
    image: int | None
    prompt: int


@lru_cache(maxsize=1)
def table() -> dict[str, Any]:
    """The facts as they are written."""
    return tomllib.loads(Path(__file__).with_name("bounds.toml").read_text("utf-8"))


@lru_cache(maxsize=1024)
def most_of(provider: str, model: str) -> Most:
    """The most of `model`. What answers with no more than fits into its window is bounded by that."""
    spelled = tuple(name for _, name in names.spellings(names.provider_id(provider), model))
    found: dict[str, Any] = next((fact for fact in table()["model"] if _is_named(spelled, fact)), {})
    window = found.get("window") or _listed_window(provider, model)
    image, prompt = (_tokens(table()[kind], spelled) for kind in ("image", "prompt"))
    return Most(found.get("output", window), window, image, prompt or 0)


def _tokens(facts: list[dict[str, Any]], spelled: tuple[str, ...]) -> int | None:
    """What the first of `facts` says that fits the model."""
    return next((fact["tokens"] for fact in facts if _fits(spelled, fact["model"])), None)


def _listed_window(provider: str, model: str) -> int | None:
    """The window that the price table has, which is rounded there: 1,000,000 may stand for 1,048,576."""
    window = pricing.context_window(provider, model)
    return None if window is None else window + window // 20


@lru_cache(maxsize=1024)
def searches_by_itself(provider: str, model: str) -> bool:
    """Whether a search of the web comes with every answer of `model`."""
    searching = table()["searching"]
    return provider in searching["provider"] or _fits((model.lower(),), searching["model"])


def routes(provider: str) -> bool:
    """Whether `provider` has others serve a model, each at a price of its own."""
    return provider in table()["routing"]["provider"]


def _is_named(spelled: tuple[str, ...], fact: dict[str, Any]) -> bool:
    return any(_means(model, name) for model in spelled for name in _texts(fact["name"]))


def _means(model: str, name: str) -> bool:
    """Whether `model` is `name`, but for who sells it and which version of it."""
    before, found, after = model.partition(name)
    return bool(found) and names.is_speaker(before) and names.is_version(after)


def _fits(spelled: tuple[str, ...], patterns: str | list[str]) -> bool:
    return any(fnmatchcase(model, pattern) for model in spelled for pattern in _texts(patterns))


def _texts(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
