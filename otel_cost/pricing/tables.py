"""Prices that are written down in TOML: the table that ships beside the published prices, and the user's own file.

Each item is a ``[[price]]``: whose prices, of which models, when, for what calls, and then the prices; or a
``[[charge]]``: the price of a unit of what is no call to a model. An item that cannot be read is said with its line and
passed over; the others hold.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
import tomllib
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from otel_cost.pricing import names
from otel_cost.pricing.plan import ARITHMETIC
from otel_cost.pricing.units import UnitPrice
from otel_cost.toml_file import header, line_of, placed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# How an item spells a price: the meter, and units that the price is for.
_PRICES: Final[dict[str, tuple[str, int]]] = {
    "input": ("input_tokens", 1_000_000),
    "cache_read": ("cache_read_tokens", 1_000_000),
    "cache_write": ("cache_write_tokens", 1_000_000),
    "cache_write_5m": ("cache_write_5m_tokens", 1_000_000),
    "cache_write_1h": ("cache_write_1h_tokens", 1_000_000),
    "input_audio": ("input_audio_tokens", 1_000_000),
    "cache_read_audio": ("cache_read_audio_tokens", 1_000_000),
    "input_image": ("input_image_tokens", 1_000_000),
    "cache_read_image": ("cache_read_image_tokens", 1_000_000),
    "input_video": ("input_video_tokens", 1_000_000),
    "output": ("output_tokens", 1_000_000),
    "reasoning": ("reasoning_tokens", 1_000_000),
    "output_audio": ("output_audio_tokens", 1_000_000),
    "output_image": ("output_image_tokens", 1_000_000),
    "web_search": ("web_searches", 1),
    "file_search": ("file_searches", 1),
    "rerank_search": ("rerank_searches", 1),
    "audio_second": ("audio_seconds", 1),
    "audio_minute": ("audio_seconds", 60),
    "audio_hour": ("audio_seconds", 3_600),
}
_HEADER: Final = header("(?:price|charge)")
_NOTES: Final = ("source", "checked", "note")
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PERCENT: Final = re.compile(r"(\d{1,3}(?:\.\d+)?) ?%")


@dataclass(frozen=True, slots=True)
class Asked:
    """The call whose prices are asked for.

    Attributes:
        spellings: every (provider, model) that may name the model.
        tier: its service tier; None for the standard one.
        terms: what else its price depends on.
        moment: when it took place, in UTC.
    """

    spellings: tuple[tuple[str, str], ...]
    tier: str | None
    terms: Mapping[str, str]
    moment: datetime


@dataclass(frozen=True, slots=True)
class Item:
    """One ``[[price]]``.

    Attributes:
        providers: whose prices, by their names in the price table; empty for any.
        models: patterns for the model's name.
        tiers: the service tiers that it is for; empty where it does not say.
        terms: what else the call must state, by patterns of which one must match.
        start: the first moment at which it holds.
        end: the first moment at which it no longer does.
        days: days of the week, 0 for Monday; empty for all.
        hours: from and until which time of day, in UTC.
        above: the input tokens above which its prices hold.
        prices: US dollars a unit, by meter.
        per_request: US dollars a request.
        least_seconds: the shortest sound that is charged.
        token_factor: what every price of a token is multiplied by, the ones of its own table too.
        discount: what every price so far is multiplied by.
    """

    providers: frozenset[str]
    models: tuple[str, ...]
    tiers: frozenset[str | None] = frozenset()
    terms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    start: datetime | None = None
    end: datetime | None = None
    days: frozenset[int] = frozenset()
    hours: tuple[time, time] | None = None
    above: int = 0
    prices: Mapping[str, Decimal] = field(default_factory=dict)
    per_request: Decimal | None = None
    least_seconds: int | None = None
    token_factor: Decimal | None = None
    discount: Decimal | None = None

    @property
    def special(self) -> bool:
        """Whether it is for calls of some kind alone."""
        return bool(self.tiers or self.terms)

    @property
    def confirms(self) -> bool:
        """Whether all it says is that the standard prices hold for the calls that it is for."""
        others = (self.per_request, self.discount, self.least_seconds)
        return self.token_factor == 1 and not self.prices and all(other is None for other in others)

    def holds(self, asked: Asked) -> bool:
        """Whether it says anything about this call."""
        if not self.is_of(asked) or (self.tiers and asked.tier not in self.tiers):
            return False
        return self._meets(asked.terms) and self._is_on(asked.moment)

    @property
    def is_hourly(self) -> bool:
        """Whether it begins or ends within a day."""
        return self.hours is not None or any(edge and edge.time() != time() for edge in (self.start, self.end))

    def is_of(self, asked: Asked) -> bool:
        """Whether it is about the model, whenever and however that was called."""
        return any(self._names(*spelling) for spelling in asked.spellings)

    def _names(self, provider: str, model: str) -> bool:
        return (not self.providers or provider in self.providers) and any(
            fnmatch.fnmatchcase(model, pattern) for pattern in self.models
        )

    def _meets(self, terms: Mapping[str, str]) -> bool:
        return all(
            key in terms and any(fnmatch.fnmatchcase(terms[key], pattern) for pattern in patterns)
            for key, patterns in self.terms.items()
        )

    def _is_on(self, moment: datetime) -> bool:
        if (self.start and moment < self.start) or (self.end and moment >= self.end):
            return False
        if self.days and moment.weekday() not in self.days:
            return False
        if self.hours is None:
            return True
        start, end = self.hours
        now = moment.time()
        return start <= now < end if start <= end else now >= start or now < end


@dataclass(frozen=True, slots=True)
class Table:
    """Prices that are written down: in which version, and what could not be read, with its line.

    Those that are ours only mend what is published; a user states all that a model costs.
    """

    version: str
    items: tuple[Item, ...]
    problems: tuple[str, ...] = ()
    charges: tuple[UnitPrice, ...] = ()
    is_ours: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing."""
        return not (self.items or self.charges)

    def about(self, asked: Asked) -> tuple[Item, ...]:
        """The items that hold for a call, in their order."""
        return tuple(item for item in self.items if item.holds(asked))

    def is_hourly(self, asked: Asked) -> bool:
        """Whether what it says of a model changes within a day."""
        return any(item.is_hourly for item in self.items if item.is_of(asked))


def read(text: str, name: str, version: str) -> Table:
    """The table that `text` writes down, each problem with `name` and the line that it is on.

    Its version is `version` and a digest of the text.
    """
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
    items: list[Item] = []
    charges: list[UnitPrice] = []
    problems: list[str] = []
    for first, block in _blocks(text):
        try:
            found = tomllib.loads(block, parse_float=Decimal)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            problems.append(placed(name, first, str(error)))
            continue
        except (ValueError, ArithmeticError):
            problems.append(f"{name}:{first}: a number in it has too many digits")
            continue
        written, charged = found.pop("price", []), found.pop("charge", [])
        if found or not isinstance(written, list) or not isinstance(charged, list):
            problems.append(f"{name}:{first}: write [[price]] above the keys of each price")
        try:
            items += [_item(item) for item in (written if isinstance(written, list) else ())]
            charges += [_unit_price(item) for item in (charged if isinstance(charged, list) else ())]
        except _UnreadableError as error:
            problems.append(f"{name}:{line_of(block, first, error.key)}: {error}")
    return Table(f"{version}@{digest}", tuple(items), tuple(problems), tuple(charges))


def texts_at(key: str, text: str) -> Iterator[tuple[int, str]]:
    """What the items of the table that `text` writes down say at `key`, each text with the line of its item's key."""
    for first, block in _blocks(text):
        with suppress(tomllib.TOMLDecodeError, TypeError, AttributeError, ValueError):  # which `read` says
            for item in tomllib.loads(block).get("price", ()):
                for each in _texts(item.get(key, [])):
                    yield line_of(block, first, key), each


def read_shipped(text: str) -> Table:
    """The table that ships with us; its version is the day of its last change."""
    written = tomllib.loads(text, parse_float=Decimal)
    items = tuple(_item(item) for item in written.get("price", ()))
    return Table(f"otel-cost/{written['version']}", items, is_ours=True)


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    """The items one by one, so that one that cannot be read takes no other with it; each with its first line."""
    starts = [0, *(match.start() for match in _HEADER.finditer(text)), len(text)]
    for start, end in pairwise(starts):
        if text[start:end].strip():
            yield text.count("\n", 0, start) + 1, text[start:end]


class _UnreadableError(ValueError):
    """What is wrong with an item, and at which of its keys."""

    def __init__(self, key: str | None, reason: str) -> None:
        self.key = key
        super().__init__(f"{key}: {reason}" if key else reason)


def _item(written: Any) -> Item:
    """An item as it is written.

    Raises:
        _UnreadableError: it cannot be read.
    """
    if not isinstance(written, dict):
        raise _UnreadableError(None, "write [[price]] above the keys of each price")
    known = (*_KEYS, *_PRICES, *_NOTES)
    if unknown := next((key for key in written if key not in known), None):
        raise _UnreadableError(unknown, f"no such key; there are {', '.join(known)}")
    read_out: dict[str, Any] = {}
    for key, value in written.items():
        if key in _KEYS:
            attribute, reads = _KEYS[key]
            read_out[attribute] = _attempt(key, reads, value)
    prices = {
        _PRICES[key][0]: ARITHMETIC.divide(_attempt(key, _usd, value), _PRICES[key][1])
        for key, value in written.items()
        if key in _PRICES
    }
    for missing in ("provider", "model"):
        if missing not in written:
            raise _UnreadableError(None, f"{missing} is missing")
    item = Item(prices=prices, **read_out)
    if item.start and item.end and item.start >= item.end:
        raise _UnreadableError("until", "it must be later than from")
    changes = (item.per_request, item.token_factor, item.discount, item.least_seconds)
    if not prices and all(change is None for change in changes):
        raise _UnreadableError(None, "it states neither a price nor a discount")
    return item


def _unit_price(written: Any) -> UnitPrice:
    """A ``[[charge]]`` as it is written.

    Raises:
        _UnreadableError: it cannot be read.
    """
    if not isinstance(written, dict):
        raise _UnreadableError(None, "write [[charge]] above the keys of each charge")
    if unknown := next((key for key in written if key not in (*_UNIT_KEYS, *_NOTES)), None):
        raise _UnreadableError(unknown, f"no such key; there are {', '.join([*_UNIT_KEYS, *_NOTES])}")
    for missing in ("name", "usd_per_unit"):
        if missing not in written:
            raise _UnreadableError(None, f"{missing} is missing")
    read_out = {
        _UNIT_KEYS[key][0]: _attempt(key, _UNIT_KEYS[key][1], written[key]) for key in written if key in _UNIT_KEYS
    }
    found = UnitPrice(**read_out)
    if found.start and found.end and found.start >= found.end:
        raise _UnreadableError("until", "it must be later than from")
    return found


def _attempt(key: str, reads: Callable[[Any], Any], value: Any) -> Any:
    try:
        return reads(value)
    except ValueError as error:
        raise _UnreadableError(key, str(error)) from None


def _usd(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not Decimal(value).is_finite() or value < 0:
        raise ValueError("it must be an amount in US dollars, as in 2.50")
    return Decimal(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("it must be a count, as in 200_000")
    return value


def _texts(value: Any) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError("it must be a text, or a list of them")
    return [text.strip() for text in texts]


def _providers(value: Any) -> frozenset[str]:
    texts = _texts(value)
    return frozenset() if "*" in texts else frozenset(names.provider_id(text) for text in texts)


def _models(value: Any) -> tuple[str, ...]:
    return tuple(text.lower() for text in _texts(value))


def _tiers(value: Any) -> frozenset[str | None]:
    return frozenset(names.tier_id(text) for text in _texts(value))


def _terms(value: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict) or not value:
        raise ValueError('it must be a table of texts, as in { location = "europe-*" }')
    return {name: tuple(_texts(patterns)) for name, patterns in value.items()}


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise ValueError("it must be a date or a time in UTC, as in 2026-01-31, without quotes")


def _days(value: Any) -> frozenset[int]:
    texts = [text.lower()[:3] for text in _texts(value)]
    if not set(texts) <= set(_DAYS):
        raise ValueError('it must be days of the week, as in ["sat", "sun"]')
    return frozenset(_DAYS.index(text) for text in texts)


def _hours(value: Any) -> tuple[time, time]:
    try:
        start, end = (time.fromisoformat(part.strip()) for part in value.split("-"))
    except (AttributeError, ValueError):
        raise ValueError('it must be a time of day in UTC, as in "16:30-00:30"') from None
    return start, end


def _discount(value: Any) -> Decimal:
    matched = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if matched is None or Decimal(matched[1]) > 100:  # noqa: PLR2004 - per cent
        raise ValueError('it must be a share of the price, as in "15%"')
    return 1 - Decimal(matched[1]) / 100


_KEYS: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "provider": ("providers", _providers),
    "model": ("models", _models),
    "service_tier": ("tiers", _tiers),
    "when": ("terms", _terms),
    "from": ("start", _moment),
    "until": ("end", _moment),
    "days": ("days", _days),
    "hours": ("hours", _hours),
    "above": ("above", _count),
    "request": ("per_request", _usd),
    "least_seconds": ("least_seconds", _count),
    "token_factor": ("token_factor", _usd),
    "discount": ("discount", _discount),
}
_UNIT_KEYS: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "name": ("names", lambda value: tuple(_texts(value))),
    "usd_per_unit": ("usd", _usd),
    "from": ("start", _moment),
    "until": ("end", _moment),
}
