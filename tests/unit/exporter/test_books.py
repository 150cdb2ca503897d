"""What a command makes of an address at which no ledger service answers: one line, whatever comes."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from otel_cost_exporter.books import ServiceBooks
from otel_cost_exporter.errors import QuestionError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """The URL of somebody who sends `answers`, one for each connection, whatever was asked."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            for content in answers:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(content)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join(10)


def http(status: str, body: str, length: int | None = None) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\r\n", "no HTTP: is it the gRPC port?"),  # HTTP/2's first frame
        (b"", "Remote end closed connection without response"),
        (b"HTTP/1.1 200 OK\r\n" + b"a" * 100_000, "got more than 65536 bytes"),
        (http("200 OK", "{", 100), "IncompleteRead"),
        (http("200 OK", "[]"), "its answer is no JSON object"),
        (http("200 OK", "{}"), "what answers at {url} is no ledger service"),
        (http("400 Bad Request", '{"detail', 100), "the ledger service at {url} answers 400: Bad Request"),
        (http("503 Busy", '{"ledger": "/x"}'), "what answers at {url} is no ledger service"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:abc/\r\nContent-Length: 0\r\n\r\n", "nonnumeric port"),
    ],
)
def test_an_answer_that_is_none_of_a_ledgers_is_said(answer: bytes, line: str) -> None:
    with answering(answer) as url, pytest.raises(UnreachableError) as caught:
        ServiceBooks(url).ask("summary")
    assert line.format(url=url) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:abc",
        "http://127.0.0.1:99999",
        "http://[::1",
        "http://a..b",
        "http://a b",
        "http://127.0.0.1:9\n",
        "nonsense",
        "http://",
        "",
    ],
)
def test_a_url_that_leads_nowhere_is_said(url: str) -> None:
    for ask in (ServiceBooks(url).ledger, lambda: ServiceBooks(url).ask("summary"), ServiceBooks(url).budgets):
        with pytest.raises(UnreachableError, match="no ledger service answers at "):
            ask()


def test_a_question_that_is_refused_is_a_bad_question() -> None:
    with (
        answering(http("400 Bad Request", '{"detail": "by is bad"}')) as url,
        pytest.raises(QuestionError, match="by is"),
    ):
        ServiceBooks(url).ask("summary")


def test_the_dimensions_of_a_service() -> None:
    with answering(http("200 OK", '{"dimensions": ["run", "tenant"]}')) as url:
        assert ServiceBooks(url).ask("dimensions")["dimensions"] == ["run", "tenant"]
