"""What the ledger makes, only its own user can read: the books say who spent what. What is there stays as it is."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
import requests
from exporter_building import call, request

from otel_cost_exporter import segments
from otel_cost_exporter.writing.ledger import Ledger

from .commanding import fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from .commanding import Run
    from .conftest import Serving

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows keeps a user's files to the user by other means")


@pytest.fixture(autouse=True)
def _usual_mask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_all_that_a_service_makes_is_its_users(
    serving: Callable[[], AbstractContextManager[Serving]], ledger_file: Path, spool_folder: Path
) -> None:
    with serving() as running:
        headers = {"content-type": "application/x-protobuf"}
        requests.post(f"{running.url}/v1/traces", request(call(1)), headers=headers, timeout=30).raise_for_status()
        made = {path.name: mode(path) for path in ledger_file.parent.iterdir()}
    assert {path: mode for path, mode in made.items() if mode != 0o600} == {spool_folder.name: 0o700}
    assert {"books.duckdb", "books.duckdb.wal"} <= made.keys()


@pytest.mark.parametrize("by", ["file", "service"])
def test_a_new_ledger_its_folder_and_its_backups_are(
    run: Run, tmp_path: Path, serving: Callable[[], AbstractContextManager[Serving]], by: str
) -> None:
    path = tmp_path / "folder" / "books.duckdb"
    fill(path, call(1))
    assert (mode(path.parent), mode(path)) == (0o700, 0o600)
    copy = path.with_name("copy.duckdb")
    if by == "file":
        assert run("ledger", "backup", str(copy), "--ledger", str(path)).exit_code == 0
    else:
        with serving() as running:
            assert run("ledger", "backup", str(copy), "--url", running.url).exit_code == 0
    assert mode(copy) == 0o600


def test_a_new_spool_is(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    segments.write(folder, b"content")
    assert mode(folder) == 0o700


def test_what_is_there_stays_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o770)
    path = folder / "books.duckdb"
    fill(path, call(1))
    path.chmod(0o640)
    with Ledger(path):
        segments.write(folder, b"content")
    assert (mode(folder), mode(path)) == (0o770, 0o640)
