"""What calls would have cost with another model: their own tokens at its prices, as a range where it counts otherwise.

Nobody knows what another model would have answered. So it is taken to answer as much, to think as much and to cache as
much; what that leaves open is said.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any, Final

from otel_cost import money, pricing
from otel_cost.pricing import catalogue, names
from otel_cost.pricing import terms as price_terms
from otel_cost.pricing.meters import METERS
from otel_cost.usage import Usage
from otel_cost.usage.location import terms_at
from otel_cost_exporter.answers.tokenizers import SAME, ratio, tokenizer_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from otel_cost.pricing import Cost
    from otel_cost_exporter.answers.tokenizers import Ratio

_MEDIA: Final = {
    "input_tokens": ("input_audio_tokens", "input_image_tokens", "input_video_tokens"),
    "cache_read_tokens": ("cache_read_audio_tokens", "cache_read_image_tokens"),
    "output_tokens": ("output_audio_tokens", "output_image_tokens"),
}
"""What of a meter is no text."""
_TEXTS: Final = (
    *_MEDIA,
    "cache_write_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
)
_WHOLES: Final = ("input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class Alike:
    """Calls that used the same, at the same model and terms in the same hour.

    Attributes:
        calls: how many.
        provider: who sold them.
        model: which model answered, or was asked.
        tier: the service tier.
        terms: what else the price depended on: where the host is that was called, and what the call states.
        hour: when, UTC without a zone.
        usage: what each of them used; None where they do not state it.
    """

    calls: int
    provider: str | None
    model: str | None
    tier: str | None
    terms: Mapping[str, str]
    hour: datetime
    usage: Usage | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Alike:
        """Those of a row of ``alike.sql``."""
        stated = {name: row[name] for name in METERS if row[name] is not None}
        usage = Usage(**stated) if stated.keys() & {*_WHOLES, "audio_seconds", "rerank_searches"} else None
        provider, terms = names.provider_id(row["provider"] or ""), {**terms_at(row["server"] or "", "/")}
        terms |= price_terms.of_text(row["price_terms"] or "")
        return cls(row["calls"], provider, row["model"], row["service_tier"], terms, row["hour"], usage)

    def terms_of(self, provider: str) -> Mapping[str, str]:
        """What their price would have depended on at `provider`: nobody knows where another would have served them."""
        return self.terms if provider == self.provider else {}


@dataclass(slots=True)
class _Sum:
    low: Decimal = Decimal(0)
    high: Decimal = Decimal(0)
    priced: int = 0
    unknown: int = 0
    versions: set[str] = field(default_factory=set)
    doubts: Counter[str] = field(default_factory=Counter)


def with_model(calls: Iterable[Alike], name: str) -> dict[str, Any]:
    """What `calls` would have cost with the model `name`, which may be written behind its seller: ``groq/llama-3``."""
    provider, model = _seller(name)
    found = _Sum()
    for alike in calls:
        if alike.usage is None:
            found.unknown += alike.calls
            found.doubts["no tokens are stated"] += alike.calls
        elif provider is None:
            found.unknown += alike.calls
        else:
            _add(found, alike, alike.usage, provider, model)
    if provider is None:
        found.doubts[f"nobody knows who sells {model!r}: write it behind its seller, as in openrouter/{model}"] = 0
    counts_by = tokenizer_of(model)
    if found.low != found.high and not (counts_by and counts_by.characters):
        found.doubts[f"how {model} counts tokens was not measured: the range is that of all tokenizers that were"] = 0
    return {
        "model": model,
        "provider": provider,
        "low_usd": money.usd(found.low) if found.priced or not found.unknown else None,
        "high_usd": money.usd(found.high) if found.priced or not found.unknown else None,
        "priced_calls": found.priced,
        "unknown_calls": found.unknown,
        "tokenizer": None if counts_by is None else counts_by.name,
        "price_versions": sorted(found.versions),
        "doubts": [_said(doubt, calls) for doubt, calls in found.doubts.items()],
    }


def _seller(name: str) -> tuple[str | None, str]:
    """The provider and the model that `name` means."""
    first, slash, rest = name.partition("/")
    if slash and names.provider_id(first) in {provider.id for provider in catalogue.load().providers}:
        return names.provider_id(first), rest
    return pricing.maker_of(name), name


def _add(found: _Sum, alike: Alike, usage: Usage, provider: str, model: str) -> None:
    at, terms = alike.hour.replace(tzinfo=UTC), alike.terms_of(provider)
    low, high = (
        pricing.price(provider=provider, model=model, usage=each, service_tier=alike.tier, at=at, terms=terms)
        for each in _scaled(usage, ratio(alike.model or "", model))
    )
    if low.amount is None or high.amount is None:
        found.unknown += alike.calls
        found.doubts[str(low.reason)] += alike.calls
        return
    found.priced += alike.calls
    found.low += low.amount * alike.calls
    found.high += high.amount * alike.calls
    for doubt in _doubts(alike, usage, provider, model, low):
        found.doubts[doubt] += alike.calls
    if low.price_version is not None:
        found.versions.add(low.price_version)


def _doubts(alike: Alike, usage: Usage, provider: str, model: str, cost: Cost) -> Iterable[str]:
    if cost.reason is not None:
        yield cost.reason
    if alike.model is not None and model in {alike.model, names.without_date(alike.model)}:
        return
    if alike.terms and provider != alike.provider:
        yield f"were at terms ({price_terms.text_of(alike.terms)}) that nobody knows of {provider}"
    if usage.reasoning_tokens:
        yield "reasoned, and another model may do so more or less"
    if any(getattr(usage, part) for parts in _MEDIA.values() for part in parts):
        yield "had pictures or sound, counted as the model did that was asked"


def _said(doubt: str, calls: int) -> str:
    if not calls:
        return doubt
    return f"{'1 call' if calls == 1 else f'{calls:,} calls'}: {doubt}"


def _scaled(usage: Usage, factor: Ratio) -> tuple[Usage, Usage]:
    """`usage` as another tokenizer counts it, at least and at most; media and searches stay as they are."""
    if factor == SAME:
        return usage, usage
    low, high = ({name: getattr(usage, name) for name in METERS} for _ in range(2))
    for name in _TEXTS:
        whole = getattr(usage, name)
        media = min(whole, sum(getattr(usage, part) for part in _MEDIA.get(name, ())))
        low[name] = media + _times(whole - media, factor.low, ROUND_FLOOR)
        high[name] = media + _times(whole - media, factor.high, ROUND_CEILING if name in _WHOLES else ROUND_FLOOR)
    return Usage(**low), Usage(**high)


def _times(tokens: int, factor: Decimal, rounding: str) -> int:
    return int((tokens * factor).to_integral_value(rounding))
