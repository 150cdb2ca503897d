"""The books as a command sees them: a ledger file, or the service that has it open."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from http import HTTPStatus
from http.client import BadStatusLine, HTTPException
from typing import IO, TYPE_CHECKING, Any, Final, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

from otel_cost import settings
from otel_cost_exporter import spool
from otel_cost_exporter.errors import (
    LedgerError,
    LedgerFileError,
    LedgerLockedError,
    QuestionError,
    SpoolError,
    UnreachableError,
)
from otel_cost_exporter.ledger import Ledger
from otel_cost_exporter.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_ANSWER_SECONDS: Final = 30
_DRAIN_SECONDS: Final = 3.0  # a service drains its spool every second
_NO_ANSWER: Final = (OSError, HTTPException, ValueError, OverflowError)
"""What asking a URL can raise where no ledger service is, or where it is no URL; a port may be too large a number."""


class Books(Protocol):
    """Whatever answers questions."""

    def summary(self, parameters: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """What was spent: the document of ``GET /v1/summary``.

        Raises:
            QuestionError: a parameter is unknown or cannot be read.
        """

    def dimensions(self) -> list[str]:
        """The dimensions that occur in the books."""


class ServiceBooks:
    """The books of the ledger service at `url`."""

    def __init__(self, url: str) -> None:
        self.url: Final = url.rstrip("/")
        # A ledger is a neighbour: a proxy for the way out would not find it.
        self._opener: Final = build_opener(ProxyHandler({}))

    def summary(self, parameters: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """What was spent; see `Books`."""
        return self._get("/v1/summary?" + urlencode(list(parameters)), "rows", "total")

    def dimensions(self) -> list[str]:
        """The dimensions that occur in the books; see `Books`."""
        return [str(name) for name in self._get("/v1/dimensions", "dimensions")["dimensions"]]

    def ledger(self) -> str:
        """The path of the ledger file that the service keeps."""
        return str(self._get("/healthz", "ledger")["ledger"])

    def _get(self, path: str, *keys: str) -> dict[str, Any]:
        """The document at `path`, which has `keys`."""
        document = self._ask(path)
        if not document.keys() >= set(keys):
            raise UnreachableError(f"what answers at {self.url} is no ledger service")
        return document

    def _ask(self, path: str) -> dict[str, Any]:
        try:
            with self._opener.open(self.url + path, timeout=_ANSWER_SECONDS) as answer:
                return _document(answer)
        except HTTPError as error:
            with error:
                return self._refused(error)
        except _NO_ANSWER as error:
            raise UnreachableError(f"no ledger service answers at {self.url}: {_reason(error)}") from None

    def _refused(self, error: HTTPError) -> dict[str, Any]:
        """What an answer other than 200 means; a service that only cannot write now still answers questions."""
        try:
            document = _document(error)
        except _NO_ANSWER:
            document = {}
        if error.code == HTTPStatus.SERVICE_UNAVAILABLE and "ledger" in document:
            return document
        if error.code == HTTPStatus.BAD_REQUEST and "detail" in document:
            raise QuestionError(document["detail"]) from None
        raise UnreachableError(f"the ledger service at {self.url} answers {error.code}: {error.reason}") from None


def _document(answer: IO[bytes]) -> dict[str, Any]:
    found = json.load(answer)
    if not isinstance(found, dict):
        raise ValueError("its answer is no JSON object")  # noqa: TRY004 - as any other answer that cannot be read
    return found


def _reason(error: Exception) -> str:
    """Why there is no answer, in one line for a person."""
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    if isinstance(cause, BadStatusLine) and not isinstance(cause, OSError):
        return "what answers there speaks no HTTP: is it the gRPC port?"
    return " ".join(str(cause).split()) or type(cause).__name__


@contextmanager
def open_books(ledger: Path | None, url: str | None) -> Iterator[tuple[Books, str]]:
    """The books to ask, and where they are, for a person.

    The service at `url` where one is named; else the file `ledger`; else, where a service has that file open or it is
    not there, the service at ``OTEL_COST_URL``.

    Args:
        ledger: the file that the user named; None for the one of ``OTEL_COST_LEDGER``.
        url: the service that the user named.

    Raises:
        LedgerFileError: the file cannot be opened.
        UnreachableError: neither file nor service is there.
    """
    path: Path = settings.get(settings.LEDGER) if ledger is None else ledger
    if url is not None:
        yield ServiceBooks(url), f"service {url}"
        return
    reader = _open_file(path)
    if reader is None:
        service = _service_for(path, named=ledger is not None)
        yield service, f"service {service.url}"
        return
    try:
        yield reader, f"ledger {path}"
    finally:
        reader.close()


def _open_file(path: Path) -> Reader | None:
    """A reader of the file; None where it is not there, or another process has it."""
    try:
        return Reader.open_file(path) if path.exists() else None
    except LedgerLockedError:
        return None
    except OSError as error:
        raise LedgerFileError(f"{path} cannot be opened as a ledger: {error.strerror or error}") from None


def _service_for(path: Path, *, named: bool) -> ServiceBooks:
    """The service at ``OTEL_COST_URL``, if it answers, and, where the user named the file, keeps that file."""
    service = ServiceBooks(settings.get(settings.URL))
    state = "is open in another process" if path.exists() else "is not there"
    try:
        kept = service.ledger()
    except LedgerError as error:
        raise UnreachableError(
            f"ledger unreachable: looked at {path} (it {state}) and {service.url} ({error}); "
            + ((not path.exists() and _not_booked(path if named else None)) or "start one with otel-cost serve")
        ) from None
    if named and kept != str(path.absolute()):
        raise UnreachableError(
            f"ledger unreachable: {path} {state}, and the service at {service.url} keeps {kept}; "
            f"name the right service with --url"
        )
    return service


def not_counted(books: Books) -> str | None:
    """A line about what waits in the spool, where `books` is a file: a service takes it in by itself."""
    return _not_booked(None) if isinstance(books, Reader) else None


def _not_booked(ledger: Path | None) -> str | None:
    """A line about what waits in the spool of ``OTEL_COST_SPOOL``, and what takes it in; None where nothing does."""
    folder: Path = settings.get(settings.SPOOL)
    try:
        number = spool.waiting(folder)
    except SpoolError:  # whoever only asks has no need of a spool
        return None
    if not number:
        return None
    wait, are, them = ("segment waits", "is", "it") if number == 1 else ("segments wait", "are", "them")
    report = "otel-cost report" if ledger is None else f"otel-cost report --ledger {ledger}"
    return f"{number:,} {wait} in the spool {folder} and {are} not in the books yet: {report} takes {them} in"


def drain_spool(folder: Path | None, ledger: Path | None, url: str | None) -> list[str]:
    """Get what waits in the spool into the books: by ourselves, or by the service that has the file open.

    Args:
        folder: the spool that the user named; None for the one of ``OTEL_COST_SPOOL``.
        ledger: the file that the user named; None for the one of ``OTEL_COST_LEDGER``.
        url: the service that the user named.

    Returns:
        A line for the user about each thing that stays in the spool.

    Raises:
        LedgerError: the spool cannot be read, or the ledger cannot be opened or written.
    """
    contents = spool.look(settings.get(settings.SPOOL) if folder is None else folder)
    if contents is None:  # nobody has made it yet, which is usual for the one of the settings
        return [f"Spool {folder} is not there: nothing to drain"] if folder else []
    left = _drained(contents.folder, ledger, url) if contents.segments else ()
    return [*contents.remarks, *left]


def _drained(folder: Path, ledger: Path | None, url: str | None) -> tuple[str, ...]:
    path: Path = settings.get(settings.LEDGER) if ledger is None else ledger
    if url is None:
        try:
            with Ledger(path) as books:
                return spool.drain(folder, books).left
        except LedgerLockedError:
            pass
    give_up = time.monotonic() + _DRAIN_SECONDS
    while spool.waiting(folder) and time.monotonic() < give_up:
        time.sleep(0.1)
    waits = spool.waiting(folder)
    return (f"The service did not drain {folder}: what waits there is not counted",) if waits else ()
