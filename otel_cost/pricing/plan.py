"""One model's prices at one moment, laid out so that a cost is a few multiplications.

Each priced meter charges what is left of it after its priced parts, which is how providers publish their prices. Parts
may overlap: audio tokens that were read from a cache are taken out of the input once, not with the audio and again with
the cached tokens. So each charge knows with which sign every field of `Usage` counts for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from otel_cost.pricing.meters import METERS, WHOLES, title

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_cost.usage import Usage

Steps = tuple[tuple[int, Decimal], ...]
"""US dollars a unit, by how large the whole input is: from more than so many tokens on. The first is from 0 on."""

ARITHMETIC: Final = Context(prec=50, rounding=ROUND_HALF_EVEN)
"""Money is not worked out in the context of the application's thread, which may round to anything."""
_add, _multiply = ARITHMETIC.add, ARITHMETIC.multiply
_FIELDS: Final = tuple(METERS)
_AT: Final = {name: index for index, name in enumerate(_FIELDS)}
_INPUT: Final = _AT["input_tokens"]
_OUTPUT: Final = _AT["output_tokens"]
_SECONDS: Final = _AT["audio_seconds"]
_FREE: Final = Decimal(0)
_PLAIN: Final = frozenset({"input", "read"})
_values: Callable[[Usage], tuple[Any, ...]] = attrgetter(*_FIELDS)


@dataclass(frozen=True, slots=True)
class _Charge:
    """What one meter charges.

    What is left of it after its parts is its own field of `Usage`, less those of `less`, and those of `more` again.

    Attributes:
        meter: its name.
        at: the index of its field.
        less: the fields that are taken out.
        more: the fields that were taken out twice.
        price: US dollars a unit.
        steps: its other prices, by how large the whole input is: from more than so many tokens on.
        guessed: whether nobody publishes a price for just this, and a like one stands in.
        is_output: whether it is for tokens of output.
    """

    meter: str
    at: int
    less: tuple[int, ...]
    more: tuple[int, ...]
    price: Decimal
    steps: Steps
    guessed: bool
    is_output: bool

    def left(self, values: Any) -> Any:
        """How much of it there is after its parts; below 0 where these are more than the whole."""
        count = values[self.at]
        for at in self.less:
            count = count - values[at]  # not in place: it may be an array of many calls' counts
        for at in self.more:
            count = count + values[at]
        return count

    def stepped(self, input_tokens: int) -> Decimal:
        """US dollars a unit for an input of this size."""
        price = self.price
        for start, stepped in self.steps:
            if input_tokens > start:
                price = stepped
        return price

    def dearest(self, input_tokens: int) -> Decimal:
        """US dollars a unit at most, for an input of up to this size."""
        return max(self.price, *(stepped for start, stepped in self.steps if input_tokens > start), _FREE)


@dataclass(frozen=True, slots=True)
class Plan:
    """The charges of one model at one moment.

    Attributes:
        charges: one for each priced meter.
        per_request: US dollars for each request, whatever it uses.
        unpriced: the whole meters that have no price, by the index of their field.
        doubted: the parts that are charged as what they are part of, since nobody says that they have a price of their
            own, as they mostly have; by the index of their field.
        doubts: what the prices do not cover whatever the usage, such as a service tier without a price.
        version: which prices these are.
        least_seconds: the shortest sound that is charged.
        wholes: those of the charges that are for a whole meter, by the index of its field.
    """

    charges: tuple[_Charge, ...]
    per_request: Decimal
    unpriced: tuple[int, ...]
    doubts: tuple[str, ...]
    version: str
    least_seconds: int = 0
    wholes: Mapping[int, _Charge] = field(default_factory=dict)
    doubted: tuple[int, ...] = ()

    def cost(self, usage: Usage) -> tuple[Decimal | None, list[str]]:
        """US dollars for `usage`, unrounded, and what in it has no price. None where nothing of it has one."""
        values = self._charged(_values(usage))
        amount, doubts = self.per_request, [*self.doubts]
        for charge in self.charges:
            count = charge.left(values) if charge.less else values[charge.at]
            if count > 0:
                price = charge.stepped(values[_INPUT]) if charge.steps else charge.price
                amount = _add(amount, _multiply(price, count))
                if charge.guessed:
                    doubts.append(title(charge.meter))
            elif count:
                doubts.append(f"{title(charge.meter)} fewer than their parts")
        doubts += [title(_FIELDS[at]) for at in self.doubted if values[at]]
        if not any(map(values.__getitem__, self.unpriced)) or not (missing := self._missing(values)):
            return amount, doubts
        nothing = not any(values[charge.at] for charge in self.charges)
        return (None if nothing else amount), missing + doubts

    def lines(self, usage: Usage) -> list[tuple[str, Any, Decimal]]:
        """What `cost` adds up: for each meter that is charged, how much of it, and US dollars for that, unrounded."""
        values = self._charged(_values(usage))
        found: list[tuple[str, Any, Decimal]] = [("requests", 1, self.per_request)] if self.per_request else []
        for charge in self.charges:
            count = charge.left(values)
            if count > 0:
                price = charge.stepped(values[_INPUT])
                found.append((charge.meter, count, _multiply(price, count)))
        return found

    def of_text(self, input_tokens: int, output_tokens: int) -> Decimal | None:
        """US dollars for so many tokens of plain text: what `cost` says of them, in a fraction of its time."""
        amount = self.per_request
        for at, tokens in ((_INPUT, input_tokens), (_OUTPUT, output_tokens)):
            if tokens:
                charge = self.wholes.get(at)
                if charge is None:
                    return None
                amount = _add(amount, _multiply(charge.stepped(input_tokens) if charge.steps else charge.price, tokens))
        return amount

    def most(self, input_tokens: int, output_tokens: int, kinds: frozenset[str]) -> Decimal | None:
        """US dollars for so many tokens, unrounded, each at the dearest price that it may have.

        None where one of them has no price. A token is charged once, by one of the charges that it may come under.

        Args:
            input_tokens: at most, so that every step of a price up to there counts.
            output_tokens: of any kind.
            kinds: what input may be beside plain and cached text, such as ``write`` or ``image``.
        """
        if (input_tokens and _INPUT in self.unpriced) or (output_tokens and _OUTPUT in self.unpriced):
            return None
        allowed = kinds | _PLAIN
        of_input = of_output = _FREE
        for charge in self.charges:
            price = charge.dearest(input_tokens) if charge.steps else charge.price
            if charge.is_output:
                of_output = max(of_output, price)
            elif price > of_input and METERS[charge.meter].kinds <= allowed:
                of_input = price
        amount = _add(self.per_request, _multiply(of_input, input_tokens))
        return _add(amount, _multiply(of_output, output_tokens))

    def _charged(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """`values`, with the shortest sound that is charged in the place of a shorter one."""
        if 0 < values[_SECONDS] < self.least_seconds:
            return (*values[:_SECONDS], self.least_seconds, *values[_SECONDS + 1 :])
        return values

    def _missing(self, values: tuple[Any, ...]) -> list[str]:
        """What was used and has no price. Sound is charged by its tokens or by its time, so one of them will do."""
        missing = [_FIELDS[at] for at in self.unpriced if values[at]]
        by_time = values[_SECONDS] and "audio_seconds" not in missing
        by_tokens = any(values[_AT[name]] and name not in missing for name in ("input_tokens", "output_tokens"))
        if missing and by_time:
            missing = [name for name in missing if not METERS[name].counts_tokens]
        if by_tokens and "audio_seconds" in missing:
            missing.remove("audio_seconds")
        return [title(name) for name in missing]


def lay_out(
    prices: Mapping[str, Steps],
    *,
    per_request: Decimal = Decimal(0),
    doubts: tuple[str, ...] = (),
    version: str = "",
    least_seconds: int = 0,
    are_all: bool = False,
) -> Plan:
    """The plan for `prices`, by meter; `are_all` where whoever states them means what they leave out."""
    guesses = _guesses(prices)
    priced = {**prices, **guesses}
    left = _left(tuple(priced))
    charges = tuple(
        _Charge(
            meter=name,
            at=_AT[name],
            less=_fields(left[name], -1),
            more=_fields(left[name], 1, name),
            price=steps[0][1],
            steps=steps[1:],
            guessed=name in guesses,
            is_output="output" in METERS[name].kinds,
        )
        for name, steps in priced.items()
    )
    unpriced = tuple(_AT[name] for name in WHOLES if name not in priced)
    wholes = {charge.at: charge for charge in charges if charge.meter in WHOLES}
    doubted = (
        () if are_all else tuple(_AT[name] for name, whole in _CACHED.items() if _costs_alike(prices, name, whole))
    )
    return Plan(charges, per_request, unpriced, doubts, version, least_seconds, wholes, doubted)


_CACHED: Final = {
    "cache_read_tokens": "input_tokens",
    "cache_write_tokens": "input_tokens",
    "cache_write_1h_tokens": "cache_write_tokens",
}
"""What mostly costs less or more than what it is part of."""


def _costs_alike(prices: Mapping[str, Steps], part: str, whole: str) -> bool:
    """Whether `part` has no price but that of `whole`, which costs something."""
    return part not in prices and any(usd for _, usd in prices.get(whole, ()))


def _fields(signs: dict[str, int], sign: int, without: str = "") -> tuple[int, ...]:
    return tuple(_AT[name] for name, its in signs.items() if its == sign and name != without)


def _left(priced: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """For each priced meter, with which sign every priced meter counts for what is left of it after its parts."""
    left: dict[str, dict[str, int]] = {}
    for name in sorted(priced, key=lambda name: -len(METERS[name].kinds)):
        left[name] = {name: 1}
        for part in priced:
            if METERS[part].kinds > METERS[name].kinds:
                for field, sign in left[part].items():
                    left[name][field] = left[name].get(field, 0) - sign
    return left


def _guesses(prices: Mapping[str, Steps]) -> dict[str, Steps]:
    """Prices for what two priced meters share and which has none itself: that of the one named first in the table."""
    guesses: dict[str, Steps] = {}
    for name, meter in METERS.items():
        if name not in prices:
            of = [above for above in METERS if above in prices and METERS[above].kinds < meter.kinds]
            nearest = [one for one in of if not any(METERS[other].kinds > METERS[one].kinds for other in of)]
            if len(nearest) > 1:
                guesses[name] = prices[nearest[0]]
    return guesses
