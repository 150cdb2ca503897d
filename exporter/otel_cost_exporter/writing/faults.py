"""Faults that nobody foresaw: where each comes from is logged once, and from then on only how often it has come."""

from __future__ import annotations

import logging
import threading
import traceback
from collections import Counter
from typing import Final

_logger = logging.getLogger(__name__)


class Faults:
    """The faults of one service. May be used by many threads at once."""

    def __init__(self) -> None:
        self._times: Final[Counter[tuple[object, ...]]] = Counter()
        self._lock: Final = threading.Lock()

    def tell(self, what: str, error: Exception) -> None:
        """Log that `what` has happened over `error`: the first time with where that comes from, then at powers of 10.

        The text of an unknown error may say what was in a request, which nobody should read, so it is not logged.
        """
        name = type(error).__name__
        frames = traceback.extract_tb(error.__traceback__)
        origin = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        with self._lock:
            self._times[what, name, origin] += 1
            times = self._times[what, name, origin]
        if times == 1:
            _logger.error("%s: %s at\n%s", what, name, "".join(traceback.format_list(frames)))
        elif str(times).strip("0") == "1":
            _logger.error("%s: %s at %s, the %dth time", what, name, origin, times)
