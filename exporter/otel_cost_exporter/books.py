"""The books as a command sees them: a ledger file, or the service that has it open."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any, Final, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

from otel_cost import settings
from otel_cost_exporter import spool
from otel_cost_exporter.errors import LedgerError, LedgerLockedError, QuestionError, UnreachableError
from otel_cost_exporter.ledger import Ledger
from otel_cost_exporter.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_ANSWER_SECONDS: Final = 30
_DRAIN_SECONDS: Final = 3.0  # a service drains its spool every second


class Books(Protocol):
    """Whatever answers questions."""

    def summary(self, parameters: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """What was spent: the document of ``GET /v1/summary``.

        Raises:
            QuestionError: a parameter is unknown or cannot be read.
        """


class ServiceBooks:
    """The books of the ledger service at `url`."""

    def __init__(self, url: str) -> None:
        self.url: Final = url.rstrip("/")
        # A ledger is a neighbour: a proxy for the way out would not find it.
        self._opener: Final = build_opener(ProxyHandler({}))

    def summary(self, parameters: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """What was spent; see `Books`."""
        return self._get("/v1/summary?" + urlencode(list(parameters)))

    def ledger(self) -> str:
        """The path of the ledger file that the service keeps."""
        document = self._get("/healthz")
        if "ledger" not in document:
            raise UnreachableError(f"what answers at {self.url} is no ledger service")
        return str(document["ledger"])

    def _get(self, path: str) -> dict[str, Any]:
        try:
            with self._opener.open(self.url + path, timeout=_ANSWER_SECONDS) as answer:
                return _document(answer)
        except HTTPError as error:
            with error:
                return self._refused(error)
        except (OSError, ValueError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            raise UnreachableError(f"no ledger service answers at {self.url}: {reason}") from None

    def _refused(self, error: HTTPError) -> dict[str, Any]:
        """What an answer other than 200 means; a service that only cannot write now still answers questions."""
        try:
            document = _document(error)
        except ValueError:
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


def _service_for(path: Path, *, named: bool) -> ServiceBooks:
    """The service at ``OTEL_COST_URL``, if it answers, and, where the user named the file, keeps that file."""
    service = ServiceBooks(settings.get(settings.URL))
    state = "is open in another process" if path.exists() else "is not there"
    try:
        kept = service.ledger()
    except LedgerError as error:
        raise UnreachableError(
            f"ledger unreachable: looked at {path} (it {state}) and {service.url} ({error}); "
            f"start one with otel-cost serve"
        ) from None
    if named and kept != str(path.absolute()):
        raise UnreachableError(
            f"ledger unreachable: {path} {state}, and the service at {service.url} keeps {kept}; "
            f"name the right service with --url"
        )
    return service


def drain_spool(folder: Path, ledger: Path | None, url: str | None) -> str | None:
    """Get what waits in the spool into the books: by ourselves, or by the service that has the file open.

    Returns:
        A line for the user where something still waits.

    Raises:
        LedgerError: the ledger cannot be opened or written.
    """
    if not spool.waiting(folder):
        return None
    path: Path = settings.get(settings.LEDGER) if ledger is None else ledger
    if url is None:
        try:
            with Ledger(path) as books:
                spool.drain(folder, books)
        except LedgerLockedError:
            pass
        else:
            return None
    give_up = time.monotonic() + _DRAIN_SECONDS
    while spool.waiting(folder) and time.monotonic() < give_up:
        time.sleep(0.1)
    return f"The service did not drain {folder}: what waits there is not counted" if spool.waiting(folder) else None
