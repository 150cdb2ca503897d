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
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

import pyarrow as pa

from otel_cost import access, settings
from otel_cost_exporter import spool
from otel_cost_exporter.answers import routes
from otel_cost_exporter.answers.reader import Reader
from otel_cost_exporter.answers.tables import ARROW
from otel_cost_exporter.errors import (
    LedgerError,
    LedgerFileError,
    LedgerLockedError,
    NotInBooksError,
    QuestionError,
    SpoolError,
    UnreachableError,
)
from otel_cost_exporter.writing.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from otel_cost.settings import Variable

_ANSWER_SECONDS: Final = 30
_KEEPING_SECONDS: Final = 6 * 3600.0  # all books may be gone through
_DRAIN_SECONDS: Final = 3.0  # a service drains its spool every second
_NO_ANSWER: Final = (OSError, HTTPException, ValueError, OverflowError)
"""What asking a URL can raise where no ledger service is, or where it is no URL; a port may be too large a number."""

_BROKEN_OFF: Final = (HTTPException, ConnectionResetError, TimeoutError, pa.ArrowInvalid)
"""What reading an answer bit by bit can raise where it does not come to its end."""

_NO_TOKEN: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_NO_SUCH_PATH: Final = HTTPStatus.NOT_FOUND.phrase
"""What others say of a path that they do not know. The ledger's answers say what is missing."""
_REFUSALS: Final = {HTTPStatus.BAD_REQUEST: QuestionError, HTTPStatus.NOT_FOUND: NotInBooksError}


class Books(Protocol):
    """Whatever answers questions."""

    def ask(self, path: str, parameters: Iterable[tuple[str, str]] = ()) -> dict[str, Any]:
        """The document of ``GET /v1/<path>``: the same from a file and from a service.

        Args:
            path: such as ``summary`` or ``runs/nightly-7``; an id in it is percent-encoded.
            parameters: name and value of each; may repeat.

        Raises:
            QuestionError: a parameter is unknown or cannot be read; `NotInBooksError` where there is no such question,
                or nothing in the books of what it asks about.
            LedgerError: the books cannot be read now, or not be reached.
        """

    def export(self, parameters: Iterable[tuple[str, str]] = ()) -> AbstractContextManager[pa.RecordBatchReader]:
        """All calls that are asked for, as Arrow: a reader that holds few of them at a time.

        Args:
            parameters: filters, ``since``, ``until`` and ``tz``.

        Raises:
            QuestionError: a parameter is unknown or cannot be read.
        """

    def budgets(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Every budget that was seen and what is spent of it, the most used first; up to `limit` of them."""


class ServiceBooks:
    """The books of the ledger service at `url`."""

    def __init__(self, url: str) -> None:
        self.url: Final = url.rstrip("/")

    def ask(self, path: str, parameters: Iterable[tuple[str, str]] = ()) -> dict[str, Any]:
        """The document of ``GET /v1/<path>``; see `Books`."""
        route, _ = routes.find(path)
        query = urlencode(list(parameters))
        return self._get(f"/v1/{path}?{query}" if query else f"/v1/{path}", *route.shape.model_fields)

    @contextmanager
    def export(self, parameters: Iterable[tuple[str, str]] = ()) -> Iterator[pa.RecordBatchReader]:
        """All calls that are asked for, as Arrow; see `Books`."""
        path = f"/v1/export?{urlencode(list(parameters))}"
        try:
            answer = self._open(path, None, settings.READ_TOKEN, _ANSWER_SECONDS, accept=ARROW)
        except HTTPError as error:
            with error:
                self._refused(error, settings.READ_TOKEN)
            raise UnreachableError(f"the ledger service at {self.url} answers {error.code}: {error.reason}") from None
        except _NO_ANSWER as error:
            raise UnreachableError(f"no ledger service answers at {self.url}: {_reason(error)}") from None
        try:
            with answer, pa.ipc.open_stream(answer) as batches:
                yield batches
        except _BROKEN_OFF as error:
            raise UnreachableError(f"the ledger service at {self.url} has broken off: {_reason(error)}") from None

    def budgets(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Every budget that was seen, up to `limit` of them; see `Books`."""
        path = "/v1/budgets" if limit is None else f"/v1/budgets?limit={limit}"
        return list(self._get(path, "budgets")["budgets"])

    def keep(
        self,
        what: str,
        body: Mapping[str, Any] | None = None,
        read: Callable[[IO[bytes]], dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """What the service answers to ``/v1/ledger/<what>``, however long it takes.

        Args:
            what: such as ``check``.
            body: what it is to do; None where it is only asked.
            read: makes a document of the answer, where that is none itself.
        """
        sent = None if body is None else json.dumps(body).encode()
        return self._ask(f"/v1/ledger/{what}", sent, read=read, right=settings.KEEP_TOKEN, seconds=_KEEPING_SECONDS)

    def ledger(self, right: Variable = settings.READ_TOKEN) -> str | None:
        """The path of the ledger file that the service keeps; None where it does not tell us: it wants another token.

        Args:
            right: the setting of the token that is shown.
        """
        document = self._get("/healthz", "status", right=right)
        return str(document["ledger"]) if "ledger" in document else None

    def _get(self, path: str, *keys: str, right: Variable = settings.READ_TOKEN) -> dict[str, Any]:
        """The document at `path`, which has `keys`."""
        document = self._ask(path, right=right)
        if not document.keys() >= set(keys):
            raise UnreachableError(f"what answers at {self.url} is no ledger service of this version")
        return document

    def _ask(
        self,
        path: str,
        body: bytes | None = None,
        *,
        read: Callable[[IO[bytes]], dict[str, Any]] | None = None,
        right: Variable = settings.READ_TOKEN,
        seconds: float = _ANSWER_SECONDS,
    ) -> dict[str, Any]:
        try:
            with self._open(path, body, right, seconds) as answer:
                return (read or _document)(answer)
        except HTTPError as error:
            with error:
                return self._refused(error, right)
        except _NO_ANSWER as error:
            raise UnreachableError(f"no ledger service answers at {self.url}: {_reason(error)}") from None

    def _open(
        self, path: str, body: bytes | None, right: Variable, seconds: float, accept: str = "application/json"
    ) -> IO[bytes]:
        request = Request(self.url + path, body, {"accept": accept})  # noqa: S310 - read as a URL of http or https
        if body is not None:
            request.add_unredirected_header("content-type", "application/json")
        for name, value in access.headers(right).items():
            request.add_unredirected_header(name, value)
        # A ledger is a neighbour: a proxy for the way out would not find it.
        opener = build_opener(ProxyHandler({}), HTTPSHandler(context=access.tls()))
        answer: IO[bytes] = opener.open(request, timeout=seconds)
        return answer

    def _refused(self, error: HTTPError, right: Variable) -> dict[str, Any]:
        """What an answer other than 200 means; a service that only cannot write now still answers questions."""
        try:
            document = _document(error)
        except _NO_ANSWER:
            document = {}
        if error.code == HTTPStatus.SERVICE_UNAVAILABLE and "ledger" in document:
            return document
        if error.code == HTTPStatus.NOT_FOUND and document.get("detail", _NO_SUCH_PATH) == _NO_SUCH_PATH:
            raise UnreachableError(f"what answers at {self.url} is no ledger service") from None
        if error.code in _REFUSALS and "detail" in document:
            raise _REFUSALS[HTTPStatus(error.code)](document["detail"]) from None
        hint = f"; set {right.name}" if error.code in _NO_TOKEN else ""
        reason = document.get("detail", error.reason)
        raise UnreachableError(f"the ledger service at {self.url} answers {error.code}: {reason}{hint}") from None


def _document(answer: IO[bytes]) -> dict[str, Any]:
    found = json.load(answer)
    if not isinstance(found, dict):
        raise ValueError("its answer is no JSON object")  # noqa: TRY004 - as any other answer that cannot be read
    return found


def _reason(error: Exception) -> str:
    """Why there is no answer, in one line for a person."""
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror + access.hint(cause)
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
        service = service_of(ledger)
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


_ELSEWHERE: Final = "if that is otel-cost serve, say where it listens with --url or OTEL_COST_URL"
_NO_BOOKS_YET: Final = (
    "start one with otel-cost serve, or run an application with --traces_exporter otel_cost, then otel-cost report"
)


def service_of(ledger: Path | None, right: Variable = settings.READ_TOKEN) -> ServiceBooks:
    """The service at ``OTEL_COST_URL``, if it answers, and, where the user named a file, keeps that file.

    Args:
        ledger: the file that the user named; None for the one of ``OTEL_COST_LEDGER``.
        right: the setting of the token for what it will be asked.

    Raises:
        UnreachableError: there is none.
    """
    path: Path = settings.get(settings.LEDGER) if ledger is None else ledger
    service = ServiceBooks(settings.get(settings.URL))
    is_there = path.exists()
    state = "is open in another process" if is_there else "is not there"
    try:
        kept = service.ledger(right)
    except LedgerError as error:
        what_to_do = _ELSEWHERE if is_there else _not_booked(ledger) or _NO_BOOKS_YET
        raise UnreachableError(f"ledger unreachable: {path} {state}, and {error}; {what_to_do}") from None
    if ledger is None:  # what it is asked will say which token it wants
        return service
    if kept is None:
        raise UnreachableError(
            f"ledger unreachable: {path} {state}, and the service at {service.url} does not say which file it keeps: "
            f"it does not take our token. Set {right.name}"
        )
    if kept != str(path.absolute()):
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
