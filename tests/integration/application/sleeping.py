"""No SDK sleeps where a budget has refused its call."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def not_here(sleep: Callable[..., Any]) -> Callable[..., Any]:
    """`sleep`, which fails in the thread that asks for this: only servers of the tests may sleep meanwhile."""
    here = threading.get_ident()

    def sleeping(*args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() == here:
            raise AssertionError("an SDK went to sleep before a retry")
        return sleep(*args, **kwargs)

    return sleeping
