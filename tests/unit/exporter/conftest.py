"""What the tests of the ledger service share; they build spans with one module, `exporter_building`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from otel_cost_exporter.file.database import Database
from otel_cost_exporter.writing import ledger

sys.path.append(str(Path(__file__).resolve().parents[2] / "unit" / "exporter"))


@pytest.fixture(scope="session")
def empty_books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger without calls."""
    path = tmp_path_factory.mktemp("empty") / "books.duckdb"
    ledger.Ledger(path).close()
    return path


@pytest.fixture(autouse=True)
def _new_books_are_copied(empty_books: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a ledger would be made, it begins as a copy: to run all migrations takes longer than most tests."""

    def opened(path: Path, *, read_only: bool) -> Database:
        if path.parent.is_dir() and not path.exists():
            shutil.copy(empty_books, path)
        return Database(path, read_only=read_only)

    monkeypatch.setattr(ledger, "Database", opened)
