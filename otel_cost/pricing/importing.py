"""What prices need and a start does without: imported when the first call leaves, or the first price is asked for.

Our own part of it would be a fifth of what we add to the start of an application, and genai-prices ten times that.
"""

from __future__ import annotations

import importlib
import threading
from typing import Any, Final

from otel_cost.safety import no_fork_while_held

IMPORTING: Final = threading.Lock()
"""Held while something is imported. A child of a half-done import could never finish it: its parts are locked for a
thread that is not there."""
no_fork_while_held(IMPORTING)


def late(module: str) -> Any:
    """A module of ours, imported now if it is not yet."""
    with IMPORTING:
        return importlib.import_module(f"otel_cost.pricing.{module}")
