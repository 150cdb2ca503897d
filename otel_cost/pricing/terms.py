"""The terms of a price: what it depends on beyond provider, model, tier and time, by name, and as one line of text.

The names are those that the providers' responses use, such as ``inference_geo`` and ``speed``, and ``location``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_ORDINARY: Final = frozenset({"global", "not_available", "standard", "default", "auto", "none", ""})
_TERM: Final = re.compile(r"(\w+)=([\w.-]+)", re.ASCII)
_WRITABLE: Final = re.compile(r"[\w.-]{1,64}", re.ASCII)


def is_ordinary(value: str) -> bool:
    """Whether `value` of a term means the standard price."""
    return value.lower() in _ORDINARY


def text_of(terms: Mapping[str, str]) -> str | None:
    """Those of `terms` that are not ordinary, such as ``inference_geo=us,speed=fast``; None where there are none."""
    special = [
        f"{name}={value}"
        for name, value in sorted(terms.items())
        if not is_ordinary(value) and _WRITABLE.fullmatch(value)
    ]
    return ",".join(special) or None


def of_text(text: str) -> dict[str, str]:
    """The terms in `text`, as `text_of` writes it; what is none of them is passed over."""
    found = (_TERM.fullmatch(part) for part in text.split(","))
    return {term[1]: term[2] for term in found if term}
