"""What the documents of one response state, each correcting those before it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from otel_cost.usage.error_code import error_in
from otel_cost.usage.formats import is_harmless, places
from otel_cost.usage.model import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from otel_cost.usage.formats import WireFormat


@dataclass(frozen=True, slots=True)
class Reading:
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
        error: the provider's code for an error that it states in the place of an answer or in its midst.
    """

    usage: Usage | None = None
    model: str | None = None
    response_id: str | None = None
    service_tier: str | None = None
    terms: Mapping[str, str] = field(default_factory=dict)
    shares: tuple[tuple[str, Usage], ...] = ()
    stated_cost: Decimal | None = None
    complete: bool = False
    output_events: int = 0
    unmetered: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    pending: bool = False
    error: str | None = None

    @property
    def total_tokens(self) -> int:
        """All tokens that are charged, those of further passes too: what a budget in tokens counts."""
        usages = (*((self.usage,) if self.usage is not None else ()), *(usage for _, usage in self.shares))
        return sum(usage.total_tokens for usage in usages)


@dataclass(frozen=True, slots=True)
class _Plan:
    """A wire format, laid out to be read quickly.

    Attributes:
        meters: place -> what it makes up: the part of which meter, and how many alternatives go before it.
        known: those places, and those that change no price.
        at_root: names of figures that stand in the response itself.
    """

    meters: Mapping[str, tuple[tuple[tuple[str, int], int], ...]]
    known: frozenset[str]
    usage_at: tuple[tuple[str, ...], ...]
    at_root: frozenset[str]
    model_at: tuple[tuple[str, ...], ...]
    id_at: tuple[tuple[str, ...], ...]
    tier_at: tuple[tuple[str, ...], ...]


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
        usage_at=_paths(wire_format.usage_at),
        at_root=frozenset(re.split(r"[.[]", place)[0] for place in meters.keys() | wire_format.harmless),
        model_at=_paths(wire_format.model_at),
        id_at=_paths(wire_format.id_at),
        tier_at=_paths(wire_format.tier_at),
    )


def _paths(texts: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(text.split(".")) if text else () for text in texts)


class Statement:
    """What the documents of one response state, each correcting those before it."""

    def __init__(self, wire_format: WireFormat, headers: Mapping[str, str]) -> None:
        self._format, self._plan = wire_format, _plan(wire_format)
        self._usage: dict[str, Any] = _header_figures(wire_format, headers)
        self._cost: Any = None
        self._status: Any = None
        self._error: str | None = None
        self._tier = headers.get("x-amzn-bedrock-service-tier") or None
        self.model: str | None = None
        self.response_id: str | None = None

    def take(self, document: dict[str, Any]) -> None:
        """Take what a document says: a whole response, or what an event has of one."""
        plan = self._plan
        for path in plan.usage_at:
            for usage in _usages(document, path):
                self._merge(usage if path else {name: usage[name] for name in plan.at_root & usage.keys()})
        self.model = _first_text(document, plan.model_at) or self.model
        self.response_id = _first_text(document, plan.id_at) or self.response_id
        self._tier = _first_text(document, plan.tier_at) or _number(document, plan.tier_at) or self._tier
        self._status = document.get("status", self._status)
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
        flat = _flat(self._usage, self._plan.known)
        counts, unreadable = self._counts(flat)
        unmetered = self._unmetered(flat)
        usage, shares, doubts = None, _NO_SHARES, _NO_DOUBTS
        if unreadable:
            unmetered = ()
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
        return Reading(
            usage=usage,
            model=self.model,
            response_id=self.response_id,
            service_tier=_TIERS.get(self._tier, self._tier) if self._tier is not None else None,
            terms={name: flat[at] for name, at in terms.items() if isinstance(flat.get(at), str)} if terms else {},
            shares=shares,
            stated_cost=_stated_cost(self._usage, self._cost),
            complete=complete,
            output_events=output_events,
            unmetered=unmetered,
            doubts=doubts,
            unreadable=unreadable,
            pending=usage is None and isinstance(self._status, str) and self._status in _UNDER_WAY,
            error=self._error,
        )

    def _counts(self, flat: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The meters that are stated, and what is at their places and no count. Tools alone are no usage."""
        best: dict[tuple[str, int], tuple[int, str]] = {}
        stated = False
        meters = self._plan.meters
        for place in flat:
            if place in meters:
                for part, rank in meters[place]:
                    if part not in best or rank < best[part][0]:
                        best[part] = (rank, place)
                    stated = stated or part[0] not in _TOOLS
        counts: dict[str, Any] = {}
        unreadable: dict[str, None] = {}
        for (meter, _), (_, place) in best.items() if stated else ():
            count = _count(flat[place], fraction=meter == "audio_seconds")
            if count is None:
                unreadable[f"{place}={flat[place]!r}"[:100]] = None
            else:
                counts[meter] = counts.get(meter, 0) + count
        return counts, tuple(unreadable)

    def _shares(self, passes: Iterable[tuple[str | None, Mapping[str, Any]]]) -> Iterator[tuple[str, Usage]]:
        for model, usage in passes:
            counts, _ = self._counts(_flat(usage, self._plan.known))
            if any(counts.values()):
                yield model or self.model or "", Usage(**counts)

    def _unmetered(self, flat: Mapping[str, Any]) -> tuple[str, ...]:
        found: list[str] = []
        known = self._plan.known
        for path, value in flat.items():
            if value and path not in known and not is_harmless(path):
                found.append(f"{path} {value}" if isinstance(value, str) else path.removeprefix("tool_calls."))
        return tuple(found)


_NO_SHARES: Final[tuple[tuple[str, Usage], ...]] = ()
_NO_DOUBTS: Final[tuple[str, ...]] = ()
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
_UNDER_WAY: Final = frozenset({"queued", "in_progress", "requires_action", "starting", "processing", "cancelling"})
_TICKS: Final = Decimal(10) ** 10
_MOST: Final = 10**12


def _header_figures(wire_format: WireFormat, headers: Mapping[str, str]) -> dict[str, Any]:
    if not wire_format.headers:
        return {}
    found = ((name, headers.get(header, "")) for header, name in wire_format.headers.items())
    return {name: int(text) for name, text in found if text.isdecimal()}


def _usages(document: dict[str, Any], path: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The usage at `path`; where that goes through a list, those of its elements, added up."""
    at: Any = document
    for index, name in enumerate(path):
        if not isinstance(at, dict):
            return
        if name.endswith("[]"):
            elements = at.get(name[:-2])
            parts = [dig(element, path[index + 1 :]) for element in elements] if isinstance(elements, list) else []
            total: dict[str, Any] = {}
            for part in parts:
                for key, value in part.items() if isinstance(part, dict) else ():
                    if isinstance(value, int | float) and not isinstance(value, bool):
                        total[key] = total.get(key, 0) + value
            if total:
                yield total
            return
        at = at.get(name)
    if isinstance(at, dict):
        yield at


def _flat(stated: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """The figures and texts that a usage states, by their path."""
    found: dict[str, Any] = {}
    rest = [("", stated)]
    while rest:
        above, part = rest.pop()
        for key, value in part.items():
            if value is None:
                continue
            path = above + key
            if type(value) is dict and value and path not in known:
                rest.append((f"{path}.", value))
            elif type(value) is list and value and path not in known:
                found.update(_elements(path, value))
            else:
                found[path] = value
    return found


_TOLD_BY: Final = ("modality", "ttl", "type")


def _elements(path: str, elements: list[Any]) -> dict[str, Any]:
    """The figures of a list's elements, added up where several are of one kind; else the list."""
    figures: dict[str, Any] = {}
    for element in elements:
        kind = (
            next((element[name] for name in _TOLD_BY if name in element), None) if isinstance(element, dict) else None
        )
        if kind is None:
            return {path: elements}
        for key, value in element.items():
            if key not in _TOLD_BY and isinstance(value, int | float):
                at = f"{path}[{kind}].{key}"
                figures[at] = figures.get(at, 0) + value
    return figures


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


def dig(document: Any, path: tuple[str, ...]) -> Any:
    """What is at `path` of a document; None where nothing is."""
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _first_text(document: dict[str, Any], paths: tuple[tuple[str, ...], ...]) -> str | None:
    for path in paths:
        value = document.get(path[0]) if len(path) == 1 else dig(document, path)
        if isinstance(value, str) and value:
            return value
    return None


def _number(document: dict[str, Any], paths: tuple[tuple[str, ...], ...]) -> str | None:
    """What goes by its number there: in answers of Google's, where the request asks for ``enum-encoding=int``."""
    return next((str(value) for path in paths if type(value := dig(document, path)) is int), None)
