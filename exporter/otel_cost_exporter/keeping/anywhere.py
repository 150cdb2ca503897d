"""Keeping the books: check, mend, prune, price anew and back up, on a file or through the service that has it."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from otel_cost import settings
from otel_cost_exporter.answers import question
from otel_cost_exporter.books import ServiceBooks, service_of
from otel_cost_exporter.errors import LedgerError, LedgerLockedError, QuestionError
from otel_cost_exporter.file import backup, migrate
from otel_cost_exporter.file.database import Database
from otel_cost_exporter.keeping import check, reprice, retention
from otel_cost_exporter.keeping.retention import Retention
from otel_cost_exporter.writing.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which calls are to be priced anew, as whoever asks for it writes that.

    Attributes:
        since: the earliest start, as every question takes it.
        until: the start from which calls are left; None for now.
        prices: the content of a price file; None for the prices that the books are kept with.
        name: of that file.
    """

    since: str
    until: str | None = None
    prices: str | None = None
    name: str = "prices.toml"

    def read(self) -> reprice.Repricing:
        """What it means.

        Raises:
            QuestionError: a time or a price cannot be read.
        """
        times = [(name, text) for name, text in (("since", self.since), ("until", self.until)) if text is not None]
        found = question.read(times, (), {"since", "until"}, filters=())
        until = found.until or datetime.now(UTC).replace(tzinfo=None)
        if found.since is None or found.since >= until:
            raise QuestionError(f"since={self.since!r} is not before until")
        table = None if self.prices is None else reprice.read_prices(self.prices, self.name)
        return reprice.Repricing(found.since, until, table)


class Keeping(Protocol):
    """Whatever keeps books: a file that nobody else has open, or a service."""

    def check(self, *, repair: bool) -> Document:
        """Whether all sums are what they are sums of; with `repair`, those that are not are made anew afterwards."""

    def prune(self, keep_calls: str | None, keep_rollups: str | None, *, apply: bool) -> Document:
        """What is older than that, or than the settings say where it is None; with `apply` it is deleted."""

    def reprice(self, asked: Asked, *, apply: bool) -> Document:
        """What calls would cost with other prices; with `apply` they do afterwards."""

    def backup(self, path: Path) -> Document:
        """Copy the books to `path`."""


class FileKeeping:
    """Keeps the books of an open file.

    Args:
        database: the file.
        ledger: its writer; None where it is open for reading only, so that nothing can be changed.
    """

    def __init__(self, database: Database, ledger: Ledger | None = None) -> None:
        self._database, self._ledger = database, ledger

    def check(self, *, repair: bool) -> Document:
        """See `Keeping`."""
        checked = check.check(self._newest)
        if repair:
            check.repair(self._writer, checked)
        return {**checked.document, "repaired": repair and checked.number > 0}

    def prune(self, keep_calls: str | None, keep_rollups: str | None, *, apply: bool) -> Document:
        """See `Keeping`."""
        found = Retention(
            _age("keep_calls", keep_calls, settings.KEEP_CALLS),
            _age("keep_rollups", keep_rollups, settings.KEEP_ROLLUPS),
        )
        return retention.prune(self._writer, found) if apply else retention.preview(self._newest, found)

    def reprice(self, asked: Asked, *, apply: bool) -> Document:
        """See `Keeping`."""
        found = asked.read()
        return reprice.apply(self._writer, found) if apply else reprice.difference(self._newest, found)

    def backup(self, path: Path) -> Document:
        """See `Keeping`."""
        return {"file": str(path), "bytes": backup.write(self._database, path)}

    @property
    def _newest(self) -> Database:
        """The file, in the schema that questions about it need; a copy can be made of an earlier one."""
        with closing(self._database.cursor()) as cursor:
            migrate.require(cursor, self._database.path)
        return self._database

    @property
    def _writer(self) -> Ledger:
        if self._ledger is None:
            raise LedgerError(f"{self._database.path} is open for reading only")
        return self._ledger


class ServiceKeeping:
    """Keeps the books of a ledger service."""

    def __init__(self, service: ServiceBooks) -> None:
        self._service = service

    def check(self, *, repair: bool) -> Document:
        """See `Keeping`."""
        return self._service.keep("repair", {}) if repair else self._service.keep("check")

    def prune(self, keep_calls: str | None, keep_rollups: str | None, *, apply: bool) -> Document:
        """See `Keeping`."""
        return self._service.keep("prune", {"keep_calls": keep_calls, "keep_rollups": keep_rollups, "apply": apply})

    def reprice(self, asked: Asked, *, apply: bool) -> Document:
        """See `Keeping`."""
        body = {"since": asked.since, "until": asked.until, "prices": asked.prices, "name": asked.name, "apply": apply}
        return self._service.keep("reprice", body)

    def backup(self, path: Path) -> Document:
        """See `Keeping`."""
        return self._service.keep(
            "backup", read=lambda answer: {"file": str(path), "bytes": backup.receive(answer, path)}
        )


@contextmanager
def open_keeping(ledger: Path | None, url: str | None, *, changes: bool) -> Iterator[tuple[Keeping, str]]:
    """What keeps the books, and where they are, for a person: found as `books.open_books` finds them.

    Args:
        ledger: the file that the user named; None for the one of ``OTEL_COST_LEDGER``.
        url: the service that the user named.
        changes: whether they are to be changed: otherwise the file is opened for reading only.

    Raises:
        LedgerFileError: the file cannot be opened.
        UnreachableError: neither file nor service is there.
    """
    path: Path = settings.get(settings.LEDGER) if ledger is None else ledger
    opened = _open_file(path, changes=changes) if url is None and path.exists() else None
    if opened is not None:
        with closing(opened):
            keeping = FileKeeping(opened.database, opened) if isinstance(opened, Ledger) else FileKeeping(opened)
            yield keeping, f"ledger {path}"
        return
    service = service_of(ledger, settings.KEEP_TOKEN) if url is None else ServiceBooks(url)
    yield ServiceKeeping(service), f"service {service.url}"


def _open_file(path: Path, *, changes: bool) -> Ledger | Database | None:
    """The file; None where another process has it."""
    try:
        return Ledger(path) if changes else Database(path, read_only=True)
    except LedgerLockedError:
        return None


def _age(name: str, text: str | None, variable: settings.Variable) -> Any:
    """How long `text` says, or the setting where it is None.

    Raises:
        QuestionError: it cannot be read.
    """
    try:
        return settings.get(variable) if text is None else variable.read(text)
    except ValueError as error:
        raise QuestionError(f"{name}={text!r}: {error}") from None
