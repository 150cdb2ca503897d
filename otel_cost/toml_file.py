"""TOML that people write: read again when it changes, and every problem said with the line that it is on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import logging
    from pathlib import Path

_SPOKEN_LINE: Final = re.compile(r"\(at line (\d+), column \d+\)")


class TextFile:
    """A file of the user's, looked at again and again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: object = None

    def changed(self) -> str | None:
        """Its text, where that may be another than at the last look.

        Raises:
            OSError: it cannot be read.
            UnicodeDecodeError: it is no text.
        """
        try:
            stat = self.path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen == self._seen:
                return None
            text = self.path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            self._seen = None
            raise
        self._seen = seen
        return text


class Complaints:
    """What is wrong with one place: said once, until something else is, or nothing was."""

    def __init__(self, logger: logging.Logger, place: str) -> None:
        self._logger, self._place = logger, place
        self._said: tuple[str, ...] = ()

    def are(self, *complaints: str) -> None:
        """Say them, unless they are those of the last time."""
        if complaints != self._said:
            self._said = complaints
            for complaint in complaints:
                self._logger.warning("%s: %s", self._place, complaint)


def header(table: str) -> re.Pattern[str]:
    """Where an item of the array ``[[table]]`` begins."""
    return re.compile(rf"^[ \t]*\[\[[ \t]*{table}[ \t]*\]\]", re.MULTILINE)


def placed(name: str, first: int, problem: str) -> str:
    """A problem of TOML itself, with its line in the whole file, of which what was read begins with line `first`."""
    if (spoken := _SPOKEN_LINE.search(problem)) is None:
        return f"{name}:{first}: {problem}"
    return f"{name}:{first + int(spoken[1]) - 1}: {_SPOKEN_LINE.sub('', problem).strip()}"


def line_of(block: str, first: int, key: str | None) -> int:
    """The line of `key` in `block`, whose own first line is `first`."""
    lines = block.splitlines()
    found = (n for n, line in enumerate(lines) if key and re.match(rf"\s*{re.escape(key)}\s*=", line))
    return first + next(found, 0)
