"""Looking things up in the JSON documents of a response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

Path = tuple[str, ...]
"""The names on the way to something in a document."""


def dig(document: Any, path: Path) -> Any:
    """What is at `path` of a document; None where nothing is."""
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def first_text(document: dict[str, Any], paths: tuple[Path, ...]) -> str | None:
    """The first text that is at one of `paths` and is not empty."""
    for path in paths:
        value = document.get(path[0]) if len(path) == 1 else dig(document, path)
        if isinstance(value, str) and value:
            return value
    return None


def tier_in(document: dict[str, Any], paths: tuple[Path, ...]) -> str | None:
    """The first tier that is named, or else the first that goes by its number.

    Answers of Google's have numbers where the request asks for ``enum-encoding=int``.
    """
    number = None
    for path in paths:
        if path[0] in document:
            value = dig(document, path)
            if isinstance(value, str) and value:
                return value
            if number is None and type(value) is int:
                number = str(value)
    return number


def found_at(found: Any, path: Path) -> Any:
    """What is at `path` of what was found; where that goes through a list, the figures of its elements, added up."""
    for index, name in enumerate(path):
        if name == "[]":
            return _added_up(found, path[index + 1 :]) if isinstance(found, list) else None
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _added_up(elements: list[Any], path: Path) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for part in (dig(element, path) for element in elements):
        for key, value in part.items() if isinstance(part, dict) else ():
            if isinstance(value, int | float) and not isinstance(value, bool):
                total[key] = total.get(key, 0) + value
    return total


def flattened(stated: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
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
