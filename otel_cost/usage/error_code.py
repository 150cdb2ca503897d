"""The code by which a provider names an error, whichever provider's."""

from __future__ import annotations

import json
import re
from typing import Any, Final

_CODE: Final = re.compile(r"[A-Za-z][\w.#-]{0,63}")
_FIELDS: Final = ("code", "status", "type", "__type")


def is_code(text: object) -> bool:
    """Whether `text` can be a code, and is no sentence."""
    return isinstance(text, str) and text != "error" and _CODE.fullmatch(text) is not None


def code_of(document: Any) -> str | None:
    """The code that an error document states, at its root or below ``error``; None where it states none."""
    if not isinstance(document, dict):
        return None
    inner = document.get("error")
    stated = inner if isinstance(inner, dict) else document
    return next((code for field in _FIELDS if is_code(code := stated.get(field))), None)


def code_in(body: bytes) -> str | None:
    """The same of an error's body."""
    try:
        document = json.loads(body)
    except ValueError:
        return None
    if isinstance(document, list) and document:  # Gemini answers a stream with a list
        document = document[0]
    return code_of(document)


def error_in(event: dict[str, Any]) -> str | None:
    """The code of the error that a document of an answer states in its midst; None where it states no error."""
    error = event.get("error")
    if not error and event.get("type") != "error":
        return None
    return code_of(event) or "error"
