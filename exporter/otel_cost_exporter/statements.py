"""The SQL, which lives in .sql files under ``sql/``."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Final

_SQL: Final = files("otel_cost_exporter") / "sql"
_MIGRATION: Final = re.compile(r"(\d{4})_\w+\.sql\Z")


@cache
def load(name: str) -> str:
    """The text of ``sql/<name>.sql``."""
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """Number and text of every migration, in the order in which they run."""
    found = ((match, file) for file in (_SQL / "migrations").iterdir() if (match := _MIGRATION.match(file.name)))
    return tuple(sorted((int(match[1]), file.read_text(encoding="utf-8")) for match, file in found))
