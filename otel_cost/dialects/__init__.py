"""What spans of other instrumentations say of calls, each in its dialect: `table` has what they call their figures.

A span says which model was called and what that used, and nobody agrees on the names, nor on whether input tokens
include those read from a cache. The dialect tells the names. Whether one figure includes another is what the dialect
says unless the figures contradict it, for they must add up: the parts fit into the whole, and the total, where it is
stated, is the sum. Where they do not tell, the cost is an estimate and the reason says why.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import lru_cache
from itertools import chain, product
from typing import TYPE_CHECKING, Any, Final

import msgspec

from otel_cost import semconv
from otel_cost.dialects.table import DIALECTS, GENAI, Dialect
from otel_cost.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_cost.dialects.table import Names

__all__ = ["DIALECTS", "GENAI", "Dialect", "Stated", "dialect_of", "flaw", "is_call", "operation_of", "read"]

_MARKS: Final = {mark: place for place, dialect in enumerate(DIALECTS) for mark in dialect.marks}


class Stated(msgspec.Struct, frozen=True):
    """What a span says of the call that it stands for.

    Attributes:
        usage: what was used; None where no count is stated.
        provider: who served it, None where it is not said; so are the others.
        request_model: the model that was asked for.
        response_model: the model that answered.
        response_id: the provider's id of the response.
        operation: what was asked of the model, as in ``gen_ai.operation.name``.
        service_tier: the tier that it was served at.
        doubt: why `usage` is not certain; None where it is.
    """

    usage: Usage | None
    provider: str | None
    request_model: str | None
    response_model: str | None
    response_id: str | None
    operation: str = "chat"
    service_tier: str | None = None
    doubt: str | None = None


@lru_cache(maxsize=1024)
def _of_scope(scope: str) -> Dialect | None:
    return next((dialect for dialect in DIALECTS if scope.startswith(dialect.scopes)), None)


def dialect_of(attributes: Mapping[str, Any], scope: str = "") -> Dialect:
    """The dialect that a span of the instrumentation scope `scope` speaks."""
    spoken = _of_scope(scope)
    if spoken is not None:
        return spoken
    marks = [_MARKS[name] for name in attributes if name in _MARKS]  # one way through: most spans have none
    return DIALECTS[min(marks)] if marks else GENAI


def is_call(attributes: Mapping[str, Any], scope: str = "", name: str = "") -> bool | None:
    """Whether a span called `name` stands for one call to a model; None where it says nothing of that."""
    dialect = dialect_of(attributes, scope)
    kind = _text(attributes, dialect.kind)
    if kind is None and dialect.operation_named:
        kind = name.partition(" ")[0]
    if kind is not None:
        return kind in dialect.calls
    return any(sign in attributes for sign in dialect.signs) or None


def read(attributes: Mapping[str, Any], scope: str = "") -> Stated:
    """What a span says of the call that it stands for."""
    dialect = dialect_of(attributes, scope)
    usage, doubt = _usage(attributes, dialect)
    provider = _text(attributes, dialect.provider)
    return Stated(
        usage,
        provider.lower().split(dialect.before)[0] if provider else None,
        _text(attributes, dialect.request_model),
        _text(attributes, dialect.response_model),
        _text(attributes, dialect.response_id),
        operation_of(_text(attributes, dialect.kind)),
        _text(attributes, dialect.service_tier),
        doubt,
    )


def flaw(attributes: Mapping[str, Any], scope: str = "") -> str | None:
    """Which figure of a call's span cannot be, so that nothing it says may be counted; None where all of them can."""
    dialect = dialect_of(attributes, scope)
    for name in chain(*dialect.meters.values(), dialect.total):
        found = attributes.get(name)
        if isinstance(found, int | float) and not (math.isfinite(found) and found >= 0):
            return f"{name} is negative or not finite"
    return None


def operation_of(kind: str | None) -> str:
    """What is asked of the model in a call of `kind`, as in ``gen_ai.operation.name``."""
    if kind is None or kind in semconv.INFERENCE_OPERATIONS:
        return kind or "chat"
    if "embed" in kind.lower():
        return "embeddings"
    return "text_completion" if kind.startswith(("completion", "text")) else "chat"


def _text(attributes: Mapping[str, Any], names: Names) -> str | None:
    return next((found for name in names if isinstance(found := attributes.get(name), str) and found), None)


_LONGEST_COUNT: Final = 12


def _count(attributes: Mapping[str, Any], names: Names) -> int | None:
    """A whole number of at least 0; some write doubles, and some write all attributes as text."""
    for name in names:
        found = attributes.get(name)
        if isinstance(found, str) and len(found) <= _LONGEST_COUNT and found.isascii() and found.isdecimal():
            found = int(found)
        if isinstance(found, float) and found.is_integer():
            found = int(found)
        if isinstance(found, int) and not isinstance(found, bool) and found >= 0:
            return found
    return None


def _usage(attributes: Mapping[str, Any], dialect: Dialect) -> tuple[Usage | None, str | None]:
    if dialect.within:
        attributes = {**attributes, **dict(_unfolded(attributes, dialect.within))}
    stated = {
        field: count for field, names in dialect.meters.items() if (count := _count(attributes, names)) is not None
    }
    if "input_tokens" not in stated and "output_tokens" not in stated:
        return None, None
    provider = _text(attributes, dialect.provider) or ""
    if any(part in provider for part in dialect.cache_beside):
        return _read_as(Usage(**stated), cache_inside=False, reasoning_inside=dialect.reasoning_inside), None
    usage, doubt = _added_up(Usage(**stated), _count(attributes, dialect.total), dialect)
    if not dialect.states_cache and doubt is None:
        doubt = f"{dialect.name} says nothing of cached tokens"
    return usage, doubt


def _unfolded(attributes: Mapping[str, Any], within: Names) -> Iterator[tuple[str, Any]]:
    for name in within:
        text = attributes.get(name)
        if isinstance(text, str):
            try:
                yield from _leaves(name, json.loads(text))
            except (ValueError, RecursionError):  # no JSON, or one that nobody means
                continue


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}", inner)
    else:
        yield name, value


_CONTRADICTION: Final = "the token counts contradict each other"


def _added_up(stated: Usage, total: int | None, dialect: Dialect) -> tuple[Usage, str | None]:
    """`stated` with input that includes cached tokens and output that includes reasoning; and a doubt, if any.

    Each way to read the figures is held against them: whether cached tokens are inside the input, and reasoning
    inside the output. The dialect's own way holds where it adds up, another one where it alone does.
    """
    if not (stated.cache_read_tokens or stated.cache_write_tokens or stated.reasoning_tokens):
        return stated, None if _fits(stated, total) else _CONTRADICTION
    possible: dict[Usage, bool] = {}  # each way to read, and whether the dialect means it so
    for cache_inside, reasoning_inside in product((True, False), repeat=2):
        meant = dialect.cache_inside in {None, cache_inside} and dialect.reasoning_inside is reasoning_inside
        usage = _read_as(stated, cache_inside=cache_inside, reasoning_inside=reasoning_inside)
        possible[usage] = possible.get(usage, False) or meant
    fitting = [usage for usage in possible if _fits(usage, total)]
    meant_and_fitting = [usage for usage in fitting if possible[usage]]
    for found in (meant_and_fitting, fitting if total is not None else []):
        if len(found) == 1:
            return found[0], None
    least = min(meant_and_fitting or fitting or possible, key=lambda usage: usage.total_tokens)
    if len(meant_and_fitting) > 1:
        return least, f"{dialect.name}: it cannot be told whether cached tokens are among the input tokens"
    return least, _CONTRADICTION


def _read_as(stated: Usage, *, cache_inside: bool, reasoning_inside: bool) -> Usage:
    beside = 0 if cache_inside else stated.cache_read_tokens + stated.cache_write_tokens
    reasoning = 0 if reasoning_inside else stated.reasoning_tokens
    if not beside and not reasoning:
        return stated
    return replace(stated, input_tokens=stated.input_tokens + beside, output_tokens=stated.output_tokens + reasoning)


def _fits(usage: Usage, total: int | None) -> bool:
    return (
        usage.cache_read_tokens + usage.cache_write_tokens <= usage.input_tokens
        and usage.reasoning_tokens <= usage.output_tokens
        and total in {None, usage.total_tokens}
    )
