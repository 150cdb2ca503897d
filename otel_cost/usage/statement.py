"""What the documents of one response state, each correcting those before it."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from otel_cost.usage.documents import dig, first_text, flattened, found_at, tier_in
from otel_cost.usage.error_code import error_in
from otel_cost.usage.formats import is_harmless, places
from otel_cost.usage.model import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from otel_cost.usage.documents import Path
    from otel_cost.usage.formats import WireFormat


class Reading(msgspec.Struct, frozen=True):
    """What a response has said so far.

    Attributes:
        usage: what the model that answered used; None while none was stated.
        model: the model that answered.
        response_id: the provider's id of the response.
        service_tier: the tier that it was served and is charged at: ``standard``, ``batch``, ``flex``, ``priority`` or
            what else the provider calls it.
        terms: what else the response says its prices depend on, by name: ``inference_geo``, ``speed``.
        shares: what further passes used that are charged on top of `usage`, each with its model.
        stated_cost: what the provider itself says that the response costs, in US dollars.
        complete: whether the response reached its own end, so that `usage` is final.
        output_events: for a stream, how many events carried a piece of the answer; a floor for output tokens.
        unmetered: what the response says was used beyond the meters, and is charged apart or at another price.
        doubts: why `usage` may not be all, in a few words each.
        unreadable: what should be a count of a meter and is none; `usage` is None then.
        pending: whether the provider still works on the response, and states later what it used.
        is_fetched: whether the request that asked for it may not have waited for it, so that another had to fetch it.
        error: the provider's code for an error that it states in the place of an answer or in its midst.
    """

    usage: Usage | None = None
    model: str | None = None
    response_id: str | None = None
    service_tier: str | None = None
    terms: Mapping[str, str] = msgspec.field(default_factory=dict)
    shares: tuple[tuple[str, Usage], ...] = ()
    stated_cost: Decimal | None = None
    complete: bool = False
    output_events: int = 0
    unmetered: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    pending: bool = False
    is_fetched: bool = False
    error: str | None = None

    @property
    def total_tokens(self) -> int:
        """All tokens that are charged, those of further passes too: what a budget in tokens counts."""
        return sum(usage.total_tokens for usage in self.usages)

    @property
    def usages(self) -> tuple[Usage, ...]:
        """What each pass used."""
        return (*((self.usage,) if self.usage is not None else ()), *(usage for _, usage in self.shares))


class _Plan(msgspec.Struct, frozen=True):
    """A wire format, laid out to be read quickly.

    Attributes:
        meters: place -> what it makes up: the part of which meter, and how many alternatives go before it.
        known: those places, and those that change no price.
        usage_at: where a usage is: in which field of the response, None for the response itself, and where in that.
        at_root: names of figures that stand in the response itself.
    """

    meters: Mapping[str, tuple[tuple[tuple[str, int], int], ...]]
    known: frozenset[str]
    usage_at: tuple[tuple[str | None, Path], ...]
    at_root: frozenset[str]
    model_at: tuple[Path, ...]
    id_at: tuple[Path, ...]
    tier_at: tuple[Path, ...]
    ticket_at: tuple[Path, ...]


@lru_cache(maxsize=128)
def _plan(wire_format: WireFormat) -> _Plan:
    meters: dict[str, tuple[tuple[tuple[str, int], int], ...]] = {}
    for meter, text in wire_format.meters.items():
        for part, alternatives in enumerate(places(text)):
            for rank, place in enumerate(alternatives):
                meters[place] = (*meters.get(place, ()), ((meter, part), rank))
    return _Plan(
        meters=meters,
        known=wire_format.harmless | meters.keys() | frozenset(wire_format.terms.values()),
        usage_at=tuple(_field_and_path(text) for text in wire_format.usage_at),
        at_root=frozenset(re.split(r"[.[]", place)[0] for place in meters.keys() | wire_format.harmless),
        model_at=tuple(map(_path, wire_format.model_at)),
        id_at=tuple(map(_path, wire_format.id_at)),
        tier_at=tuple(map(_path, wire_format.tier_at)),
        ticket_at=tuple(map(_path, wire_format.ticket_at)),
    )


def _path(text: str) -> Path:
    return tuple(text.split(".")) if text else ()


def _field_and_path(text: str) -> tuple[str | None, Path]:
    path = _path(text.replace("[]", ".[]"))
    return (path[0], path[1:]) if path else (None, ())


class _Layout(msgspec.Struct, frozen=True):
    """What the figures at certain places are.

    Attributes:
        counts: the places that are read, and the meter that each is a part of; none where those are tools only.
        unmetered: places that are no meter, and may be charged.
    """

    counts: tuple[tuple[str, str], ...]
    unmetered: tuple[str, ...]


def _layout(wire_format: WireFormat, stated: tuple[str, ...]) -> _Layout:
    """How to read a usage that states something at the places `stated`."""
    plan = _plan(wire_format)
    best: dict[tuple[str, int], tuple[int, str]] = {}
    for place in stated:
        for part, rank in plan.meters.get(place, ()):
            if part not in best or rank < best[part][0]:
                best[part] = (rank, place)
    is_usage = any(meter not in _TOOLS for meter, _ in best)
    return _Layout(
        tuple((place, meter) for (meter, _), (_, place) in best.items()) if is_usage else (),
        tuple(place for place in stated if place not in plan.known and not is_harmless(place)),
    )


_MOST_PLACES: Final = 64
_layout_again: Final = lru_cache(maxsize=1024)(_layout)
"""Responses of one endpoint state the same places each time: looking them up takes a tenth of laying them out."""


class Statement:
    """What the documents of one response state, each correcting those before it."""

    def __init__(self, wire_format: WireFormat, headers: Mapping[str, str]) -> None:
        self._format, self._plan, self._headers = wire_format, _plan(wire_format), headers
        self._usage: dict[str, Any] = _header_figures(wire_format, headers)
        self._cost: Any = None
        self._status: Any = None
        self._has_status = False
        self._ticket: str | None = None
        self._in_background: Any = None
        self._error: str | None = None
        self._tier: str | None = None
        self.model: str | None = None
        self.response_id: str | None = None

    def take(self, document: dict[str, Any]) -> None:
        """Take what a document says: a whole response, or what an event has of one."""
        plan = self._plan
        for name, path in plan.usage_at:
            if name is None:
                self._merge({name: document[name] for name in plan.at_root & document.keys()})
            elif name in document:
                usage = found_at(document[name], path) if path else document[name]
                if isinstance(usage, dict):
                    self._merge(usage)
                    self._status = None  # what it was before is over, unless this document says it again
        self.model = first_text(document, plan.model_at) or self.model
        self.response_id = first_text(document, plan.id_at) or self.response_id
        self._tier = tier_in(document, plan.tier_at) or self._tier
        if "status" in document:
            self._status, self._has_status = document["status"], True
        self._ticket = first_text(document, plan.ticket_at) or self._ticket
        self._in_background = document.get("background", self._in_background)
        self._error = error_in(document) or self._error
        if self._format.tools is not None and (calls := self._format.tools(document)):
            self._usage["tool_calls"] = {**self._usage.get("tool_calls", {}), **calls}
        if "provider_metadata" in document:
            self._cost = dig(document, ("provider_metadata", "gateway", "cost"))

    def note_error(self, event: dict[str, Any]) -> None:
        """Note the error that an event states beside what it has of a response."""
        self._error = error_in(event) or self._error

    def _merge(self, usage: dict[str, Any]) -> None:
        stated, adds_up = self._usage, self._format.adds_up
        for name, value in usage.items():
            if value is None:
                continue
            if adds_up and isinstance(value, int) and isinstance(before := stated.get(name), int) and before > value:
                continue
            stated[name] = value

    def reading(self, *, complete: bool, output_events: int = 0) -> Reading:
        """What the documents so far say."""
        flat = flattened(self._usage, self._plan.known)
        layout = self._layout(flat)
        counts, unreadable = _counts(flat, layout)
        unmetered = _unmetered(flat, layout) if layout.unmetered else _NOTHING
        usage, shares, doubts = None, _NO_SHARES, _NOTHING
        if unreadable:
            unmetered = _NOTHING
        elif counts:
            for rule in self._format.rules:
                if doubt := rule(counts, flat):
                    doubts = (*doubts, doubt)
            usage = Usage(**counts)
            if self._format.passes is not None:
                shares = tuple(self._shares(self._format.passes(self._usage)))
        else:
            unmetered = tuple(path for path in unmetered if path in self._usage.get("tool_calls", ()))
        terms = self._format.terms
        tier = self._tier or self._headers.get("x-amzn-bedrock-service-tier")
        return Reading(
            usage=usage,
            model=self.model,
            response_id=self.response_id or self._ticket,
            service_tier=_TIERS.get(tier, tier) if tier else None,
            terms={name: flat[at] for name, at in terms.items() if isinstance(flat.get(at), str)} if terms else {},
            shares=shares,
            stated_cost=_stated_cost(self._usage, self._cost),
            complete=complete,
            output_events=output_events,
            unmetered=unmetered,
            doubts=doubts,
            unreadable=unreadable,
            pending=self._is_under_way(stated=usage is not None),
            is_fetched=self._has_status and self._in_background is not False,
            error=self._error,
        )

    def _is_under_way(self, *, stated: bool) -> bool:
        """Whether the answer is still to come, by its status or since there is only a ticket for it.

        What is `stated` meanwhile is what was used so far, unless it is the application's turn.
        """
        status = self._status.lower() if isinstance(self._status, str) else ""
        if stated:
            return status in _UNDER_WAY and self._in_background is not False
        is_ticket = self.response_id is None and self._ticket is not None
        return is_ticket or status in _UNDER_WAY or status == _WAITS_FOR_THE_APP

    def _layout(self, flat: Mapping[str, Any]) -> _Layout:
        stated = tuple(flat)
        return _layout_again(self._format, stated) if len(stated) <= _MOST_PLACES else _layout(self._format, stated)

    def _shares(self, passes: Iterable[tuple[str | None, Mapping[str, Any]]]) -> Iterator[tuple[str, Usage]]:
        for model, usage in passes:
            flat = flattened(usage, self._plan.known)
            counts, _ = _counts(flat, self._layout(flat))
            if any(counts.values()):
                yield model or self.model or "", Usage(**counts)


def _counts(flat: Mapping[str, Any], layout: _Layout) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The meters that are stated, and what is at their places and no count."""
    counts: dict[str, Any] = {}
    unreadable: tuple[str, ...] = _NOTHING
    for place, meter in layout.counts:
        count = _count(flat[place], fraction=meter == "audio_seconds")
        if count is None:
            unreadable = tuple(dict.fromkeys((*unreadable, f"{place}={flat[place]!r}"[:100])))
        else:
            counts[meter] = counts.get(meter, 0) + count
    return counts, unreadable


def _unmetered(flat: Mapping[str, Any], layout: _Layout) -> tuple[str, ...]:
    """What is stated beyond the meters, and is not nothing."""
    stated = ((place, flat[place]) for place in layout.unmetered)
    return tuple(
        f"{place} {value}" if isinstance(value, str) else place.removeprefix("tool_calls.")
        for place, value in stated
        if value
    )


_NO_SHARES: Final[tuple[tuple[str, Usage], ...]] = ()
_NOTHING: Final[tuple[str, ...]] = ()
_TOOLS: Final = frozenset({"web_searches", "file_searches"})
_TIERS: Final = {
    "0": "standard",
    "1": "standard",
    "auto": "standard",
    "default": "standard",
    "on_demand": "standard",
    "ON_DEMAND": "standard",
    "ON_DEMAND_FLEX": "flex",
    "ON_DEMAND_PRIORITY": "priority",
    "PROVISIONED_THROUGHPUT": "provisioned_throughput",
    "TRAFFIC_TYPE_UNSPECIFIED": "standard",
    "SERVICE_TIER_UNSPECIFIED": "standard",
    "performance": "priority",
}
_UNDER_WAY: Final = frozenset({"created", "queued", "in_progress", "starting", "processing", "cancelling"})
_WAITS_FOR_THE_APP: Final = "requires_action"
_TICKS: Final = Decimal(10) ** 10
_MOST: Final = 10**12


def _header_figures(wire_format: WireFormat, headers: Mapping[str, str]) -> dict[str, Any]:
    if not wire_format.headers:
        return {}
    found = ((name, headers.get(header, "")) for header, name in wire_format.headers.items())
    terms = wire_format.terms.values()
    return {
        name: text if name in terms else int(text)
        for name, text in found
        if text and (name in terms or text.isdecimal())
    }


def _count(value: object, *, fraction: bool) -> int | Decimal | None:
    """`value` as a count of a meter: a whole number, however JSON writes it. None where it is none."""
    if type(value) is int:
        return value if 0 <= value <= _MOST else None
    if isinstance(value, float) and 0 <= value <= _MOST:
        if value == int(value):
            return int(value)
        return Decimal(str(value)) if fraction else None
    return None


def _stated_cost(usage: Mapping[str, Any], beside: Any) -> Decimal | None:
    """What the usage says that the response costs, in US dollars.

    Where a gateway used the customer's own key at a provider, what that provider charges comes on top of its fee.
    """
    ticks = usage.get("cost_in_usd_ticks")
    if type(ticks) is int and ticks >= 0:
        return Decimal(ticks) / _TICKS
    cost = usage.get("cost", beside)
    if isinstance(cost, dict):
        cost = cost.get("total_cost")
    dollars = _dollars(cost)
    if dollars is not None and usage.get("is_byok") is True:
        upstream = _dollars(dig(usage, ("cost_details", "upstream_inference_cost")))
        return dollars + upstream if upstream is not None else None
    return dollars


def _dollars(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        return None
    return amount if amount.is_finite() and amount >= 0 else None
